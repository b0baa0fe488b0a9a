package main

import (
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// TestKey: of two networks in a file the command takes the one that --key names, and
// --verbose lists what is not used.
func TestKey(t *testing.T) {
	f, err := weights.Open("../../vgg/testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	defer f.Close()
	var list []weights.Out
	for _, name := range f.Names() {
		tensor, err := f.Tensor(name)
		require.NoError(t, err)
		for _, prefix := range []string{"model.", "model_ema."} {
			list = append(list, weights.Out{Name: prefix + name, DType: tensor.DType, Shape: tensor.Shape, Data: tensor.Data})
		}
	}
	path := filepath.Join(t.TempDir(), "two.safetensors")
	require.NoError(t, weights.WriteFile(path, list, nil))
	status, out, errs := vggCmd("summary", "--weights", path)
	require.NotZero(t, status)
	require.Empty(t, out)
	require.Contains(t, errs, "--key model (model.features.0.weight and 7 more convolutions)")
	status, out, errs = vggCmd("summary", "--weights", path, "--key", "model_ema", "--verbose")
	require.Zero(t, status)
	require.Contains(t, out, "conv5_2")
	require.Contains(t, errs, `not used: "model.classifier.0.bias": outside of the chosen key`)
	converted := filepath.Join(t.TempDir(), "one.safetensors")
	status, _, errs = vggCmd("convert", path, converted, "--key", "model")
	require.Zero(t, status, errs)
	status, _, errs = vggCmd("summary", "--weights", converted)
	require.Zero(t, status, errs)
}
