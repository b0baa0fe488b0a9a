package weights

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The fields of ONNX's messages that are read, by number.
//
//	ModelProto        graph 7, opset_import 8; domain 1, version 2
//	GraphProto        node 1, initializer 5, input 11, output 12
//	NodeProto         input 1, output 2, name 3, op_type 4, attribute 5, domain 7
//	AttributeProto    name 1, f 2, i 3, s 4, t 5, floats 7, ints 8
//	TensorProto       dims 1, data_type 2, segment 3, float_data 4, int32_data 5, int64_data 7, name 8, raw_data 9,
//	                  double_data 10, external_data 13 (key 1, value 2), data_location 14
//	ValueInfoProto    name 1, type 2; tensor_type 1; elem_type 1, shape 2; dim 1; dim_value 1

type onnxNode struct {
	name, op, domain string
	inputs, outputs  []string
	attributes       map[string]onnxAttribute
	used             bool // by the chain, or by a constant that it uses
}

type onnxAttribute struct {
	f      float64
	i      int64
	s      string
	ints   []int64
	floats values
	tensor *onnxTensor
}

type onnxTensor struct {
	name     string
	dims     []int64
	dataType int64
	ints     []int64 // of int64_data; those of int32_data are in values
	values   values
	external map[string]string
	beside   *File // that the elements are in, or nil
}

type onnxValue struct {
	name     string
	elemType int64
	shape    []int64 // 0: unknown
}

// onnxTypes are TensorProto.DataType.
var onnxTypes = map[int64]DType{1: F32, 2: U8, 6: I32, 7: I64, 9: Bool, 10: F16, 11: F64, 16: BF16}

func (g *onnxGraph) readModel(m message) error {
	return m.each(func(x field) error {
		switch {
		case x.wire != 2:
		case x.number == 7:
			return g.readGraph(x.body)
		case x.number == 8:
			return g.readOpset(x.body)
		}
		return nil
	})
}

func (g *onnxGraph) readOpset(m message) error {
	domain, version := "", int64(0)
	err := m.each(func(x field) error {
		if x.number == 1 && x.wire == 2 {
			domain = x.text()
		} else if x.number == 2 && x.wire == 0 {
			version = int64(x.value)
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		g.opset = version
	}
	return err
}

func (g *onnxGraph) readGraph(m message) error {
	return m.each(func(x field) error {
		if x.wire != 2 {
			return nil
		}
		switch x.number {
		case 1:
			n := &onnxNode{attributes: map[string]onnxAttribute{}}
			if err := n.read(x.body); err != nil {
				return err
			}
			g.nodes = append(g.nodes, n)
		case 5:
			t, err := readONNXTensor(x.body)
			if err != nil {
				return err
			}
			if g.tensors[t.name] != nil {
				return formatf(t.name, "is there twice")
			}
			g.tensors[t.name] = t
		case 11, 12:
			v, err := readONNXValue(x.body)
			if err != nil {
				return err
			}
			if x.number == 11 {
				g.inputs = append(g.inputs, v)
			} else {
				g.outputs = append(g.outputs, v.name)
			}
		}
		return nil
	})
}

func readONNXValue(m message) (onnxValue, error) {
	var v onnxValue
	inner := func(x field, number int, f func(field) error) error {
		if x.number == number && x.wire == 2 {
			return x.body.each(f)
		}
		return nil
	}
	err := m.each(func(x field) error {
		if x.number == 1 && x.wire == 2 {
			v.name = x.text()
		}
		return inner(x, 2, func(x field) error { // TypeProto
			return inner(x, 1, func(x field) error { // Tensor
				if x.number == 1 && x.wire == 0 {
					v.elemType = int64(x.value)
				}
				return inner(x, 2, func(x field) error { // TensorShapeProto
					if x.number != 1 || x.wire != 2 {
						return nil
					}
					dim := int64(0)
					err := x.body.each(func(x field) error {
						if x.number == 1 && x.wire == 0 {
							dim = max(int64(x.value), 0)
						}
						return nil
					})
					v.shape = append(v.shape, dim)
					return err
				})
			})
		})
	})
	return v, err
}

func (n *onnxNode) read(m message) error {
	return m.each(func(x field) error {
		if x.wire != 2 {
			return nil
		}
		switch x.number {
		case 1:
			n.inputs = append(n.inputs, x.text())
		case 2:
			n.outputs = append(n.outputs, x.text())
		case 3:
			n.name = x.text()
		case 4:
			n.op = x.text()
		case 5:
			return n.readAttribute(x.body)
		case 7:
			n.domain = x.text()
		}
		return nil
	})
}

func (n *onnxNode) readAttribute(m message) error {
	name := ""
	var a onnxAttribute
	err := m.each(func(x field) (err error) {
		switch {
		case x.number == 1 && x.wire == 2:
			name = x.text()
		case x.number == 2 && x.wire == 5:
			a.f = x.float()
		case x.number == 3 && x.wire == 0:
			a.i = int64(x.value)
		case x.number == 4 && x.wire == 2:
			a.s = x.text()
		case x.number == 5 && x.wire == 2:
			a.tensor, err = readONNXTensor(x.body)
		case x.number == 7:
			a.floats.add(F32, x)
		case x.number == 8:
			a.ints, err = x.ints(a.ints)
		}
		return err
	})
	if _, twice := n.attributes[name]; twice && err == nil {
		err = n.failf("has the attribute %s twice", quote(name))
	}
	n.attributes[name] = a
	return err
}

func readONNXTensor(m message) (*onnxTensor, error) {
	t := &onnxTensor{}
	var narrow []field // int32_data, of a type that may follow
	err := m.each(func(x field) (err error) {
		switch x.number {
		case 1:
			t.dims, err = x.ints(t.dims)
		case 2:
			t.dataType = int64(x.value)
		case 3:
			return formatf(t.name, "is a segment of a tensor")
		case 4:
			t.values.add(F32, x)
		case 5:
			narrow = append(narrow, x)
		case 7:
			t.ints, err = x.ints(t.ints)
		case 8:
			t.name = x.text()
		case 9:
			t.values.add(U8, x)
		case 10:
			t.values.add(F64, x)
		case 13:
			return t.readExternal(x)
		case 14:
			if x.value == 1 && t.external == nil {
				t.external = map[string]string{}
			}
		}
		return err
	})
	// raw_data has no type of its own.
	t.values.dtype = onnxTypes[t.dataType]
	for _, x := range narrow {
		if err == nil {
			err = t.addNarrow(x)
		}
	}
	return t, err
}

// addNarrow appends int32_data, which holds numbers of 32 bits, the bits of
// those of 16, and bytes.
func (t *onnxTensor) addNarrow(x field) error {
	size := t.values.dtype.Size()
	if size == 0 || size > 4 {
		return formatf(t.name, "type %d in a list of 32-bit integers", t.dataType)
	}
	add := func(v uint64) {
		t.values.own = append(t.values.own, binary.LittleEndian.AppendUint64(nil, v)[:size]...)
	}
	t.values.own, t.values.view = slices.Clip(t.values.own), false
	t.values.parts++
	if x.wire != 2 {
		add(x.value)
		return nil
	}
	for b := x.body.b; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return formatf(t.name, "byte %d: a number without end", x.body.base)
		}
		add(v)
		b = b[n:]
	}
	return nil
}

// readExternal adds a key and its value to what says where the elements are.
func (t *onnxTensor) readExternal(x field) error {
	if x.wire != 2 {
		return formatf(t.name, "external_data is no message")
	}
	key, value := "", ""
	err := x.body.each(func(x field) error {
		if x.number == 1 && x.wire == 2 {
			key = x.text()
		} else if x.number == 2 && x.wire == 2 {
			value = x.text()
		}
		return nil
	})
	if t.external == nil {
		t.external = map[string]string{}
	}
	if _, twice := t.external[key]; twice && err == nil {
		err = formatf(t.name, "external_data has the key %s twice", quote(key))
	}
	t.external[key] = value
	return err
}

// failf makes an error about a node. A node without a name is called by its
// output.
func (n *onnxNode) failf(format string, args ...any) error {
	name := "node " + quote(n.name)
	if n.name == "" && len(n.outputs) > 0 {
		name = "the node that gives " + quote(n.outputs[0])
	}
	op := n.op
	if len(op) > 40 || !utf8.ValidString(op) {
		op = quote(op)
	}
	return &Error{Detail: name + " (" + op + "): " + fmt.Sprintf(format, args...), Err: ErrUnsupported}
}

// all reports whether an attribute of integers is absent or all the same.
func (n *onnxNode) all(name string, want int64) bool {
	return !slices.ContainsFunc(n.attributes[name].ints, func(v int64) bool { return v != want })
}

func (n *onnxNode) int(name string, otherwise int64) int64 {
	if a, ok := n.attributes[name]; ok {
		return a.i
	}
	return otherwise
}

func (n *onnxNode) float(name string, otherwise float64) float64 {
	if a, ok := n.attributes[name]; ok {
		return a.f
	}
	return otherwise
}

// input returns the name of input i, or "" if it is left out.
func (n *onnxNode) input(i int) string {
	if i < len(n.inputs) {
		return n.inputs[i]
	}
	return ""
}
