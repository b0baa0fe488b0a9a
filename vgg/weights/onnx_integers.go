package weights

import (
	"encoding/binary"
	"math"
	"slices"
)

// Sizes of an activation that the file leaves open, among integers.
const (
	anyBatch int64 = math.MinInt64 + iota // the number of pictures
	anySize                               // another
)

// onnxInts is a number (of no dimensions), a list or a matrix of integers.
type onnxInts struct {
	shape []int
	list  []int64
}

func listOf(v []int64) onnxInts { return onnxInts{[]int{len(v)}, v} }

// maxInts bounds what is computed of integers: they are shapes.
const maxInts = 4 * maxRank

// integers returns a tensor of int64, as shapes are: an initializer, or what nodes
// make of such and of the shape of an activation.
func (g *onnxGraph) integers(name string) (onnxInts, bool) { return g.integersAt(name, 0) }

func (g *onnxGraph) integersAt(name string, depth int) (onnxInts, bool) {
	if v, ok := g.integer[name]; ok || depth > maxDepth {
		return v, ok
	}
	if t := g.tensors[name]; t != nil {
		return g.listed(t)
	}
	n := g.makers[name]
	if n == nil || n.domain != "" && n.domain != "ai.onnx" || len(n.outputs) != 1 || len(n.inputs) == 0 {
		return onnxInts{}, false
	}
	var in []onnxInts
	if n.op == "Shape" {
		shape, ok := g.shapes[n.inputs[0]]
		if t := g.tensors[n.inputs[0]]; t != nil {
			shape, ok = t.dims, true
		}
		if !ok || len(n.attributes) > 0 {
			return onnxInts{}, false
		}
		in = append(in, listOf(shape))
	} else {
		for _, name := range n.inputs {
			v, ok := g.integersAt(name, depth+1)
			if !ok {
				return v, false
			}
			in = append(in, v)
		}
	}
	compute, known := onnxIntegerOps[n.op]
	if !known {
		return onnxInts{}, false
	}
	v, ok := compute(n, in)
	if !ok || len(v.list) > maxInts {
		return onnxInts{}, false
	}
	n.used = true
	g.integer[name] = v
	return v, true
}

// listed returns the elements of a tensor of integers.
func (g *onnxGraph) listed(t *onnxTensor) (onnxInts, bool) {
	shape, err := intDims(t.name, t.dims)
	if err != nil || len(shape) > 2 {
		return onnxInts{}, false
	}
	v := onnxInts{shape: shape}
	if len(t.ints) > 0 && t.dataType == 7 && t.values.parts == 0 {
		v.list = t.ints
		n, ok := byteLen(U8, shape)
		return v, ok && n == int64(len(v.list)) && n <= maxInts
	}
	e, err := t.place()
	if err != nil || e.dtype != I64 && e.dtype != I32 || e.length > 8*maxInts {
		return v, false
	}
	b, err := g.file.entryData(e)
	for size := e.dtype.Size(); len(b) >= size; b = b[size:] {
		if size == 8 {
			v.list = append(v.list, int64(binary.LittleEndian.Uint64(b)))
		} else {
			v.list = append(v.list, int64(int32(binary.LittleEndian.Uint32(b))))
		}
	}
	return v, err == nil
}

// onnxIntegerOps compute with integers, which exporters do to find the shape that an
// activation shall have. They return false for what they do not know.
var onnxIntegerOps = map[string]func(n *onnxNode, in []onnxInts) (onnxInts, bool){
	"Shape":           func(_ *onnxNode, in []onnxInts) (onnxInts, bool) { return in[0], true },
	"Identity":        func(_ *onnxNode, in []onnxInts) (onnxInts, bool) { return in[0], true },
	"Cast":            castInts,
	"Unsqueeze":       unsqueezeInts,
	"Squeeze":         squeezeInts,
	"Concat":          concatInts,
	"Gather":          gatherInts,
	"Slice":           sliceInts,
	"Mul":             multiplyInts,
	"Sub":             subtractInts,
	"ReduceProd":      productOfInts,
	"Reshape":         reshapeInts,
	"Transpose":       transposeInts,
	"ConstantOfShape": constantInts,
}

func castInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	to := n.int("to", 0)
	return in[0], to == 6 || to == 7
}

// axesInts returns the axes of Squeeze and Unsqueeze.
func axesInts(n *onnxNode, in []onnxInts) []int64 {
	if len(in) > 1 {
		return in[1].list
	}
	return n.attributes["axes"].ints
}

// unsqueezeInts makes a list of a number.
func unsqueezeInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	axes := axesInts(n, in)
	return listOf(in[0].list), len(in[0].shape) == 0 && len(axes) == 1 && (axes[0] == 0 || axes[0] == -1)
}

// squeezeInts makes a number of a list.
func squeezeInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	axes := axesInts(n, in)
	return onnxInts{nil, in[0].list}, len(in[0].shape) == 1 && len(in[0].list) == 1 && (len(axes) == 0 || len(axes) == 1 && (axes[0] == 0 || axes[0] == -1))
}

func concatInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	var list []int64
	for _, v := range in {
		if len(v.shape) != 1 || len(list) > maxInts {
			return v, false
		}
		list = append(list, v.list...)
	}
	axis := n.int("axis", 0)
	return listOf(list), axis == 0 || axis == -1
}

func gatherInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	if len(in) != 2 || len(in[0].shape) != 1 || n.int("axis", 0) != 0 {
		return onnxInts{}, false
	}
	v := onnxInts{shape: in[1].shape}
	for _, i := range in[1].list {
		if i < 0 {
			i += int64(len(in[0].list))
		}
		if i < 0 || i >= int64(len(in[0].list)) {
			return v, false
		}
		v.list = append(v.list, in[0].list[i])
	}
	return v, true
}

// sliceInts takes some elements, or rows: by attributes or by inputs, forward or
// all in reverse.
func sliceInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	starts, ends, axes, steps := n.attributes["starts"].ints, n.attributes["ends"].ints, n.attributes["axes"].ints, []int64{1}
	for i, p := range []*[]int64{&starts, &ends, &axes, &steps} {
		if i+1 < len(in) {
			*p = in[i+1].list
		}
	}
	if len(starts) != 1 || len(ends) != 1 || len(axes) > 1 || len(axes) == 1 && axes[0] != 0 || len(steps) != 1 || len(in[0].shape) == 0 || len(in[0].list) == 0 {
		return onnxInts{}, false
	}
	rows := int64(in[0].shape[0])
	width := len(in[0].list) / int(rows)
	at := func(i int64) int64 {
		if i < 0 {
			i = max(i+rows, 0)
		}
		return min(i, rows)
	}
	v := onnxInts{shape: slices.Clone(in[0].shape)}
	switch {
	case steps[0] == 1:
		from, to := at(starts[0]), at(ends[0])
		v.list = in[0].list[int(from)*width : int(max(from, to))*width]
	case steps[0] == -1 && (starts[0] == -1 || starts[0] >= rows-1) && ends[0] < -rows:
		for row := int(rows) - 1; row >= 0; row-- {
			v.list = append(v.list, in[0].list[row*width:][:width]...)
		}
	default:
		return v, false
	}
	v.shape[0] = len(v.list) / max(width, 1)
	return v, true
}

// multiplyInts multiplies numbers and lists.
func multiplyInts(_ *onnxNode, in []onnxInts) (onnxInts, bool) {
	if len(in) != 2 || len(in[0].shape) > 1 || len(in[1].shape) > 1 {
		return onnxInts{}, false
	}
	list, ok := multiply(in[0].list, in[1].list)
	v := onnxInts{nil, list}
	if len(in[0].shape)+len(in[1].shape) > 0 {
		v.shape = []int{len(list)}
	}
	return v, ok
}

// subtractInts does numbers and lists of one, which are known.
func subtractInts(_ *onnxNode, in []onnxInts) (onnxInts, bool) {
	if len(in) != 2 || len(in[0].list) != 1 || len(in[1].list) != 1 || min(in[0].list[0], in[1].list[0]) < 0 {
		return onnxInts{}, false
	}
	v := onnxInts{list: []int64{in[0].list[0] - in[1].list[0]}, shape: in[0].shape}
	if len(in[1].shape) > len(v.shape) {
		v.shape = in[1].shape
	}
	return v, true
}

// multiply multiplies two lists, of which one may be a single number.
func multiply(a, b []int64) ([]int64, bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(b) == 0 || len(b) > 1 && len(a) != len(b) {
		return nil, false
	}
	list := make([]int64, len(a))
	for i, x := range a {
		y := b[i%len(b)]
		switch {
		case x == 1:
			list[i] = y
		case y == 1:
			list[i] = x
		case x < 0 || y < 0 || y > 0 && x > math.MaxInt64/y:
			list[i] = anySize
		default:
			list[i] = x * y
		}
	}
	return list, true
}

// productOfInts multiplies the elements of a list.
func productOfInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	product := []int64{1}
	for _, x := range in[0].list {
		product, _ = multiply(product, []int64{x})
	}
	v := onnxInts{nil, product}
	if n.int("keepdims", 1) != 0 {
		v.shape = []int{1}
	}
	axes := axesInts(n, in)
	return v, len(in[0].shape) == 1 && (len(axes) == 0 || len(axes) == 1 && (axes[0] == 0 || axes[0] == -1))
}

func reshapeInts(_ *onnxNode, in []onnxInts) (onnxInts, bool) {
	if len(in) != 2 || len(in[1].list) < 1 || len(in[1].list) > 2 {
		return onnxInts{}, false
	}
	v := onnxInts{list: in[0].list}
	rest, open := int64(1), -1
	for i, d := range in[1].list {
		switch {
		case d == -1 && open < 0:
			open = i
		case d < 1 || d > maxInts:
			return v, false
		default:
			rest *= d
		}
		v.shape = append(v.shape, int(d))
	}
	if open >= 0 {
		v.shape[open] = len(v.list) / int(rest)
		rest *= int64(v.shape[open])
	}
	return v, rest == int64(len(v.list))
}

func transposeInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	perm := n.attributes["perm"].ints
	if len(in[0].shape) != 2 || perm != nil && !slices.Equal(perm, []int64{1, 0}) {
		return onnxInts{}, false
	}
	rows, columns := in[0].shape[0], in[0].shape[1]
	v := onnxInts{shape: []int{columns, rows}}
	for c := range columns {
		for r := range rows {
			v.list = append(v.list, in[0].list[r*columns+c])
		}
	}
	return v, true
}

// constantInts makes a list of zeros: other values are not known.
func constantInts(n *onnxNode, in []onnxInts) (onnxInts, bool) {
	if len(in[0].list) != 1 || in[0].list[0] < 0 || in[0].list[0] > maxInts {
		return onnxInts{}, false
	}
	if a, ok := n.attributes["value"]; ok {
		t := a.tensor
		if t == nil || t.dataType != 7 || t.external != nil || slices.ContainsFunc(t.ints, func(v int64) bool { return v != 0 }) ||
			slices.ContainsFunc(t.values.own, func(b byte) bool { return b != 0 }) {
			return onnxInts{}, false
		}
	}
	return listOf(make([]int64, in[0].list[0])), true
}
