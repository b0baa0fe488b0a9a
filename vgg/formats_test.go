package vgg_test

import (
	"bytes"
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
		"torchvision.safetensors": {"zip.pth", "legacy.pth", "v1.caffemodel", "v2.caffemodel", "gemm.onnx", "matmul.onnx", "fields.onnx", "exported.onnx",
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
				n, err := vgg.Describe(f)
				require.NoError(t, err)
				require.NoError(t, vgg.Save(converted, n.Config, n.Source, false, vgg.Labels(n.Labels), vgg.Pictures(n.Picture)))
				require.NoError(t, f.Close())
				m, err = vgg.Open(converted)
				require.NoError(t, err)
				testutil.CheckBits(t, "after conversion", name, logitsOf(t, m), want)
				require.Equal(t, bgr, m.Picture().Preset == picture.Caffe, "preset after conversion")
			})
		}
	}
}

// TestKerasHWC: to say that Keras's columns are in HWC order, as they are, changes nothing.
func TestKerasHWC(t *testing.T) {
	path := filepath.Join("testdata", "formats", "keras.safetensors")
	m, err := vgg.Open(path)
	require.NoError(t, err)
	cfg := m.Config()
	cfg.HWC = true
	told, err := vgg.Open(path, vgg.Configuration(cfg))
	require.NoError(t, err)
	require.False(t, told.Config().HWC)
	testutil.CheckBits(t, "logits", "HWC", logitsOf(t, told), logitsOf(t, m))
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

// edited reads a test file's tensors and writes them as change returns them.
func edited(t testing.TB, name string, change func(list []weights.Out) []weights.Out) string {
	t.Helper()
	f, err := weights.Open(filepath.Join("testdata", "formats", name))
	require.NoError(t, err)
	defer f.Close()
	var list []weights.Out
	for _, n := range f.Names() {
		tensor, err := f.Tensor(n)
		require.NoError(t, err)
		list = append(list, weights.Out{Name: n, DType: tensor.DType, Shape: tensor.Shape, Data: tensor.Data})
	}
	path := filepath.Join(t.TempDir(), "edited")
	require.NoError(t, weights.WriteFile(path, change(list), nil))
	return path
}

// TestNames: names that people's files have beside those of the tools.
func TestNames(t *testing.T) {
	plain, err := vgg.Open("testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	want := logitsOf(t, plain)
	rename := func(old, new string) func([]weights.Out) []weights.Out {
		return func(list []weights.Out) []weights.Out {
			for i := range list {
				list[i].Name = strings.Replace(list[i].Name, old, new, 1)
			}
			return list
		}
	}
	for what, path := range map[string]string{
		"a whole model of Keras": edited(t, "keras.safetensors", func(list []weights.Out) []weights.Out {
			for i, l := range list {
				list[i].Name = "model_weights/" + l.Name
				l.Name, l.Data = "optimizer_weights/training/Adam/m/"+l.Name, make([]byte, len(l.Data))
				list = append(list, l)
			}
			return list
		}),
		"Keras, another head": edited(t, "keras.safetensors", rename("predictions/predictions", "dense/dense_1")),
		"Caffe, another head": edited(t, "v2.caffemodel", rename("fc8", "fc8_voc")),
		"Caffe, a free name":  edited(t, "v1.caffemodel", rename("fc8", "flowers")),
		"DataParallel and fc": edited(t, "torchvision.safetensors", rename("classifier.6", "fc")),
		"Keras 3 without /:0": edited(t, "keras.safetensors", rename(":0", "")),
		"Keras with its dots": edited(t, "keras.safetensors", func(list []weights.Out) []weights.Out {
			for i := range list {
				_, name, _ := strings.Cut(list[i].Name, "/")
				list[i].Name = strings.TrimSuffix(strings.Replace(name, "/", ".", 1), ":0")
			}
			return list
		}),
	} {
		m, err := vgg.Open(path)
		require.NoError(t, err, what)
		require.Equal(t, plain.Config(), m.Config(), what)
		testutil.CheckBits(t, "logits", what, logitsOf(t, m), want)
	}

	more := func(names ...string) string {
		return edited(t, "v2.caffemodel", func(list []weights.Out) []weights.Out {
			for _, l := range list {
				if kind, ok := strings.CutPrefix(l.Name, "fc8"); ok {
					for _, name := range names {
						l.Name = name + kind
						list = append(list, l)
					}
				}
			}
			return rename("fc8", "unknown")(list)
		})
	}
	_, err = vgg.Open(more("a", "b"))
	require.ErrorIs(t, err, vgg.ErrConfig)
	require.ErrorContains(t, err, "a.weight")
	require.ErrorContains(t, err, "edited")
	_, err = vgg.Open(edited(t, "torchvision.safetensors", func(list []weights.Out) []weights.Out {
		for _, l := range list {
			if strings.HasPrefix(l.Name, "features.0.") {
				l.Name = "module." + l.Name
				list = append(list, l)
			}
		}
		return list
	}))
	require.ErrorIs(t, err, vgg.ErrConfig)
	require.ErrorContains(t, err, "tensors features.0.weight and module.features.0.weight are of one layer")
}

// TestNegativeVariance is refused: it would make a network of NaN.
func TestNegativeVariance(t *testing.T) {
	_, err := vgg.Open(edited(t, "bn_torchvision.safetensors", func(list []weights.Out) []weights.Out {
		for i, l := range list {
			if l.Name == "features.1.running_var" {
				list[i].Data, list[i].Floats = nil, []float32{1, -1}
			}
		}
		return list
	}))
	require.ErrorIs(t, err, weights.ErrFormat)
	require.ErrorContains(t, err, "features.1.running_var: element 1 is -1")
}

// TestGreyscale writes and reads a network of one input channel.
func TestGreyscale(t *testing.T) {
	cfg := smallConfig(t, "A")
	cfg.Channels = 1
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false))
	m, err := vgg.Open(path)
	require.NoError(t, err)
	require.Equal(t, cfg, m.Config())
}

// TestSizeFromColumns: a graph that leaves height and width open gets them from its
// first fully connected layer.
func TestSizeFromColumns(t *testing.T) {
	data, err := os.ReadFile("testdata/formats/gemm.onnx")
	require.NoError(t, err)
	// Dimensions 64 of the input, last in the file, become nameless ones: a field of
	// the same length that nobody reads.
	input := bytes.LastIndex(data, []byte("\x0a\x05input"))
	require.Positive(t, input)
	rest := bytes.ReplaceAll(data[input:], []byte{0x0a, 2, 0x08, 64}, []byte{0x0a, 2, 0x38, 64})
	require.NotEqual(t, data[input:], rest)
	f, err := weights.FromBytes("open", append(data[:input:input], rest...))
	require.NoError(t, err)
	require.NotContains(t, f.Metadata(), weights.KeySize)
	m, err := vgg.FromFile(f)
	require.NoError(t, err)
	require.Equal(t, 64, m.Config().Size)
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

// pythonWith returns a Python that has some modules, or skips: Debian's modules
// belong to its own Python, which need not be the first one.
func pythonWith(t testing.TB, modules string) string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import "+modules).Run() == nil {
			return python
		}
	}
	t.Skipf("no python3 with %s", modules)
	return ""
}

// TestKerasExport runs the two lines of Python that the error for an HDF5 file gives,
// by h5py. Where Python has no safetensors a few lines stand in for its writer.
func TestKerasExport(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a run without -short")
	}
	python := pythonWith(t, "h5py")
	h5, err := filepath.Abs("testdata/formats/keras.h5")
	require.NoError(t, err)
	_, err = vgg.Open(h5)
	_, lines, ok := strings.Cut(err.Error(), "that can be read: ")
	require.True(t, ok)
	lines = strings.TrimSuffix(lines, ": "+weights.ErrUnsupported.Error())
	require.Contains(t, lines, "'vgg16.h5'")
	out := filepath.Join(t.TempDir(), "keras.safetensors")
	lines = strings.NewReplacer("vgg16.h5", h5, "vgg16.safetensors", out).Replace(lines)
	text, err := exec.Command(python, "-c", `
import json, struct, sys, types
try:
    import safetensors.numpy
except ImportError:
    def save_file(tensors, path):
        header, data = {}, b""
        for name, a in tensors.items():
            header[name] = {"dtype": "F32", "shape": a.shape, "data_offsets": [len(data), len(data) + a.nbytes]}
            data += a.tobytes()
        text = json.dumps(header).encode()
        open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
    package, module = types.ModuleType("safetensors"), types.ModuleType("safetensors.numpy")
    package.numpy, module.save_file = module, save_file
    sys.modules.update({"safetensors": package, "safetensors.numpy": module})
`+lines).CombinedOutput()
	require.NoError(t, err, "%s", text)
	m, err := vgg.Open(out)
	require.NoError(t, err)
	plain, err := vgg.Open("testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	testutil.CheckBits(t, "logits", "exported", logitsOf(t, m), logitsOf(t, plain))
}

// TestFullFormats makes VGG-16 at its own size in each format, some 550 MB a file,
// and compares the logits bit for bit.
func TestFullFormats(t *testing.T) {
	if os.Getenv("NONET_FULL_FORMATS") == "" {
		t.Skip("set NONET_FULL_FORMATS=1 to write and read 3 GB of files by python3-torch and python3-onnx")
	}
	dir := t.TempDir()
	out, err := exec.Command(pythonWith(t, "torch, onnx"), "testdata/formats/make.py", dir, "--full").CombinedOutput()
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
