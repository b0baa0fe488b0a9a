package weights

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onnxFloats is an initializer of float32s.
func onnxFloats(name string, dims []int, values ...float32) []byte {
	var body, raw []byte
	for _, d := range dims {
		body = append(body, pb(1, d)...)
	}
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return pb(5, append(append(append(body, pb(2, 1)...), pb(8, name)...), pb(9, raw)...))
}

// onnxLongs is an initializer of int64s, in the field for them.
func onnxLongs(name string, dims []int, values ...int) []byte {
	var body []byte
	for _, d := range dims {
		body = append(body, pb(1, d)...)
	}
	for _, v := range values {
		body = append(body, pb(7, v)...)
	}
	return pb(5, append(append(body, pb(2, 7)...), pb(8, name)...))
}

// onnxApart is a node of inputs that are said, with attributes as they stand in the file.
func onnxApart(op, to string, from []string, attributes ...[]byte) []byte {
	var body []byte
	for _, in := range from {
		body = append(body, pb(1, in)...)
	}
	body = append(append(append(body, pb(2, to)...), pb(3, "the "+op)...), pb(4, op)...)
	for _, a := range attributes {
		body = append(body, pb(5, a)...)
	}
	return pb(1, body)
}

// onnxIntsOf is an attribute of integers.
func onnxIntsOf(name string, values ...int) []byte {
	a := pb(1, name)
	for _, v := range values {
		a = append(a, pb(8, v)...)
	}
	return a
}

// read returns the elements of the only tensor whose name ends so.
func read(t *testing.T, f *File, end string) []float32 {
	t.Helper()
	names := slices.DeleteFunc(f.Names(), func(name string) bool { return !strings.HasSuffix(name, end) })
	require.Len(t, names, 1)
	w, err := f.Tensor(names[0])
	require.NoError(t, err)
	list := make([]float32, w.Len())
	require.NoError(t, w.Float32s(list))
	return list
}

// TestONNXConstants: weights that nodes give other shapes, orders and types are those that the
// operators' definitions say.
func TestONNXConstants(t *testing.T) {
	plain := []float32{1, 2, 3, 4, 5, 6} // of 2×3×1×1
	turned := []float32{1, 3, 5, 2, 4, 6}
	node := func(op string, attributes map[string]any, constants ...string) []byte {
		return onnxNodeOf(op, "t", "w", constants, attributes)
	}
	type m = map[string]any
	for _, c := range []struct {
		name string
		dims []int
		node []byte
		more [][]byte
		want []float32 // nil: refused
		err  string
	}{
		{"Identity", []int{2, 3, 1, 1}, node("Identity", nil), nil, plain, ""},
		{"Reshape by an input", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 2, 3, 1, 1)}, plain, ""},
		{"Reshape by an attribute", []int{6}, node("Reshape", m{"shape": []int{2, 3, 1, 1}}), nil, plain, ""},
		{"Reshape with an open axis", []int{2, 3}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 2, -1, 1, 1)}, plain, ""},
		{"Reshape that copies axes", []int{2, 3}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 0, 0, 1, 1)}, plain, ""},
		{"Reshape that copies and opens", []int{2, 3, 1}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 0, -1, 1, 1)}, plain, ""},
		{"Reshape of zeros allowed", []int{2, 3}, node("Reshape", m{"allowzero": 1}, "to"), [][]byte{onnxLongs("to", []int{4}, 0, 3, 1, 1)}, nil, "to 0×3×1×1, from 2×3"},
		{"Reshape to fewer", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 2, 2, 1, 1)}, nil, "from [6] to [2 2 1 1]"},
		{"Reshape to more", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 3, 3, 1, 1)}, nil, "from [6] to [3 3 1 1]"},
		{"Reshape to much more", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 7, 1, 1, 1)}, nil, "to 7×1×1×1, from 6"},
		{"Reshape with a rest", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, 4, -1, 1, 1)}, nil, "from [6] to [4 1 1 1]"},
		{"Reshape with two open axes", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{4}, -1, -1, 1, 1)}, nil, "to -1×-1×1×1, from 6"},
		{"Reshape to what is not known", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxFloats("to", []int{4}, 2, 3, 1, 1)}, nil, "cannot be computed"},
		{"Reshape to a matrix", []int{6}, node("Reshape", nil, "to"), [][]byte{onnxLongs("to", []int{2, 2}, 2, 3, 1, 1)}, nil, "cannot be computed"},
		{"Squeeze of an axis", []int{2, 1, 3, 1, 1}, node("Squeeze", m{"axes": []int{1}}), nil, plain, ""},
		{"Squeeze from the end", []int{2, 3, 1, 1, 1}, node("Squeeze", m{"axes": []int{-1}}), nil, plain, ""},
		{"Squeeze by an input", []int{1, 2, 3, 1, 1}, node("Squeeze", nil, "axes"), [][]byte{onnxLongs("axes", []int{1}, 0)}, plain, ""},
		{"Squeeze of the last", []int{2, 3, 1, 1, 1}, node("Squeeze", m{"axes": []int{4}}), nil, plain, ""},
		{"Squeeze beyond the last", []int{2, 3, 1, 1, 1}, node("Squeeze", m{"axes": []int{5}}), nil, nil, "drops axis 5 of 2×3×1×1×1"},
		{"Squeeze before the first", []int{2, 3, 1, 1, 1}, node("Squeeze", m{"axes": []int{-6}}), nil, nil, "drops axis -1"},
		{"Squeeze of three", []int{2, 3, 1, 1, 1}, node("Squeeze", m{"axes": []int{1}}), nil, nil, "drops axis 1"},
		{"Squeeze of all", []int{2, 3, 1, 1}, node("Squeeze", nil), nil, nil, "want 4 dimensions"},
		{"Unsqueeze", []int{2, 3}, node("Unsqueeze", m{"axes": []int{2, 3}}), nil, plain, ""},
		{"Unsqueeze from the end", []int{2, 3}, node("Unsqueeze", m{"axes": []int{-1, -2}}), nil, plain, ""},
		{"Unsqueeze by an input", []int{2, 3, 1}, node("Unsqueeze", nil, "axes"), [][]byte{onnxLongs("axes", []int{1}, 3)}, plain, ""},
		{"Unsqueeze twice", []int{2, 3}, node("Unsqueeze", m{"axes": []int{2, 2}}), nil, nil, "adds axes [2 2] to 2×3"},
		{"Unsqueeze beyond", []int{2, 3}, node("Unsqueeze", m{"axes": []int{2, 4}}), nil, nil, "adds axes [2 4]"},
		{"Unsqueeze before", []int{2, 3}, node("Unsqueeze", m{"axes": []int{2, -5}}), nil, nil, "adds axes [2 -5]"},
		{"Transpose", []int{3, 2, 1, 1}, node("Transpose", m{"perm": []int{1, 0, 2, 3}}), nil, turned, ""},
		{"Transpose to the reverse", []int{1, 1, 3, 2}, node("Transpose", nil), nil, turned, ""},
		{"Transpose of too few", []int{3, 2, 1, 1}, node("Transpose", m{"perm": []int{1, 0}}), nil, nil, "perm is [1 0], want an order of 4 dimensions"},
		{"Transpose twice to one", []int{3, 2, 1, 1}, node("Transpose", m{"perm": []int{1, 1, 2, 3}}), nil, nil, "perm is [1 1 2 3]"},
		{"Transpose, then Reshape", []int{3, 2}, onnxNodeOf("Reshape", "u", "w", []string{"to"}, nil), [][]byte{onnxNodeOf("Transpose", "t", "u", nil, nil), onnxLongs("to", []int{4}, 2, 3, 1, 1)}, nil, `brings the constant "t" from [2 3] to [2 3 1 1]`},
		{"Transpose of axes of one, then Reshape", []int{6, 1}, onnxNodeOf("Reshape", "u", "w", []string{"to"}, nil), [][]byte{onnxNodeOf("Transpose", "t", "u", nil, nil), onnxLongs("to", []int{4}, 2, 3, 1, 1)}, plain, ""},
		{"Cast to float", []int{2, 3, 1, 1}, node("Cast", m{"to": 1}), nil, plain, ""},
		{"Cast to double", []int{2, 3, 1, 1}, node("Cast", m{"to": 11}), nil, plain, ""},
		{"Cast to half", []int{2, 3, 1, 1}, node("Cast", m{"to": 10}), nil, nil, `turns the constant "t" from type 1 to 10`},
		{"Cast to int64", []int{2, 3, 1, 1}, node("Cast", m{"to": 7}), nil, nil, `turns the constant "t" from type 1 to 7`},
		{"an attribute that is not known", []int{2, 3, 1, 1}, node("Identity", m{"strange": 1}), nil, nil, `unknown attribute "strange"`},
	} {
		parts := append([][]byte{onnxFloats("t", c.dims, plain...), onnxFloats("b", []int{2}, 7, 8)}, c.more...)
		f, err := FromBytes("graph", onnxFile("y", append(parts, c.node, onnxApart("Conv", "y", []string{"x", "w", "b"}))...))
		if c.want == nil {
			require.ErrorContains(t, err, c.err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, "=2/1", f.Metadata()[KeyLayers], c.name)
		require.Equal(t, c.want, read(t, f, ".weight"), c.name)
		require.Equal(t, []float32{7, 8}, read(t, f, ".bias"), c.name)
	}
}

// TestONNXConstantNodes: numbers that nodes hold in each of their attributes.
func TestONNXConstantNodes(t *testing.T) {
	weights := []float32{1, 2, 3, 4, 5, 6}
	tensor := func(body []byte) []byte { return append(pb(1, "value"), pb(5, body)...) }
	raw := func(dataType int, dims []int, b ...byte) []byte {
		var body []byte
		for _, d := range dims {
			body = append(body, pb(1, d)...)
		}
		return append(append(body, pb(2, dataType)...), pb(9, b)...)
	}
	packed := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(7)), math.Float32bits(8))
	for _, c := range []struct {
		name  string
		nodes [][]byte
		want  []float32 // of the bias; nil: refused
		err   string
	}{
		{"value", [][]byte{onnxApart("Constant", "b", nil, tensor(raw(1, []int{2}, packed...)))}, []float32{7, 8}, ""},
		{"value_floats, packed", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value_floats"), pb(7, packed)...))}, []float32{7, 8}, ""},
		{"value_floats, one by one", [][]byte{onnxApart("Constant", "b", nil, append(append(pb(1, "value_floats"), pb(7, 7.0)...), pb(7, 8.0)...))}, []float32{7, 8}, ""},
		{"value_float", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value_float"), pb(2, 7.0)...))}, nil, "shape is [], want [2]"},
		{"value_ints as floats", [][]byte{onnxApart("Constant", "i", nil, onnxIntsOf("value_ints", 7, 8)), onnxApart("Cast", "b", []string{"i"}, append(pb(1, "to"), pb(3, 1)...))}, []float32{7, 8}, ""},
		{"value_int as a float", [][]byte{onnxApart("Constant", "i", nil, append(pb(1, "value_int"), pb(3, 7)...)), onnxApart("Cast", "s", []string{"i"}, append(pb(1, "to"), pb(3, 1)...)), onnxApart("Unsqueeze", "b", []string{"s"}, onnxIntsOf("axes", 0))}, nil, "shape is [1], want [2]"},
		{"value_ints as they are", [][]byte{onnxApart("Constant", "b", nil, onnxIntsOf("value_ints", 7, 8))}, nil, "of type 7, want floats"},
		{"value_ints too large for floats", [][]byte{onnxApart("Constant", "i", nil, onnxIntsOf("value_ints", 7, 1<<24+1)), onnxApart("Cast", "b", []string{"i"}, append(pb(1, "to"), pb(3, 1)...))}, nil, "turns 16777217 into a float, which is another number"},
		{"int32", [][]byte{onnxApart("Constant", "i", nil, tensor(raw(6, []int{2}, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))), onnxApart("Cast", "b", []string{"i"}, append(pb(1, "to"), pb(3, 1)...))}, []float32{7, -1}, ""},
		{"int64", [][]byte{onnxApart("Constant", "i", nil, tensor(raw(7, []int{2}, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))), onnxApart("Cast", "b", []string{"i"}, append(pb(1, "to"), pb(3, 1)...))}, []float32{7, 256}, ""},
		{"ints as ints", [][]byte{onnxApart("Constant", "i", nil, onnxIntsOf("value_ints", 7, 8)), onnxApart("Cast", "b", []string{"i"}, append(pb(1, "to"), pb(3, 7)...))}, nil, "is no constant"},
		{"no tensor", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value"), pb(3, 1)...))}, nil, "its value is no tensor"},
		{"another attribute", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value_string"), pb(4, "x")...))}, nil, "is no constant"},
		{"two attributes", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value_int"), pb(3, 1)...), append(pb(1, "value_float"), pb(2, 1.0)...))}, nil, "is no constant"},
		{"one attribute twice", [][]byte{onnxApart("Constant", "b", nil, append(pb(1, "value_int"), pb(3, 1)...), append(pb(1, "value_int"), pb(3, 1)...))}, nil, `has the attribute "value_int" twice`},
		{"a segment", [][]byte{onnxApart("Constant", "b", nil, tensor(append(raw(1, []int{2}, packed...), pb(3, "x")...)))}, nil, "is a segment of a tensor"},
		{"too many elements", [][]byte{onnxApart("Constant", "b", nil, tensor(raw(1, []int{3}, packed...)))}, nil, "shape"},
	} {
		parts := append([][]byte{onnxFloats("w", []int{2, 3, 1, 1}, weights...)}, c.nodes...)
		f, err := FromBytes("graph", onnxFile("y", append(parts, onnxApart("Conv", "y", []string{"x", "w", "b"}))...))
		if c.want == nil {
			require.ErrorContains(t, err, c.err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, read(t, f, ".bias"), c.name)
	}
}

// TestONNXTypes: elements of each type, in each of the fields that may hold them.
func TestONNXTypes(t *testing.T) {
	want := []float32{1, -2}
	double := func(v float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)) }
	for name, body := range map[string][]byte{
		"float":            append(pb(2, 1), append(pb(4, 1.0), pb(4, -2.0)...)...),
		"half, raw":        append(pb(2, 10), pb(9, []byte{0x00, 0x3c, 0x00, 0xc0})...),
		"half as integers": append(pb(2, 10), append(pb(5, 0x3c00), pb(5, 0xc000)...)...),
		"half, packed":     append(pb(2, 10), pb(5, binary.AppendUvarint(binary.AppendUvarint(nil, 0x3c00), 0xc000))...),
		"bfloat16":         append(pb(2, 16), append(pb(5, 0x3f80), pb(5, 0xc000)...)...),
		"double":           append(pb(2, 11), pb(10, append(double(1), double(-2)...))...),
		"double, raw":      append(pb(2, 11), pb(9, append(double(1), double(-2)...))...),
		"the type last":    append(append(pb(5, 0x3c00), pb(5, 0xc000)...), pb(2, 10)...),
	} {
		b := pb(5, append(append(pb(1, 2), body...), pb(8, "b")...))
		f, err := FromBytes("graph", onnxFile("y", onnxFloats("w", []int{2, 1, 1, 1}, 3, 4), b, onnxApart("Conv", "y", []string{"x", "w", "b"})))
		require.NoError(t, err, name)
		require.Equal(t, want, read(t, f, ".bias"), name)
		require.Equal(t, []float32{3, 4}, read(t, f, ".weight"), name)
	}
	for name, c := range map[string]struct {
		body []byte
		err  string
	}{
		"double as integers": {append(pb(2, 11), pb(5, 1)...), "type 11 in a list of 32-bit integers"},
		"an unknown type":    {append(pb(2, 99), pb(5, 1)...), "type 99 in a list of 32-bit integers"},
		"a number cut":       {append(pb(2, 10), pb(5, []byte{0x80})...), "a number without end"},
		"external no text":   {append(pb(2, 1), pb(13, 5)...), "external_data is no message"},
		"external twice":     {append(append(pb(2, 1), pb(13, append(pb(1, "offset"), pb(2, "0")...))...), pb(13, append(pb(1, "offset"), pb(2, "0")...))...), `has the key "offset" twice`},
	} {
		b := pb(5, append(append(pb(8, "b"), pb(1, 2)...), c.body...))
		_, err := FromBytes("graph", onnxFile("y", onnxFloats("w", []int{2, 1, 1, 1}, 3, 4), b, onnxApart("Conv", "y", []string{"x", "w", "b"})))
		require.ErrorContains(t, err, c.err, name)
	}
}
