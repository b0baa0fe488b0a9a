package weights

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const onnx = "ONNX"

// An ONNX file holds a graph of nodes. It is followed from its input to its
// output; the way must be a chain of the operators of onnxOps. What the chain
// computes is written as a line of layers, as vgg.ParseLayers reads it, and the
// tensors get the names that the layers have there, so that initializers may be
// called anything.
//
//	onnx_proto.go     messages: nodes, attributes, tensors
//	onnx_external.go  tensors whose elements are in files beside
//	onnx_constant.go  what is known without the input: views of tensors
//	onnx_integers.go  shapes, as nodes compute them
//	onnx_view.go      which axis of an activation is which
//	onnx_follow.go    the way from the input to the output
//	onnx_ops.go       what each operator does to the chain
//	onnx_layer.go     layers, and their tensors as they are asked for
//
// Per-channel products and sums (batch normalisation among them) are folded in
// float64 into the layer before; behind a ReLU or a pool they are a layer S.

// onnxGraph is a graph, and the chain as far as it has been followed.
type onnxGraph struct {
	file *File

	nodes   []*onnxNode
	tensors map[string]*onnxTensor // initializers, and constants of nodes
	inputs  []onnxValue
	outputs []string
	opset   int64

	makers    map[string]*onnxNode   // of each value the node that gives it
	readers   map[string][]*onnxNode // Shape is none: it reads no elements
	constants map[string]*onnxConstant
	integer   map[string]onnxInts
	shapes    map[string][]int64 // of activations passed
	budget    int64              // bytes that layers may still take

	view onnxView
	meta Meta
	onnxInput
	onnxWalk
}

// onnxInput is what is known of the input.
type onnxInput struct {
	front   onnxAffine // before the axes are known
	axis    byte       // that front's vectors lie along, or 0
	pixels  bool       // the input is bytes
	decided bool       // the axes are known
	size    [2]int     // or 0
}

// onnxWalk is the way through the nodes so far: the layers found, and what is to become
// part of the next one.
type onnxWalk struct {
	layers []*onnxLayer
	pad    [4]int64   // by a Pad, to be taken by a convolution: top, left, bottom, right
	meaned byte       // H or W, of which a ReduceMean took the mean, the other to follow
	before onnxAffine // of a flattened activation, to be taken by a fully connected layer
	fc     bool
	padded []bool
	ended  *onnxNode // a Softmax
}

func (f *File) parseONNX() error {
	m, err := f.message()
	if err != nil {
		return err
	}
	g := &onnxGraph{
		file: f, tensors: map[string]*onnxTensor{}, makers: map[string]*onnxNode{}, readers: map[string][]*onnxNode{},
		constants: map[string]*onnxConstant{}, integer: map[string]onnxInts{}, shapes: map[string][]int64{},
	}
	for _, step := range []func() error{func() error { return g.readModel(m) }, g.openExternal, g.link, g.follow} {
		if err := step(); err != nil {
			return err
		}
	}
	f.format = onnx
	entries, err := g.entries()
	if err != nil {
		return err
	}
	f.setEntries(entries)
	f.metadata, err = g.metadata()
	return err
}

// metadata returns the layers and what the graph says of its input.
func (g *onnxGraph) metadata() (map[string]string, error) {
	var words []string
	last := len(g.layers) - 1
	for last >= 0 && g.layers[last].kind != onnxFC {
		last--
	}
	for i, l := range g.layers {
		words = append(words, l.word(i == last))
	}
	g.meta.Layers = strings.Join(words, " ")
	for i, p := range g.padded {
		if i > 0 && p != g.padded[0] {
			return nil, &Error{Detail: "some convolutions are padded and some are not", Err: ErrUnsupported}
		}
		g.meta.Unpadded = !p
	}
	if g.size[0] == g.size[1] {
		g.meta.Size = g.size[0]
	}
	metadata, err := g.meta.Encode()
	if err == nil && g.size[0] != g.size[1] {
		metadata[KeySize] = fmt.Sprintf("%dx%d", g.size[0], g.size[1])
	}
	return metadata, err
}

// kerasConv is the name of a convolution of Keras's own VGGs.
var kerasConv = regexp.MustCompile(`(^|/)block[0-9]_conv[0-9](/|$)`)

// decide takes the axes of the input from the first operator that wants NCHW.
func (g *onnxGraph) decide(n *onnxNode) error {
	if g.decided {
		return g.view.want(n, "NCHW")
	}
	axes := g.view.axes
	if len(axes) != 4 || axes[0] != 'a' || axes != "abcd" && axes != "adbc" {
		return n.failf("takes the input's axes in the order %s, want NCHW or NHWC", g.view.order())
	}
	dims := map[byte]int64{}
	for i, letter := range []byte("NCHW") {
		dims[letter] = g.view.dims[axes[i]]
	}
	if g.axis != 0 && g.axis != axes[1] {
		return n.failf("the constants before it lie along another axis than the channels")
	}
	g.view, g.decided = onnxView{axes: "NCHW", dims: dims}, true
	if h, w := dims['H'], dims['W']; h > 0 && w > 0 {
		if h > maxPixels || w > maxPixels {
			return n.failf("the input is %d×%d, want at most %d×%d", h, w, maxPixels, maxPixels)
		}
		g.size = [2]int{int(h), int(w)}
	}
	return nil
}

// preset writes constants before the first layer as means and deviations of
// pictures, which have channels many channels; what pictures cannot have
// becomes a layer.
func (g *onnxGraph) preset(n *onnxNode, channels int) error {
	a := g.front
	g.front = onnxAffine{}
	if a.identity() {
		if g.pixels {
			g.meta.Preset = PresetNone
		} else if kerasConv.MatchString(n.name) || len(n.inputs) > 1 && kerasConv.MatchString(n.inputs[1]) {
			g.meta.Preset = PresetCaffe
		}
		return nil
	}
	if err := a.widen(n, channels); err != nil {
		return err
	}
	if channels != 3 || slices.ContainsFunc(a.scale, func(v float64) bool { return v <= 0 }) {
		if g.pixels {
			g.meta.Preset = PresetNone
		}
		return g.add(n, &onnxLayer{kind: onnxScale, out: channels, affine: a})
	}
	g.meta.Preset = PresetUnit
	if g.pixels {
		g.meta.Preset = PresetNone
	}
	for c, scale := range a.scale {
		mean, std := decimal(-a.shift[c]/scale), decimal(1/scale)
		if math.Abs(mean) > 1 || std > 1 {
			g.meta.Preset = PresetNone // in [0, 255]
		}
		g.meta.Mean, g.meta.Std = append(g.meta.Mean, mean+0), append(g.meta.Std, std)
	}
	return nil
}

// decimal returns the shortest decimal that rounds to x as a float32: 1e-5 for
// the float32 next to it, which is what was meant.
func decimal(x float64) float64 {
	if d, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64); err == nil {
		return d
	}
	return x
}
