package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/vgg"
)

// The peers' networks of 8 bits: activations from 0 to 255 with a scale for each layer, which the
// largest activation of the seeded pictures gives, and weights from −127 to 127 with a scale for
// each output. That is what ONNX Runtime's quantiser does, with its methods MinMax and per channel.

// int8Levels is the largest weight. Without VNNI processors multiply bytes in pairs, whose sum
// saturates at 16 bits: then weights have 7 bits, as the quantiser's option reduce_range has it.
func int8Levels() int {
	if cpu.Has(cpu.VNNI) {
		return 127
	}
	return 63
}

// weighted lists the layers of a configuration that have weights.
func weighted(c vgg.Config) (list []vgg.Layer) {
	for _, l := range c.Layers {
		if l.Kind == vgg.Conv || l.Kind == vgg.FC {
			list = append(list, l)
		}
	}
	return list
}

// maxima returns the largest magnitude of the seeded pictures and of the results of each layer with
// weights, after its ReLU, in float32, and the file that holds them.
func maxima(dir, config string) (path string, most []float32, err error) {
	path = filepath.Join(dir, "vgg"+config+".max")
	err = writeOnce(path, func(f *os.File) error {
		most, err := largestActivations(dir, config)
		if err != nil {
			return err
		}
		return writeFloats(f, most)
	})
	if err != nil {
		return "", nil, err
	}
	raw, err := os.ReadFile(path)
	for ; len(raw) >= 4; raw = raw[4:] {
		most = append(most, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return path, most, err
}

func largestActivations(dir, config string) ([]float32, error) {
	c, err := vgg.Lookup(config)
	if err != nil {
		return nil, err
	}
	src, err := vgg.Seeded(c, seed)
	if err != nil {
		return nil, err
	}
	m, err := vgg.New(c, src)
	if err != nil {
		return nil, err
	}
	file, err := pictureFile(dir)
	if err != nil {
		return nil, err
	}
	x, n, err := readPictures([]string{file, itoa(pictures)})
	if err != nil {
		return nil, err
	}
	most := []float32{largest(x)}
	for _, l := range weighted(c) {
		s, err := m.NewSession(vgg.Batch(n), vgg.Output(l.Name))
		if err != nil {
			return nil, err
		}
		y := make([]float32, n*s.OutputShape().Len())
		if err := s.Run(context.Background(), y, x); err != nil {
			return nil, err
		}
		most = append(most, largest(y))
	}
	return most, nil
}

func largest(x []float32) (m float32) {
	for _, v := range x {
		m = max(m, float32(math.Abs(float64(v))))
	}
	return m
}

// int8File returns a file with the weights of a configuration in 8 bits, each layer's followed by
// its biases in 32 bits, in units of the products, and the scale of each output.
func int8File(dir, config string, levels int, most []float32) (path string, scales [][]float32, err error) {
	c, err := vgg.Lookup(config)
	if err != nil {
		return "", nil, err
	}
	params, err := c.Params()
	if err != nil {
		return "", nil, err
	}
	var out []byte
	for i := 0; i < len(params); i += 2 {
		w, b := make([]float32, params[i].Len()), make([]float32, params[i+1].Len())
		fillParam(w, i, params[i])
		fillParam(b, i+1, params[i+1])
		rows := len(w) / len(b)
		scale := make([]float32, len(b))
		for k := range b {
			row := w[k*rows:][:rows]
			scale[k] = largest(row) / float32(levels)
			for _, v := range row {
				out = append(out, byte(int8(math.RoundToEven(float64(v/scale[k])))))
			}
		}
		for k, v := range b {
			unit := float64(scale[k]) * float64(inputScale(most, i/2))
			out = binary.LittleEndian.AppendUint32(out, uint32(int32(math.RoundToEven(float64(v)/unit))))
		}
		scales = append(scales, scale)
	}
	path = filepath.Join(dir, fmt.Sprintf("vgg%s_%d.i8", config, levels))
	return path, scales, writeOnce(path, func(f *os.File) error { _, err := f.Write(out); return err })
}

// inputScale is what a whole number of the input of weighted layer i stands for. Pictures have
// numbers of either sign.
func inputScale(most []float32, i int) float32 {
	if i == 0 {
		return most[0] / 127
	}
	return most[i] / 255
}

// onnxInt8File is onnxFile for the network in 8 bits: every tensor is quantised and dequantised
// again, and ONNX Runtime makes operations on bytes of that.
func onnxInt8File(dir, config string, batch int) (string, error) {
	levels := int8Levels()
	path := filepath.Join(dir, fmt.Sprintf("vgg%s_b%d_%d.onnx", config, batch, levels))
	_, most, err := maxima(dir, config)
	if err != nil {
		return "", err
	}
	weights, scales, err := int8File(dir, config, levels, most)
	if err != nil {
		return "", err
	}
	return path, writeOnce(path, func(f *os.File) error {
		m, err := onnxInt8Model(config, batch, filepath.Base(weights), most, scales)
		if err != nil {
			return err
		}
		_, err = f.Write(m)
		return err
	})
}

// qdq builds a graph of operations between quantised tensors.
type qdq struct {
	graph protobuf
}

func (g *qdq) node(op, name string, inputs []string, attrs ...[]byte) string {
	g.graph.bytes(graphNode, onnxNode(op, name, inputs, name, attrs...))
	return name
}

// quantised appends the two nodes that round x to bytes. zero stands for 0.
func (g *qdq) quantised(x string, scale float32, zero uint8) string {
	g.graph.bytes(graphWeights, onnxFloats(x+".step", []float32{scale}))
	g.graph.bytes(graphWeights, onnxBytes(x+".zero", onnxUint8, []byte{zero}))
	q := g.node("QuantizeLinear", x+".q", []string{x, x + ".step", x + ".zero"})
	return g.node("DequantizeLinear", x+".dq", []string{q, x + ".step", x + ".zero"})
}

// constant appends a tensor of the weight file, and the node that makes floats of it.
func (g *qdq) constant(name string, dtype int, scale []float32, file string, offset int, dims ...int) string {
	g.graph.bytes(graphWeights, onnxExternal(name, dtype, file, offset, dims...))
	g.graph.bytes(graphWeights, onnxFloats(name+".step", scale))
	zeros := make([]byte, len(scale)*onnxSizes[dtype])
	g.graph.bytes(graphWeights, onnxVector(name+".zero", dtype, zeros, len(scale)))
	return g.node("DequantizeLinear", name+".dq", []string{name, name + ".step", name + ".zero"}, onnxAttrInt("axis", 0))
}

func onnxInt8Model(config string, batch int, file string, most []float32, scales [][]float32) ([]byte, error) {
	c, err := vgg.Lookup(config)
	if err != nil {
		return nil, err
	}
	params, err := c.Params()
	if err != nil {
		return nil, err
	}
	g := &qdq{}
	g.graph.text(graphName, "vgg"+config)
	g.graph.bytes(graphInput, onnxValue("input", batch, c.Channels, c.Size, c.Size))
	g.graph.bytes(graphOutput, onnxValue("logits", batch, c.Classes()))
	x, offset, n := g.quantised("input", inputScale(most, 0), 128), 0, 0
	for i, l := range c.Layers {
		last := i == len(c.Layers)-1
		if l.Kind == vgg.Pool {
			x = g.node("MaxPool", l.Name, []string{x}, onnxAttr("kernel_shape", 2, 2), onnxAttr("strides", 2, 2))
			x = g.quantised(x, inputScale(most, n), 0)
			continue
		}
		w, b := params[2*n], params[2*n+1]
		unit := make([]float32, len(scales[n]))
		for k, s := range scales[n] {
			unit[k] = s * inputScale(most, n)
		}
		inputs := []string{x, g.constant(w.Name, onnxInt8, scales[n], file, offset, w.Shape...),
			g.constant(b.Name, onnxInt32, unit, file, offset+w.Len(), b.Shape...)}
		offset += w.Len() + 4*b.Len()
		n++
		if x = g.layer(l, c.Pad, inputs, inputScale(most, n-1), last); !last {
			x = g.quantised(x, inputScale(most, n), 0)
		}
	}
	var version, model protobuf
	version.varint(2, opset)
	model.varint(1, 7) // IR version
	model.bytes(7, g.graph)
	model.bytes(8, version)
	return model, nil
}

// layer appends a layer with weights and its ReLU. scale is its input's.
func (g *qdq) layer(l vgg.Layer, pad int, inputs []string, scale float32, last bool) string {
	name := l.Name
	if last {
		name = "logits"
	}
	var x string
	if l.Kind == vgg.FC {
		flat := g.node("Flatten", name+"_flat", inputs[:1], onnxAttrInt("axis", 1))
		inputs[0] = g.quantised(flat, scale, 0)
		x = g.node("Gemm", name, inputs, onnxAttrInt("transB", 1))
	} else {
		if l.Kernel == 1 {
			pad = 0
		}
		x = g.node("Conv", name, inputs, onnxAttr("kernel_shape", l.Kernel, l.Kernel), onnxAttr("pads", pad, pad, pad, pad))
	}
	if l.ReLU {
		x = g.node("Relu", name+"_relu", []string{x})
	}
	return x
}
