package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// build makes a file of a header and data.
func build(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// TestRoundTrip writes all float types and reads them back.
func TestRoundTrip(t *testing.T) {
	values := []float32{0, 1, -2.5, 0.5, 1024, float32(math.Inf(1))} // exact in every type
	for _, d := range []DType{F32, F16, BF16, F64} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		meta := map[string]string{"a": "b", "ü": "\"\n"}
		require.NoError(t, WriteFile(path, []Out{{Name: "odd", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}}, {Name: "w", DType: d, Shape: []int{2, 3}, Floats: values}}, meta))
		f, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, meta, f.Metadata())
		require.Equal(t, []string{"odd", "w"}, f.Names())
		w, err := f.Tensor("w")
		require.NoError(t, err)
		require.Equal(t, []int{2, 3}, w.Shape)
		got := make([]float32, 6)
		require.NoError(t, w.Float32s(got))
		require.Equal(t, values, got)
		view, ok := w.Float32View()
		require.Equal(t, d == F32 && littleEndian, ok)
		if ok {
			require.Equal(t, values, view)
		}
		require.ErrorIs(t, w.CheckShape(3, 2), ErrShape)
		_, err = f.Tensor("x")
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorContains(t, err, path)
		w.Release()
		f.Release()
		require.NoError(t, f.Close())
		require.NoError(t, f.Close())
		_, err = f.Tensor("w")
		require.Error(t, err, "closed")
	}
}

// TestNotFinite finds each kind of value at each place, and nothing else.
func TestNotFinite(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 1024, 1025, 2050} {
		x := make([]float32, n)
		for i := range x {
			x[i] = []float32{math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0, -1}[i%5]
		}
		require.Equal(t, -1, NotFinite(x))
		for i := range x {
			before := x[i]
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff)} {
				x[i] = bad
				require.Equal(t, i, NotFinite(x), "%v at %d of %d", bad, i, n)
			}
			x[i] = before
		}
	}
	require.Equal(t, -1, NotFinite(nil))
}

// TestHostile gives the reader headers that lie. None may be read, panic, or
// allocate what the header claims.
func TestHostile(t *testing.T) {
	for name, file := range map[string][]byte{
		"empty":            {},
		"short length":     {1, 2, 3},
		"length too large": binary.LittleEndian.AppendUint64(nil, math.MaxUint64),
		"length of 1 TB":   binary.LittleEndian.AppendUint64(nil, 1<<40),
		"no JSON":          build("hello", nil),
		"an array":         build("[]", nil),
		"trailing text":    build(`{} x`, nil),
		"unknown type":     build(`{"w":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}`, []byte{0}),
		"negative size":    build(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"size overflows":   build(`{"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"too few bytes":    build(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, make([]byte, 4)),
		"beyond the end":   build(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, make([]byte, 4)),
		"backwards":        build(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, make([]byte, 4)),
		"overlap":          build(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, make([]byte, 6)),
		"twice":            build(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)),
		"a text":           []byte("This is not a file of weights, but it is long enough to be one."),
	} {
		f, err := FromBytes(name, file)
		require.ErrorIs(t, err, ErrFormat, name)
		require.ErrorContains(t, err, name)
		require.Nil(t, f, name)
		path := filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		_, err = Open(path)
		require.ErrorIs(t, err, ErrFormat, name)
	}
}

// TestWriteErrors refuses what no file can hold before a byte is written, and
// leaves the old file alone.
func TestWriteErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	for _, out := range [][]Out{
		{{Name: "w", DType: F32, Shape: []int{2}, Floats: make([]float32, 3)}},
		{{Name: "w", DType: F32, Shape: []int{-2}, Floats: nil}},
		{{Name: "w", DType: "F8", Shape: []int{1}, Data: []byte{1}}},
		{{Name: "w", DType: U8, Shape: []int{1}, Data: []byte{1}}, {Name: "w", DType: U8, Shape: []int{1}, Data: []byte{1}}},
	} {
		require.Error(t, WriteFile(path, out, nil))
	}
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(old))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays")
}

func TestMeta(t *testing.T) {
	m := Meta{Config: "D", Layers: "64 M F2", Classes: 2, Labels: []string{"a", "b"}, Preset: "caffe", Size: 224, Resize: 256,
		Mean: []float64{1, 2, 3.5}, Std: []float64{1, 1, 2}, Unpadded: true}
	text, err := m.Encode()
	require.NoError(t, err)
	back, err := ParseMeta(text)
	require.NoError(t, err)
	require.Equal(t, m, back)
	wide := Meta{Layers: "64 M F2", Size: 96, Width: 64, Resize: 73, Flatten: FlattenHWC}
	text, err = wide.Encode()
	require.NoError(t, err)
	require.Equal(t, "96x64", text[KeySize])
	back, err = ParseMeta(text)
	require.NoError(t, err)
	require.Equal(t, wide, back)
	back, err = ParseMeta(map[string]string{KeySize: "32X32"})
	require.NoError(t, err)
	require.Equal(t, Meta{Size: 32}, back, "a square")
	for _, size := range []string{"96x", "x64", "96x64x3", "0x5", "96x-1", "96×64", "96x99999"} {
		_, err := ParseMeta(map[string]string{KeySize: size})
		require.ErrorIs(t, err, ErrFormat, size)
	}
	for _, bad := range []Meta{{Width: 3}, {Size: 96, Width: 64, Resize: 63}, {Flatten: "CHW"}, {Size: 3, Width: -1}} {
		_, err := bad.Encode()
		require.ErrorIs(t, err, ErrFormat, "%+v", bad)
	}
	for key, value := range map[string]string{
		KeyFlatten: "nhwc", KeyClasses: "-1", KeySize: "x", KeyResize: "", KeyPreset: "jpeg", KeyMean: "1,NaN,2", KeyStd: "0,1,1", KeyPad: "2", KeyLabels: "[1]",
	} {
		_, err := ParseMeta(map[string]string{key: value})
		require.ErrorIs(t, err, ErrFormat, key)
		require.ErrorContains(t, err, key)
	}
	_, err = ParseMeta(map[string]string{KeyClasses: "3", KeyLabels: `["a"]`})
	require.ErrorIs(t, err, ErrFormat)
}

func FuzzRead(f *testing.F) {
	var good bytes.Buffer
	require.NoError(f, Write(&good, []Out{{Name: "w", DType: F16, Shape: []int{2, 3}, Floats: make([]float32, 6)}}, map[string]string{"k": "v"}))
	f.Add(good.Bytes())
	f.Add(build(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		err := testutil.Bounded(t, len(data), func() (_ int64, err error) {
			file, err = FromBytes("fuzz", data)
			return 0, err
		})
		if err != nil {
			return
		}
		// What was accepted can be read, and written again.
		var out []Out
		for _, name := range file.Names() {
			tensor, err := file.Tensor(name)
			require.NoError(t, err)
			require.Len(t, tensor.Data, tensor.Len()*tensor.DType.Size())
			if tensor.DType.IsFloat() {
				require.NoError(t, tensor.Float32s(make([]float32, tensor.Len())))
			}
			out = append(out, Out{Name: name, DType: tensor.DType, Shape: tensor.Shape, Data: tensor.Data})
		}
		_, _ = ParseMeta(file.Metadata())
		require.NoError(t, Write(&bytes.Buffer{}, out, file.Metadata()))
	})
}

func FuzzMeta(f *testing.F) {
	f.Add(`{"nonet.labels":"[\"a\"]","nonet.mean":"[1,2]"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var meta map[string]string
		if json.Unmarshal([]byte(text), &meta) != nil {
			return
		}
		var m Meta
		err := testutil.Bounded(t, len(text), func() (_ int64, err error) {
			m, err = ParseMeta(meta)
			return 0, err
		})
		if err != nil {
			return
		}
		encoded, err := m.Encode()
		require.NoError(t, err)
		again, err := ParseMeta(encoded)
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// TestStream writes a tensor that memory does not hold, and refuses more or fewer
// bytes than its shape has.
func TestStream(t *testing.T) {
	write := func(n int) ([]byte, error) {
		var b bytes.Buffer
		err := Write(&b, []Out{{Name: "x", DType: F32, Shape: []int{3, 2}, Stream: func(w io.Writer) error {
			for i := range n {
				if _, err := w.Write([]byte{byte(i), 0, 0, 0}); err != nil {
					return err
				}
			}
			return nil
		}}}, nil)
		return b.Bytes(), err
	}
	b, err := write(6)
	require.NoError(t, err)
	var whole bytes.Buffer
	data := make([]byte, 24)
	for i := range 6 {
		data[4*i] = byte(i)
	}
	require.NoError(t, Write(&whole, []Out{{Name: "x", DType: F32, Shape: []int{3, 2}, Data: data}}, nil))
	require.Equal(t, whole.Bytes(), b)
	for _, n := range []int{5, 7} {
		_, err := write(n)
		require.ErrorIs(t, err, ErrShape)
	}
	err = Write(io.Discard, []Out{{Name: "x", DType: F32, Shape: []int{6}, Data: data, Stream: func(io.Writer) error { return nil }}}, nil)
	require.ErrorIs(t, err, ErrShape)
}
