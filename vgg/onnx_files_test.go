package vgg_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// tensorOf reads a tensor of a file.
func tensorOf(t testing.TB, path, name string) []float32 {
	t.Helper()
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tensor, err := f.Tensor(name)
	require.NoError(t, err)
	x := make([]float32, tensor.Len())
	require.NoError(t, tensor.Float32s(x))
	return x
}

// TestONNXFiles opens graphs as exporters write them: each gives PyTorch's logits.
func TestONNXFiles(t *testing.T) {
	dir := testutil.Shared(t, "data", "people")
	for _, c := range []struct{ file, layers, expected string }{
		{"o_ext.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_convadd.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_transmat.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_f16cast.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_logsoftmax.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_norm.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_keras.onnx", "8 8 M 16 16 M F24 F24 F10", "06_net.pth"},
		{"o_bneps.onnx", "8 8 M 16 16 M F24 F24 F10", ""},
		{"o_ceil.onnx", "8 M F10", ""},
		{"o_gap.onnx", "8 8 M 16 16 M G F10", "26_gap.pth"},
		{"o_avg2.onnx", "8 8 M 16 16 M A F24 F24 F10", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			f, err := weights.Open(filepath.Join(dir, c.file))
			require.NoError(t, err)
			require.Equal(t, c.layers, f.Metadata()[weights.KeyLayers])
			require.NoError(t, f.Close())
			m, err := vgg.Open(filepath.Join(dir, c.file))
			require.NoError(t, err)
			if c.expected == "" {
				return
			}
			answer := filepath.Join(dir, c.expected+".expected.safetensors")
			input, want := tensorOf(t, answer, "input"), tensorOf(t, answer, "output")
			s, err := m.NewSession(vgg.Batch(len(want) / m.Config().Classes()))
			require.NoError(t, err)
			got := make([]float32, len(want))
			require.NoError(t, s.Run(context.Background(), got, input))
			largest, bound := 0.0, 1e-4
			if c.file == "o_f16cast.onnx" {
				bound = 2e-3 // whose weights are rounded
			}
			for _, v := range want {
				largest = max(largest, math.Abs(float64(v)))
			}
			for i, v := range want {
				require.InDelta(t, v, got[i], bound*largest, "logit %d", i)
			}
		})
	}
}
