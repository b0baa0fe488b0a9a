package weights

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A chainNode is a node of a chain: the inputs are the last activation, unless "@" stands for it,
// and the names of constants.
type chainNode struct {
	op         string
	in         []string
	attributes map[string]any
}

// onnxInputOf is the input "x" of a type, with sizes, of which 0 are left open.
func onnxInputOf(elemType int, dims ...int) []byte {
	var shape []byte
	for _, d := range dims {
		if d == 0 {
			shape = append(shape, pb(1, pb(2, "n"))...)
		} else {
			shape = append(shape, pb(1, pb(1, d))...)
		}
	}
	return pb(11, append(pb(1, "x"), pb(2, pb(1, append(pb(1, elemType), pb(2, shape)...)))...))
}

// count returns n numbers from 1 on.
func count(n int) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(i + 1)
	}
	return list
}

// chainConstants are those that tables of chains name.
func chainConstants() [][]byte {
	scalar := func(name string, v float32) []byte { return onnxFloats(name, nil, v) }
	return [][]byte{
		onnxFloats("w3", []int{2, 3, 3, 3}, count(54)...), onnxFloats("w1", []int{2, 3, 1, 1}, count(6)...), onnxFloats("w2", []int{2, 2, 3, 3}, count(36)...),
		onnxFloats("w4", []int{5, 2, 4, 4}, count(160)...), onnxFloats("w22", []int{2, 2, 1, 1}, count(4)...), onnxFloats("w5", []int{2, 5, 1, 1}, count(10)...), onnxFloats("w53", []int{2, 5, 3, 3}, count(90)...),
		onnxFloats("f", []int{2, 8}, count(16)...), onnxFloats("ft", []int{8, 2}, count(16)...), onnxFloats("f2", []int{2, 2}, count(4)...), onnxFloats("f7", []int{2, 7}, count(14)...), onnxFloats("f3d", []int{1, 2, 8}, count(16)...),
		onnxFloats("b", []int{2}, 7, 8), onnxFloats("v", []int{2}, 3, 15), onnxFloats("b3", []int{3}, 1, 2, 3), onnxFloats("b12", []int{1, 2}, 7, 8), onnxFloats("b21", []int{2, 1}, 7, 8), onnxFloats("b8", []int{8}, count(8)...), onnxFloats("nan", nil, float32(math.NaN())),
		onnxFloats("c", []int{2, 1, 1}, 2, 4), onnxFloats("c4", []int{1, 2, 1, 1}, 2, 4), onnxFloats("n2", []int{2, 1, 1, 1}, 2, 4), onnxFloats("last", []int{1, 1, 1, 2}, 2, 4), onnxFloats("c5", []int{2, 1, 1, 1, 1}, 2, 4), onnxFloats("one5", []int{1, 1, 1, 1, 1}, 0),
		onnxFloats("c3", []int{3, 1, 1}, 0.5, 0.25, 0.125), onnxFloats("d3", []int{3, 1, 1}, 0.5, 2, 4), onnxFloats("last3", []int{3}, 1, 2, 4), onnxFloats("neg", []int{2}, 1, -1), onnxFloats("none", []int{0}),
		scalar("zero", 0), scalar("half", 0.5), scalar("two", 2), scalar("inf", float32(math.Inf(1))), scalar("byte", 255),
		onnxLongs("pads", []int{8}, 0, 0, 1, 1, 0, 0, 1, 1), onnxLongs("two axes", []int{2}, 2, 3), onnxLongs("to 8", []int{2}, 0, 8), onnxLongs("to -1", []int{2}, -1, 8), onnxLongs("to all", []int{2}, 0, -1), onnxLongs("to 1", []int{2}, 1, 8), onnxLongs("to 2", []int{2}, 2, 8), onnxLongs("to 3", []int{2}, 3, 8),
		onnxLongs("to 811", []int{4}, 0, 8, 1, 1), onnxLongs("to p", []int{3}, 0, 2, 4), onnxLongs("to p open", []int{3}, 0, 2, -1), onnxLongs("to q", []int{3}, 0, 4, 2), onnxLongs("to less", []int{2}, 0, 7), onnxLongs("to list", []int{1}, -1), onnxLongs("to same", []int{5}, 0, 2, 1, 2, 2), onnxLongs("to other", []int{4}, 0, 2, 4, 1), onnxLongs("to zero", []int{2}, 0, 0),
		pb(5, append(append(pb(2, 9), pb(8, "false")...), pb(9, []byte{0})...)), pb(5, append(append(pb(2, 9), pb(8, "true")...), pb(9, []byte{1})...)),
	}
}

// openChain opens a graph of nodes one after the other.
func openChain(input []byte, nodes []chainNode, more ...[]byte) (*File, error) {
	parts, at := append(chainConstants(), more...), "x"
	for i, n := range nodes {
		to := fmt.Sprint("a", i)
		from := slices.Clone(n.in)
		if k := slices.Index(from, "@"); k >= 0 {
			from[k] = at
		} else {
			from = append([]string{at}, from...)
		}
		parts = append(parts, onnxNodeOf(n.op, from[0], to, from[1:], n.attributes))
		at = to
	}
	graph := append(bytes.Join(parts, nil), append(slices.Clone(input), pb(12, pb(1, at))...)...)
	return FromBytes("graph", append(pb(1, 8), pb(7, graph)...))
}

// TestONNXRules: what each operator may be, and what it may not.
func TestONNXRules(t *testing.T) {
	type m = map[string]any
	node := func(op string, attributes m, in ...string) chainNode { return chainNode{op, in, attributes} }
	list := func(nodes ...chainNode) []chainNode { return nodes }
	then := func(first []chainNode, more ...chainNode) []chainNode { return append(slices.Clone(first), more...) }
	two, pads1 := m{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}, m{"pads": []int{1, 1, 1, 1}}
	conv := list(node("Conv", pads1, "w3", "b"))
	relu, flat := node("Relu", nil), node("Flatten", nil)
	flattened := then(conv, relu, flat) // 8 elements of 2×2×2
	open, small, four := []int{0, 0, 0, 0}, []int{0, 3, 2, 2}, []int{0, 3, 4, 4}
	window := func(op string, k, s []int, more m) chainNode {
		a := m{"kernel_shape": k}
		if s != nil {
			a["strides"] = s
		}
		for name, v := range more {
			a[name] = v
		}
		return node(op, a)
	}
	for _, c := range []struct {
		dims  []int
		want  string // the layers, or a part of the error
		nodes []chainNode
	}{
		// Conv.
		{open, "=2", list(node("Conv", m{"auto_pad": "NOTSET", "pads": []int{1, 1, 1, 1}, "kernel_shape": []int{3, 3}, "strides": []int{1, 1}, "dilations": []int{1, 1}, "group": 1}, "w3"))},
		{open, "=2", list(node("Conv", m{"auto_pad": "SAME_LOWER"}, "w3"))}, {open, "=2", list(node("Conv", m{"auto_pad": "SAME_UPPER", "pads": []int{0, 0, 0, 0}}, "w3"))},
		{open, "kernel_shape [3 1]", list(node("Conv", m{"kernel_shape": []int{3, 1}}, "w3"))}, {open, "kernel_shape [1 3]", list(node("Conv", m{"kernel_shape": []int{1, 3}}, "w3"))}, {open, "kernel_shape [3]", list(node("Conv", m{"kernel_shape": []int{3}}, "w3"))},
		{open, "pads [1 1 1 1], auto_pad \"VALID\"", list(node("Conv", m{"auto_pad": "VALID", "pads": []int{1, 1, 1, 1}}, "w3"))}, {open, `auto_pad "SAME_UPPER"`, list(node("Conv", m{"auto_pad": "SAME_UPPER", "pads": []int{1, 1, 1, 1}}, "w3"))}, {open, `auto_pad "SAME"`, list(node("Conv", m{"auto_pad": "SAME"}, "w3"))},
		{open, "pads [1 1]", list(node("Conv", m{"pads": []int{1, 1}}, "w3"))}, {open, "pads [1 1 1 0]", list(node("Conv", m{"pads": []int{1, 1, 1, 0}}, "w3"))}, {open, "pads [0 1 1 1]", list(node("Conv", m{"pads": []int{0, 1, 1, 1}}, "w3"))},
		{open, "strides [1 2]", list(node("Conv", m{"strides": []int{1, 2}}, "w3"))}, {open, "dilations [2 1]", list(node("Conv", m{"dilations": []int{2, 1}}, "w3"))}, {open, "group 3", list(node("Conv", m{"group": 3}, "w3"))},
		{open, "=2", list(node("Pad", nil, "pads"), node("Conv", nil, "w3"))}, {open, "pads [2 2 2 2]", list(node("Pad", nil, "pads"), node("Conv", pads1, "w3"))}, {open, "pads [2 2 2 2]", list(node("Pad", nil, "pads"), node("Pad", nil, "pads"), node("Conv", nil, "w3"))},
		{open, "the graph ends with a Pad", list(node("Conv", nil, "w3"), node("Pad", nil, "pads"))}, {open, "=2/1 2", list(node("Conv", nil, "w1"), node("Pad", nil, "pads"), node("Conv", nil, "w2"), relu)},
		{[]int{0, 3, 2, 5}, "without padding of 2×5", list(node("Conv", nil, "w3"))}, {[]int{0, 3, 5, 2}, "without padding of 5×2", list(node("Conv", nil, "w3"))}, {[]int{0, 3, 3, 3}, "=2", list(node("Conv", nil, "w3"))}, {[]int{0, 3, 2, 2}, "=2", conv},
		{[]int{0, 4, 8, 8}, "its input 4 channels", conv}, {[]int{0, 3, 32769, 8}, "the input is 32769×8, want at most 32768×32768", conv}, {[]int{0, 3, 8, 32769}, "the input is 8×32769", conv}, {[]int{0, 3, 32768, 32768}, "=2", conv},
		{four, "2 F5", then(conv, relu, node("Conv", nil, "w4"))}, {[]int{0, 3, 4, 5}, "a convolution of 4×4", then(conv, relu, node("Conv", nil, "w4"))}, {[]int{0, 3, 5, 4}, "a convolution of 4×4", then(conv, relu, node("Conv", nil, "w4"))},
		{four, "2 F5 F2", then(conv, relu, node("Conv", nil, "w4"), relu, node("Conv", nil, "w5"))}, {four, "a convolution after the fully connected layers began", then(conv, relu, node("Conv", nil, "w4"), relu, node("Conv", pads1, "w53"))},
		{four, "a pool after the fully connected layers began", then(conv, relu, node("Conv", nil, "w4"), node("MaxPool", two))},
		{open, "2 G F2", then(conv, relu, node("GlobalAveragePool", nil), node("Conv", nil, "w22"))}, {[]int{0, 3, 1, 1}, "2 2/1", then(conv, relu, node("Conv", nil, "w22"), relu)},
		{open, `tensor "b3": shape is [3], want [2]`, list(node("Conv", pads1, "w3", "b3"))}, {open, `tensor "b12": shape is [1 2], want [2]`, list(node("Conv", pads1, "w3", "b12"))}, {open, "has 1 inputs, want one more", list(node("Conv", pads1))}, {open, "has 4 inputs, want at most 3", list(node("Conv", pads1, "w3", "b", "b"))},
		{[]int{0, 8, 8, 3}, "takes the input's axes in the order 0132, want NCHW or NHWC", list(node("Transpose", m{"perm": []int{0, 1, 3, 2}}), conv[0])}, {[]int{0, 8, 8, 3}, "=2", list(node("Transpose", m{"perm": []int{0, 3, 1, 2}}), conv[0])}, {open, "takes the input's axes in the order 1023", list(node("Transpose", m{"perm": []int{1, 0, 2, 3}}), conv[0])},
		{open, "the axes of its input are NHWC, want NCHW", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}), node("Conv", nil, "w22"))},

		// BatchNormalization.
		{open, "=2", then(conv, node("BatchNormalization", m{"epsilon": 1e-3, "momentum": 0.9, "training_mode": 0}, "b", "b", "b", "v"))}, {open, `tensor "b3": shape is [3], want [2]`, then(conv, node("BatchNormalization", nil, "b", "b", "b3", "v"))}, {open, `tensor "b12": shape is [1 2]`, then(conv, node("BatchNormalization", nil, "b12", "b", "b", "v"))},
		{open, `element 1 of "neg" is -1`, then(conv, node("BatchNormalization", nil, "b", "b", "b", "neg"))}, {open, "has 4 inputs, want one more", then(conv, node("BatchNormalization", nil, "b", "b", "b"))}, {open, "training_mode 1", then(conv, node("BatchNormalization", m{"training_mode": 1}, "b", "b", "b", "v"))},
		{open, "3 constants for 2 channels", then(conv, node("BatchNormalization", nil, "b3", "b3", "b3", "last3"))}, {open, "the axes of its input are NHWC, want channels second", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}), node("BatchNormalization", nil, "b", "b", "b", "v"))},
		{open, "S =2", list(node("BatchNormalization", m{"epsilon": 1.0}, "b3", "b3", "b3", "b3"), conv[0])}, {small, "=2 F2", then(conv, flat, node("Gemm", m{"transB": 1}, "f", "b"), node("BatchNormalization", nil, "b", "b", "b", "v"))},

		// Arithmetic.
		{open, "=2", then(conv, node("Add", nil, "c"))}, {open, "=2", then(conv, node("Add", nil, "c4", "@"))}, {open, "=2", then(conv, node("Sub", nil, "half", "@"))}, {open, "2 S", then(conv, relu, node("Mul", nil, "c"))}, {open, "2 S", then(conv, relu, node("Div", nil, "two"))},
		{open, "divides a constant by its input", then(conv, node("Div", nil, "two", "@"))}, {open, "is not finite, or divides by 0", then(conv, node("Div", nil, "zero"))}, {open, "is not finite", then(conv, node("Add", nil, "nan"))}, {open, "is not finite", then(conv, node("Mul", nil, "inf"))}, {open, "has 1 inputs, want 2", then(conv, node("Add", nil))}, {open, "has 3 inputs, want at most 2", then(conv, node("Add", nil, "b", "b"))},
		{open, "shape [2] is not one for each channel", then(conv, node("Add", nil, "b"))}, {open, "shape [2 1 1 1] is not one", then(conv, node("Add", nil, "n2"))}, {open, "shape [1 1 1 2] is not one", then(conv, node("Add", nil, "last"))}, {open, "shape [2 1 1 1 1] has more axes than its input, NCHW", then(conv, node("Add", nil, "c5"))}, {open, "shape [3 1 1] is not one", then(conv, node("Add", nil, "c3"))}, {open, "shape [0] is not one", then(conv, node("Add", nil, "none"))},
		{open, "=2", then(conv, node("Add", m{"axis": 1, "broadcast": 1}, "b"))}, {open, "shape [2] is not one", then(conv, node("Add", m{"axis": 2, "broadcast": 1}, "b"))}, {open, "shape [2] has more axes", then(conv, node("Add", m{"axis": -3}, "b"))}, {open, "has more axes", then(conv, node("Add", m{"axis": 4}, "b"))}, {open, "has more axes", then(conv, node("Add", m{"axis": 99}, "b"))},
		{small, "=2 F2", then(conv, flat, node("Gemm", m{"transB": 1}, "f"), node("Add", nil, "b"))}, {small, "=2 F2", then(conv, flat, node("Gemm", m{"transB": 1}, "f"), node("Add", nil, "b12"))}, {small, "shape [2 1] is not one", then(conv, flat, node("Gemm", m{"transB": 1}, "f"), node("Add", nil, "b21"))},
		{small, "2 F2", then(flattened, node("Mul", nil, "b8"), node("Add", nil, "b8"), node("Gemm", m{"transB": 1}, "f"))}, {small, "the graph ends with constants for each element", then(flattened, node("Mul", nil, "b8"))}, {small, "follows constants for each element of an activation", then(flattened, node("Mul", nil, "b8"), relu)}, {small, "2 S F2", then(flattened, node("Mul", nil, "two"), node("Gemm", m{"transB": 1}, "f"))},
		{open, "=2", list(node("Sub", nil, "c3"), node("Div", nil, "d3"), conv[0])}, {open, "along another axis than the channels", list(node("Sub", nil, "last3"), conv[0])}, {open, "along another axis than those before it", list(node("Sub", nil, "c3"), node("Sub", nil, "last3"), conv[0])}, {open, "2 constants for 3 channels", list(node("Sub", nil, "c3"), node("Sub", nil, "c"), conv[0])}, {open, "S =2", list(node("Sub", nil, "two", "@"), conv[0])}, {open, "shape [2 1 1 1] is not one", list(node("Sub", nil, "n2"), conv[0])},

		// Relu, Clip, Max.
		{open, "2", then(conv, relu, relu)}, {open, "does not follow a layer with weights", list(relu)}, {open, "=2 M S+", then(conv, node("MaxPool", two), relu)},
		{open, "2", then(conv, node("Clip", m{"min": 0.0}))}, {open, "2", then(conv, node("Clip", nil, "zero"))}, {open, "2", then(conv, node("Clip", nil, "zero", "inf"))}, {open, "from 0 to 2", then(conv, node("Clip", nil, "zero", "two"))}, {open, "from 0.5 to +Inf", then(conv, node("Clip", nil, "half"))}, {open, "from -Inf to +Inf", then(conv, node("Clip", nil))}, {open, "input 1 has 2 elements, want 1", then(conv, node("Clip", nil, "b"))}, {open, "2", then(conv, node("Clip", m{"min": 0.0, "max": math.MaxFloat32}))}, {open, "from 0 to", then(conv, node("Clip", m{"min": 0.0, "max": 3.4e38}))},
		{open, "2", then(conv, node("Max", nil, "zero"))}, {open, "2", then(conv, node("Max", nil, "zero", "@"))}, {open, "is no maximum with 0", then(conv, node("Max", nil, "two"))}, {open, "is no maximum with 0", then(conv, node("Max", nil, "one5"))}, {open, "is no maximum with 0", then(conv, node("Max", nil, "b"))}, {open, "is no maximum with 0", then(conv, node("Max", nil))},

		// Pools.
		{open, "=2 M", then(conv, node("MaxPool", two))}, {open, "=2 A", then(conv, node("AveragePool", two))}, {open, "=2", then(conv, window("MaxPool", []int{1, 1}, nil, nil))}, {open, "=2", then(conv, window("AveragePool", []int{1, 1}, []int{1, 1}, nil))}, {open, "a pool of [1 1], strides [2 2]", then(conv, window("MaxPool", []int{1, 1}, []int{2, 2}, nil))}, {open, "a pool of [1 1], strides [1 2]", then(conv, window("MaxPool", []int{1, 1}, []int{1, 2}, nil))}, {open, "a pool of [1 2]", then(conv, window("MaxPool", []int{1, 2}, []int{1, 1}, nil))}, {open, "a pool of [2 1]", then(conv, window("MaxPool", []int{2, 1}, []int{1, 1}, nil))},
		{open, "a pool of [2 2], strides []", then(conv, window("MaxPool", []int{2, 2}, nil, nil))}, {open, "a pool of [2 2], strides [2 1]", then(conv, window("MaxPool", []int{2, 2}, []int{2, 1}, nil))}, {open, "a pool of [2]", then(conv, window("MaxPool", []int{2}, []int{2, 2}, nil))}, {open, "strides [2]", then(conv, window("MaxPool", []int{2, 2}, []int{2}, nil))}, {open, "a pool of [2 2]", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"dilations": []int{2, 2}}))}, {open, "pads [0 0 0 1]", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"pads": []int{0, 0, 0, 1}}))},
		{four, "=2 M", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"ceil_mode": 1}))}, {[]int{0, 3, 4, 5}, "ceil_mode 1, of an input of 4×5", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"ceil_mode": 1}))}, {[]int{0, 3, 5, 4}, "ceil_mode 1, of an input of 5×4", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"ceil_mode": 1}))}, {[]int{0, 3, 5, 5}, "=2 M", then(conv, node("MaxPool", two))},
		{[]int{0, 3, 0, 4}, "of an input of ?×4", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"auto_pad": "SAME_UPPER"}))}, {[]int{0, 3, 4, 0}, "of an input of 4×?", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"auto_pad": "SAME_UPPER"}))}, {four, "=2 M", then(conv, window("MaxPool", []int{2, 2}, []int{2, 2}, m{"auto_pad": "SAME_UPPER"}))},
		{four, "=2 G", then(conv, window("AveragePool", []int{4, 4}, nil, nil))}, {four, "=2 G", then(conv, window("AveragePool", []int{4, 4}, []int{4, 4}, m{"auto_pad": "SAME_UPPER"}))}, {four, "a pool of [4 4]", then(conv, window("AveragePool", []int{4, 4}, []int{4, 3}, m{"auto_pad": "SAME_UPPER"}))}, {four, "a pool of [4 4]", then(conv, window("AveragePool", []int{4, 4}, []int{3, 4}, m{"auto_pad": "SAME_UPPER"}))}, {four, "a pool of [4 3]", then(conv, window("AveragePool", []int{4, 3}, nil, nil))}, {four, "a pool of [4 4]", then(conv, window("MaxPool", []int{4, 4}, nil, nil))}, {open, "a pool of [4 4]", then(conv, window("AveragePool", []int{4, 4}, nil, nil))},
		{[]int{0, 3, 1, 8}, "a pool of 2×2 of an input of 1×8", then(conv, node("MaxPool", two))}, {[]int{0, 3, 8, 1}, "a pool of 2×2 of an input of 8×1", then(conv, node("AveragePool", two))}, {four, "M =2", list(node("MaxPool", two), conv[0])}, {open, "stands before the first convolution, of an input of 0 channels", list(node("MaxPool", two), conv[0])}, {[]int{0, 1025, 4, 4}, "of an input of 1025 channels", list(node("MaxPool", two), conv[0])},
		{four, "=2 G", then(conv, node("GlobalAveragePool", nil), node("GlobalAveragePool", nil), node("GlobalMaxPool", nil), window("MaxPool", []int{1, 1}, []int{3, 3}, nil), window("AveragePool", []int{1, 1}, []int{3, 3}, nil))}, {four, "of an input of 4×4, want 1×1", then(conv, node("GlobalMaxPool", nil))},
		{open, "=2 G", then(conv, node("ReduceMean", m{"axes": []int{2, 3}}))}, {open, "=2 G", then(conv, node("ReduceMean", m{"axes": []int{-2, -1}, "keepdims": 0}))}, {open, "=2 G", then(conv, node("ReduceMean", nil, "two axes"))}, {open, "=2 G", then(conv, node("ReduceMean", m{"axes": []int{3}}), node("ReduceMean", m{"axes": []int{2}}))}, {open, "over axes [2] of NCHW", then(conv, node("ReduceMean", m{"axes": []int{2}}), node("ReduceMean", m{"axes": []int{2}}))}, {open, "stands behind a mean of rows or columns alone", then(conv, node("ReduceMean", m{"axes": []int{2}}), relu)},
		{open, "over axes [1 2 3]", then(conv, node("ReduceMean", m{"axes": []int{1, 2, 3}}))}, {open, "over axes [1 2]", then(conv, node("ReduceMean", m{"axes": []int{1, 2}}))}, {open, "over axes []", then(conv, node("ReduceMean", nil))}, {open, "axis 4 of 4", then(conv, node("ReduceMean", m{"axes": []int{4}}))}, {open, "axis -5 of 4", then(conv, node("ReduceMean", m{"axes": []int{-5}}))}, {open, "stands before the first layer", list(node("ReduceMean", m{"axes": []int{2, 3}}))}, {open, "its axes, \"b\", cannot be computed", then(conv, node("ReduceMean", nil, "b"))},

		// LRN and Pad.
		{open, "=2 N", then(conv, node("LRN", m{"size": 5, "alpha": 5e-4, "bias": 2.0}))}, {open, "size 3", then(conv, node("LRN", m{"size": 3, "alpha": 5e-4, "bias": 2.0}))}, {open, "alpha 0.0001", then(conv, node("LRN", m{"size": 5, "bias": 2.0}))}, {open, "beta 0.5", then(conv, node("LRN", m{"size": 5, "alpha": 5e-4, "beta": 0.5, "bias": 2.0}))}, {open, "bias 1;", then(conv, node("LRN", m{"size": 5, "alpha": 5e-4}))},
		{open, "=2", list(node("Pad", m{"mode": "constant", "pads": []int{0, 0, 1, 1, 0, 0, 1, 1}, "value": 0.0}), node("Conv", nil, "w3"))}, {open, "=2", list(node("Pad", m{"paddings": []int{0, 0, 1, 1, 0, 0, 1, 1}}), node("Conv", nil, "w3"))}, {open, "=2", list(node("Pad", nil, "pads", "zero"), node("Conv", nil, "w3"))}, {open, "value 2", list(node("Pad", nil, "pads", "two"))}, {open, "value NaN", list(node("Pad", nil, "pads", "b"))}, {open, "value 1", list(node("Pad", m{"pads": []int{0, 0, 1, 1, 0, 0, 1, 1}, "value": 1.0}))}, {open, "its pads, \"b\", cannot be computed", list(node("Pad", nil, "b"))},
		{open, "pads [0 0 1 1]", list(node("Pad", m{"pads": []int{0, 0, 1, 1}}))}, {open, "pads [1 0", list(node("Pad", m{"pads": []int{1, 0, 1, 1, 0, 0, 1, 1}}))}, {open, "pads [0 1", list(node("Pad", m{"pads": []int{0, 1, 1, 1, 0, 0, 1, 1}}))}, {open, "pads [0 0 1 1 1", list(node("Pad", m{"pads": []int{0, 0, 1, 1, 1, 0, 1, 1}}))}, {open, "pads [0 0 1 1 0 1", list(node("Pad", m{"pads": []int{0, 0, 1, 1, 0, 1, 1, 1}}))}, {open, "pads [0 0 -1", list(node("Pad", m{"pads": []int{0, 0, -1, 1, 0, 0, 1, 1}}))}, {open, "pads [0 0 1025", list(node("Pad", m{"pads": []int{0, 0, 1025, 1, 0, 0, 1, 1}}))}, {open, "the graph ends with a Pad", then(conv, node("Pad", m{"pads": []int{0, 0, 1024, 0, 0, 0, 0, 0}}))}, {open, "pads [1 2 3 4]", list(node("Pad", m{"pads": []int{0, 0, 1, 2, 0, 0, 3, 4}}), node("Conv", nil, "w3"))},

		// Gemm and MatMul.
		{small, "2 F2", then(flattened, node("Gemm", m{"transB": 1}, "f", "b"))}, {small, "2 F2", then(flattened, node("Gemm", nil, "ft", "b12"))}, {small, "2 F2", then(flattened, node("MatMul", nil, "ft"))}, {small, "its weights have shape [2 8], its input 8 elements", then(flattened, node("MatMul", nil, "f"))}, {small, "its weights have shape [2 7], its input 8 elements", then(flattened, node("Gemm", m{"transB": 1}, "f7"))}, {open, "its weights have shape [2 7], its input 0 elements of 2 channels", then(flattened, node("Gemm", m{"transB": 1}, "f7"))}, {open, "2 F2", then(flattened, node("Gemm", m{"transB": 1}, "f"))},
		{small, `tensor "f3d": shape is [1 2 8] of type 1, want 2 dimensions`, then(flattened, node("MatMul", nil, "f3d"))}, {small, "has 1 inputs, want 2", then(flattened, node("MatMul", nil))}, {small, "stands before the first convolution", list(node("MatMul", nil, "f"))}, {small, "the axes of its input are NF, want FN", then(flattened, node("MatMul", nil, "f", "@"))}, {small, "2 F2", then(flattened, node("Transpose", nil), node("MatMul", nil, "f", "@"), node("Transpose", nil))}, {small, "2 F2 F2", then(flattened, node("Gemm", m{"transB": 1}, "f"), relu, node("Gemm", nil, "f2"))},
		{open, "=2 2/1", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}), node("MatMul", nil, "f2"), relu, node("Transpose", m{"perm": []int{0, 3, 1, 2}}))}, {open, "its weights have shape [8 2], its input 2 channels", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}), node("MatMul", nil, "ft"))},

		// What changes no value.
		{small, "2 F2", then(conv, relu, node("Reshape", nil, "to 8"), node("Gemm", m{"transB": 1}, "f"))}, {small, "2 F2", then(conv, relu, node("Reshape", nil, "to -1"), node("Gemm", m{"transB": 1}, "f"))}, {small, "2 F2", then(conv, relu, node("Reshape", nil, "to all"), node("Gemm", m{"transB": 1}, "f"))}, {small, "2 F2", then(conv, relu, node("Reshape", nil, "to 1"), node("Gemm", m{"transB": 1}, "f"))}, {small, "to 2×8, want the number of pictures and the rest", then(conv, relu, node("Reshape", nil, "to 2"))}, {[]int{2, 3, 2, 2}, "2 F2", then(conv, relu, node("Reshape", nil, "to 2"), node("Gemm", m{"transB": 1}, "f"))}, {[]int{2, 3, 2, 2}, "to 3×8, want the number", then(conv, relu, node("Reshape", nil, "to 3"))}, {[]int{2, 3, 2, 2}, "to 1×8, want the number", then(conv, relu, node("Reshape", nil, "to 1"))},
		{small, "to 0×7, want 8 elements of a picture", then(conv, relu, node("Reshape", nil, "to less"))}, {small, "to 0×0, want 8 elements of a picture", then(conv, relu, node("Reshape", nil, "to zero"))}, {small, "to -1, want the number of pictures", then(conv, relu, node("Reshape", nil, "to list"))}, {open, "2 F2", then(conv, relu, node("Reshape", nil, "to 8"), node("Gemm", m{"transB": 1}, "f"))}, {open, "to 0×7, want 0 elements of a picture", then(conv, relu, node("Reshape", nil, "to less"))}, {small, `its shape, "b", cannot be computed`, then(conv, relu, node("Reshape", nil, "b"))}, {small, "stands before the first layer", list(node("Reshape", nil, "to 8"))}, {small, "2 F2", then(conv, relu, node("Reshape", m{"shape": []int{0, 8}}), node("Gemm", m{"transB": 1}, "f"))},
		{small, "=2 G F2", then(conv, node("Reshape", nil, "to p"), node("ReduceMean", m{"axes": []int{2}, "keepdims": 0}), node("Gemm", m{"transB": 1}, "f2"))}, {small, "=2 G F2", then(conv, node("Reshape", nil, "to p open"), node("ReduceMean", m{"axes": []int{2}, "keepdims": 0}), node("Gemm", m{"transB": 1}, "f2"))}, {small, "to 0×4×2, where its input is NCHW of N×2×2×2", then(conv, node("Reshape", nil, "to q"))}, {small, "to 0×2×4×1, where its input is NCHW", then(conv, node("Reshape", nil, "to other"))}, {small, "=2 F2", then(conv, node("Reshape", nil, "to same"), node("Squeeze", m{"axes": []int{2}}), flat, node("Gemm", m{"transB": 1}, "f"))}, {small, "2 F2", then(conv, relu, node("Reshape", nil, "to 811"), flat, node("Gemm", m{"transB": 1}, "f"))},
		{small, "axis 0, want 1", then(conv, node("Flatten", m{"axis": 0}))}, {small, "=2 F2", then(conv, node("Flatten", m{"axis": -3}), node("Gemm", m{"transB": 1}, "f"))}, {small, "stands before the first layer", list(flat)}, {small, "flattens axes in the order NCWH", then(conv, node("Transpose", m{"perm": []int{0, 1, 3, 2}}), flat)},
		{[]int{1, 3, 2, 2}, "drops the axis of the pictures or the channels of NCHW", then(conv, node("Squeeze", m{"axes": []int{0}}))}, {open, "drops all axes of one element of N×2×?×?, of which not all are known", then(conv, node("Squeeze", nil))}, {open, "stands before the first layer", list(node("Squeeze", m{"axes": []int{2}}))}, {open, "stands before the first layer", list(node("Unsqueeze", m{"axes": []int{2}}))}, {open, "=2 G", then(conv, node("GlobalAveragePool", nil), node("Squeeze", m{"axes": []int{-1, 2}}), node("Unsqueeze", m{"axes": []int{2, 3}}))},
		{open, "=2", then(conv, node("Cast", m{"to": 10}), node("Identity", nil), node("Dropout", nil))}, {open, "to type 7, want floats", then(conv, node("Cast", m{"to": 7}))}, {open, "=2", then(conv, node("Dropout", m{"ratio": 0.5, "seed": 1}, "half", "false"))}, {open, `training_mode "true" is not known to be false`, then(conv, node("Dropout", nil, "half", "true"))}, {open, `training_mode "half" is not known`, then(conv, node("Dropout", nil, "half", "half"))}, {open, "is_test 0, want 1", then(conv, node("Dropout", m{"is_test": 0}))}, {open, "=2", then(conv, node("Dropout", m{"is_test": 1}))},

		// Softmax, and the end.
		{small, "2 F2", then(flattened, node("Gemm", m{"transB": 1}, "f"), node("Softmax", nil))}, {small, "2 F2", then(flattened, node("Gemm", m{"transB": 1}, "f"), node("Softmax", m{"axis": 1}))}, {small, "over axis 0 of NF, want the classes", then(flattened, node("Gemm", m{"transB": 1}, "f"), node("Softmax", m{"axis": 0}))}, {small, "axis 2 of 2", then(flattened, node("Gemm", m{"transB": 1}, "f"), node("Softmax", m{"axis": 2}))}, {small, "over axis 2 of NCHW", then(conv, node("Softmax", m{"axis": 2}))}, {open, "=2", then(conv, node("LogSoftmax", m{"axis": 1}))}, {open, "stands before the first layer", list(node("Softmax", nil))}, {open, "stands before the first layer", list(node("Sigmoid", nil))}, {open, "over axis 3 of NCHW, want the classes", then(conv, node("GlobalAveragePool", nil), node("Softmax", m{"axis": 3}))},
		{open, "stands behind the Softmax, want that at the end", then(conv, node("Softmax", m{"axis": 1}), node("Mul", nil, "two"))}, {open, "=2", then(conv, node("Softmax", m{"axis": 1}), node("Identity", nil))}, {open, "the axes of the output \"a1\" are NHWC, want NCHW or NF", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}))}, {open, "=2 G", then(conv, node("GlobalAveragePool", nil), node("Transpose", m{"perm": []int{0, 2, 3, 1}}))}, {open, "the graph has no layers", list(node("Identity", nil))}, {small, "the axes of the output", then(conv, node("Transpose", m{"perm": []int{0, 2, 3, 1}}), flat)},
		{[]int{0, 3, 8}, "has 3 axes, want 4", conv}, {[]int{0, 3, 8, 8, 8}, "has 5 axes, want 4", conv}, {open, "LeakyRelu", list(node("LeakyRelu", nil))}, {open, `takes "x" in another place than the first`, list(node("Conv", pads1, "w3", "@"))},
	} {
		f, err := openChain(onnxInputOf(1, c.dims...), c.nodes)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "graph") {
				t.Errorf("%v of %v: %v, want %s", c.nodes, c.dims, err, c.want)
			}
			continue
		}
		if got := f.Metadata()[KeyLayers]; got != c.want {
			t.Errorf("%v of %v: %s, want %s", c.nodes, c.dims, got, c.want)
		}
		require.NoError(t, readAll(f))
	}
	for elemType, ok := range map[int]bool{1: true, 2: true, 10: true, 11: true, 16: true, 0: true, 7: false, 3: false} {
		_, err := openChain(onnxInputOf(elemType, 0, 3, 8, 8), conv)
		require.Equal(t, ok, err == nil, "type %d", elemType)
	}
}

// TestONNXFolded: what follows a layer is folded into its numbers as its definition says.
func TestONNXFolded(t *testing.T) {
	type m = map[string]any
	conv := chainNode{"Conv", []string{"w1", "b"}, nil} // weights 1 2 3 | 4 5 6, bias 7 8
	times := func(a, b float32) []float32 { return []float32{a, 2 * a, 3 * a, 4 * b, 5 * b, 6 * b} }
	for _, c := range []struct {
		nodes        []chainNode
		weight, bias []float32
	}{
		{nil, times(1, 1), []float32{7, 8}},
		{[]chainNode{{"Add", []string{"c"}, nil}}, times(1, 1), []float32{9, 12}}, {[]chainNode{{"Sub", []string{"c"}, nil}}, times(1, 1), []float32{5, 4}}, {[]chainNode{{"Sub", []string{"c", "@"}, nil}}, times(-1, -1), []float32{-5, -4}},
		{[]chainNode{{"Mul", []string{"c"}, nil}}, times(2, 4), []float32{14, 32}}, {[]chainNode{{"Div", []string{"c"}, nil}}, times(0.5, 0.25), []float32{3.5, 2}}, {[]chainNode{{"Mul", []string{"half", "@"}, nil}}, times(0.5, 0.5), []float32{3.5, 4}},
		{[]chainNode{{"Mul", []string{"c"}, nil}, {"Add", []string{"c"}, nil}}, times(2, 4), []float32{16, 36}}, {[]chainNode{{"Add", []string{"c"}, nil}, {"Mul", []string{"c"}, nil}}, times(2, 4), []float32{18, 48}},
		// γ = β = μ = 7, 8; σ²+ε = 4, 16.
		{[]chainNode{{"BatchNormalization", []string{"b", "b", "b", "v"}, m{"epsilon": 1.0}}}, times(3.5, 2), []float32{7, 8}},
	} {
		f, err := openChain(onnxInputOf(1, 0, 3, 8, 8), append([]chainNode{conv}, c.nodes...))
		require.NoError(t, err)
		require.Equal(t, c.weight, read(t, f, ".weight"), "%v", c.nodes)
		require.Equal(t, c.bias, read(t, f, ".bias"), "%v", c.nodes)
	}
	gemm := func(attributes m, in ...string) (*File, error) {
		return openChain(onnxInputOf(1, 0, 3, 2, 2), []chainNode{{"Conv", []string{"w3"}, m{"pads": []int{1, 1, 1, 1}}}, {"Flatten", nil, nil}, {"Gemm", in, attributes}})
	}
	for _, c := range []struct {
		attributes m
		in         []string
		first      []float32 // of each row
		bias       []float32
	}{
		{m{"transB": 1}, []string{"f", "b"}, []float32{1, 9}, []float32{7, 8}}, {nil, []string{"ft", "b"}, []float32{1, 2}, []float32{7, 8}},
		{m{"transB": 1, "alpha": 0.5, "beta": 2.0}, []string{"f", "b"}, []float32{0.5, 4.5}, []float32{14, 16}}, {m{"transB": 1, "alpha": 2.0}, []string{"f"}, []float32{2, 18}, []float32{0, 0}}, {m{"transB": 1}, []string{"f", "two"}, []float32{1, 9}, []float32{2, 2}},
	} {
		f, err := gemm(c.attributes, c.in...)
		require.NoError(t, err)
		w, err := f.Tensor("fc2.weight")
		require.NoError(t, err, f.Names())
		list := make([]float32, w.Len())
		require.NoError(t, w.Float32s(list))
		require.Equal(t, c.first, []float32{list[0], list[8]})
		b, err := f.Tensor("fc2.bias")
		require.NoError(t, err)
		bias := make([]float32, 2)
		require.NoError(t, b.Float32s(bias))
		require.Equal(t, c.bias, bias)
	}
}

// TestONNXFront: constants before the first layer, and the type of the input, say how pictures
// are prepared.
func TestONNXFront(t *testing.T) {
	conv := chainNode{"Conv", []string{"w1"}, nil}
	for _, c := range []struct {
		elemType          int
		nodes             []chainNode
		preset, mean, std string
		layers            string
	}{
		{1, nil, "", "", "", "=2/1"}, {2, nil, PresetNone, "", "", "=2/1"},
		{1, []chainNode{{"Sub", []string{"c3"}, nil}, {"Div", []string{"d3"}, nil}}, PresetNone, "0.5,0.25,0.125", "0.5,2,4", "=2/1"},
		{1, []chainNode{{"Sub", []string{"c3"}, nil}, {"Div", []string{"half"}, nil}}, PresetUnit, "0.5,0.25,0.125", "0.5,0.5,0.5", "=2/1"},
		{2, []chainNode{{"Sub", []string{"c3"}, nil}, {"Div", []string{"half"}, nil}}, PresetNone, "0.5,0.25,0.125", "0.5,0.5,0.5", "=2/1"},
		{1, []chainNode{{"Sub", []string{"two"}, nil}}, PresetNone, "2,2,2", "1,1,1", "=2/1"}, {1, []chainNode{{"Mul", []string{"two"}, nil}}, PresetUnit, "0,0,0", "0.5,0.5,0.5", "=2/1"}, {1, []chainNode{{"Div", []string{"byte"}, nil}}, PresetNone, "0,0,0", "255,255,255", "=2/1"},
		{1, []chainNode{{"Sub", []string{"two", "@"}, nil}}, "", "", "", "S =2/1"}, {2, []chainNode{{"Sub", []string{"two", "@"}, nil}}, PresetNone, "", "", "S =2/1"}, {1, []chainNode{{"Mul", []string{"zero"}, nil}}, "", "", "", "S =2/1"},
	} {
		f, err := openChain(onnxInputOf(c.elemType, 0, 3, 4, 6), append(slices.Clone(c.nodes), conv))
		require.NoError(t, err, "%v", c.nodes)
		got := f.Metadata()
		require.Equal(t, []string{c.preset, c.mean, c.std, c.layers, "4x6"}, []string{got[KeyPreset], got[KeyMean], got[KeyStd], got[KeyLayers], got[KeySize]}, "%v", c.nodes)
	}
	for dims, want := range map[[4]int]string{{0, 3, 4, 4}: "4", {0, 3, 4, 0}: "", {0, 3, 0, 4}: "", {0, 3, 6, 4}: "6x4", {1, 3, 1, 1}: "1"} {
		f, err := openChain(onnxInputOf(1, dims[:]...), []chainNode{conv})
		require.NoError(t, err)
		require.Equal(t, want, f.Metadata()[KeySize], "%v", dims)
	}
}
