package weights

import (
	"fmt"
	"slices"
	"strings"
)

// link finds the node that makes each value, and those that read it.
func (g *onnxGraph) link() error {
	known := map[string]bool{}
	for _, v := range g.inputs {
		known[v.name] = true
	}
	for _, n := range g.nodes {
		for _, out := range n.outputs {
			if out == "" {
				continue
			}
			if g.makers[out] != nil || known[out] || g.tensors[out] != nil {
				return n.failf("gives %s, which is there already", quote(out))
			}
			g.makers[out] = n
		}
	}
	for _, n := range g.nodes {
		if err := g.nodeConstant(n); err != nil {
			return err
		}
		if err := g.linkInputs(n, known); err != nil {
			return err
		}
	}
	g.budget = 8*g.file.size + 1<<20
	for _, f := range g.file.beside {
		g.budget += 8 * f.size
	}
	return nil
}

// linkInputs adds a node to the readers of its inputs, which must be there.
func (g *onnxGraph) linkInputs(n *onnxNode, known map[string]bool) error {
	for _, in := range n.inputs {
		switch {
		case in == "":
		case g.makers[in] == nil && !known[in] && g.tensors[in] == nil:
			return n.failf("reads %s, which nothing gives", quote(in))
		case n.op != "Shape":
			g.readers[in] = append(g.readers[in], n)
		}
	}
	return nil
}

// nodeConstant takes the value of a Constant.
func (g *onnxGraph) nodeConstant(n *onnxNode) error {
	if n.op != "Constant" || n.domain != "" && n.domain != "ai.onnx" || len(n.outputs) != 1 || len(n.attributes) != 1 {
		return nil
	}
	n.used = true
	for name, a := range n.attributes {
		t := &onnxTensor{name: n.outputs[0]}
		switch name {
		case "value":
			if t = a.tensor; t == nil {
				return n.failf("its value is no tensor")
			}
			t.name = n.outputs[0]
		case "value_float":
			b := make([]byte, 4)
			putFloats(b, F32, []float32{float32(a.f)})
			t.dataType, t.values = 1, values{entry: entry{dtype: F32, own: b}, parts: 1}
		case "value_floats":
			t.dataType, t.values = 1, a.floats
			t.values.dtype, t.dims = F32, []int64{int64(len(a.floats.own) / 4)}
		case "value_int":
			t.dataType, t.values.dtype, t.ints = 7, I64, []int64{a.i}
		case "value_ints":
			t.dataType, t.values.dtype, t.ints, t.dims = 7, I64, a.ints, []int64{int64(len(a.ints))}
		default:
			n.used = false
			return nil
		}
		g.tensors[t.name] = t
	}
	return nil
}

// follow walks from the input that is no initializer to the output.
func (g *onnxGraph) follow() error {
	inputs := slices.DeleteFunc(slices.Clone(g.inputs), func(v onnxValue) bool { return g.tensors[v.name] != nil })
	if len(inputs) != 1 || len(g.outputs) != 1 {
		return &Error{Detail: fmt.Sprintf("the graph has %d inputs and %d outputs, want 1 of each", len(inputs), len(g.outputs)), Err: ErrUnsupported}
	}
	if err := g.enter(inputs[0]); err != nil {
		return err
	}
	// Each value has one maker, so that the way cannot come back to one.
	for at := inputs[0].name; ; {
		g.shapes[at] = g.view.shape()
		next := g.readers[at]
		if len(next) == 0 || at == g.outputs[0] {
			return g.finish(at)
		}
		n := next[0]
		if len(next) > 1 {
			return next[len(next)-1].failf("%s goes to %d nodes: the graph is no chain", quote(at), len(next))
		}
		if err := g.step(n, at); err != nil {
			return err
		}
		at = n.outputs[0]
	}
}

// enter begins the view with the axes of the input.
func (g *onnxGraph) enter(in onnxValue) error {
	if len(in.shape) != 4 && len(in.shape) != 0 {
		return &Error{Detail: fmt.Sprintf("the input %s has %d axes, want 4: pictures, channels, rows, columns", quote(in.name), len(in.shape)), Err: ErrUnsupported}
	}
	switch dtype := onnxTypes[in.elemType]; {
	case dtype == U8:
		g.pixels = true
	case !dtype.IsFloat() && in.elemType != 0:
		return &Error{Detail: fmt.Sprintf("the input %s is of type %d, want floats or bytes", quote(in.name), in.elemType), Err: ErrUnsupported}
	}
	g.view = onnxView{axes: "abcd", dims: map[byte]int64{}}
	for i, d := range in.shape {
		g.view.dims[g.view.axes[i]] = d
	}
	return nil
}

func (g *onnxGraph) step(n *onnxNode, at string) error {
	op, ok := onnxOps[n.op]
	switch {
	case !ok || n.domain != "" && n.domain != "ai.onnx":
		return n.failf("no network of VGG's shape has that operator")
	case g.ended != nil && !op.passes:
		return n.failf("stands behind the %s, want that at the end", g.ended.op)
	case len(n.outputs) == 0:
		return n.failf("has no output")
	case n.inputs[0] != at && !op.either:
		return n.failf("takes %s in another place than the first", quote(at))
	case len(n.inputs) > op.inputs:
		return n.failf("has %d inputs, want at most %d", len(n.inputs), op.inputs)
	case g.pad != [4]int64{} && n.op != "Conv" && n.op != "Pad" && !op.passes:
		return n.failf("stands behind a Pad, want a convolution there")
	case g.meaned != 0 && n.op != "ReduceMean":
		return n.failf("stands behind a mean of rows or columns alone")
	}
	if err := n.checkAttributes(); err != nil {
		return err
	}
	for _, out := range n.outputs[1:] {
		if len(g.readers[out]) > 0 || slices.Contains(g.outputs, out) {
			return n.failf("its further output %s is used", quote(out))
		}
	}
	n.used = true
	return op.do(g, n)
}

// checkAttributes refuses attributes that are not known: they may mean anything.
func (n *onnxNode) checkAttributes() error {
	for name := range n.attributes {
		if !slices.Contains(strings.Fields(onnxOps[n.op].attributes), name) {
			return n.failf("has the unknown attribute %s", quote(name))
		}
	}
	return nil
}

func (g *onnxGraph) finish(at string) error {
	switch {
	case at != g.outputs[0]:
		return &Error{Detail: "the chain ends at " + quote(at) + ", want the output " + quote(g.outputs[0]), Err: ErrUnsupported}
	case len(g.readers[at]) > 0:
		return g.readers[at][0].failf("reads the output, want that at the end")
	case len(g.layers) == 0:
		return &Error{Detail: "the graph has no layers", Err: ErrUnsupported}
	case g.pad != [4]int64{}:
		return &Error{Detail: "the graph ends with a Pad", Err: ErrUnsupported}
	case g.meaned != 0:
		return &Error{Detail: "the graph ends with a mean of rows or columns alone", Err: ErrUnsupported}
	case !g.before.identity():
		return &Error{Detail: "the graph ends with constants for each element of an activation", Err: ErrUnsupported}
	}
	if err := g.checkOutput(at); err != nil {
		return err
	}
	return g.checkUnused()
}

// checkOutput wants the last activation in the order that nonet has.
func (g *onnxGraph) checkOutput(at string) error {
	v := &g.view
	order := strings.ReplaceAll(v.axes, "1", "")
	flat := order == "NF" && (!v.hwc || g.fc || v.pixel())
	if flat || order == "NCHW" || order == "NC" || v.pixel() && (order == "NHWC") {
		return nil
	}
	return &Error{Detail: fmt.Sprintf("the axes of the output %s are %s, want NCHW or NF", quote(at), v.order()), Err: ErrUnsupported}
}

// checkUnused wants every node that depends on the input on the way.
func (g *onnxGraph) checkUnused() error {
	constant := map[string]bool{"": true}
	for name := range g.tensors {
		constant[name] = true
	}
	for _, n := range g.nodes { // sorted, as ONNX wants it
		if n.used || !slices.ContainsFunc(n.inputs, func(in string) bool { return !constant[in] }) {
			for _, out := range n.outputs {
				constant[out] = constant[out] || !n.used || g.constants[out] != nil
			}
			continue
		}
		return n.failf("is not on the way from the input to the output")
	}
	return nil
}
