package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeaderErrors: each thing that a header must not have is refused by its name.
func TestHeaderErrors(t *testing.T) {
	one := func(fields string) string { return `{"w":{` + fields + `}}` }
	const dtype, shape, offsets = `"dtype":"U8"`, `"shape":[1]`, `"data_offsets":[0,1]`
	dims := func(n int) string { return `"shape":[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	for _, c := range []struct{ header, want string }{
		{one(dtype + "," + shape + "," + offsets), ""},
		{one(offsets + "," + shape + "," + dtype), ""},
		{`{"__metadata__":{"a":"b","c":"d"},"w":{` + dtype + "," + shape + "," + offsets + "}}", ""},
		{one(dtype + "," + dims(maxRank) + "," + offsets), ""},
		{one(dtype + "," + dims(maxRank+1) + "," + offsets), "a list of more than 64 numbers"},
		{one(dtype + "," + shape + `,"data_offsets":[0,1,2]`), "a list of more than 2 numbers"},
		{one(dtype + "," + shape + `,"data_offsets":[0]`), "data_offsets [0], want a begin and an end"},
		{one(dtype + "," + shape + `,"data_offsets":[2,1]`), "data_offsets [2 1], want a begin and an end"},
		{one(dtype + "," + shape), "2 fields, want dtype, shape and data_offsets"},
		{one(dtype + "," + shape + "," + offsets + `,"more":1`), `unknown field "more"`},
		{one(dtype + "," + dtype + "," + shape + "," + offsets), `"dtype" stands twice`},
		{one(`"dtype":"U9",` + shape + "," + offsets), `unknown dtype "U9"`},
		{one(`"dtype":8,` + shape + "," + offsets), `want a string, not "8"`},
		{one(`"dtype":null,` + shape + "," + offsets), "want a string, not null"},
		{one(`"dtype":true,` + shape + "," + offsets), "want a string, not true"},
		{one(dtype + `,"shape":"x",` + offsets), `want [, not "x"`},
		{one(dtype + `,"shape":{},` + offsets), "want [, not {"},
		{one(dtype + `,"shape":[1.5],` + offsets), "want a number from 0 to 2⁶³-1, not \"1.5\""},
		{one(dtype + `,"shape":[-1],` + offsets), `not "-1"`},
		{one(dtype + `,"shape":[9223372036854775808],` + offsets), "want a number from 0 to 2⁶³-1"},
		{one(dtype + `,"shape":["1"],` + offsets), `not "1"`},
		{`{"__metadata__":{"a":1}}`, `want a string, not "1"`},
		{`{"__metadata__":{"a":"1","a":"2"}}`, `"a" stands twice`},
		{`{"__metadata__":1}`, `want {, not "1"`},
		{`{"w":[]}`, "want {, not ["},
		{`{"w"`, "near byte 4"},
		{`{} {}`, "more after the header's last }"},
		{`{}]`, "more after the header's last }"},
		{"{\"\xff\":1}", "header is not UTF-8"},
		{"", "header does not begin with {"}, {" {}", "header does not begin with {"},
	} {
		f, err := FromBytes("st", build(c.header, []byte{7}))
		if c.want == "" {
			require.NoError(t, err, c.header)
			w, err := f.Tensor("w")
			require.NoError(t, err)
			require.Equal(t, []byte{7}, w.Data)
			continue
		}
		_, err = parseHeader([]byte(c.header))
		require.ErrorIs(t, err, ErrFormat, c.header)
		require.ErrorContains(t, err, c.want, c.header)
	}
}

// TestWritten: the bytes of a file are those that the format's description says, with larger
// elements before smaller ones.
func TestWritten(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Write(&b, []Out{
		{Name: "a<", DType: F16, Shape: []int{2}, Floats: []float32{1, -2}}, {Name: "b", DType: U8, Data: []byte{9}}, {Name: "c", DType: F32, Shape: []int{0, 3}},
	}, map[string]string{"y": "2", "x": "1"}))
	header := `{"__metadata__":{"x":"1","y":"2"},"c":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},"a<":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[],"data_offsets":[4,5]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	want = append(append(want, header...), 0x00, 0x3c, 0x00, 0xc0, 9)
	require.Equal(t, string(want), b.String())

	b.Reset()
	require.NoError(t, Write(&b, nil, nil))
	require.Equal(t, "\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b.String())
}

// TestWriteRefuses: what does not fit together is refused with the tensor's name.
func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		out  Out
		want string
		is   error
	}{
		{Out{Name: "w", DType: F32, Shape: []int{2}, Floats: make([]float32, 3)}, "there are 3 elements", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{2}, Floats: make([]float32, 1)}, "there are 1 elements", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{2}, Data: make([]byte, 7)}, "takes 8 bytes, but there are 7", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{2}, Data: make([]byte, 9)}, "takes 8 bytes, but there are 9", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{2}}, "there are 0", ErrShape},
		{Out{Name: "w", DType: U8, Shape: []int{2}, Floats: make([]float32, 2)}, "elements are U8", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{1}, Floats: make([]float32, 1), Data: make([]byte, 4)}, "two of Data, Floats and Stream", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{math.MaxInt32, math.MaxInt32, 9}, Data: []byte{}}, "shape is", ErrShape},
		{Out{Name: "w", DType: F32, Shape: []int{-1}, Data: []byte{}}, "shape is [-1]", ErrShape},
		{Out{Name: "w", DType: "U9", Shape: []int{1}, Data: []byte{1}}, "unknown dtype", ErrFormat},
		{Out{Name: metadataKey, DType: U8, Shape: []int{1}, Data: []byte{1}}, "no name for a tensor", ErrFormat},
		{Out{Name: "\xff", DType: U8, Shape: []int{1}, Data: []byte{1}}, "no name for a tensor", ErrFormat},
	} {
		var b bytes.Buffer
		err := Write(&b, []Out{c.out}, nil)
		require.ErrorContains(t, err, c.want)
		require.ErrorIs(t, err, c.is)
		require.Zero(t, b.Len(), "nothing is written")
	}
	for _, metadata := range []map[string]string{{"\xff": "x"}, {"x": "\xff"}} {
		require.ErrorIs(t, Write(&bytes.Buffer{}, nil, metadata), ErrFormat)
	}
	require.ErrorIs(t, Write(&bytes.Buffer{}, nil, map[string]string{"x": strings.Repeat("x", maxHeader)}), ErrFormat)
}

// TestConversions: each type of float becomes the same numbers by whole tensors and by parts,
// and other types and lengths are refused.
func TestConversions(t *testing.T) {
	values := []float32{0, 1, -2, 0.5, 65504, float32(math.Inf(1)), 3, -0.25, 96}
	for _, d := range []DType{F32, F16, BF16, F64} {
		exact := values
		if d == BF16 {
			exact = []float32{0, 1, -2, 0.5, 65536, float32(math.Inf(1)), 3, -0.25, 96}
		}
		var b bytes.Buffer
		require.NoError(t, Write(&b, []Out{{Name: "w", DType: d, Shape: []int{3, 3}, Floats: exact}}, nil))
		f, err := FromBytes("st", b.Bytes())
		require.NoError(t, err)
		w, err := f.Tensor("w")
		require.NoError(t, err)
		got, wide := make([]float32, 9), make([]float64, 9)
		require.NoError(t, w.Float32s(got))
		require.Equal(t, exact, got, "%s", d)
		require.NoError(t, w.Float64s(wide))
		for i, v := range exact {
			require.Equal(t, float64(v), wide[i], "%s", d)
		}
		for first := range 9 {
			part := make([]float32, 9-first)
			require.NoError(t, w.Float32sAt(part, first))
			require.Equal(t, exact[first:], part, "%s from %d", d, first)
		}
		require.Panics(t, func() { _ = w.Float32sAt(make([]float32, 2), 8) })
		require.ErrorIs(t, w.Float32s(make([]float32, 8)), ErrShape)
		require.ErrorIs(t, w.Float64s(make([]float64, 10)), ErrShape)
		view, ok := w.Float32View()
		require.False(t, ok && (d != F32 || !littleEndian), "%s", d)
		if ok { // where memory is aligned
			require.Equal(t, exact, view)
		}

		require.NoError(t, w.CheckShape(3, 3))
		err = w.CheckShape(9)
		require.ErrorIs(t, err, ErrShape)
		require.ErrorContains(t, err, "shape is [3 3], want [9]")
		cut := w
		cut.Data = w.Data[:len(w.Data)-1]
		require.ErrorIs(t, cut.Float32s(got), ErrShape)
	}
	w := Tensor{Name: "w", DType: U8, Shape: []int{1}, Data: []byte{1}}
	for _, err := range []error{w.Float32s(make([]float32, 1)), w.Float64s(make([]float64, 1)), w.Float32sAt(make([]float32, 1), 0)} {
		require.ErrorIs(t, err, ErrShape)
		require.ErrorContains(t, err, "elements are U8")
	}
	require.Equal(t, 1, Tensor{}.Len(), "a scalar")
	require.Equal(t, 0, Tensor{Shape: []int{3, 0}}.Len())
}

// TestByteLen: the number of bytes of a shape, to the largest that fits.
func TestByteLen(t *testing.T) {
	for _, c := range []struct {
		d     DType
		shape []int
		want  int64
		ok    bool
	}{
		{F32, nil, 4, true}, {U8, []int{3, 5}, 15, true}, {F64, []int{3, 0, 5}, 0, true}, {U8, []int{-1}, 0, false}, {U8, []int{0, -1}, 0, false},
		{U8, []int{math.MaxInt32, math.MaxInt32, 2}, 2 * math.MaxInt32 * math.MaxInt32, true}, {F16, []int{math.MaxInt32, math.MaxInt32}, 2 * math.MaxInt32 * math.MaxInt32, true},
		{F16, []int{math.MaxInt32, math.MaxInt32, 2}, 0, false}, {U8, append([]int{math.MaxInt32, math.MaxInt32, 3}, 0), 0, false},
		{U8, make([]int, maxRank), 0, true}, {U8, make([]int, maxRank+1), 0, false},
	} {
		got, ok := byteLen(c.d, c.shape)
		require.Equal(t, c.ok, ok, fmt.Sprint(c))
		require.Equal(t, c.want, got, fmt.Sprint(c))
	}
}
