package vgg_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// smallConfig is a configuration of the paper, a sixteenth as wide.
func smallConfig(t testing.TB, name string) vgg.Config {
	cfg, err := vgg.Lookup(name)
	require.NoError(t, err)
	return cfg.Divide(16).WithClasses(10).WithSize(32)
}

func logits(t testing.TB, m *vgg.Model) []float32 {
	t.Helper()
	s, err := m.NewSession()
	require.NoError(t, err)
	out := make([]float32, 10)
	require.NoError(t, s.Run(context.Background(), out, testutil.Normal(7, 3*32*32)))
	return out
}

// TestSaveOpen writes each configuration and reads it back: everything that was
// written is there without options, and the logits are the same bits.
func TestSaveOpen(t *testing.T) {
	for _, name := range vgg.Names() {
		cfg := smallConfig(t, name)
		src, err := vgg.Seeded(cfg, 3)
		require.NoError(t, err)
		labels := strings.Split("a b c d e f g h i j", " ")
		pic := vgg.Picture{Side: 40, Preset: picture.Caffe}
		path := filepath.Join(t.TempDir(), "w.safetensors")
		require.NoError(t, vgg.Save(path, cfg, src, false, vgg.Labels(labels), vgg.Pictures(pic)))
		m, err := vgg.Open(path)
		require.NoError(t, err)
		require.Equal(t, cfg, m.Config())
		require.Equal(t, labels, m.Labels())
		require.Equal(t, pic, m.Picture())
		direct, err := vgg.New(cfg, src)
		require.NoError(t, err)
		testutil.CheckBits(t, "logits", name, logits(t, m), logits(t, direct))

		require.NoError(t, vgg.Save(path, cfg, src, true))
		m, err = vgg.Open(path)
		require.NoError(t, err)
		want := make([]float64, 10)
		for i, v := range logits(t, direct) {
			want[i] = float64(v)
		}
		largest, _ := testutil.RelErrors(logits(t, m), want)
		require.Less(t, largest, 5e-3, "half precision")
	}
}

// TestCustomPreset keeps a preset of the user's own numbers.
func TestCustomPreset(t *testing.T) {
	cfg := smallConfig(t, "A")
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	own := vgg.Picture{Side: 32, Preset: picture.Preset{Unit: true, Mean: [3]float32{0.5, 0.25, 0.125}, Std: [3]float32{0.5, 1, 2}}}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false, vgg.Pictures(own)))
	m, err := vgg.Open(path)
	require.NoError(t, err)
	require.Equal(t, own, m.Picture())
}

// torchvision returns the tensors of cfg under torchvision's names.
func torchvision(t testing.TB, cfg vgg.Config, src vgg.Source) []weights.Out {
	params, err := cfg.Params()
	require.NoError(t, err)
	var out []weights.Out
	feature, classifier, p := 0, 0, 0
	add := func(base string) {
		for _, kind := range []string{".weight", ".bias"} {
			w, err := src.Tensor(params[p].Name, params[p].Shape)
			require.NoError(t, err)
			out = append(out, weights.Out{Name: base + kind, DType: weights.F32, Shape: params[p].Shape, Floats: w})
			p++
		}
	}
	for _, l := range cfg.Layers {
		switch l.Kind {
		case vgg.Conv:
			add(fmt.Sprintf("features.%d", feature))
			feature += 2
		case vgg.Pool:
			feature++
		case vgg.FC:
			add(fmt.Sprintf("classifier.%d", classifier))
			classifier += 3
		}
	}
	return out
}

// TestTorchvisionNames reads files with torchvision's tensor names and nothing else.
func TestTorchvisionNames(t *testing.T) {
	for _, name := range []string{"A", "B", "D", "E"} {
		cfg := smallConfig(t, name)
		src, err := vgg.Seeded(cfg, 3)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "w.safetensors")
		require.NoError(t, weights.WriteFile(path, torchvision(t, cfg, src), nil))
		m, err := vgg.Open(path)
		require.NoError(t, err)
		require.Equal(t, cfg, m.Config())
		direct, err := vgg.New(cfg, src)
		require.NoError(t, err)
		testutil.CheckBits(t, "logits", name, logits(t, m), logits(t, direct))
	}
}

// TestOpenErrors gives Open files that lie: every error names the file, the
// tensor if there is one, and both shapes.
func TestOpenErrors(t *testing.T) {
	cfg := smallConfig(t, "A")
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	good := torchvision(t, cfg, src)
	dir := t.TempDir()
	write := func(name string, change func(out []weights.Out) []weights.Out) string {
		path := filepath.Join(dir, name)
		require.NoError(t, weights.WriteFile(path, change(append([]weights.Out(nil), good...)), nil))
		return path
	}
	for _, c := range []struct {
		path string
		opts []vgg.Option
		is   error
		says []string
	}{
		{filepath.Join(dir, "absent"), nil, os.ErrNotExist, []string{"absent"}},
		{write("missing", func(o []weights.Out) []weights.Out { return o[:len(o)-1] }), nil, weights.ErrNotFound, []string{"missing", "classifier.6.bias"}},
		{write("wrong", func(o []weights.Out) []weights.Out {
			o[2].Shape = []int{8, 2, 3, 6}
			return o
		}), nil, vgg.ErrConfig, []string{"wrong", "features.3.weight", "[8 2 3 6]", "3×3"}},
		{write("inputs", func(o []weights.Out) []weights.Out {
			o[2].Shape = []int{16, 2, 3, 3}
			o[3].Shape, o[3].Floats = []int{16}, make([]float32, 16)
			return o
		}), nil, vgg.ErrShape, []string{"inputs", "features.3.weight", "[16 2 3 3]", "[16 4 3 3]"}},
		{write("flat", func(o []weights.Out) []weights.Out {
			o[2].Shape = []int{8 * 4 * 3 * 3}
			return o
		}), nil, vgg.ErrConfig, []string{"flat", "features.3.weight", "[288]"}},
		{write("other", func([]weights.Out) []weights.Out { return nil }), nil, nil, []string{"other", "features.0.weight"}},
		{write("labels", func(o []weights.Out) []weights.Out { return o }), []vgg.Option{vgg.Labels([]string{"one"})}, vgg.ErrShape, []string{"/labels: ", "1 labels", "10 classes"}},
		{write("config", func(o []weights.Out) []weights.Out { return o }), []vgg.Option{vgg.Configuration(cfg.WithClasses(12))}, vgg.ErrShape, []string{"classifier.6.weight", "[10 256]", "[12 256]"}},
	} {
		_, err := vgg.Open(c.path, c.opts...)
		require.Error(t, err, c.path)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, c.path)
		}
		for _, s := range c.says {
			require.ErrorContains(t, err, s)
		}
	}
	var te *vgg.TensorError
	_, err = vgg.Open(filepath.Join(dir, "inputs"))
	require.True(t, errors.As(err, &te))
	require.Equal(t, []int{16, 2, 3, 3}, te.Got)
}

// TestTruncated cuts a file at every kind of place.
func TestTruncated(t *testing.T) {
	cfg := smallConfig(t, "A")
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, n := range []int{0, 1, 7, 8, 100, 2000, len(whole) / 2, len(whole) - 1} {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		_, err := vgg.Open(path)
		require.ErrorIs(t, err, weights.ErrFormat, "%d bytes", n)
		require.ErrorContains(t, err, path)
	}
}
