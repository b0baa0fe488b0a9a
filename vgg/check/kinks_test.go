package check

import (
	"context"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// shifted is a source whose first bias has been moved.
type shifted struct {
	vgg.Source
	by float64
}

func (s shifted) Tensor(name string, want []int) ([]float32, error) {
	x, err := s.Source.Tensor(name, want)
	if name == "conv1_1.bias" && err == nil {
		x = append([]float32(nil), x...)
		x[0] = float32(float64(x[0]) - s.by)
	}
	return x, err
}

// gradientsOf returns the parameters of a network, nonet's gradients and the reference's.
func gradientsOf(t *testing.T, cfg vgg.Config, src vgg.Source, input []float32, targets []int) ([]vgg.Param, [][]float32, map[string][]float64) {
	t.Helper()
	net, err := reference64(cfg, src)
	require.NoError(t, err)
	f := net.Forward(len(targets), ref.Float64(input))
	_, d := ref.SoftmaxCrossEntropy(len(targets), cfg.Classes(), f.Output(), targets)
	tr, err := vgg.NewTrainer(cfg, src, len(targets))
	require.NoError(t, err)
	_, err = tr.Gradients(context.Background(), input, targets)
	require.NoError(t, err)
	return tr.Params(), tr.Grads(), f.Backward(d)
}

// passes reports whether all gradients agree, but for what slack explains.
func passes(params []vgg.Param, got [][]float32, want, slack map[string][]float64) bool {
	for i, p := range params {
		if !gradientRow("", "", p.Name, got[i], want[p.Name], slack[p.Name]).OK {
			return false
		}
	}
	return true
}

// TestKinks moves a bias so that one value before a ReLU is 0 but for rounding, until
// float32 and float64 fall on different sides of it. The gradients are then far apart,
// and kinks explains all of that; of one changed element it explains nothing.
func TestKinksExplain(t *testing.T) {
	if cpu.Best() == cpu.Generic {
		t.Skip("the portable kernels sum in float64, which keeps the sign")
	}
	cfg, err := Small("A")
	require.NoError(t, err)
	seeds, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	input, targets := pictureInput(cfg, 1, 1), []int{2}
	first, err := reference64(cfg, seeds)
	require.NoError(t, err)
	first.Layers = slices.Clone(first.Layers[:1])
	first.Layers[0].ReLU = false
	sums := first.Forward(1, ref.Float64(input)).Act["conv1_1"]
	for _, z := range sums[:200] { // channel 0
		src := shifted{seeds, z}
		params, got, want := gradientsOf(t, cfg, src, input, targets)
		if passes(params, got, want, nil) {
			continue
		}
		slack, err := kinks(context.Background(), cfg, src, input, targets)
		require.NoError(t, err)
		require.NotNil(t, slack)
		require.True(t, passes(params, got, want, slack), "the gradients differ by more than a kink explains")
		for i := range params {
			largest := 0
			for j, v := range got[i] {
				if v*v > got[i][largest]*got[i][largest] {
					largest = j
				}
			}
			got[i][largest] *= -1
			require.False(t, passes(params, got, want, slack), "%s with a changed sign", params[i].Name)
			got[i][largest] *= -1
		}
		other, err := kinks(context.Background(), cfg, shifted{seeds, z + 1}, input, targets)
		require.NoError(t, err)
		require.False(t, passes(params, got, want, other), "what another network explains")
		return
	}
	t.Fatal("no value fell on the other side of 0")
}

// TestWithRounding: the file's own rounding counts, and a changed element does not.
func TestWithRounding(t *testing.T) {
	wide, own := []float64{1, -1, 1, -1}, []float64{1.0001, -1, 1, 1}
	got := withRounding(nil, wide, own)
	require.InDelta(t, 1e-4, got[0], 1e-9)
	require.Zero(t, got[3])
	require.True(t, gradientRow("", "", "", []float32{1, -1, 1, -1}, []float64{1.0001, -1, 1, -1}, got).OK)
	require.False(t, gradientRow("", "", "", []float32{1, -1, 1, -1}, own, got).OK)
	require.False(t, gradientRow("", "", "", []float32{1, -1, 1, -1}, []float64{1.0001, -1, 1, -1}, nil).OK)
}
