package vgg_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// logitsOf runs one picture through the network of a file.
func logitsOf(t testing.TB, m *vgg.Model) []float32 {
	t.Helper()
	s, err := m.NewSession()
	require.NoError(t, err)
	cfg := m.Config()
	out := make([]float32, cfg.Classes())
	require.NoError(t, s.Run(context.Background(), out, testutil.Normal(7, 3*cfg.Size*cfg.Size)))
	return out
}

// TestFormats opens files that the real tools wrote, see testdata/formats/make.py:
// those of one network give the same logits, bit for bit, as they are and after
// their conversion.
func TestFormats(t *testing.T) {
	for first, files := range map[string][]string{
		"torchvision.safetensors": {"zip.pth", "legacy.pth", "v1.caffemodel", "v2.caffemodel", "gemm.onnx", "matmul.onnx", "fields.onnx",
			"keras.safetensors", "timm.safetensors"},
		"bn_torchvision.safetensors": {"bn_zip.pth", "bn_gemm.onnx"},
	} {
		m, err := vgg.Open(filepath.Join("testdata", "formats", first))
		require.NoError(t, err)
		require.Equal(t, "A", m.Config().Name)
		require.Equal(t, 64, m.Config().Size)
		want := logitsOf(t, m)
		for _, name := range files {
			t.Run(name, func(t *testing.T) {
				path := filepath.Join("testdata", "formats", name)
				m, err := vgg.Open(path)
				require.NoError(t, err)
				testutil.CheckBits(t, "logits", name, logitsOf(t, m), want)
				bgr := strings.Contains(name, "caffe") || strings.Contains(name, "keras")
				require.Equal(t, bgr, m.Picture().Preset.BGR, "preset")

				converted := filepath.Join(t.TempDir(), "converted.safetensors")
				f, err := weights.Open(path)
				require.NoError(t, err)
				cfg, src, opts, err := vgg.Describe(f)
				require.NoError(t, err)
				require.NoError(t, vgg.Save(converted, cfg, src, false, opts...))
				require.NoError(t, f.Close())
				m, err = vgg.Open(converted)
				require.NoError(t, err)
				testutil.CheckBits(t, "after conversion", name, logitsOf(t, m), want)
				require.Equal(t, bgr, m.Picture().Preset == picture.Caffe, "preset after conversion")
			})
		}
	}
}

// TestFoldedNormalization compares a network with batch normalisation with
// PyTorch's own answer in float64.
func TestFoldedNormalization(t *testing.T) {
	m, err := vgg.Open("testdata/formats/bn_zip.pth")
	require.NoError(t, err)
	answer, err := weights.Open("testdata/formats/bn_answer.safetensors")
	require.NoError(t, err)
	defer answer.Close()
	read := func(name string) []float32 {
		tensor, err := answer.Tensor(name)
		require.NoError(t, err)
		x := make([]float32, tensor.Len())
		require.NoError(t, tensor.Float32s(x))
		return x
	}
	s, err := m.NewSession()
	require.NoError(t, err)
	got, want := make([]float32, 10), make([]float64, 10)
	require.NoError(t, s.Run(context.Background(), got, read("input")))
	for i, v := range read("logits") {
		want[i] = float64(v)
	}
	largest, _ := testutil.RelErrors(got, want)
	require.Less(t, largest, 1e-5)
}

// TestDefaultLabels: a file of a thousand classes that says nothing of itself has
// those of ILSVRC-2012.
func TestDefaultLabels(t *testing.T) {
	cfg := smallConfig(t, "A").WithClasses(1000)
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, weights.WriteFile(path, torchvision(t, cfg, src), nil))
	m, err := vgg.Open(path)
	require.NoError(t, err)
	require.Equal(t, labels.ILSVRC2012(), m.Labels())
	p := make([]float64, 1000)
	p[134], p[517] = 0.75, 0.25
	require.Equal(t, []vgg.Prediction{{Class: 134, ID: "n02012849", Label: "crane", Probability: 0.75}, {Class: 517, ID: "n03126707", Label: "crane", Probability: 0.25}}, m.Rank(p, 2))

	require.NoError(t, vgg.Save(path, cfg, src, false))
	m, err = vgg.Open(path)
	require.NoError(t, err)
	require.Nil(t, m.Labels(), "our own file would name them")
}

// TestFormatErrors: what cannot be read says why, and what to do.
func TestFormatErrors(t *testing.T) {
	_, err := vgg.Open("testdata/formats/keras.h5")
	require.ErrorIs(t, err, weights.ErrUnsupported)
	require.ErrorContains(t, err, "keras.h5")
	require.ErrorContains(t, err, "safetensors.numpy.save_file")

	cfg := smallConfig(t, "D")
	_, err = vgg.Open("testdata/formats/zip.pth", vgg.Configuration(cfg))
	require.ErrorContains(t, err, "zip.pth")
	require.ErrorContains(t, err, "features.0.weight has shape [2 3 3 3], want [4 3 3 3]")
	require.ErrorIs(t, err, vgg.ErrShape)
}

// TestFullFormats makes VGG-16 at its own size in each format, some 550 MB a file,
// and compares the logits bit for bit.
func TestFullFormats(t *testing.T) {
	if os.Getenv("NONET_FULL_FORMATS") == "" {
		t.Skip("set NONET_FULL_FORMATS=1 to write and read 3 GB of files by python3-torch and python3-onnx")
	}
	dir := t.TempDir()
	out, err := exec.Command("/usr/bin/python3", "testdata/formats/make.py", dir, "--full").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var want []float32
	for _, name := range []string{"torchvision.safetensors", "zip.pth", "legacy.pth", "v1.caffemodel", "gemm.onnx"} {
		m, err := vgg.Open(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, "D", m.Config().Name)
		got := logitsOf(t, m)
		if want != nil {
			testutil.CheckBits(t, "logits", name, got, want)
		}
		want = got
	}
}
