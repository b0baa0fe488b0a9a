package vgg_test

import (
	"context"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// netLine are the flags in an error that say what a network looks like.
var netLine = regexp.MustCompile(`--net '([^']*)'(?: --size ([0-9]+))?( --no-pad)?`)

// linesOf returns the configurations that an error gives, the likeliest first.
func linesOf(t testing.TB, err error) (list []vgg.Config) {
	t.Helper()
	for _, m := range netLine.FindAllStringSubmatch(err.Error(), -1) {
		layers, err := vgg.ParseLayers(m[1])
		require.NoError(t, err, "the line can be pasted")
		cfg := vgg.Config{Name: "custom", Channels: 3, Size: 224, Pad: 1, Layers: layers}
		if m[2] != "" {
			cfg.Size, err = strconv.Atoi(m[2])
			require.NoError(t, err)
		}
		if m[3] != "" {
			cfg.Pad = 0
		}
		require.NoError(t, cfg.Validate(), "the line can be pasted")
		list = append(list, cfg)
	}
	return list
}

// checkGolden compares a model with another framework's output of some pictures.
func checkGolden(t testing.TB, m *vgg.Model, golden string) {
	t.Helper()
	f := open(t, golden)
	in, err := f.Tensor("input")
	require.NoError(t, err)
	input, want := make([]float32, in.Len()), floats(t, f, "output")
	require.NoError(t, in.Float32s(input))
	s, err := m.NewSession(vgg.Batch(in.Shape[0]), vgg.Workers(1))
	require.NoError(t, err)
	require.Equal(t, in.Len(), in.Shape[0]*m.Config().Channels*m.Config().Size*m.Config().Size, "the size of the input")
	got := make([]float32, len(want))
	require.NoError(t, s.Run(context.Background(), got, input))
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		require.InDelta(t, v, got[i], 1e-4*largest, "logit %d", i)
	}
}

// TestPeople opens files of people's networks whose pools are in no tensor: each is
// refused, with the network that it is as a line that opens it right.
func TestPeople(t *testing.T) {
	dir := testutil.Shared(t, "data", "people")
	const simple = "8 8 M 16 16 M F24 F24 F10"
	for name, c := range map[string]struct {
		layers string
		size   int
		at     int // place of the line in the error
	}{
		"05_features_module.pth.tar": {simple, 28, 0},
		"06_net.pth":                 {simple, 28, 0},
		"07_model_prefix.pth":        {simple, 28, 0},
		"16_seq6.pth":                {"8 8 M 16 16 M F24 F24 F12 F5", 28, 0},
		"16_single.pth":              {"8 8 M 16 16 M F10", 28, 0},
		"19_prunefc.pth":             {simple, 28, 0},
		"19_prunemid.pth":            {"8 M 16 16 16 M F24 F24 F10", 28, 0},
		"20_npscalar.pth":            {simple, 28, 0},
		"24_dropout.pth":             {simple, 28, 0},
		"25_bnafterrelu.pth":         {"8 S 8 S M 16 S 16 S M F24 F24 F10", 28, 0},
		"25_convnobias.pth":          {simple, 28, 0},
		"26_gap.pth":                 {"8 8 M 16 16 M G F24 F10", 28, 1},
		"s_module.safetensors":       {simple, 28, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			_, err := vgg.Open(path)
			require.ErrorIs(t, err, vgg.ErrConfig)
			lines := linesOf(t, err)
			require.Greater(t, len(lines), c.at, "%v", err)
			cfg := lines[c.at]
			require.Equal(t, c.layers, cfg.LayerString())
			require.Equal(t, c.size, cfg.Size)
			m, err := vgg.Open(path, vgg.Configuration(cfg))
			require.NoError(t, err)
			checkGolden(t, m, path+".expected.safetensors")
		})
	}
	for _, name := range []string{"20_size.pth", "20_device.pth"} { // which have no answers beside them
		_, err := vgg.Open(filepath.Join(dir, name), vgg.Configuration(parseNet(t, simple, 28)))
		require.NoError(t, err)
	}
}

// parseNet is the configuration of padded convolutions of pictures of three channels.
func parseNet(t testing.TB, layers string, size int) vgg.Config {
	t.Helper()
	list, err := vgg.ParseLayers(layers)
	require.NoError(t, err)
	return vgg.Config{Name: "custom", Channels: 3, Size: size, Pad: 1, Layers: list}
}

// countingSource counts how often each tensor is read.
type countingSource struct {
	weights.Source
	reads map[string]int
}

func (s *countingSource) Tensor(name string) (weights.Tensor, error) {
	s.reads[name]++
	return s.Source.Tensor(name)
}

// TestReadOnce: to describe a file reads no tensor, and to open it reads each once.
func TestReadOnce(t *testing.T) {
	for _, name := range []string{"bn_torchvision.safetensors", "bn_zip.pth", "keras.safetensors", "legacy.pth", "gemm.onnx", "v1.caffemodel", "timm.safetensors"} {
		f := open(t, filepath.Join("testdata", "formats", name))
		s := &countingSource{f, map[string]int{}}
		n, err := vgg.Describe(s)
		require.NoError(t, err)
		require.Empty(t, s.reads, name)
		_, err = n.Model()
		require.NoError(t, err)
		for tensor, count := range s.reads {
			require.Equal(t, 1, count, "%s of %s", tensor, name)
		}
		require.Len(t, s.reads, len(f.Names())-len(n.Ignored), name)
	}
}
