package vgg

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// TestTorchDropout compares the loss of a batch with dropout, whose masks PyTorch was given,
// and its gradients with respect to the input and all weights, with PyTorch's.
func TestTorchDropout(t *testing.T) {
	f, err := weights.Open(filepath.Join("train", "testdata", "torch", "golden.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	golden := func(name string) []float64 {
		x, err := f.Tensor("first." + name)
		require.NoError(t, err)
		v := make([]float64, x.Len())
		require.NoError(t, x.Float64s(v))
		return v
	}
	layers, err := ParseLayers("4 M 16 M F12 F10 F3")
	require.NoError(t, err)
	cfg := Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := Initial(cfg, InitHe, 11)
	require.NoError(t, err)
	input, targets := golden("input"), []int{}
	x := make([]float32, len(input))
	for i, v := range input {
		x[i] = float32(v)
	}
	for _, class := range golden("targets") {
		targets = append(targets, int(class))
	}
	for _, workers := range []int{1, 2} {
		tr, err := NewTrainer(cfg, src, 2, Dropout(0.4, 11), InputGrad(), TrainWorkers(workers))
		require.NoError(t, err)
		r, err := tr.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		require.InEpsilon(t, golden("loss")[0], r.Loss, 1e-5)
		check := func(name string, got []float32) {
			largest, _ := testutil.RelErrors(got, golden("gradient."+name))
			require.Less(t, largest, 1e-5, name)
		}
		check("input", tr.InputGradient())
		for i, p := range tr.Params() {
			check(p.Name, tr.Grads()[i])
		}
	}
}
