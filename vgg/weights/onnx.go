package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

const onnx = "ONNX"

// The fields of ONNX's messages that are read, by number.
//
//	ModelProto        graph 7
//	GraphProto        node 1, initializer 5, input 11, output 12
//	NodeProto         input 1, output 2, name 3, op_type 4, attribute 5
//	AttributeProto    name 1, f 2, i 3, s 4, t 5, ints 8
//	TensorProto       dims 1, data_type 2, float_data 4, int64_data 7, name 8, raw_data 9, double_data 10, data_location 14
//	ValueInfoProto    name 1, type 2; tensor_type 1; shape 2; dim 1; dim_value 1
//
// The graph is followed from its input to its end; it must be a chain of the
// operators below. Tensors get the names that torchvision would give them, and
// the metadata the layers, so that initializers may be called anything.
//
//	Conv                 a convolution: features.N.weight, .bias
//	BatchNormalization   features.N.weight, .bias, .running_mean, .running_var, to be folded
//	Relu                 belongs to the layer before
//	MaxPool              2×2, stride 2
//	LRN                  over 5 channels, with Krizhevsky's constants
//	Gemm, MatMul + Add   a fully connected layer: classifier.N.weight [out][in], or .kernel [in][out]
//	Flatten, Reshape     between the two parts
//	Dropout, Identity, AveragePool of 1×1   leave no trace, as does a Softmax at the end
var onnxOps = map[string]func(*onnxGraph, *onnxNode) error{
	"Conv": (*onnxGraph).conv, "BatchNormalization": (*onnxGraph).batchNorm, "Relu": (*onnxGraph).relu,
	"MaxPool": (*onnxGraph).maxPool, "LRN": (*onnxGraph).lrn, "Gemm": (*onnxGraph).gemm, "MatMul": (*onnxGraph).matMul, "Add": (*onnxGraph).add,
	"Flatten": (*onnxGraph).flatten, "Reshape": (*onnxGraph).flatten,
	"Dropout": (*onnxGraph).skip, "Identity": (*onnxGraph).skip, "Softmax": (*onnxGraph).softmax,
	"AveragePool": (*onnxGraph).averagePool,
}

type onnxNode struct {
	name, op        string
	inputs, outputs []string
	attributes      map[string]onnxAttribute
}

type onnxAttribute struct {
	f      float64
	i      int64
	s      string
	ints   []int64
	tensor *onnxTensor
}

type onnxTensor struct {
	name     string
	dims     []int64
	dataType int64
	external bool
	ints     []int64
	values   values
}

// onnxTypes are TensorProto.DataType.
var onnxTypes = map[int64]DType{1: F32, 10: F16, 11: F64, 16: BF16}

// onnxGraph is a graph, and the chain as far as it has been followed.
type onnxGraph struct {
	nodes   []*onnxNode
	tensors map[string]*onnxTensor // initializers and constants
	aliases map[string]string      // outputs of Identity → their inputs
	inputs  []string
	shapes  map[string][]int64 // of inputs
	output  string

	entries map[string]entry
	words   []string // layers, as vgg.ParseLayers reads them; "=" in front until a ReLU comes
	module  int      // number of the next one
	fc      bool
	linear  bool // the last node was a MatMul, whose Add may follow
	normed  bool // the last node was a BatchNormalization
	ended   bool // by Softmax
	zero    []byte
	padded  []bool
	size    int
}

func (f *File) parseONNX() error {
	m, err := f.message()
	if err != nil {
		return err
	}
	g := &onnxGraph{tensors: map[string]*onnxTensor{}, aliases: map[string]string{}, shapes: map[string][]int64{}, entries: map[string]entry{}}
	err = m.each(func(x field) error {
		if x.number == 7 && x.wire == 2 {
			return g.read(x.body)
		}
		return nil
	})
	if err == nil {
		err = g.follow()
	}
	if err != nil {
		return err
	}
	f.format = onnx
	if f.metadata, err = g.metadata(); err != nil {
		return err
	}
	f.setEntries(g.entries)
	return nil
}

// texts appends the strings of a repeated field.
func texts(list []string, x field) []string { return append(list, x.text()) }

func (g *onnxGraph) read(m message) error {
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
			if t := n.attributes["value"].tensor; n.op == "Constant" && t != nil && len(n.outputs) == 1 {
				g.tensors[n.outputs[0]] = t
				return nil
			}
			if n.op == "Identity" && len(n.inputs) == 1 && len(n.outputs) == 1 {
				g.aliases[n.outputs[0]] = n.inputs[0]
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
			return g.readValue(x.body, x.number == 11)
		}
		return nil
	})
}

func (g *onnxGraph) readValue(m message, input bool) error {
	name := ""
	var shape []int64
	inner := func(x field, number int, f func(field) error) error {
		if x.number == number && x.wire == 2 {
			return x.body.each(f)
		}
		return nil
	}
	err := m.each(func(x field) error {
		if x.number == 1 && x.wire == 2 {
			name = x.text()
		}
		return inner(x, 2, func(x field) error { // TypeProto
			return inner(x, 1, func(x field) error { // Tensor
				return inner(x, 2, func(x field) error { // TensorShapeProto
					if x.number != 1 || x.wire != 2 {
						return nil
					}
					dim := int64(-1)
					err := x.body.each(func(x field) error {
						if x.number == 1 && x.wire == 0 {
							dim = int64(x.value)
						}
						return nil
					})
					shape = append(shape, dim)
					return err
				})
			})
		})
	})
	if input {
		g.inputs = append(g.inputs, name)
		g.shapes[name] = shape
	} else {
		g.output = name
	}
	return err
}

func (n *onnxNode) read(m message) error {
	return m.each(func(x field) error {
		if x.wire != 2 {
			return nil
		}
		switch x.number {
		case 1:
			n.inputs = texts(n.inputs, x)
		case 2:
			n.outputs = texts(n.outputs, x)
		case 3:
			n.name = x.text()
		case 4:
			n.op = x.text()
		case 5:
			return n.readAttribute(x.body)
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
		case x.number == 8:
			a.ints, err = x.ints(a.ints)
		}
		return err
	})
	n.attributes[name] = a
	return err
}

func readONNXTensor(m message) (*onnxTensor, error) {
	t := &onnxTensor{}
	err := m.each(func(x field) (err error) {
		switch x.number {
		case 1:
			t.dims, err = x.ints(t.dims)
		case 2:
			t.dataType = int64(x.value)
		case 4:
			t.values.add(F32, x)
		case 7:
			t.ints, err = x.ints(t.ints)
		case 8:
			t.name = x.text()
		case 9:
			t.values.add(U8, x)
		case 10:
			t.values.add(F64, x)
		case 13:
			t.external = true
		case 14:
			t.external = t.external || x.value == 1
		}
		return err
	})
	// raw_data has no type of its own.
	t.values.dtype = onnxTypes[t.dataType]
	return t, err
}

// constant returns an initializer or constant, or nil. Exporters write tensors that
// are equal once, and an Identity for each further use.
func (g *onnxGraph) constant(name string) *onnxTensor {
	for range 1 + 8 { // Identities of Identities, which might go in a circle
		if t := g.tensors[name]; t != nil {
			return t
		}
		name = g.aliases[name]
	}
	return nil
}

// integers returns the elements of a tensor of int64, as shapes are.
func (t *onnxTensor) integers() []int64 {
	if t.ints != nil || t.dataType != 7 {
		return t.ints
	}
	var list []int64
	for b := t.values.own; len(b) >= 8; b = b[8:] {
		list = append(list, int64(binary.LittleEndian.Uint64(b)))
	}
	return list
}

// failf makes an error about a node.
func (n *onnxNode) failf(format string, args ...any) error {
	return &Error{Detail: "node " + quote(n.name) + " (" + n.op + "): " + fmt.Sprintf(format, args...), Err: ErrUnsupported}
}

// follow walks from the input that is no initializer to the output.
func (g *onnxGraph) follow() error {
	inputs := slices.DeleteFunc(slices.Clone(g.inputs), func(s string) bool { return g.tensors[s] != nil })
	if len(inputs) != 1 {
		return &Error{Detail: fmt.Sprintf("the graph has %d inputs, want 1", len(inputs)), Err: ErrUnsupported}
	}
	if s := g.shapes[inputs[0]]; len(s) == 4 && s[2] == s[3] && s[2] > 0 && s[2] <= maxPixels {
		g.size = int(s[2])
	}
	readers := map[string][]*onnxNode{}
	for _, n := range g.nodes {
		for _, in := range n.inputs {
			// The shape of an activation is read to compute that of a reshape.
			if n.op != "Shape" && in != "" {
				readers[in] = append(readers[in], n)
			}
		}
	}
	at := inputs[0]
	for range len(g.nodes) + 1 {
		next := readers[at]
		if at == g.output || len(next) == 0 {
			return g.finish(at)
		}
		n := next[0]
		if len(next) > 1 {
			return n.failf("%s goes to %d nodes: the graph is no chain", quote(at), len(next))
		}
		if err := g.step(n, at); err != nil {
			return err
		}
		at = n.outputs[0]
	}
	return &Error{Detail: "the graph goes in a circle", Err: ErrFormat}
}

func (g *onnxGraph) step(n *onnxNode, at string) error {
	op, ok := onnxOps[n.op]
	switch {
	case !ok:
		return n.failf("no network of VGG's shape has that operator")
	case g.ended:
		return n.failf("stands behind the Softmax, want that at the end")
	case len(n.outputs) == 0 || n.inputs[0] != at && n.op != "Add":
		return n.failf("takes %s in another place than the first", quote(at))
	}
	follows := g.linear
	g.linear, g.normed = false, g.normed && n.op == "BatchNormalization"
	if follows && n.op == "Add" {
		return g.bias(n)
	}
	return op(g, n)
}

func (g *onnxGraph) finish(at string) error {
	if at != g.output {
		return &Error{Detail: "the chain ends at " + quote(at) + ", want the output " + quote(g.output), Err: ErrUnsupported}
	}
	if len(g.words) == 0 {
		return &Error{Detail: "the graph has no layers", Err: ErrUnsupported}
	}
	return nil
}

func (g *onnxGraph) metadata() (map[string]string, error) {
	last := len(g.words) - 1
	if strings.HasPrefix(g.words[last], "=F") {
		g.words[last] = g.words[last][1:] // the last one has no ReLU as it is
	}
	m := Meta{Layers: strings.Join(g.words, " "), Size: g.size}
	for i, p := range g.padded {
		if i > 0 && p != g.padded[0] {
			return nil, &Error{Detail: "some convolutions are padded and some are not", Err: ErrUnsupported}
		}
		m.Unpadded = !p
	}
	return m.Encode()
}

// tensor places input i of n under a name.
func (g *onnxGraph) tensor(n *onnxNode, i, rank int, name string) ([]int, error) {
	if i >= len(n.inputs) {
		return nil, n.failf("has %d inputs, want one more", len(n.inputs))
	}
	t := g.constant(n.inputs[i])
	if t == nil {
		return nil, n.failf("input %d, %s, is no constant", i, quote(n.inputs[i]))
	}
	if t.external {
		return nil, &Error{Tensor: t.name, Detail: "the elements are in another file", Err: ErrUnsupported}
	}
	dims, err := intDims(t.name, t.dims)
	if err != nil {
		return nil, err
	}
	if t.values.dtype == "" || len(dims) != rank {
		return nil, &Error{Tensor: t.name, Detail: fmt.Sprintf("shape is %v of type %d, want %d dimensions of floats", dims, t.dataType, rank), Err: ErrShape}
	}
	if g.entries[name], err = t.values.place(t.name, dims); err != nil {
		return nil, err
	}
	return dims, nil
}

// zeros adds a bias of n zeros. All share their memory: a file may ask for many with
// few bytes.
func (g *onnxGraph) zeros(name string, n int) error {
	if n > maxWidth {
		return formatf(name, "%d elements, want at most %d", n, maxWidth)
	}
	if 4*n > len(g.zero) {
		g.zero = make([]byte, max(4*n, 2*len(g.zero)))
	}
	g.entries[name] = entry{dtype: F32, shape: []int{n}, length: 4 * int64(n), own: g.zero[:4*n]}
	return nil
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

func (g *onnxGraph) name(kind string) string {
	part := "features."
	if g.fc {
		part = "classifier."
	}
	return part + strconv.Itoa(g.module) + "." + kind
}

func (g *onnxGraph) conv(n *onnxNode) error {
	if g.fc {
		return n.failf("a convolution after the fully connected layers began")
	}
	d, err := g.tensor(n, 1, 4, g.name("weight"))
	if err != nil {
		return err
	}
	auto := n.attributes["auto_pad"].s
	pads := n.attributes["pads"].ints
	padded := len(pads) > 0 && pads[0] == 1 || strings.HasPrefix(auto, "SAME")
	pad := int64(0)
	if padded && !strings.HasPrefix(auto, "SAME") {
		pad = 1
	}
	if d[2] != d[3] || d[2] != 1 && d[2] != 3 || !n.all("strides", 1) || !n.all("dilations", 1) || n.int("group", 1) != 1 || !n.all("pads", pad) || d[2] == 1 && pad != 0 {
		return n.failf("a convolution of %d×%d, strides %v, dilations %v, group %d, pads %v; want 3×3 or 1×1, stride 1, pads 1 or 0",
			d[2], d[3], n.attributes["strides"].ints, n.attributes["dilations"].ints, n.int("group", 1), pads)
	}
	word := fmt.Sprintf("=%d", d[0])
	if d[2] == 1 {
		word += "/1"
	} else {
		g.padded = append(g.padded, padded)
	}
	g.words = append(g.words, word)
	if len(n.inputs) > 2 && n.inputs[2] != "" {
		_, err = g.tensor(n, 2, 1, g.name("bias"))
	} else {
		err = g.zeros(g.name("bias"), d[0])
	}
	g.module++
	return err
}

func (g *onnxGraph) batchNorm(n *onnxNode) error {
	switch {
	case len(g.words) == 0 || !strings.HasPrefix(g.words[len(g.words)-1], "=") || g.fc:
		return n.failf("does not follow a convolution")
	case g.normed:
		return n.failf("follows another")
	case n.int("training_mode", 0) != 0:
		return n.failf("training_mode 1, want 0: its results depend on the batch")
	}
	g.normed = true
	if eps := n.float("epsilon", 1e-5); math.Abs(eps-1e-5) > 1e-9 {
		return n.failf("epsilon is %g, want 1e-5", eps)
	}
	for i, kind := range []string{"weight", "bias", "running_mean", "running_var"} {
		if _, err := g.tensor(n, i+1, 1, g.name(kind)); err != nil {
			return err
		}
	}
	g.module++
	return nil
}

func (g *onnxGraph) relu(n *onnxNode) error {
	last := len(g.words) - 1
	if last < 0 || !strings.HasPrefix(g.words[last], "=") {
		return n.failf("does not follow a layer with weights")
	}
	g.words[last] = g.words[last][1:]
	g.module++
	return nil
}

func (g *onnxGraph) maxPool(n *onnxNode) error {
	k := n.attributes["kernel_shape"].ints
	if g.fc || len(k) != 2 || !n.all("kernel_shape", 2) || len(n.attributes["strides"].ints) != 2 || !n.all("strides", 2) || !n.all("pads", 0) || strings.HasPrefix(n.attributes["auto_pad"].s, "SAME") || n.int("ceil_mode", 0) != 0 || !n.all("dilations", 1) {
		return n.failf("a pool of %v, strides %v, pads %v, auto_pad %q, ceil_mode %d; want 2×2, stride 2", k, n.attributes["strides"].ints, n.attributes["pads"].ints, n.attributes["auto_pad"].s, n.int("ceil_mode", 0))
	}
	g.words = append(g.words, "M")
	g.module++
	return nil
}

func (g *onnxGraph) averagePool(n *onnxNode) error {
	if g.fc || !n.all("kernel_shape", 1) || !n.all("strides", 1) || !n.all("pads", 0) {
		return n.failf("a pool of %v; want 1×1, which changes nothing", n.attributes["kernel_shape"].ints)
	}
	return nil
}

// lrn accepts Krizhevsky's constants: ONNX divides alpha by the size, VGG's
// paper does not.
func (g *onnxGraph) lrn(n *onnxNode) error {
	near := func(v, want float64) bool { return math.Abs(v-want) <= 1e-5*want }
	if size, alpha, beta, bias := n.int("size", 0), n.float("alpha", 1e-4), n.float("beta", 0.75), n.float("bias", 1); g.fc ||
		size != 5 || !near(alpha, 5e-4) || !near(beta, 0.75) || !near(bias, 2) {
		return n.failf("size %d, alpha %g, beta %g, bias %g; want 5, 5e-4, 0.75, 2", size, alpha, beta, bias)
	}
	g.words = append(g.words, "N")
	g.module++
	return nil
}

// flatten begins the fully connected part.
func (g *onnxGraph) flatten(n *onnxNode) error {
	if n.op == "Flatten" && n.int("axis", 1) != 1 {
		return n.failf("axis %d, want 1", n.int("axis", 1))
	}
	if n.op == "Reshape" && len(n.inputs) > 1 {
		if t := g.constant(n.inputs[1]); t != nil && len(t.integers()) != 2 {
			return n.failf("to %v, want 2 dimensions", t.integers())
		}
	}
	if !g.fc {
		g.fc, g.module = true, 0
	}
	return nil
}

// dense adds a fully connected layer with weights of shape d.
func (g *onnxGraph) dense(d []int, out int) {
	g.words = append(g.words, fmt.Sprintf("=F%d", d[out]))
}

func (g *onnxGraph) gemm(n *onnxNode) error {
	if !g.fc {
		g.fc, g.module = true, 0
	}
	kind, out := "kernel", 1
	if n.int("transB", 0) == 1 {
		kind, out = "weight", 0
	}
	if n.int("transA", 0) != 0 || n.float("alpha", 1) != 1 || n.float("beta", 1) != 1 {
		return n.failf("transA %d, alpha %g, beta %g; want 0, 1, 1", n.int("transA", 0), n.float("alpha", 1), n.float("beta", 1))
	}
	d, err := g.tensor(n, 1, 2, g.name(kind))
	if err != nil {
		return err
	}
	g.dense(d, out)
	if len(n.inputs) > 2 && n.inputs[2] != "" {
		_, err = g.tensor(n, 2, 1, g.name("bias"))
	} else {
		err = g.zeros(g.name("bias"), d[out])
	}
	g.module++
	return err
}

func (g *onnxGraph) matMul(n *onnxNode) error {
	if !g.fc {
		g.fc, g.module = true, 0
	}
	d, err := g.tensor(n, 1, 2, g.name("kernel"))
	if err != nil {
		return err
	}
	g.dense(d, 1)
	g.linear = true
	err = g.zeros(g.name("bias"), d[1])
	g.module++
	return err
}

// bias is the Add after a MatMul, which may have its operands in either order.
func (g *onnxGraph) bias(n *onnxNode) error {
	g.module--
	defer func() { g.module++ }()
	for i, in := range n.inputs {
		if g.constant(in) != nil {
			_, err := g.tensor(n, i, 1, g.name("bias"))
			return err
		}
	}
	return n.failf("adds what is no constant")
}

func (g *onnxGraph) add(n *onnxNode) error { return n.failf("stands not behind a MatMul") }

// softmax ends the chain: what a network of ours gives are the logits.
func (g *onnxGraph) softmax(*onnxNode) error {
	g.ended = true
	return nil
}

func (g *onnxGraph) skip(*onnxNode) error { return nil }
