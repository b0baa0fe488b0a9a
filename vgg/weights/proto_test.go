package weights

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProtoFields reads a field of each wire type, and refuses those that leave their message.
func TestProtoFields(t *testing.T) {
	fields := func(b string) (list []field, err error) {
		err = message{[]byte(b), 100}.each(func(x field) error { list = append(list, x); return nil })
		return list, err
	}
	body := func(text string, at int64) message { return message{[]byte(text), 100 + at} }
	for text, want := range map[string][]field{
		"": nil, "\x08\x05": {{number: 1, value: 5}}, "\x08\xac\x02": {{number: 1, value: 300}}, "\x09\x01\x02\x00\x00\x00\x00\x00\x80": {{number: 1, wire: 1, value: 0x8000000000000201}}, "\x0d\x01\x02\x00\x80": {{number: 1, wire: 5, value: 0x80000201}},
		"\x12\x02ab": {{number: 2, wire: 2, body: body("ab", 2)}}, "\x12\x00": {{number: 2, wire: 2, body: body("", 2)}}, "\x08\x05\x12\x01a\x10\x07": {{number: 1, value: 5}, {number: 2, wire: 2, body: body("a", 4)}, {number: 2, value: 7}},
		"\x80\x80\x80\x80\x10\x01": {{number: 1 << 29, value: 1}},
	} {
		got, err := fields(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, len(want), len(got))
		for i := range want {
			want[i].body.b, got[i].body.b = append([]byte{}, want[i].body.b...), append([]byte{}, got[i].body.b...)
			require.Equal(t, want[i], got[i], "%q", text)
		}
	}
	for text, want := range map[string]string{
		"\x80": "byte 100: no field", "\x00\x01": "byte 100: no field", "\x0f": "wire type 7", "\x0b": "wire type 3", "\x08": "byte 101: a number without end", "\x08\x80": "byte 101: a number without end", "\x08\x05\x08": "byte 103: a number without end",
		"\x09\x01\x02\x03\x04\x05\x06\x07": "field 1 is longer", "\x0d\x01\x02\x03": "field 1 is longer", "\x12\x03ab": "byte 101: field 2 is longer", "\x12": "byte 101: field 2 is longer", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01": "field 2 is longer", "\x88\x80\x80\x80\x10\x01": "no field",
	} {
		_, err := fields(text)
		require.ErrorIs(t, err, ErrFormat, "%q", text)
		require.ErrorContains(t, err, want, "%q", text)
	}
	numbers, err := field{wire: 2, body: message{[]byte("\x05\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 7}}.ints([]int64{1})
	require.NoError(t, err)
	require.Equal(t, []int64{1, 5, 300, -1}, numbers)
	numbers, err = field{value: math.MaxUint64}.ints(nil)
	require.NoError(t, err)
	require.Equal(t, []int64{-1}, numbers)
	_, err = field{wire: 2, body: message{[]byte("\x05\x80"), 7}}.ints(nil)
	require.ErrorContains(t, err, "byte 7: a number without end")
}

// TestProtoValues: floats in one piece stay where they are, and in several are put together.
func TestProtoValues(t *testing.T) {
	one, two := []byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}
	packed := func(b []byte, at int64) field { return field{wire: 2, body: message{b, at}} }
	for _, c := range []struct {
		fields []field
		want   []byte // nil: a view of the file
		offset int64
	}{
		{[]field{packed(one, 40)}, nil, 40}, {[]field{packed(one, 40), packed(two, 50)}, append(bytes.Clone(one), two...), 40}, {[]field{{wire: 5, value: 0x04030201}, {wire: 5, value: 0x08070605}}, append(bytes.Clone(one), two...), 0}, {[]field{packed(one, 40), {wire: 5, value: 0x08070605}}, append(bytes.Clone(one), two...), 40}, {[]field{{wire: 5, value: 0x04030201}, packed(two, 50)}, append(bytes.Clone(one), two...), 0},
	} {
		var v values
		for _, x := range c.fields {
			v.add(F32, x)
		}
		require.Equal(t, len(c.fields), v.parts)
		n := max(len(c.want), 4) / 4
		e, err := v.place("w", []int{n})
		require.NoError(t, err)
		require.Equal(t, c.want, e.own)
		require.EqualValues(t, 4*n, e.length)
		if c.want == nil {
			require.Equal(t, c.offset, e.offset)
		}
		for _, shape := range [][]int{{n + 1}, {n - 1}, {n, 2}, {-1}} {
			_, err = v.place("w", shape)
			require.ErrorIs(t, err, ErrFormat, "%v", shape)
		}
	}
	require.Equal(t, []byte{1, 2, 3, 4}, one, "the file is not written to")
}

// TestCaffeLayers: layers of both versions, what their blobs are called and which shapes old ones have.
func TestCaffeLayers(t *testing.T) {
	blob := func(dims []int, n int) []byte {
		var b []byte
		for i, d := range dims {
			b = append(b, pb(i+1, d)...)
		}
		return append(b, pb(5, make([]byte, 4*n))...)
	}
	shaped := func(dims []int, n int) []byte {
		var s []byte
		for _, d := range dims {
			s = append(s, pb(1, d)...)
		}
		return append(pb(7, s), pb(5, make([]byte, 4*n))...)
	}
	double := append(pb(7, pb(1, []byte{2})), pb(8, make([]byte, 16))...)
	layer := func(number, name, blobs int, text string, list ...[]byte) []byte {
		b := pb(name, text)
		for _, x := range list {
			b = append(b, pb(blobs, x)...)
		}
		return pb(number, b)
	}
	old := func(list ...[]byte) []byte { return layer(2, 4, 6, "a", list...) }
	now := func(list ...[]byte) []byte { return layer(100, 1, 7, "a", list...) }
	for _, c := range []struct {
		file []byte
		name string
		want []int
	}{
		{old(blob([]int{2, 3, 1, 1}, 6)), "a.weight", []int{2, 3, 1, 1}}, {old(blob([]int{1, 1, 2, 3}, 6)), "a.weight", []int{2, 3}}, {old(blob([]int{1, 2, 2, 3}, 12)), "a.weight", []int{1, 2, 2, 3}}, {old(blob([]int{2, 1, 2, 3}, 12)), "a.weight", []int{2, 1, 2, 3}}, {old(blob([]int{1, 1, 1, 3}, 3)), "a.weight", []int{1, 3}},
		{old(blob([]int{1, 1, 1, 1}, 1), blob([]int{1, 1, 1, 4}, 4)), "a.bias", []int{4}}, {old(blob([]int{1, 1, 1, 1}, 1), blob([]int{1, 1, 2, 4}, 8)), "a.bias", []int{1, 1, 2, 4}}, {old(blob([]int{1, 1, 1, 1}, 1), blob([]int{1, 2, 1, 4}, 8)), "a.bias", []int{1, 2, 1, 4}}, {old(blob([]int{1, 1, 1, 1}, 1), blob([]int{2, 1, 1, 4}, 8)), "a.bias", []int{2, 1, 1, 4}},
		{now(shaped([]int{1, 1, 2, 3}, 6)), "a.weight", []int{1, 1, 2, 3}}, {now(shaped([]int{6}, 6), shaped([]int{1, 1, 1, 2}, 2), shaped([]int{3}, 3)), "a.blob2", []int{3}}, {now(double), "a.weight", []int{2}}, {append(layer(100, 1, 7, "data"), now(shaped([]int{2}, 2))...), "a.weight", []int{2}}, {append(now(shaped([]int{2}, 2)), pb(100, 5)...), "a.weight", []int{2}},
	} {
		f, err := FromBytes("net", c.file)
		require.NoError(t, err)
		_, shape, err := f.Info(c.name)
		require.NoError(t, err, f.Names())
		require.Equal(t, c.want, shape)
		require.NoError(t, readAll(f))
		require.Equal(t, map[string]string{KeyPreset: PresetCaffe}, f.Metadata())
	}
	sixteen := repeated(shaped([]int{1}, 1), maxBlobs)
	f, err := FromBytes("net", now(sixteen...))
	require.NoError(t, err)
	require.Len(t, f.Names(), maxBlobs)
	f, err = FromBytes("net", layer(100, 1, 7, strings.Repeat("n", maxName), shaped([]int{1}, 1)))
	require.NoError(t, err)
	require.Len(t, f.Names(), 1)
	for name, file := range map[string][]byte{
		"17 blobs": now(append(sixteen, sixteen[0])...), "a long name": layer(100, 1, 7, strings.Repeat("n", maxName+1), shaped([]int{1}, 1)), "twice": append(now(shaped([]int{1}, 1)), now(shaped([]int{1}, 1))...),
		"no weights": layer(100, 1, 7, "a"), "too few": now(shaped([]int{3}, 2)), "too many": now(shaped([]int{2}, 3)), "65 dimensions": now(shaped(make([]int, maxRank+1), 0)), "negative": now(append(pb(7, pb(1, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))), pb(5, []byte{})...)), "cut": now(append(pb(7, pb(1, []byte("\x80"))), pb(5, []byte{})...)), "a blob that is none": now([]byte{0x08}), "a layer that is none": pb(100, []byte{0x08}),
	} {
		_, err := FromBytes("net", file)
		require.ErrorIs(t, err, ErrFormat, name)
	}
}

// repeated returns n times the same bytes.
func repeated(b []byte, n int) (list [][]byte) {
	for range n {
		list = append(list, b)
	}
	return list
}
