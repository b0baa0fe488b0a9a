package testutil

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/nonet-go/nonet/internal/half"
)

// A Graph is an ONNX graph that a test makes: to be encoded as a file, and to be
// evaluated by the definition of its operators, without what reads such files.
type Graph struct {
	Opset   int
	Input   string
	Dims    []int // of the input; 0: left open
	Type    int   // of the input, TensorProto.DataType; 0: float
	Nodes   []GraphNode
	Tensors []GraphTensor
	Outputs []string
}

// A GraphNode is a node. An attribute is an int, a float64, a string, a []int or a
// GraphTensor.
type GraphNode struct {
	Op, Name, Domain string
	In, Out          []string
	Attrs            map[string]any
}

// A GraphTensor is an initializer. Style is how its elements are stored: "" for
// float32 in raw_data, or one of float, half, half32, double, doubles, bfloat,
// int64, ints.
type GraphTensor struct {
	Name     string
	Dims     []int
	Data     []float64
	Style    string
	External map[string]string // instead of the elements
}

// Clone returns a copy that shares no lists.
func (g *Graph) Clone() *Graph {
	c := *g
	c.Dims, c.Outputs, c.Tensors = slices.Clone(g.Dims), slices.Clone(g.Outputs), slices.Clone(g.Tensors)
	c.Nodes = nil
	for _, n := range g.Nodes {
		n.In, n.Out, n.Attrs = slices.Clone(n.In), slices.Clone(n.Out), maps.Clone(n.Attrs)
		c.Nodes = append(c.Nodes, n)
	}
	return &c
}

// protoField makes a field of a protocol buffer of an int, a float64 (as a
// float32), a string or bytes.
func protoField(number int, value any) []byte {
	tag := func(wire int) []byte { return binary.AppendUvarint(nil, uint64(number<<3|wire)) }
	switch v := value.(type) {
	case int:
		return binary.AppendUvarint(tag(0), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint32(tag(5), math.Float32bits(float32(v)))
	case string:
		return append(binary.AppendUvarint(tag(2), uint64(len(v))), v...)
	case []byte:
		return protoField(number, string(v))
	}
	panic(fmt.Sprintf("testutil: a field of type %T", value))
}

// Encode returns the file.
func (g *Graph) Encode() []byte {
	var b []byte
	for _, n := range g.Nodes {
		b = append(b, protoField(1, n.encode())...)
	}
	for _, t := range g.Tensors {
		b = append(b, protoField(5, t.encode())...)
	}
	var shape []byte
	for _, d := range g.Dims {
		if d > 0 {
			shape = append(shape, protoField(1, protoField(1, d))...)
		} else {
			shape = append(shape, protoField(1, protoField(2, "open"))...)
		}
	}
	tensor := append(protoField(1, max(g.Type, 1)), protoField(2, shape)...)
	b = append(b, protoField(11, append(protoField(1, g.Input), protoField(2, protoField(1, tensor))...))...)
	for _, out := range g.Outputs {
		b = append(b, protoField(12, protoField(1, out))...)
	}
	opset := append(protoField(1, ""), protoField(2, g.Opset)...)
	return slices.Concat(protoField(1, 8), protoField(7, b), protoField(8, opset))
}

func (n GraphNode) encode() []byte {
	var b []byte
	for _, in := range n.In {
		b = append(b, protoField(1, in)...)
	}
	for _, out := range n.Out {
		b = append(b, protoField(2, out)...)
	}
	b = slices.Concat(b, protoField(3, n.Name), protoField(4, n.Op), protoField(7, n.Domain))
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		a := protoField(1, name)
		switch v := n.Attrs[name].(type) {
		case int:
			a = append(a, protoField(3, v)...)
		case float64:
			a = append(a, protoField(2, v)...)
		case string:
			a = append(a, protoField(4, v)...)
		case GraphTensor:
			a = append(a, protoField(5, v.encode())...)
		case []int:
			for _, x := range v {
				a = append(a, protoField(8, x)...)
			}
		}
		b = append(b, protoField(5, a)...)
	}
	return b
}

func (t GraphTensor) encode() []byte {
	var b []byte
	for _, d := range t.Dims {
		b = append(b, protoField(1, d)...)
	}
	b = append(b, protoField(8, t.Name)...)
	if t.External != nil {
		for _, key := range slices.Sorted(maps.Keys(t.External)) {
			b = append(b, protoField(13, append(protoField(1, key), protoField(2, t.External[key])...))...)
		}
		return slices.Concat(b, protoField(2, 1), protoField(14, 1))
	}
	var packed []byte
	for _, v := range t.Data {
		switch t.Style {
		case "", "float":
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(v)))
		case "half":
			packed = binary.LittleEndian.AppendUint16(packed, half.FromFloat32(float32(v)))
		case "half32":
			packed = binary.AppendUvarint(packed, uint64(half.FromFloat32(float32(v))))
		case "bfloat":
			packed = binary.LittleEndian.AppendUint16(packed, half.BFromFloat32(float32(v)))
		case "double", "doubles":
			packed = binary.LittleEndian.AppendUint64(packed, math.Float64bits(v))
		case "int64":
			packed = binary.LittleEndian.AppendUint64(packed, uint64(int64(v)))
		case "ints":
			packed = binary.AppendUvarint(packed, uint64(int64(v)))
		}
	}
	style := map[string][2]int{ // type and field
		"": {1, 9}, "float": {1, 4}, "half": {10, 9}, "half32": {10, 5}, "bfloat": {16, 9}, "double": {11, 9}, "doubles": {11, 10}, "int64": {7, 9}, "ints": {7, 7},
	}[t.Style]
	return slices.Concat(b, protoField(2, style[0]), protoField(style[1], packed))
}
