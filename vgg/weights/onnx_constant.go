package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// onnxConstant is a tensor that is known without the input, or a view of one:
// element (i, j, …) is at base + i·strides[0] + j·strides[1] + …
type onnxConstant struct {
	*onnxTensor
	shape   []int
	strides []int
}

// maxDepth bounds constants made from constants.
const maxDepth = 64

// constant returns an initializer, the value of a Constant, or a view of one
// that nodes make; or nil if the name is of none of these.
func (g *onnxGraph) constant(name string) (*onnxConstant, error) { return g.constantAt(name, 0) }

func (g *onnxGraph) constantAt(name string, depth int) (*onnxConstant, error) {
	if c, ok := g.constants[name]; ok {
		return c, nil
	}
	if depth > maxDepth {
		return nil, nil // in a circle, most likely
	}
	c, err := g.makeConstant(name, depth)
	if err == nil && c != nil {
		g.constants[name] = c
	}
	return c, err
}

func (g *onnxGraph) makeConstant(name string, depth int) (*onnxConstant, error) {
	if t := g.tensors[name]; t != nil {
		return t.constant()
	}
	n := g.makers[name]
	if n == nil || !onnxViews[n.op] || len(n.inputs) == 0 || len(n.outputs) != 1 || n.domain != "" && n.domain != "ai.onnx" {
		return nil, nil
	}
	from, err := g.constantAt(n.inputs[0], depth+1)
	if err != nil || from == nil {
		return nil, err
	}
	if err := n.checkAttributes(); err != nil {
		return nil, err
	}
	n.used = true
	c := *from
	switch n.op {
	case "Transpose":
		err = c.transpose(n)
	case "Cast":
		if err = c.cast(n); err == nil && !c.values.dtype.IsFloat() {
			return g.castIntegers(n, name)
		}
	case "Reshape", "Squeeze", "Unsqueeze":
		err = g.reshapeConstant(n, &c)
	}
	return &c, err
}

// onnxViews are the operators that make a view of a constant.
var onnxViews = map[string]bool{"Identity": true, "Transpose": true, "Cast": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true}

// constant returns the whole tensor.
func (t *onnxTensor) constant() (*onnxConstant, error) {
	shape, err := intDims(t.name, t.dims)
	if err != nil {
		return nil, err
	}
	if _, ok := byteLen(F64, shape); !ok {
		return nil, formatf(t.name, "shape %v has more elements than can be counted", shape)
	}
	return &onnxConstant{t, shape, contiguous(shape)}, nil
}

// contiguous returns the strides of a tensor without gaps.
func contiguous(shape []int) []int {
	strides, n := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= max(shape[i], 1)
	}
	return strides
}

func (c *onnxConstant) len() int {
	n := 1
	for _, d := range c.shape {
		n *= d
	}
	return n
}

func (c *onnxConstant) isContiguous() bool {
	want := contiguous(c.shape)
	for i, d := range c.shape {
		if d != 1 && c.strides[i] != want[i] {
			return false
		}
	}
	return true
}

func (c *onnxConstant) transpose(n *onnxNode) error {
	perm, err := n.permutation(len(c.shape))
	if err != nil {
		return err
	}
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], strides[i] = c.shape[p], c.strides[p]
	}
	c.shape, c.strides = shape, strides
	return nil
}

// permutation returns the attribute perm, for which the default is to reverse.
func (n *onnxNode) permutation(rank int) ([]int64, error) {
	perm := n.attributes["perm"].ints
	if len(perm) == 0 {
		for i := range rank {
			perm = append(perm, int64(rank-1-i))
		}
	}
	sorted := slices.Sorted(slices.Values(perm))
	for i, p := range sorted {
		if len(perm) != rank || p != int64(i) {
			return nil, n.failf("perm is %s, want an order of %d dimensions", brief(perm), rank)
		}
	}
	return perm, nil
}

// cast allows what loses nothing.
func (c *onnxConstant) cast(n *onnxNode) error {
	to := onnxTypes[n.int("to", 0)]
	from := c.values.dtype
	switch {
	case from == I64 || from == I32:
	case to.IsFloat() && from.IsFloat() && (to == F64 || to == F32 && from != F64):
	default:
		return n.failf("turns the constant %s from type %d to %d", quote(c.name), c.dataType, n.int("to", 0))
	}
	return nil
}

// castIntegers makes floats of integers that can be computed: a number that an
// exporter wrote as an integer.
func (g *onnxGraph) castIntegers(n *onnxNode, name string) (*onnxConstant, error) {
	list, ok := g.integers(n.inputs[0])
	if to := onnxTypes[n.int("to", 0)]; !ok || !to.IsFloat() {
		return nil, nil
	}
	t := &onnxTensor{name: name, dataType: 1, values: values{entry: entry{dtype: F32}, parts: 1}}
	for _, d := range list.shape {
		t.dims = append(t.dims, int64(d))
	}
	for _, v := range list.list {
		if v != int64(float32(v)) {
			return nil, n.failf("turns %d into a float, which is another number", v)
		}
		b := make([]byte, 4)
		putFloats(b, F32, []float32{float32(v)})
		t.values.own = append(t.values.own, b...)
	}
	return t.constant()
}

// reshapeConstant gives a tensor without gaps other dimensions.
func (g *onnxGraph) reshapeConstant(n *onnxNode, c *onnxConstant) error {
	var shape []int64
	for _, d := range c.shape {
		shape = append(shape, int64(d))
	}
	var err error
	switch n.op {
	case "Reshape":
		shape, err = g.reshaped(n, shape)
	case "Squeeze":
		shape, _, err = g.squeezed(n, shape)
	default:
		shape, _, err = g.unsqueezed(n, shape)
	}
	if err != nil {
		return err
	}
	dims, err := intDims(c.name, shape)
	if err != nil {
		return err
	}
	want, fits := byteLen(U8, dims)
	if !fits || want != int64(c.len()) || !c.isContiguous() {
		return n.failf("brings the constant %s from %v to %s", quote(c.name), c.shape, brief(shape))
	}
	c.shape, c.strides = dims, contiguous(dims)
	return nil
}

// brief prints a list of numbers in a length that a person reads.
func brief[T any](list []T) string {
	if len(list) > 16 {
		return fmt.Sprint(list[:16]) + fmt.Sprintf(" and %d more", len(list)-16)
	}
	return fmt.Sprint(list)
}

// need is constant for an input that must be one.
func (g *onnxGraph) need(n *onnxNode, i int) (*onnxConstant, error) {
	if i >= len(n.inputs) {
		return nil, n.failf("has %d inputs, want one more", len(n.inputs))
	}
	c, err := g.constant(n.inputs[i])
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, n.failf("input %d, %s, is no constant", i, quote(n.inputs[i]))
	case !c.values.dtype.IsFloat():
		return nil, &Error{Tensor: c.name, Detail: fmt.Sprintf("shape is %s of type %d, want floats", brief(c.shape), c.dataType), Err: ErrShape}
	}
	return c, nil
}

// place returns where the elements of the whole tensor lie.
func (t *onnxTensor) place() (entry, error) {
	shape, err := intDims(t.name, t.dims)
	if err != nil {
		return entry{}, err
	}
	if t.beside == nil {
		return t.values.place(t.name, shape)
	}
	e := t.values.entry
	e.shape = shape
	if length, ok := byteLen(e.dtype, shape); !ok || length != e.length {
		return e, formatf(t.name, "shape %s in %d bytes of %s", brief(shape), e.length, e.dtype)
	}
	return e, nil
}

// floats returns all elements in float64, in the order of the view.
func (g *onnxGraph) floats(c *onnxConstant) ([]float64, error) {
	if c.len() > maxWidth {
		return nil, formatf(c.name, "shape %s, want at most %d elements", brief(c.shape), maxWidth)
	}
	e, err := c.place()
	if err != nil {
		return nil, err
	}
	if g.budget -= 8 * int64(c.len()); g.budget < 0 {
		return nil, &Error{Tensor: c.name, Detail: "is used by too many nodes", Err: ErrUnsupported}
	}
	data, err := g.file.entryData(e)
	if err != nil {
		return nil, err
	}
	out := make([]float64, 0, c.len())
	index := make([]int, len(c.shape))
	err = guard(func() {
		elem := element(e.dtype, data)
		for range c.len() {
			at := 0
			for i, x := range index {
				at += x * c.strides[i]
			}
			out = append(out, elem(at))
			for i := len(index) - 1; i >= 0; i-- {
				if index[i]++; index[i] < c.shape[i] {
					break
				}
				index[i] = 0
			}
		}
	})
	return out, err
}

// element returns the function that reads an element of data as a float64.
func element(d DType, data []byte) func(i int) float64 {
	read, one := elements(d, data), make([]float64, 1)
	return func(i int) float64 {
		read(one, i, 0)
		return one[0]
	}
}

// elements returns the function that reads elements i, i+stride, … of data.
func elements(d DType, data []byte) func(dst []float64, i, stride int) {
	switch d {
	case F32:
		return func(dst []float64, i, stride int) {
			for k := range dst {
				dst[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
				i += stride
			}
		}
	case F64:
		return func(dst []float64, i, stride int) {
			for k := range dst {
				dst[k] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
				i += stride
			}
		}
	}
	return func(dst []float64, i, stride int) { // of 16 bits
		for k := range dst {
			float64s(dst[k:k+1], d, data[2*i:2*i+2])
			i += stride
		}
	}
}
