package vgg_test

import (
	"context"
	"encoding/json"
	"image"
	"math"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// floats reads a tensor of a file as float64.
func floats(t testing.TB, f *weights.File, name string) []float64 {
	t.Helper()
	tensor, err := f.Tensor(name)
	require.NoError(t, err)
	x := make([]float64, tensor.Len())
	require.NoError(t, tensor.Float64s(x))
	return x
}

func open(t testing.TB, path string) *weights.File {
	t.Helper()
	f, err := weights.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestEncoder runs a really trained VGG-19 of other widths, with a 1×1
// convolution of its own before it, on three photographs.
func TestEncoder(t *testing.T) {
	dir := testutil.Shared(t, "data", "nets")
	layers, err := vgg.ParseLayers("=3/1 16 16 M 32 32 M 64 64 64 64 M 128 128 128 128 M 128")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "E", Channels: 3, Size: 224, Pad: 1, Layers: layers}
	for _, c := range []struct {
		opts         []vgg.Option
		largest, rms float64
	}{{nil, 1e-4, 1e-5}, {[]vgg.Option{vgg.Direct()}, 1e-4, 1e-5}, {[]vgg.Option{vgg.Fixed()}, 2e-2, 1.5e-3}} {
		m, err := vgg.Open(filepath.Join(dir, "vgg19_16x_encoder_relu5_1.safetensors"),
			append(c.opts, vgg.Configuration(cfg), vgg.Pictures(vgg.Picture{Side: 224, Preset: picture.Unit}))...)
		require.NoError(t, err)
		for _, photo := range []string{"astronaut", "chelsea", "coffee"} {
			golden := open(t, filepath.Join(dir, "vgg19_16x_golden_"+photo+".safetensors"))
			pixels, err := golden.Tensor("image_u8_224")
			require.NoError(t, err)
			img := &picture.RGB{Pix: pixels.Data, W: 224, H: 224}
			for layer, tensor := range map[string]string{"relu5_1": "zeropad.relu5_1", "pool3": "zeropad.pool3"} {
				got, err := m.Features(context.Background(), img, layer)
				require.NoError(t, err)
				largest, rms := testutil.RelErrors(got.Data, floats(t, golden, tensor))
				t.Logf("%s %s: largest error %.2g, rms %.2g", photo, layer, largest, rms)
				require.Less(t, largest, c.largest, "%s %s", photo, layer)
				require.Less(t, rms, c.rms, "%s %s", photo, layer)
			}
		}
	}
}

// TestEncoderUnclear opens the same file without a word about its layers: what ends
// it is in no tensor. The error has the layers.
func TestEncoderUnclear(t *testing.T) {
	_, err := vgg.Open(testutil.Shared(t, "data", "nets", "vgg19_16x_encoder_relu5_1.safetensors"))
	require.ErrorIs(t, err, vgg.ErrConfig)
	require.ErrorContains(t, err, "--net '=3/1 16 16 M 32 32 M 64 64 64 64 M 128 128 128 128 M 128'")
}

// TestTiny runs a network without padding on its twenty photographs.
func TestTiny(t *testing.T) {
	dir := testutil.Shared(t, "data", "nets")
	layers, err := vgg.ParseLayers("10 10 M 10 10 M F10")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "Tiny VGG", Channels: 3, Size: 64, Pad: 0, Layers: layers}
	opened := func(opts ...vgg.Option) *vgg.Model {
		opts = append(opts, vgg.Configuration(cfg), vgg.Pictures(vgg.Picture{Side: 64, Preset: picture.Unit}))
		m, err := vgg.Open(filepath.Join(dir, "tinyvgg_cnn-explainer.safetensors"), opts...)
		require.NoError(t, err)
		return m
	}
	m, fixed := opened(), opened(vgg.Fixed())
	golden := open(t, filepath.Join(dir, "tinyvgg_golden.safetensors"))
	var files []string
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["files"]), &files))
	pixels, err := golden.Tensor("images_u8_nhwc")
	require.NoError(t, err)
	labels, err := golden.Tensor("labels")
	require.NoError(t, err)
	want := floats(t, golden, "logits_f64")
	hits := 0
	for i := range files {
		var img image.Image = &picture.RGB{Pix: pixels.Data[i*64*64*3:][:64*64*3], W: 64, H: 64}
		top, err := m.Classify(context.Background(), img, 1)
		require.NoError(t, err)
		inFixed, err := fixed.Classify(context.Background(), img, 1)
		require.NoError(t, err)
		require.Equal(t, top[0].Class, inFixed[0].Class, "%s in fixed point", files[i])
		if top[0].Class == int(labels.Data[4*i]) {
			hits++
		}
		logits, err := m.Features(context.Background(), img, "")
		require.NoError(t, err)
		for j, v := range logits.Data {
			require.InDelta(t, want[i*10+j], v, 1e-4*math.Abs(want[i*10+j])+1e-4, "%s, class %d", files[i], j)
		}
	}
	require.Equal(t, 14, hits)
}
