package testutil

import (
	"fmt"
	"math"
	"slices"
)

// An Array is a value of a graph. Integers and sizes are held as floats too.
type Array struct {
	Dims []int
	V    []float64
}

// graphEval is an evaluation. Its methods panic with an error if the graph is none.
type graphEval struct {
	values map[string]Array
	opset  int
}

// Eval computes the first output for an input of the given size, in float64 and by
// the definitions of the operators. A Softmax, LogSoftmax or Sigmoid hands on its
// input: it gives the logits. It returns an error for what is no graph.
func (g *Graph) Eval(input Array) (out Array, err error) {
	e := &graphEval{values: map[string]Array{g.Input: input}, opset: g.Opset}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("testutil: %v", r)
		}
	}()
	for _, t := range g.Tensors {
		if _, twice := e.values[t.Name]; twice {
			panic("two tensors are called " + t.Name)
		}
		e.values[t.Name] = Array{t.Dims, t.Data}
	}
	// In any order: the file may have been shuffled.
	todo := slices.Clone(g.Nodes)
	for len(todo) > 0 {
		before := len(todo)
		todo = slices.DeleteFunc(todo, func(n GraphNode) bool {
			for _, in := range n.In {
				if _, ok := e.values[in]; !ok && in != "" {
					return false
				}
			}
			e.run(n)
			return true
		})
		if len(todo) == before {
			break
		}
	}
	out, ok := e.values[g.Outputs[0]]
	if !ok {
		panic("nothing gives " + g.Outputs[0])
	}
	return out, nil
}

func attr[T any](n GraphNode, name string, otherwise T) T {
	if v, ok := n.Attrs[name]; ok {
		return v.(T)
	}
	return otherwise
}

func (e *graphEval) run(n GraphNode) {
	var in []Array
	for _, name := range n.In {
		in = append(in, e.values[name])
	}
	y := e.compute(n, in)
	if size(y.Dims) != len(y.V) {
		panic(fmt.Sprintf("%s gives %d elements of %v", n.Op, len(y.V), y.Dims))
	}
	if _, twice := e.values[n.Out[0]]; twice {
		panic("two nodes give " + n.Out[0])
	}
	e.values[n.Out[0]] = y
}

func (e *graphEval) compute(n GraphNode, in []Array) Array {
	switch n.Op {
	case "Constant":
		t := n.Attrs["value"].(GraphTensor)
		return Array{t.Dims, t.Data}
	case "Identity", "Dropout", "Cast", "Softmax", "LogSoftmax", "Sigmoid":
		return in[0]
	case "Relu":
		return in[0].each(func(v float64) float64 { return max(v, 0) })
	case "Clip":
		return in[0].each(func(v float64) float64 { return min(max(v, attr(n, "min", -1e30)), attr(n, "max", 1e30)) })
	case "Conv":
		return evalConv(n, in)
	case "MaxPool", "AveragePool":
		return evalPool(n, in[0])
	case "GlobalAveragePool":
		return evalMean(in[0], []int{2, 3}, true)
	case "ReduceMean":
		axes := attr(n, "axes", []int(nil))
		if len(in) > 1 {
			axes = in[1].ints()
		}
		return evalMean(in[0], axes, attr(n, "keepdims", 1) == 1)
	case "BatchNormalization":
		return evalNorm(n, in)
	case "Gemm":
		return evalGemm(n, in)
	case "MatMul":
		return evalMatMul(in[0], in[1])
	case "Add", "Sub", "Mul", "Div", "Max":
		return evalBroadcast(n.Op, in[0], in[1])
	case "Pad":
		return evalPad(n, in)
	case "Transpose":
		return evalTranspose(in[0], attr(n, "perm", []int(nil)))
	}
	return evalShape(n, in)
}

// evalShape does what changes no value.
func evalShape(n GraphNode, in []Array) Array {
	x := in[0]
	switch n.Op {
	case "Flatten":
		axis := attr(n, "axis", 1)
		if axis < 0 {
			axis += len(x.Dims)
		}
		return Array{[]int{size(x.Dims[:axis]), size(x.Dims[axis:])}, x.V}
	case "Reshape":
		return evalReshape(x, in[1].ints())
	case "Squeeze", "Unsqueeze":
		axes := attr(n, "axes", []int(nil))
		if len(in) > 1 {
			axes = in[1].ints()
		}
		return evalAxes(n.Op, x, axes)
	case "Shape":
		y := Array{Dims: []int{len(x.Dims)}}
		for _, d := range x.Dims {
			y.V = append(y.V, float64(d))
		}
		return y
	case "Gather":
		y := Array{Dims: in[1].Dims}
		for _, i := range in[1].ints() {
			if i < 0 {
				i += len(x.V)
			}
			y.V = append(y.V, x.V[i])
		}
		return y
	case "Concat":
		y := Array{}
		for _, a := range in {
			y.V = append(y.V, a.V...)
		}
		y.Dims = []int{len(y.V)}
		return y
	}
	panic("no operator " + n.Op)
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func (a Array) each(f func(float64) float64) Array {
	y := Array{a.Dims, make([]float64, len(a.V))}
	for i, v := range a.V {
		y.V[i] = f(v)
	}
	return y
}

func (a Array) ints() []int {
	var list []int
	for _, v := range a.V {
		list = append(list, int(v))
	}
	return list
}

// at returns the element of an index.
func (a Array) at(index ...int) float64 {
	k := 0
	for i, x := range index {
		if x < 0 || x >= a.Dims[i] {
			panic(fmt.Sprintf("element %v of %v", index, a.Dims))
		}
		k = k*a.Dims[i] + x
	}
	return a.V[k]
}

// indices calls f with every index of an array, the last varying fastest.
func indices(dims []int, f func(index []int)) {
	index := make([]int, len(dims))
	for range size(dims) {
		f(index)
		for i := len(dims) - 1; i >= 0; i-- {
			if index[i]++; index[i] < dims[i] {
				break
			}
			index[i] = 0
		}
	}
}

// made returns an array of the elements that f gives.
func made(dims []int, f func(index []int) float64) Array {
	y := Array{Dims: dims}
	indices(dims, func(index []int) { y.V = append(y.V, f(index)) })
	return y
}

// evalWindow returns kernel, strides, dilations and pads of both axes, and the size
// of the output.
func evalWindow(n GraphNode, x Array, kernel []int) (strides, dilations, pads, out []int) {
	strides, dilations, pads = attr(n, "strides", []int{1, 1}), attr(n, "dilations", []int{1, 1}), attr(n, "pads", []int{0, 0, 0, 0})
	auto := attr(n, "auto_pad", "NOTSET")
	if len(strides) != 2 || len(pads) != 4 || len(kernel) != 2 || len(x.Dims) != 4 {
		panic("a window of other than 2 axes")
	}
	pads = slices.Clone(pads)
	for i := range 2 {
		extent := (kernel[i]-1)*dilations[i] + 1
		d := x.Dims[2+i]
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			o := (d + strides[i] - 1) / strides[i]
			all := max((o-1)*strides[i]+extent-d, 0)
			pads[i], pads[2+i] = all/2, all-all/2
			if auto == "SAME_LOWER" {
				pads[i], pads[2+i] = pads[2+i], pads[i]
			}
		case "VALID":
			pads[i], pads[2+i] = 0, 0
		}
		space := d + pads[i] + pads[2+i] - extent
		if space < 0 {
			panic("a window larger than its input")
		}
		o := space/strides[i] + 1
		if attr(n, "ceil_mode", 0) != 0 && space%strides[i] != 0 {
			o++
		}
		out = append(out, o)
	}
	return strides, dilations, pads, out
}

func evalConv(n GraphNode, in []Array) Array {
	x, w := in[0], in[1]
	if k := attr(n, "kernel_shape", w.Dims[2:]); !slices.Equal(k, w.Dims[2:]) || attr(n, "group", 1)*w.Dims[1] != x.Dims[1] {
		panic("weights of another shape")
	}
	s, d, p, out := evalWindow(n, x, w.Dims[2:])
	groups := attr(n, "group", 1)
	return made([]int{x.Dims[0], w.Dims[0], out[0], out[1]}, func(i []int) float64 {
		sum := 0.0
		if len(in) > 2 {
			if len(in[2].V) != w.Dims[0] {
				panic("a bias of another length")
			}
			sum = in[2].at(i[1])
		}
		first := i[1] / (w.Dims[0] / groups) * w.Dims[1]
		indices(w.Dims[1:], func(k []int) {
			h, c := i[2]*s[0]+k[1]*d[0]-p[0], i[3]*s[1]+k[2]*d[1]-p[1]
			if h >= 0 && h < x.Dims[2] && c >= 0 && c < x.Dims[3] {
				sum += w.at(i[1], k[0], k[1], k[2]) * x.at(i[0], first+k[0], h, c)
			}
		})
		return sum
	})
}

func evalPool(n GraphNode, x Array) Array {
	kernel := n.Attrs["kernel_shape"].([]int)
	s, d, p, out := evalWindow(n, x, kernel)
	return made([]int{x.Dims[0], x.Dims[1], out[0], out[1]}, func(i []int) float64 {
		most, sum, count := math.Inf(-1), 0.0, 0
		indices(kernel, func(k []int) {
			h, c := i[2]*s[0]+k[0]*d[0]-p[0], i[3]*s[1]+k[1]*d[1]-p[1]
			if h >= 0 && h < x.Dims[2] && c >= 0 && c < x.Dims[3] {
				v := x.at(i[0], i[1], h, c)
				most, sum, count = max(most, v), sum+v, count+1
			}
		})
		if n.Op == "MaxPool" {
			return most
		}
		if attr(n, "count_include_pad", 0) != 0 {
			count = size(kernel)
		}
		return sum / float64(count)
	})
}

// positive returns axes of which none counts from the end.
func positive(axes []int, rank int) []int {
	var list []int
	for _, a := range axes {
		if a < 0 {
			a += rank
		}
		if a < 0 || a >= rank || slices.Contains(list, a) {
			panic("an axis that is not there")
		}
		list = append(list, a)
	}
	return list
}

func evalMean(x Array, axes []int, keep bool) Array {
	axes = positive(axes, len(x.Dims))
	if len(axes) == 0 {
		for i := range x.Dims {
			axes = append(axes, i)
		}
	}
	outer, inner := slices.Clone(x.Dims), slices.Repeat([]int{1}, len(x.Dims))
	for _, a := range axes {
		outer[a], inner[a] = 1, x.Dims[a]
	}
	y := made(outer, func(i []int) float64 {
		sum := 0.0
		indices(inner, func(k []int) {
			at := slices.Clone(i)
			for j := range at {
				at[j] += k[j]
			}
			sum += x.at(at...)
		})
		return sum / float64(size(inner))
	})
	if !keep {
		y = evalAxes("Squeeze", y, axes)
	}
	return y
}

func evalNorm(n GraphNode, in []Array) Array {
	for _, p := range in[1:5] {
		if len(p.V) != in[0].Dims[1] {
			panic("a normalisation of another length")
		}
	}
	return made(in[0].Dims, func(i []int) float64 {
		c := i[1]
		return (in[0].at(i...)-in[3].V[c])/math.Sqrt(in[4].V[c]+attr(n, "epsilon", 1e-5))*in[1].V[c] + in[2].V[c]
	})
}

func evalTranspose(x Array, perm []int) Array {
	if perm == nil {
		for i := range x.Dims {
			perm = append(perm, len(x.Dims)-1-i)
		}
	}
	if len(positive(perm, len(x.Dims))) != len(x.Dims) {
		panic("no order of all axes")
	}
	var dims []int
	for _, p := range perm {
		dims = append(dims, x.Dims[p])
	}
	from := make([]int, len(perm))
	return made(dims, func(i []int) float64 {
		for k, p := range perm {
			from[p] = i[k]
		}
		return x.at(from...)
	})
}

func evalGemm(n GraphNode, in []Array) Array {
	a, b := in[0], in[1]
	if attr(n, "transA", 0) != 0 {
		a = evalTranspose(a, nil)
	}
	if attr(n, "transB", 0) != 0 {
		b = evalTranspose(b, nil)
	}
	if len(a.Dims) != 2 || len(b.Dims) != 2 {
		panic("matrices of other than 2 axes")
	}
	y := evalMatMul(a, b).each(func(v float64) float64 { return v * attr(n, "alpha", 1.0) })
	if len(in) > 2 {
		c := evalBroadcast("Add", y, in[2].each(func(v float64) float64 { return v * attr(n, "beta", 1.0) }))
		if !slices.Equal(c.Dims, y.Dims) {
			panic("a sum larger than the product")
		}
		return c
	}
	return y
}

// evalMatMul multiplies matrices; the first may be several of them.
func evalMatMul(a, b Array) Array {
	rank := len(a.Dims)
	if len(b.Dims) == rank && rank > 2 && size(a.Dims[:rank-2]) == 1 {
		a = Array{a.Dims[rank-2:], a.V}
		y := Array{Dims: append(slices.Clone(b.Dims[:rank-2]), a.Dims[0], b.Dims[rank-1])}
		each := b.Dims[rank-2] * b.Dims[rank-1]
		for i := range size(b.Dims[:rank-2]) {
			y.V = append(y.V, evalMatMul(a, Array{b.Dims[rank-2:], b.V[i*each:][:each]}).V...)
		}
		return y
	}
	if len(a.Dims) == 2 && len(b.Dims) > 2 {
		return evalMatMul(Array{append(slices.Repeat([]int{1}, len(b.Dims)-2), a.Dims...), a.V}, b)
	}
	k := a.Dims[rank-1]
	if len(b.Dims) != 2 || b.Dims[0] != k || rank < 2 {
		panic(fmt.Sprintf("a product of %v and %v", a.Dims, b.Dims))
	}
	return made(append(slices.Clone(a.Dims[:rank-1]), b.Dims[1]), func(i []int) float64 {
		sum, at := 0.0, slices.Clone(i)
		for j := range k {
			at[rank-1] = j
			sum += a.at(at...) * b.at(j, i[rank-1])
		}
		return sum
	})
}

func evalBroadcast(op string, a, b Array) Array {
	rank := max(len(a.Dims), len(b.Dims))
	wide := func(x Array) Array {
		return Array{append(slices.Repeat([]int{1}, rank-len(x.Dims)), x.Dims...), x.V}
	}
	a, b = wide(a), wide(b)
	dims := make([]int, rank)
	for i := range dims {
		dims[i] = max(a.Dims[i], b.Dims[i])
		if a.Dims[i] != b.Dims[i] && a.Dims[i] != 1 && b.Dims[i] != 1 {
			panic(fmt.Sprintf("%v and %v", a.Dims, b.Dims))
		}
	}
	get := func(x Array, i []int) float64 {
		at := slices.Clone(i)
		for k := range at {
			at[k] = min(at[k], x.Dims[k]-1)
		}
		return x.at(at...)
	}
	return made(dims, func(i []int) float64 {
		x, y := get(a, i), get(b, i)
		return map[string]func() float64{
			"Add": func() float64 { return x + y }, "Sub": func() float64 { return x - y },
			"Mul": func() float64 { return x * y }, "Div": func() float64 { return x / y }, "Max": func() float64 { return max(x, y) },
		}[op]()
	})
}

func evalPad(n GraphNode, in []Array) Array {
	x, pads := in[0], attr(n, "pads", []int(nil))
	if len(in) > 1 {
		pads = in[1].ints()
	}
	value := attr(n, "value", 0.0)
	if len(in) > 2 {
		value = in[2].V[0]
	}
	if attr(n, "mode", "constant") != "constant" {
		panic("another mode")
	}
	rank := len(x.Dims)
	dims := make([]int, rank)
	for i := range dims {
		dims[i] = x.Dims[i] + pads[i] + pads[rank+i]
	}
	return made(dims, func(i []int) float64 {
		at := slices.Clone(i)
		for k := range at {
			if at[k] -= pads[k]; at[k] < 0 || at[k] >= x.Dims[k] {
				return value
			}
		}
		return x.at(at...)
	})
}

func evalReshape(x Array, to []int) Array {
	dims, open, rest := slices.Clone(to), -1, 1
	for i, d := range dims {
		if d == 0 {
			dims[i] = x.Dims[i]
		}
		if d == -1 {
			open = i
			continue
		}
		rest *= dims[i]
	}
	if open >= 0 {
		dims[open] = len(x.V) / rest
	}
	return Array{dims, x.V}
}

func evalAxes(op string, x Array, axes []int) Array {
	y := Array{V: x.V}
	if op == "Squeeze" {
		axes = positive(axes, len(x.Dims))
		for i, d := range x.Dims {
			if drop := slices.Contains(axes, i) || len(axes) == 0 && d == 1; !drop {
				y.Dims = append(y.Dims, d)
			} else if d != 1 {
				panic("drops an axis of several elements")
			}
		}
		return y
	}
	rest := x.Dims
	axes = positive(axes, len(x.Dims)+len(axes))
	for i := range len(x.Dims) + len(axes) {
		if slices.Contains(axes, i) {
			y.Dims = append(y.Dims, 1)
		} else {
			y.Dims, rest = append(y.Dims, rest[0]), rest[1:]
		}
	}
	return y
}
