package weights

import (
	"archive/zip"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// formatFiles returns the files that other tools wrote, see make.py beside them.
func formatFiles(t testing.TB) map[string][]byte {
	paths, err := filepath.Glob("../testdata/formats/*")
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, p := range paths {
		if filepath.Ext(p) != ".py" {
			files[filepath.Base(p)], err = os.ReadFile(p)
			require.NoError(t, err)
		}
	}
	if len(files) != 16 {
		t.Fatalf("%d files of other tools, want 16", len(files))
	}
	return files
}

// readAll reads every tensor of a file, and returns its first error.
func readAll(f *File) error {
	for _, name := range f.Names() {
		tensor, err := f.Tensor(name)
		if err == nil && tensor.DType.IsFloat() {
			err = tensor.Float32s(make([]float32, tensor.Len()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestTruncatedFormats: every file cut short is refused with its name, when it is
// opened or when what is missing is read.
func TestTruncatedFormats(t *testing.T) {
	for name, data := range formatFiles(t) {
		for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 100, len(data) / 2, len(data) - 1} {
			f, err := FromBytes(name, data[:n])
			if err == nil {
				err = readAll(f)
			}
			require.ErrorContains(t, err, name, "%d of %d bytes", n, len(data))
		}
	}
}

// TestReadOnDemand reads the files without a mapping.
func TestReadOnDemand(t *testing.T) {
	for name, data := range formatFiles(t) {
		if strings.HasSuffix(name, ".h5") {
			continue
		}
		f, err := Read(name, bytes.NewReader(data), int64(len(data)))
		require.NoError(t, err)
		require.NoError(t, readAll(f))
		mapped, err := FromBytes(name, data)
		require.NoError(t, err)
		for _, n := range mapped.Names() {
			a, err := f.Tensor(n)
			require.NoError(t, err)
			b, err := mapped.Tensor(n)
			require.NoError(t, err)
			require.Equal(t, a.Shape, b.Shape)
			if !bytes.Equal(a.Data, b.Data) {
				t.Errorf("%s: %s differs", name, n)
			}
		}
	}
}

// TestHostilePickles: nothing is called that is not in the table, and nothing
// grows beyond its place.
func TestHostilePickles(t *testing.T) {
	for text, want := range map[string]string{
		"\x80\x02cos":                                      "a line without end",
		"\x80\x02X\xff\xff\xff\x7fabc.":                    "more bytes wanted",
		"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.": "length",
		"\x80\x02t.":                                       "no mark",
		"\x80\x02.":                                        "on the stack",
		"\x80\x02K\x00K\x01K\x02s.":                        "2 keys and values of what is no dictionary",
		"\x80\x02h\x05.":                                   "nothing was stored as 5",
		"\x80\x02i.":                                       "is none that torch.save writes",
		"\x80\x02K\x01)R.":                                 "calls what is no function",
		"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.":   "a tensor of 0 arguments",
		"\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.": "what are no pairs",
		"\x80\x02K\x01Q.": "no storage's",
		"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\xff\xff\xff\xfftQ.": "make none",
	} {
		u := &unpickler{in: []byte(text), globals: torchGlobals, persist: (&torchReader{storages: map[string]*torchStorage{}}).persist}
		_, err := u.run()
		require.ErrorContains(t, err, want, "%q", text)
	}
	// A list that holds itself, and a dictionary as its own key.
	for _, text := range []string{"\x80\x02]q\x00h\x00a.", "\x80\x02}q\x00h\x00h\x00s."} {
		u := &unpickler{in: []byte(text), globals: torchGlobals}
		v, err := u.run()
		require.NoError(t, err)
		r := &torchReader{f: &File{}}
		_ = r.finish(v)
	}
}

// TestHostileTensors: views that leave their storage, or repeat it.
func TestHostileTensors(t *testing.T) {
	r := &torchReader{f: &File{data: make([]byte, 40), size: 40}}
	s := &torchStorage{dtype: F32, numel: 10}
	for _, v := range []*torchTensor{
		{s, 0, []int{11}, []int{1}}, {s, 8, []int{3}, []int{1}}, {s, 0, []int{2, 3}, []int{8, 1}}, {s, 11, []int{1}, []int{1}},
		{s, 0, []int{math.MaxInt/2 + 1, 4}, []int{0, 0}}, {s, 0, []int{1 << 30}, []int{0}}, {s, 0, []int{3, 3}, []int{math.MaxInt/2 + 1, 1}},
		{s, math.MaxInt/2 + 1, []int{2}, []int{1}}, {s, 0, []int{2, math.MaxInt/2 + 1}, []int{1, 4}},
	} {
		_, err := r.entry("x", v)
		require.Error(t, err, "%+v", v)
	}
	for _, v := range []*torchTensor{{s, 2, []int{2, 4}, []int{4, 1}}, {s, 0, []int{2, 5}, []int{1, 2}}, {s, 9, nil, nil}, {s, 0, []int{0, 7}, []int{7, 1}}} {
		_, err := r.entry("x", v)
		require.NoError(t, err, "%+v", v)
	}
}

// fuzzFile reads a damaged file: it is refused with its name, or all that it says it
// has is there. Neither takes memory that the file only claims to fill.
func fuzzFile(t *testing.T, data []byte) {
	err := testutil.Bounded(t, len(data), func() (found int64, err error) {
		f, err := FromBytes("fuzz", data)
		if err != nil {
			return 0, err
		}
		for _, name := range f.Names() {
			tensor, err := f.Tensor(name)
			require.NoError(t, err)
			n, ok := byteLen(tensor.DType, tensor.Shape)
			require.True(t, ok)
			require.EqualValues(t, n, len(tensor.Data))
			found += n
		}
		return found, nil
	})
	if err != nil {
		require.ErrorContains(t, err, "fuzz")
	}
}

// FuzzFormats reads damaged files of every format.
func FuzzFormats(f *testing.F) {
	for _, data := range formatFiles(f) {
		f.Add(data[:min(len(data), 1<<13)])
		if len(data) < 50_000 {
			f.Add(data)
		}
	}
	f.Fuzz(fuzzFile)
}

// FuzzONNX reads damaged graphs of few bytes, so that most of them are structure.
func FuzzONNX(f *testing.F) {
	pads := map[string]any{"pads": []int{1, 1, 1, 1}}
	f.Add(onnxFile("e", onnxTensorOf("w", 1, 1, 3, 3), onnxTensorOf("b", 1), onnxTensorOf("f", 1, 1),
		onnxNodeOf("Conv", "x", "a", []string{"w", "b"}, pads), onnxNodeOf("BatchNormalization", "a", "b1", []string{"b", "b", "b", "b"}, nil),
		onnxNodeOf("Relu", "b1", "c", nil, nil), onnxNodeOf("Flatten", "c", "d", nil, nil), onnxNodeOf("Gemm", "d", "e", []string{"f", "b"}, map[string]any{"transB": 1})))
	f.Add(onnxFile("d", onnxTensorOf("w", 1, 1, 1, 1), onnxTensorOf("b", 1), onnxTensorOf("f", 1, 1), onnxNodeOf("Identity", "w", "v", nil, nil),
		onnxNodeOf("Conv", "x", "a", []string{"v"}, nil), onnxNodeOf("MaxPool", "a", "b1", nil, map[string]any{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}),
		onnxNodeOf("MatMul", "b1", "c", []string{"f"}, nil), onnxNodeOf("Add", "c", "d", []string{"b"}, nil)))
	for _, parts := range onnxSeeds() {
		f.Add(parts)
	}
	f.Fuzz(fuzzFile)
}

// onnxSeeds are small graphs of the forms that exporters write.
func onnxSeeds() [][]byte {
	type m = map[string]any
	ints := func(name string, v ...int) []byte {
		body := slices.Concat(pb(1, len(v)), pb(2, 7), pb(8, name))
		for _, x := range v {
			body = append(body, pb(7, x)...)
		}
		return pb(5, body)
	}
	op := func(op, from, to string, a m, constants ...string) []byte {
		return onnxNodeOf(op, from, to, constants, a)
	}
	w, b, f := onnxTensorOf("w", 1, 1, 3, 3), onnxTensorOf("b", 1), onnxTensorOf("f", 1, 1)
	first := op("Conv", "x", "a", m{"auto_pad": "SAME_UPPER"}, "w", "b")
	return [][]byte{
		onnxFile("e", w, b, f, op("Transpose", "x", "t", m{"perm": []int{0, 3, 1, 2}}), op("Conv", "t", "a", m{"auto_pad": "SAME_LOWER"}, "w"),
			op("Add", "a", "a1", nil, "b"), op("Transpose", "a1", "c", m{"perm": []int{0, 2, 3, 1}}), ints("to", -1, 4), op("Reshape", "c", "d", nil, "to"),
			onnxTensorOf("f4", 4, 1), op("MatMul", "d", "e", nil, "f4")),
		onnxFile("e", w, b, f, first, op("Relu", "a", "r", nil), op("BatchNormalization", "r", "n", m{"epsilon": 0.5}, "b", "b", "b", "b"),
			op("AveragePool", "n", "p", m{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}), op("GlobalAveragePool", "p", "g", nil),
			op("Flatten", "g", "d", nil), op("Gemm", "d", "e", m{"alpha": 0.5, "beta": 2.0, "transB": 1}, "f", "b")),
		onnxFile("e", w, b, f, op("Sub", "x", "s", nil, "b"), op("Mul", "s", "s1", nil, "b"), ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), op("Pad", "s1", "p", nil, "pads"),
			op("Conv", "p", "a", nil, "w"), op("Clip", "a", "r", m{"min": 0.0}), op("ReduceMean", "r", "g", m{"axes": []int{2, 3}, "keepdims": 0}),
			op("Transpose", "f", "ft", nil), op("MatMul", "g", "d", nil, "ft"), op("LogSoftmax", "d", "e", m{"axis": 1})),
		onnxFile("e", w, b, f, first, op("Shape", "a", "s", nil), ints("zero", 0), op("Gather", "s", "n", nil, "zero"), ints("rest", -1),
			op("Concat", "n", "to", m{"axis": 0}, "rest"), op("Reshape", "a", "d", nil, "to"), op("Gemm", "d", "y", nil, "f"), op("Sigmoid", "y", "e", nil)),
	}
}

// TestONNXSeeds: what the fuzzer starts from is read.
func TestONNXSeeds(t *testing.T) {
	var lines []string
	for _, data := range onnxSeeds() {
		f, err := FromBytes("seed", data)
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		require.NoError(t, readAll(f))
		lines = append(lines, f.Metadata()[KeyLayers])
	}
	require.Equal(t, []string{"=1 F1", "1 S A G F1", "S 1 G F1", "=1 F1"}, lines)
}

// FuzzCaffe is FuzzONNX for Caffe's two versions.
func FuzzCaffe(f *testing.F) {
	f.Add(append(pb(1, "net"), pb(100, append(pb(1, "conv1_1"), pb(7, append(pb(7, pb(1, 2)), pb(5, make([]byte, 8))...))...))...))
	f.Add(append(pb(1, "net"), pb(2, append(pb(4, "fc6"), pb(6, bytes.Join([][]byte{pb(1, 1), pb(2, 1), pb(3, 2), pb(4, 1), pb(5, 0.5), pb(8, make([]byte, 8))}, nil))...))...))
	f.Fuzz(fuzzFile)
}

// picklesOf returns the pickles of the test files.
func picklesOf(t testing.TB) [][]byte {
	var list [][]byte
	for name, data := range formatFiles(t) {
		switch {
		case strings.HasSuffix(name, "zip.pth"):
			z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
			require.NoError(t, err)
			for _, m := range z.File {
				if strings.HasSuffix(m.Name, "data.pkl") {
					pickle, err := readMember(m, maxPickle)
					require.NoError(t, err)
					list = append(list, pickle)
				}
			}
		case name == "legacy.pth":
			list = append(list, data[len(legacyMagic):2000])
		}
	}
	require.Len(t, list, 3)
	return list
}

// FuzzTorchZip reads archives of damaged pickles, whose checksums are right.
func FuzzTorchZip(f *testing.F) {
	for _, pickle := range picklesOf(f) {
		f.Add(pickle, []byte{0, 0, 128, 63}, "0", "archive/", false)
		f.Add(pickle, []byte{0, 0, 128, 63}, "0", "archive/", true)
	}
	f.Fuzz(func(t *testing.T, pickle, storage []byte, key, root string, deflated bool) {
		var b bytes.Buffer
		method := zip.Store
		if deflated {
			method = zip.Deflate
		}
		z := zip.NewWriter(&b)
		for _, m := range []struct {
			name   string
			data   []byte
			method uint16
		}{{"data.pkl", pickle, zip.Deflate}, {"data/" + key, storage, method}} {
			w, err := z.CreateHeader(&zip.FileHeader{Name: root + m.name, Method: m.method})
			if err != nil {
				return
			}
			if _, err = w.Write(m.data); err != nil {
				return // the name of a directory
			}
		}
		if z.Close() == nil {
			fuzzFile(t, b.Bytes())
		}
	})
}

// FuzzPickle runs programs of the pickle machine alone.
func FuzzPickle(f *testing.F) {
	for _, pickle := range picklesOf(f) {
		f.Add(pickle)
	}
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRu."))
	f.Fuzz(func(t *testing.T, program []byte) {
		r := &torchReader{f: &File{data: make([]byte, 64), size: 64}, storages: map[string]*torchStorage{}}
		u := &unpickler{in: program, globals: torchGlobals, persist: r.persist}
		_ = testutil.Bounded(t, len(program), func() (int64, error) {
			v, err := u.run()
			if err != nil {
				return 0, err
			}
			for _, s := range r.storages {
				if s.numel <= 16 && s.dtype.Size() <= 4 {
					s.offset = 0
				}
			}
			return 0, r.finish(v)
		})
	})
}
