package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/vgg"
)

// protobuf appends fields of the wire format.
type protobuf []byte

func (p *protobuf) varint(field int, v int) {
	*p = binary.AppendUvarint(*p, uint64(field)<<3)
	*p = binary.AppendUvarint(*p, uint64(v))
}

func (p *protobuf) bytes(field int, v []byte) {
	*p = binary.AppendUvarint(*p, uint64(field)<<3|2)
	*p = binary.AppendUvarint(*p, uint64(len(v)))
	*p = append(*p, v...)
}

func (p *protobuf) text(field int, v string) { p.bytes(field, []byte(v)) }

// Numbers of onnx.proto that are used here.
const (
	onnxFloat    = 1 // TensorProto.DataType.FLOAT
	onnxUint8    = 2
	onnxInt8     = 3
	onnxInt32    = 6
	attrInt      = 2 // AttributeProto.AttributeType.INT
	attrInts     = 7
	opset        = 13
	external     = 1 // TensorProto.DataLocation.EXTERNAL
	graphNode    = 1
	graphName    = 2
	graphWeights = 5
	graphInput   = 11
	graphOutput  = 12
)

func onnxNode(op, name string, inputs []string, output string, attrs ...[]byte) []byte {
	var p protobuf
	for _, in := range inputs {
		p.text(1, in)
	}
	p.text(2, output)
	p.text(3, name)
	p.text(4, op)
	for _, a := range attrs {
		p.bytes(5, a)
	}
	return p
}

func onnxAttr(name string, v ...int) []byte {
	var p protobuf
	p.text(1, name)
	for _, x := range v {
		p.varint(8, x)
	}
	p.varint(20, attrInts)
	return p
}

func onnxAttrInt(name string, v int) []byte {
	var p protobuf
	p.text(1, name)
	p.varint(3, v)
	p.varint(20, attrInt)
	return p
}

// onnxSizes are the bytes of an element.
var onnxSizes = map[int]int{onnxFloat: 4, onnxUint8: 1, onnxInt8: 1, onnxInt32: 4}

// onnxVector is a tensor that stands in the graph; without dims a scalar.
func onnxVector(name string, dtype int, raw []byte, dims ...int) []byte {
	var p protobuf
	for _, d := range dims {
		p.varint(1, d)
	}
	p.varint(2, dtype)
	p.text(8, name)
	p.bytes(9, raw)
	return p
}

// onnxBytes is a scalar.
func onnxBytes(name string, dtype int, raw []byte) []byte { return onnxVector(name, dtype, raw) }

// onnxFloats is a vector, or a scalar.
func onnxFloats(name string, x []float32) []byte {
	var raw []byte
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	if len(x) == 1 {
		return onnxVector(name, onnxFloat, raw)
	}
	return onnxVector(name, onnxFloat, raw, len(x))
}

// onnxExternal describes a tensor that lies at an offset of another file.
func onnxExternal(name string, dtype int, file string, offset int, dims ...int) []byte {
	var p protobuf
	n := onnxSizes[dtype]
	for _, d := range dims {
		p.varint(1, d)
		n *= d
	}
	p.varint(2, dtype)
	p.text(8, name)
	for _, kv := range [][2]string{{"location", file}, {"offset", itoa(offset)}, {"length", itoa(n)}} {
		var e protobuf
		e.text(1, kv[0])
		e.text(2, kv[1])
		p.bytes(13, e)
	}
	p.varint(14, external)
	return p
}

func onnxValue(name string, dims ...int) []byte {
	var shape protobuf
	for _, d := range dims {
		var dim protobuf
		dim.varint(1, d)
		shape.bytes(1, dim)
	}
	var tensor, typ, p protobuf
	tensor.varint(1, onnxFloat)
	tensor.bytes(2, shape)
	typ.bytes(1, tensor)
	p.text(1, name)
	p.bytes(2, typ)
	return p
}

// onnxFile returns an ONNX model of a configuration at a batch size whose
// weights are those of weightFile, which lies beside it.
func onnxFile(dir, config string, batch int) (string, error) {
	path := filepath.Join(dir, "vgg"+config+"_b"+itoa(batch)+".onnx")
	weights, err := weightFile(dir, config)
	if err != nil {
		return "", err
	}
	return path, writeOnce(path, func(f *os.File) error {
		m, err := onnxModel(config, batch, filepath.Base(weights))
		if err != nil {
			return err
		}
		_, err = f.Write(m)
		return err
	})
}

func onnxModel(config string, batch int, weights string) ([]byte, error) {
	c, err := vgg.Lookup(config)
	if err != nil {
		return nil, err
	}
	params, err := c.Params()
	if err != nil {
		return nil, err
	}
	var graph protobuf
	graph.text(graphName, "vgg"+config)
	graph.bytes(graphInput, onnxValue("input", batch, c.Channels, c.Size, c.Size))
	graph.bytes(graphOutput, onnxValue("logits", batch, c.Classes()))
	offset := 0
	for _, p := range params {
		graph.bytes(graphWeights, onnxExternal(p.Name, onnxFloat, weights, offset, p.Shape...))
		offset += 4 * p.Len()
	}
	x := "input"
	for i, l := range c.Layers {
		x = onnxLayer(&graph, l, c.Pad, x, i == len(c.Layers)-1)
	}
	var version, model protobuf
	version.varint(2, opset)
	model.varint(1, 7) // IR version
	model.bytes(7, graph)
	model.bytes(8, version)
	return model, nil
}

// onnxLayer appends the nodes of a layer that reads x and returns the name of
// its result.
func onnxLayer(graph *protobuf, l vgg.Layer, pad int, x string, last bool) string {
	node := func(op, name string, inputs []string, attrs ...[]byte) string {
		graph.bytes(graphNode, onnxNode(op, name, inputs, name, attrs...))
		return name
	}
	name := l.Name
	if last {
		name = "logits"
	}
	inputs := []string{x, l.Name + ".weight", l.Name + ".bias"}
	switch l.Kind {
	case vgg.Pool:
		return node("MaxPool", name, inputs[:1], onnxAttr("kernel_shape", 2, 2), onnxAttr("strides", 2, 2))
	case vgg.GlobalPool:
		return node("GlobalAveragePool", name, inputs[:1])
	case vgg.FC:
		inputs[0] = node("Flatten", name+"_flat", inputs[:1], onnxAttrInt("axis", 1))
		x = node("Gemm", name, inputs, onnxAttrInt("transB", 1))
	case vgg.Conv:
		if l.Kernel == 1 {
			pad = 0
		}
		stride := max(l.Stride, 1)
		x = node("Conv", name, inputs, onnxAttr("kernel_shape", l.Kernel, l.Kernel), onnxAttr("pads", pad, pad, pad, pad), onnxAttr("strides", stride, stride))
	}
	if l.ReLU {
		x = node("Relu", name+"_relu", []string{x})
	}
	return x
}
