package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// legacyFile makes a file of torch.save's older format: a program for the object,
// and storages of float32 called 0, 1, …
func legacyFile(object string, storages ...[]byte) []byte {
	var b bytes.Buffer
	b.Write(legacyMagic)
	b.WriteString("\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + object + ".\x80\x02](")
	for i := range storages {
		fmt.Fprintf(&b, "X\x01\x00\x00\x00%d", i)
	}
	b.WriteString("e.")
	for _, s := range storages {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s)/4)))
		b.Write(s)
	}
	return b.Bytes()
}

// TestPickleMemory: what a pickle makes stays in proportion to its length, however
// often it uses a value again.
func TestPickleMemory(t *testing.T) {
	const n = 2000
	const storage = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuM\x10\x27tQ" // 10,000 elements
	var names strings.Builder
	for i := range n {
		fmt.Fprintf(&names, "X\x04\x00\x00\x00%04dh\x00", i)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"dictionaries of one list": {legacyFile("ccollections\nOrderedDict\nq\x00](" + strings.Repeat("K\x01K\x02\x86", n) + "e\x85q\x01" +
			strings.Repeat("h\x00h\x01R", n)), "makes more values than it has bytes"},
		"tensors of one shape": {legacyFile("ctorch._utils\n_rebuild_tensor_v2\nq\x00"+storage+"q\x01("+strings.Repeat("K\x01", maxRank)+"tq\x02(h\x01K\x00h\x02h\x02tq\x03"+
			strings.Repeat("h\x00h\x03R", n), make([]byte, 40_000)), "makes more values than it has bytes"},
		"names of one tensor": {legacyFile("ctorch._utils\n_rebuild_tensor_v2\n("+storage+"K\x00KdKd\x86K\x01Kd\x86tRq\x00}("+names.String()+"u",
			make([]byte, 40_000)), "larger than the file"},
	} {
		var err error
		bytes := allocated(func() { _, err = FromBytes(name, c.data) })
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, name)
		require.Less(t, bytes, int64(100*len(c.data)), "%s: of a file of %d bytes", name, len(c.data))
	}
}

// pb makes a field of a protocol buffer of an integer, a float32, a text or a body.
func pb(number int, value any) []byte {
	tag := func(wire int) []byte { return binary.AppendUvarint(nil, uint64(number<<3|wire)) }
	switch v := value.(type) {
	case int:
		return binary.AppendUvarint(tag(0), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint32(tag(5), math.Float32bits(float32(v)))
	case string:
		return append(binary.AppendUvarint(tag(2), uint64(len(v))), v...)
	case []byte:
		return pb(number, string(v))
	}
	panic("unknown type")
}

// onnxNodeOf makes a node that reads from, and constants, and writes to. An
// attribute is an int, a float64, a string or a list of ints.
func onnxNodeOf(op, from, to string, constants []string, attributes map[string]any) []byte {
	body := pb(1, from)
	for _, c := range constants {
		body = append(body, pb(1, c)...)
	}
	body = append(append(append(body, pb(2, to)...), pb(3, "the "+op)...), pb(4, op)...)
	for name, value := range attributes {
		a := pb(1, name)
		switch v := value.(type) {
		case int:
			a = append(a, pb(3, v)...)
		case float64:
			a = append(a, pb(2, v)...)
		case string:
			a = append(a, pb(4, v)...)
		case []int:
			for _, x := range v {
				a = append(a, pb(8, x)...)
			}
		}
		body = append(body, pb(5, a)...)
	}
	return pb(1, body)
}

func onnxTensorOf(name string, dims ...int) []byte {
	n, body := 1, []byte{}
	for _, d := range dims {
		n, body = n*d, append(body, pb(1, d)...)
	}
	return pb(5, append(append(append(body, pb(2, 1)...), pb(8, name)...), pb(9, make([]byte, 4*n))...))
}

func onnxFile(output string, parts ...[]byte) []byte {
	graph := append(bytes.Join(parts, nil), append(pb(11, pb(1, "x")), pb(12, pb(1, output))...)...)
	return append(pb(1, 8), pb(7, graph)...)
}

// TestONNXGraphs: what is no chain of VGG's layers is refused by the name of its
// node, and not read as something else.
func TestONNXGraphs(t *testing.T) {
	weights := [][]byte{
		onnxTensorOf("w", 2, 3, 3, 3), onnxTensorOf("w2", 2, 2, 3, 3), onnxTensorOf("w1", 2, 3, 1, 1), onnxTensorOf("w5", 2, 3, 5, 5), onnxTensorOf("f", 2, 8), onnxTensorOf("b", 2), onnxTensorOf("none", 0, 3, 3, 3),
		onnxNodeOf("Identity", "b", "same as b", nil, nil),
	}
	pads := map[string]any{"pads": []int{1, 1, 1, 1}}
	norm := []string{"b", "b", "b", "b"}
	pool := map[string]any{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}
	type m = map[string]any
	with := func(base, more m) m {
		both := m{}
		for _, part := range []m{base, more} {
			for k, v := range part {
				both[k] = v
			}
		}
		return both
	}
	type node struct {
		op         string
		constants  []string
		attributes m
	}
	conv := node{"Conv", []string{"w", "b"}, pads}
	flat := node{"Flatten", nil, nil}
	for _, c := range []struct {
		want  string // of the error, or the layers
		nodes []node
	}{
		{"2 M F2", []node{conv, {"Relu", nil, nil}, {"MaxPool", nil, pool}, flat, {"Gemm", []string{"f", "b"}, m{"transB": 1}}, {"Softmax", nil, nil}}},
		{"=2", []node{conv}},
		{"2", []node{{"Conv", []string{"w", "same as b"}, pads}, {"Relu", nil, nil}}},
		{"2 N", []node{conv, {"Relu", nil, nil}, {"LRN", nil, m{"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}}}},
		{"the Conv", []node{{"Conv", []string{"w", "b"}, with(pads, m{"strides": []int{2, 2}})}}},
		{"the Conv", []node{{"Conv", []string{"w", "b"}, with(pads, m{"dilations": []int{2, 2}})}}},
		{"the Conv", []node{{"Conv", []string{"w", "b"}, with(pads, m{"group": 2})}}},
		{"the Conv", []node{{"Conv", []string{"w", "b"}, m{"pads": []int{1, 1, 0, 0}}}}},
		{"the Conv", []node{{"Conv", []string{"w1", "b"}, pads}}},
		{"5×5", []node{{"Conv", []string{"w5", "b"}, pads}}},
		{`reads "unknown", which nothing gives`, []node{{"Conv", []string{"unknown", "b"}, pads}}},
		{"goes to 2 nodes", []node{{"Conv", []string{"x", "b"}, pads}}},
		{"one more", []node{{"Conv", nil, pads}}},
		{"its weights have shape [2 3 3 3], its input 2 channels", []node{conv, {"Relu", nil, nil}, conv}},
		{"its weights have shape [0 3 3 3], its input 3 channels", []node{{"Conv", []string{"none", "b"}, pads}}},
		{`tensor "b": shape is [2] of type 1, want 4 dimensions`, []node{{"Conv", []string{"b", "b"}, pads}}},
		{"the Flatten", []node{flat, conv}},
		{"some convolutions are padded", []node{conv, {"Conv", []string{"w2", "b"}, nil}}},
		{"the MaxPool", []node{conv, {"MaxPool", nil, with(pool, m{"strides": []int{1, 1}})}}},
		{"the MaxPool", []node{conv, {"MaxPool", nil, with(pool, m{"kernel_shape": []int{3, 3}})}}},
		{"the MaxPool", []node{conv, {"MaxPool", nil, with(pool, m{"ceil_mode": 1})}}},
		{"the MaxPool", []node{conv, {"MaxPool", nil, with(pool, m{"auto_pad": "SAME_UPPER"})}}},
		{"the MaxPool", []node{conv, {"MaxPool", nil, with(pool, m{"pads": []int{0, 0, 1, 1}})}}},
		{"the AveragePool", []node{conv, {"AveragePool", nil, m{"kernel_shape": []int{2, 2}}}}},
		{"2 S", []node{conv, {"Relu", nil, nil}, {"BatchNormalization", norm, nil}}},
		{"=2", []node{conv, {"BatchNormalization", norm, nil}, {"BatchNormalization", norm, nil}}},
		{"=2", []node{conv, {"BatchNormalization", norm, m{"epsilon": 1e-3}}}},
		{"epsilon 0", []node{conv, {"BatchNormalization", norm, m{"epsilon": 0.0}}}},
		{"training_mode", []node{conv, {"BatchNormalization", norm, m{"training_mode": 1}}}},
		{"the LRN", []node{conv, {"LRN", nil, m{"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 2.0}}}},
		{"behind the Softmax", []node{conv, {"Softmax", nil, m{"axis": 1}}, {"Relu", nil, nil}}},
		{"the Relu", []node{{"Relu", nil, nil}}},
		{"2", []node{conv, {"Relu", nil, nil}, {"Relu", nil, nil}}},
		{"want the classes", []node{conv, {"Softmax", nil, nil}}},
		{"the Add", []node{conv, {"Add", []string{"b"}, nil}}},
		{"axis 2", []node{conv, {"Flatten", nil, m{"axis": 2}}}},
		{"axis -5", []node{conv, {"Flatten", nil, m{"axis": -5}}}},
		{"=2 F2", []node{conv, flat, {"Gemm", []string{"f", "b"}, m{"alpha": 0.5, "transB": 1}}}},
		{"the Gemm", []node{{"Gemm", []string{"f", "b"}, nil}}},
		{"axes of its input are NF", []node{conv, flat, {"Gemm", []string{"f", "b"}, m{"transA": 1}}}},
		{"=2", []node{conv, {"Sigmoid", nil, nil}}},
		{"the LeakyRelu", []node{conv, {"LeakyRelu", nil, m{"alpha": 0.1}}}},
		{"from 0 to 6", []node{conv, {"Clip", nil, m{"min": 0.0, "max": 6.0}}}},
		{`unknown attribute "padz"`, []node{{"Conv", []string{"w", "b"}, m{"padz": []int{1, 1, 1, 1}}}}},
		{"no layers", []node{{"Identity", nil, nil}}},
	} {
		parts, at := weights, "x"
		for i, n := range c.nodes {
			to := fmt.Sprint("a", i)
			parts = append(parts[:len(parts):len(parts)], onnxNodeOf(n.op, at, to, n.constants, n.attributes))
			at = to
		}
		f, err := FromBytes("graph", onnxFile(at, parts...))
		if err == nil {
			require.Equal(t, c.want, f.Metadata()[KeyLayers])
			require.NoError(t, readAll(f))
			continue
		}
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "graph")
	}

	// Two readers of one activation, circles, and ends that are none.
	relu := func(from, to string) []byte { return onnxNodeOf("Relu", from, to, nil, nil) }
	first := onnxNodeOf("Conv", "x", "a", []string{"w", "b"}, pads)
	for want, parts := range map[string][][]byte{
		"no chain":                       {first, relu("a", "y"), relu("a", "z")},
		"gives \"x\", which is there":    {onnxNodeOf("Identity", "x", "a", nil, nil), onnxNodeOf("Identity", "a", "x", nil, nil)},
		`ends at "a", want the output`:   {first},
		"2 inputs and 1 outputs":         {pb(11, pb(1, "another")), first},
		`tensor "w": is there twice`:     {weights[0], first},
		"input 1, \"i\", is no constant": {onnxNodeOf("Identity", "j", "i", nil, nil), onnxNodeOf("Identity", "i", "j", nil, nil), onnxNodeOf("Conv", "x", "y", []string{"i"}, pads)},
	} {
		_, err := FromBytes("graph", onnxFile("y", append(append([][]byte{}, weights...), parts...)...))
		require.ErrorContains(t, err, want)
	}
}

// TestONNXMemory: biases that are not there take no memory in proportion to what
// the file says they would.
func TestONNXMemory(t *testing.T) {
	parts, at := [][]byte{onnxTensorOf("w", maxWidth, 0, 1, 1)}, "x"
	for i := range 200 {
		to := fmt.Sprint("a", i)
		parts, at = append(parts, onnxNodeOf("Conv", at, to, []string{"w"}, nil)), to
	}
	data := onnxFile(at, parts...)
	bytes := allocated(func() { _, _ = FromBytes("graph", data) })
	require.Less(t, bytes, int64(4*maxWidth*2+100*len(data)), "of a file of %d bytes", len(data))
}

// TestCaffeBlobs: shapes of both versions, and what does not fit them.
func TestCaffeBlobs(t *testing.T) {
	layer := func(blob ...[]byte) []byte { return pb(100, append(pb(1, "conv1_1"), pb(7, bytes.Join(blob, nil))...)) }
	shape := func(dims ...int) []byte {
		var b []byte
		for _, d := range dims {
			b = append(b, pb(1, d)...)
		}
		return pb(7, b)
	}
	one := pb(5, make([]byte, 8))
	doubles := func(v ...float64) (b []byte) {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		return pb(8, b)
	}
	for _, c := range []struct {
		file []byte
		want []int
		err  string
	}{
		{layer(shape(2, 1, 1, 1), one), []int{2, 1, 1, 1}, ""},
		{layer(pb(1, 2), pb(2, 1), pb(3, 1), pb(4, 1), one), []int{2, 1, 1, 1}, ""},
		{layer(pb(1, 1), pb(2, 1), pb(3, 2), pb(4, 1), one), []int{2, 1}, ""},
		{layer(shape(2), pb(5, 0.5), pb(5, 0.25)), []int{2}, ""}, // not packed
		{layer(shape(2), doubles(1, 2)), []int{2}, ""},
		{layer(shape(2), pb(5, make([]byte, 4)), pb(5, make([]byte, 4))), []int{2}, ""}, // packed twice
		{layer(shape(3), one), nil, `tensor "conv1_1.weight": shape [3] in 8 bytes of F32`},
		{layer(shape(1<<30, 1<<30), one), nil, "shape [1073741824 1073741824]"},
		{layer(shape(-1), one), nil, "shape is [-1]"},
		{layer(shape(make([]int, maxRank+1)...), one), nil, "65 dimensions"},
		{append(layer(shape(2), one), layer(shape(2), one)...), nil, "is there twice"},
		{pb(100, pb(1, "pool1")), nil, "no layer with weights"},
		{append(pb(1, "a network"), 0xff), nil, "no field"},
		{append(pb(1, "a network"), 0xa2, 6, 0x7f), nil, "longer than what holds it"},
		{append(pb(1, "a network"), 0x0b), nil, "wire type 3"},
	} {
		f, err := FromBytes("net", c.file)
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, "net")
			continue
		}
		require.NoError(t, err)
		tensor, err := f.Tensor("conv1_1.weight")
		require.NoError(t, err)
		require.Equal(t, c.want, tensor.Shape)
		require.NoError(t, readAll(f))
	}
	f, err := FromBytes("net", layer(shape(2), doubles(1, 2)))
	require.NoError(t, err)
	tensor, err := f.Tensor("conv1_1.weight")
	require.NoError(t, err)
	x := make([]float64, 2)
	require.NoError(t, tensor.Float64s(x))
	require.Equal(t, []float64{1, 2}, x)
}

// TestFormatByContent: formats are told apart by more than one byte.
func TestFormatByContent(t *testing.T) {
	// An ONNX file whose ninth byte is "{", as that of a safetensors file is: the
	// length of its first node.
	body := onnxNodeOf("Identity", "x", "y", nil, nil)[2:]
	body = append(body, pb(6, strings.Repeat("-", '{'-len(body)-2))...)
	graph := append(append(pb(1, body), pb(11, pb(1, "x"))...), pb(12, pb(1, "y"))...)
	graph = append(graph, pb(10, strings.Repeat("-", 3<<20))...)
	data := append(pb(1, 8), pb(7, graph)...)
	require.Equal(t, byte('{'), data[8])
	_, err := FromBytes("graph", data)
	require.ErrorContains(t, err, "the graph has no layers")
}
