package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSafetensorsGaps: every byte behind the header belongs to one tensor, to the last.
func TestSafetensorsGaps(t *testing.T) {
	two := func(a0, a1, b0, b1 int) string {
		return fmt.Sprintf(`{"a":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]},"b":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}`, a1-a0, a0, a1, b1-b0, b0, b1)
	}
	for _, c := range []struct {
		header string
		size   int
		want   string
	}{
		{two(0, 4, 4, 6), 6, ""},
		{two(2, 6, 0, 2), 6, ""}, // in another order
		{two(0, 0, 0, 6), 6, ""}, // nothing takes no room
		{two(1, 4, 4, 6), 6, "there is a gap"},
		{two(0, 4, 5, 6), 6, "there is a gap"},
		{two(0, 4, 3, 6), 6, "inside the tensor before it"},
		{two(0, 4, 4, 6), 7, "tensors take 6 bytes, the file has 7"},
		{two(0, 4, 4, 6), 5, "bytes 4 to 6 of 5"},
		{two(0, 4, 7, 8), 6, "bytes 7 to 8 of 6"},
		{`{}`, 1, "tensors take 0 bytes, the file has 1"},
	} {
		f, err := FromBytes("st", build(c.header, make([]byte, c.size)))
		if c.want == "" {
			require.NoError(t, err, c.header)
			require.NoError(t, readAll(f))
			continue
		}
		require.ErrorIs(t, err, ErrFormat, c.header)
		require.ErrorContains(t, err, c.want)
	}
}

// storageOf is the pickle of a storage "0" of n elements of a type, before its BINPERSID.
func storageOf(class string, n int) string {
	return fmt.Sprintf("(X\x07\x00\x00\x00storagectorch\n%s\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuM%s%stQ", class, string(rune(n%128)), "\x00")
}

// tensorOf is the pickle of a dictionary {"w": tensor} that views the storage. Numbers are
// below 128.
func tensorOf(storage string, offset int, shape, stride []int) string {
	tuple := func(x []int) string {
		s := "("
		for _, n := range x {
			s += "K" + string(rune(n))
		}
		return s + "t"
	}
	return "}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K" + string(rune(offset)) + tuple(shape) + tuple(stride) + "tRs"
}

// zipFile makes a file of torch.save's newer format with a storage "0".
func zipFile(t *testing.T, object string, storage []byte, method uint16, more ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, method uint16, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: method})
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
	}
	add("data.pkl", zip.Store, []byte("\x80\x02"+object+"."))
	for i := 0; i < len(more); i += 2 {
		add(more[i], zip.Store, []byte(more[i+1]))
	}
	add("data/0", method, storage)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// TestTorchBounds: a view may reach the last element of its storage, and none behind it.
func TestTorchBounds(t *testing.T) {
	const n = 12
	data := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(i)))
	}
	for _, c := range []struct {
		offset        int
		shape, stride []int
		want          []float32 // nil: refused
	}{
		{0, []int{12}, []int{1}, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{0, []int{13}, []int{1}, nil},
		{10, []int{2}, []int{1}, []float32{10, 11}},
		{11, []int{2}, []int{1}, nil},
		{11, []int{}, []int{}, []float32{11}},
		{12, []int{}, []int{}, nil},
		{12, []int{0}, []int{1}, []float32{}},
		{1, []int{2, 3}, []int{5, 2}, []float32{1, 3, 5, 6, 8, 10}},
		{2, []int{2, 3}, []int{5, 2}, []float32{2, 4, 6, 7, 9, 11}},
		{3, []int{2, 3}, []int{5, 2}, nil},
		{0, []int{2, 2}, []int{11, 1}, nil},
		{0, []int{2, 2}, []int{10, 1}, []float32{0, 1, 10, 11}},
	} {
		object := tensorOf(storageOf("FloatStorage", n), c.offset, c.shape, c.stride)
		for kind, file := range map[string][]byte{
			"zip": zipFile(t, object, data, zip.Store), "deflated": zipFile(t, object, data, zip.Deflate), "legacy": legacyFile(object, data),
		} {
			f, err := FromBytes("torch", file)
			if c.want == nil {
				require.ErrorContains(t, err, "larger than its storage of 12", "%s %+v", kind, c)
				continue
			}
			require.NoError(t, err, "%s %+v", kind, c)
			w, err := f.Tensor("w")
			require.NoError(t, err)
			got := make([]float32, len(c.want))
			require.NoError(t, w.Float32s(got))
			require.Equal(t, c.want, got, "%s %+v", kind, c)
		}
	}
}

// TestTorchStrides: shapes and strides whose products wrap around are larger than any storage.
func TestTorchStrides(t *testing.T) {
	long := func(n int64) string { return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	for _, c := range [][4]int64{ // two dimensions, and their strides
		{3, 1, 1 << 62, 1}, {1 << 31, 1, 1 << 33, 1}, {3, 2, 1 << 62, 1}, {2, 3, 1, 1 << 62}, {2, 2, math.MaxInt64, math.MaxInt64}, {5, 3, 1 << 62, 1 << 62}, {2, 1, math.MaxInt64, 1},
	} {
		object := "}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storageOf("FloatStorage", 12) + "K\x00(" + long(c[0]) + long(c[1]) + "t(" + long(c[2]) + long(c[3]) + "ttRs"
		_, err := FromBytes("torch", zipFile(t, object, make([]byte, 48), zip.Store))
		require.ErrorIs(t, err, ErrFormat, "%v", c)
		if strconv.IntSize == 64 {
			require.ErrorContains(t, err, "larger than its storage of 12", "%v", c)
		}
	}
}

// TestTorchStorages: a storage has as many bytes as its type and number say, and they lie
// in the file.
func TestTorchStorages(t *testing.T) {
	object := tensorOf(storageOf("FloatStorage", 6), 0, []int{6}, []int{1})
	for n := range 9 {
		data := make([]byte, 4*n)
		for kind, file := range map[string][]byte{
			"zip": zipFile(t, object, data, zip.Store), "deflated": zipFile(t, object, data, zip.Deflate), "legacy": legacyFile(object, data),
		} {
			f, err := FromBytes("torch", file)
			if n == 6 {
				require.NoError(t, err, kind)
				require.NoError(t, readAll(f))
				continue
			}
			require.ErrorContains(t, err, "storage", "%s of %d", kind, n)
		}
	}
	whole := legacyFile(object, make([]byte, 24))
	for cut := 1; cut < 33; cut++ {
		_, err := FromBytes("torch", whole[:len(whole)-cut])
		require.ErrorContains(t, err, "storage", "%d bytes are cut off", cut)
	}
}

// TestTorchByteOrder: numbers whose bytes are in the other order are refused, in both formats.
func TestTorchByteOrder(t *testing.T) {
	object := tensorOf(storageOf("FloatStorage", 1), 0, []int{1}, []int{1})
	legacy := func(little string) []byte {
		system := "}X\x0d\x00\x00\x00little_endian" + little + "s"
		return bytes.Replace(legacyFile(object, make([]byte, 4)), []byte("\x80\x02}."), []byte("\x80\x02"+system+"."), 1)
	}
	for _, c := range []struct {
		file []byte
		ok   bool
	}{
		{legacy("\x88"), true}, {legacy("\x89"), false},
		{zipFile(t, object, make([]byte, 4), zip.Store), true},
		{zipFile(t, object, make([]byte, 4), zip.Store, "byteorder", "little"), true},
		{zipFile(t, object, make([]byte, 4), zip.Store, "byteorder", "little\n"), true},
		{zipFile(t, object, make([]byte, 4), zip.Store, "byteorder", "big"), false},
		{zipFile(t, object, make([]byte, 4), zip.Store, "byteorder", ""), false},
	} {
		f, err := FromBytes("torch", c.file)
		if c.ok {
			require.NoError(t, err)
			require.NoError(t, readAll(f))
			continue
		}
		require.ErrorIs(t, err, ErrUnsupported)
	}
}

// TestPickleNumbers runs every instruction that makes a number.
func TestPickleNumbers(t *testing.T) {
	bigger, _ := new(big.Int).SetString("1950a86a20f9469cfc6c", 16)
	for program, want := range map[string]any{
		"K\x00": int64(0), "K\xff": int64(255), "M\x01\x02": int64(0x201), "M\xff\xff": int64(65535),
		"J\x01\x00\x00\x00": int64(1), "J\xff\xff\xff\xff": int64(-1), "J\x00\x00\x00\x80": int64(math.MinInt32), "J\xff\xff\xff\x7f": int64(math.MaxInt32),
		"\x8a\x00": int64(0), "\x8a\x01\x7f": int64(127), "\x8a\x01\x80": int64(-128), "\x8a\x01\xff": int64(-1),
		"\x8a\x02\x80\x00": int64(128), "\x8a\x02\x00\x80": int64(-32768), "\x8a\x02\xff\x7f": int64(32767),
		"\x8a\x07\xff\xff\xff\xff\xff\xff\x80":      int64(-0x7f000000000001),
		"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\xff":  int64(-1),
		"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80":  int64(math.MinInt64),
		"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f":  int64(math.MaxInt64),
		"\x8b\x02\x00\x00\x00\x00\x80":              int64(-32768),
		string(legacyMagic[2 : len(legacyMagic)-1]): bigger,
		"G\x3f\xf8\x00\x00\x00\x00\x00\x00":         1.5,
		"\x88":                                      true, "\x89": false, "N": nil,
	} {
		got, err := (&unpickler{in: []byte(program + "."), globals: torchGlobals}).run()
		require.NoError(t, err, "%x", program)
		require.Equal(t, want, got, "%x", program)
	}
	for _, short := range []string{"", "K", "M\x01", "J\x01\x02\x03", "\x8a", "\x8a\x02\x01", "\x8b\x01\x00\x00", "\x8b\x01\x00\x00\x00", "G\x00\x00\x00\x00\x00\x00\x00"} {
		_, err := (&unpickler{in: []byte(short), globals: torchGlobals}).run()
		require.ErrorIs(t, err, ErrFormat, "%x", short)
		require.ErrorContains(t, err, "more bytes wanted")
	}
	_, err := (&unpickler{in: []byte("\x8d\x00\x00\x00\x80\x00\x00\x00\x00" + strings.Repeat("x", 9) + "."), globals: torchGlobals}).run()
	require.ErrorContains(t, err, "length 2147483648")
}
