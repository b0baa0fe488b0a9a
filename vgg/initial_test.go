package vgg

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// moments returns mean and standard deviation.
func moments(w []float32) (mean, deviation float64) {
	n := float64(len(w))
	for _, v := range w {
		mean += float64(v) / n
	}
	for _, v := range w {
		deviation += (float64(v) - mean) * (float64(v) - mean) / n
	}
	return mean, math.Sqrt(deviation)
}

// TestInitial: the deviations are those of the papers; biases are 0 and scales 1. Another name
// or shape is an error.
func TestInitial(t *testing.T) {
	layers, err := ParseLayers("64 S+ 32 M F50 F3")
	require.NoError(t, err)
	cfg := Config{Name: "test", Channels: 16, Size: 8, Pad: 1, Layers: layers}
	for init, want := range map[Init][3]float64{ // of conv1_1, conv1_2 and fc2
		InitPaper:  {0.1, 0.1, 0.1},
		InitGlorot: {math.Sqrt(2. / (9*16 + 9*64)), math.Sqrt(2. / (9*64 + 9*32)), math.Sqrt(2. / (512 + 50))},
		InitHe:     {math.Sqrt(2. / (9 * 16)), math.Sqrt(2. / (9 * 64)), math.Sqrt(2. / 512)},
	} {
		src, err := Initial(cfg, init, 5)
		require.NoError(t, err)
		require.Equal(t, "initial weights of seed 5", src.Name())
		params, err := cfg.Params()
		require.NoError(t, err)
		matrices := 0
		for _, p := range params {
			w, err := src.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			mean, deviation := moments(w)
			switch {
			case p.Name == "fc3.weight": // too few to measure
			case len(p.Shape) > 1:
				require.InDelta(t, 0, mean, 0.05*want[matrices], p.Name)
				require.InEpsilon(t, want[matrices], deviation, 0.03, p.Name)
				matrices++
			default:
				require.Zero(t, deviation, p.Name)
				isScale := p.Name != "conv1_1.bias" && p.Name[len(p.Name)-7:] == ".weight"
				require.Equal(t, isScale, mean == 1, p.Name)
				require.Equal(t, !isScale, mean == 0, p.Name)
			}
		}
		require.Equal(t, 3, matrices)
		for _, name := range []string{"fc9.weight", "conv1_1.weight"} {
			_, err = src.Tensor(name, []int{64, 3, 3, 16})
			var wrong *TensorError
			require.ErrorAs(t, err, &wrong)
			require.ErrorIs(t, err, ErrShape)
		}
	}
	_, err = Initial(cfg, "zero", 1)
	require.ErrorIs(t, err, ErrConfig)
}

// failing is a Source without tensors.
type failing struct{}

var errFailing = errors.New("no tensor")

func (failing) Name() string                            { return "failing" }
func (failing) Release()                                {}
func (failing) Tensor(string, []int) ([]float32, error) { return nil, errFailing }

// TestNewClassifier: what gives the classes comes from the second source, with the scale behind
// it, and nothing of a network without classes.
func TestNewClassifier(t *testing.T) {
	for text, fresh := range map[string][]string{
		"8 M F16 S+ F3":   {"fc3"},
		"8 M F16 F3 S":    {"fc3", "scale1"},
		"8 M 5/1 G":       {"conv2_1"},
		"8 S+ M 16 M 4 A": nil,
	} {
		layers, err := ParseLayers(text)
		require.NoError(t, err)
		cfg := Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
		src, err := Seeded(cfg, 1)
		require.NoError(t, err)
		rest, err := Seeded(cfg, 2)
		require.NoError(t, err)
		merged, err := NewClassifier(cfg, src, rest)
		require.NoError(t, err)
		params, err := cfg.Params()
		require.NoError(t, err)
		for _, p := range params {
			w, err := merged.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			layer, _, _ := strings.Cut(p.Name, ".")
			from := src
			if slices.Contains(fresh, layer) {
				from = rest
			}
			want, err := from.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			require.Equal(t, want, w, "%s of %s", p.Name, text)
		}
		_, err = NewClassifier(cfg, src, failing{})
		require.Equal(t, fresh != nil, errors.Is(err, errFailing))
	}
	_, err := NewClassifier(Config{Name: "none"}, failing{}, failing{})
	require.Error(t, err)
}
