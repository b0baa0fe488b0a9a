package weights

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestONNXIntegers computes pads as PyTorch's graphs do: those of the last axis come
// first, begin and end by turns, and ONNX wants all begins, then all ends.
func TestONNXIntegers(t *testing.T) {
	node := func(op string, attributes map[string]onnxAttribute) *onnxNode {
		return &onnxNode{op: op, attributes: attributes}
	}
	run := func(n *onnxNode, in ...onnxInts) onnxInts {
		t.Helper()
		v, ok := onnxIntegerOps[n.op](n, in)
		require.True(t, ok, n.op)
		return v
	}
	one := func(v ...int64) onnxInts { return listOf(v) }
	count := run(node("Gather", nil), one(4), one(0))                   // of 4 pads that are given
	missing := run(node("Sub", nil), onnxInts{list: []int64{8}}, count) // of 8
	zeros := run(node("ConstantOfShape", nil), missing)
	all := run(node("Concat", nil), one(1, 2, 3, 4), zeros) // left, right, top, bottom, 0, …
	pairs := run(node("Reshape", nil), all, one(-1, 2))
	turned := run(node("Slice", nil), pairs, one(-1), one(math.MinInt64+1), one(0), one(-1))
	flipped := run(node("Transpose", map[string]onnxAttribute{"perm": {ints: []int64{1, 0}}}), turned)
	pads := run(node("Reshape", nil), flipped, one(-1))
	require.Equal(t, one(0, 0, 3, 1, 0, 0, 4, 2), pads)
	require.Equal(t, one(3), run(node("Slice", nil), one(1, 2, 3, 4), one(-2), one(-1)))
	require.Equal(t, onnxInts{nil, []int64{anySize}}, run(node("ReduceProd", map[string]onnxAttribute{"keepdims": {}}), one(2, anySize)))
	require.Equal(t, one(anyBatch, 6), run(node("Mul", nil), one(anyBatch, 3), one(1, 2)))

	for _, n := range []struct {
		n  *onnxNode
		in []onnxInts
	}{
		{node("Gather", nil), []onnxInts{one(4), one(1)}},
		{node("Slice", nil), []onnxInts{one(), one(0), one(1)}},
		{node("Slice", nil), []onnxInts{one(1, 2), one(0), one(2), one(1)}},
		{node("Sub", nil), []onnxInts{one(anySize), one(1)}},
		{node("Reshape", nil), []onnxInts{one(1, 2, 3), one(-1, 2)}},
		{node("Reshape", nil), []onnxInts{one(1, 2, 3), one(0)}},
		{node("ConstantOfShape", nil), []onnxInts{one(1 << 40)}},
		{node("Unsqueeze", map[string]onnxAttribute{"axes": {ints: []int64{1}}}), []onnxInts{{list: []int64{1}}}},
		{node("Transpose", nil), []onnxInts{one(1, 2)}},
	} {
		_, ok := onnxIntegerOps[n.n.op](n.n, n.in)
		require.False(t, ok, "%s of %v", n.n.op, n.in)
	}
}

// TestONNXIntegerOps computes each operator of shapes by hand, in every form that it has.
func TestONNXIntegerOps(t *testing.T) {
	type attrs = map[string]onnxAttribute
	num := func(v int64) onnxInts { return onnxInts{list: []int64{v}} }
	list := func(v ...int64) onnxInts { return listOf(v) }
	matrix := func(rows, columns int, v ...int64) onnxInts { return onnxInts{[]int{rows, columns}, v} }
	ints := func(name string, v ...int64) attrs { return attrs{name: {ints: v}} }
	in := func(v ...onnxInts) []onnxInts { return v }
	for _, c := range []struct {
		op         string
		attributes attrs
		in         []onnxInts
		want       onnxInts
	}{
		{"Identity", nil, in(list(1, 2)), list(1, 2)}, {"Shape", nil, in(list(1, 2)), list(1, 2)},
		{"Cast", attrs{"to": {i: 7}}, in(list(1, 2)), list(1, 2)}, {"Cast", attrs{"to": {i: 6}}, in(num(1)), num(1)},
		{"Unsqueeze", ints("axes", 0), in(num(5)), list(5)}, {"Unsqueeze", ints("axes", -1), in(num(5)), list(5)}, {"Unsqueeze", nil, in(num(5), list(0)), list(5)},
		{"Squeeze", nil, in(list(5)), num(5)}, {"Squeeze", ints("axes", 0), in(list(5)), num(5)}, {"Squeeze", ints("axes", -1), in(list(5)), num(5)}, {"Squeeze", nil, in(list(5), list(-1)), num(5)},
		{"Concat", attrs{"axis": {i: 0}}, in(list(1), list(2, 3)), list(1, 2, 3)}, {"Concat", attrs{"axis": {i: -1}}, in(list(1), list(2)), list(1, 2)},
		{"Gather", nil, in(list(4, 5, 6), num(0)), num(4)}, {"Gather", nil, in(list(4, 5, 6), num(2)), num(6)}, {"Gather", nil, in(list(4, 5, 6), num(-1)), num(6)}, {"Gather", nil, in(list(4, 5, 6), num(-3)), num(4)},
		{"Gather", nil, in(list(4, 5, 6), list(1, 1)), list(5, 5)},
		{"Slice", nil, in(list(1, 2, 3, 4), list(1), list(3)), list(2, 3)}, {"Slice", nil, in(list(1, 2, 3, 4), list(0), list(math.MaxInt64)), list(1, 2, 3, 4)}, {"Slice", nil, in(list(1, 2, 3, 4), list(-9), list(-3)), list(1)},
		{"Slice", nil, in(list(1, 2, 3, 4), list(3), list(1)), onnxInts{[]int{0}, []int64{}}}, {"Slice", nil, in(list(1, 2, 3, 4), list(1), list(2), list(0), list(1)), list(2)},
		{"Slice", attrs{"starts": {ints: []int64{-2}}, "ends": {ints: []int64{4}}, "axes": {ints: []int64{0}}}, in(list(1, 2, 3, 4)), list(3, 4)},
		{"Slice", nil, in(matrix(2, 2, 1, 2, 3, 4), list(1), list(2)), matrix(1, 2, 3, 4)},
		{"Slice", nil, in(matrix(2, 2, 1, 2, 3, 4), list(-1), list(-3), list(0), list(-1)), matrix(2, 2, 3, 4, 1, 2)}, {"Slice", nil, in(list(1, 2, 3), list(2), list(-4), list(0), list(-1)), list(3, 2, 1)}, {"Slice", nil, in(list(1, 2, 3), list(9), list(-9), list(0), list(-1)), list(3, 2, 1)},
		{"Mul", nil, in(num(2), num(3)), num(6)}, {"Mul", nil, in(num(2), list(3, 4)), list(6, 8)}, {"Mul", nil, in(list(3, 4), num(2)), list(6, 8)}, {"Mul", nil, in(list(3, 4), list(5, 6)), list(15, 24)}, {"Mul", nil, in(list(3), num(2)), list(6)},
		{"Mul", nil, in(num(0), num(math.MaxInt64)), num(0)}, {"Mul", nil, in(num(math.MaxInt64), num(0)), num(0)}, {"Mul", nil, in(num(1), num(anyBatch)), num(anyBatch)}, {"Mul", nil, in(num(anyBatch), num(1)), num(anyBatch)}, {"Mul", nil, in(num(anyBatch), num(2)), num(anySize)},
		{"Mul", nil, in(num(2), num(anySize)), num(anySize)}, {"Mul", nil, in(num(math.MaxInt64/2), num(2)), num(math.MaxInt64 - 1)}, {"Mul", nil, in(num(math.MaxInt64/2+1), num(2)), num(anySize)},
		{"Sub", nil, in(num(5), num(7)), num(-2)}, {"Sub", nil, in(list(5), num(2)), list(3)}, {"Sub", nil, in(num(5), list(0)), list(5)}, {"Sub", nil, in(num(0), num(0)), num(0)},
		{"ReduceProd", attrs{"keepdims": {i: 0}}, in(list(2, 3, 4)), num(24)}, {"ReduceProd", nil, in(list(2, 3)), list(6)}, {"ReduceProd", ints("axes", 0), in(list(2, 3)), list(6)}, {"ReduceProd", ints("axes", -1), in(list(7)), list(7)}, {"ReduceProd", nil, in(list(2, 3), list(0)), list(6)}, {"ReduceProd", nil, in(list()), list(1)},
		{"Reshape", nil, in(list(1, 2, 3, 4), list(2, 2)), matrix(2, 2, 1, 2, 3, 4)}, {"Reshape", nil, in(list(1, 2, 3, 4), list(2, -1)), matrix(2, 2, 1, 2, 3, 4)}, {"Reshape", nil, in(list(1, 2), list(-1, 1)), matrix(2, 1, 1, 2)}, {"Reshape", nil, in(matrix(1, 2, 1, 2), list(2)), list(1, 2)},
		{"Transpose", nil, in(matrix(2, 3, 1, 2, 3, 4, 5, 6)), matrix(3, 2, 1, 4, 2, 5, 3, 6)}, {"Transpose", ints("perm", 1, 0), in(matrix(1, 2, 1, 2)), matrix(2, 1, 1, 2)},
		{"ConstantOfShape", nil, in(list(3)), list(0, 0, 0)}, {"ConstantOfShape", nil, in(list(0)), list()}, {"ConstantOfShape", nil, in(list(maxInts)), listOf(make([]int64, maxInts))},
		{"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 7, ints: []int64{0}}}}, in(list(2)), list(0, 0)}, {"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 7, values: values{entry: entry{own: make([]byte, 8)}}}}}, in(list(2)), list(0, 0)},
	} {
		got, ok := onnxIntegerOps[c.op](&onnxNode{op: c.op, attributes: c.attributes}, c.in)
		require.True(t, ok, "%s %v of %v", c.op, c.attributes, c.in)
		require.Equal(t, len(c.want.shape), len(got.shape), "%s of %v", c.op, c.in)
		require.Equal(t, append([]int{}, c.want.shape...), append([]int{}, got.shape...), "%s of %v", c.op, c.in)
		require.Equal(t, append([]int64{}, c.want.list...), append([]int64{}, got.list...), "%s of %v", c.op, c.in)
	}
	for _, c := range []struct {
		op         string
		attributes attrs
		in         []onnxInts
	}{
		{"Cast", attrs{"to": {i: 1}}, in(list(1))}, {"Cast", nil, in(list(1))},
		{"Unsqueeze", ints("axes", 0), in(list(5))}, {"Unsqueeze", ints("axes", 1), in(num(5))}, {"Unsqueeze", ints("axes", 0, 1), in(num(5))}, {"Unsqueeze", nil, in(num(5))},
		{"Squeeze", nil, in(list(5, 6))}, {"Squeeze", nil, in(num(5))}, {"Squeeze", ints("axes", 1), in(list(5))}, {"Squeeze", ints("axes", 0, 0), in(list(5))},
		{"Concat", nil, in(list(1), num(2))}, {"Concat", attrs{"axis": {i: 1}}, in(list(1), list(2))}, {"Concat", nil, in(matrix(1, 1, 1))},
		{"Gather", nil, in(list(4, 5))}, {"Gather", nil, in(num(4), num(0))}, {"Gather", attrs{"axis": {i: 1}}, in(list(4, 5), num(0))}, {"Gather", nil, in(list(4, 5), num(2))}, {"Gather", nil, in(list(4, 5), num(-3))},
		{"Slice", nil, in(list(1, 2))}, {"Slice", nil, in(list(1, 2), list(0, 1), list(2))}, {"Slice", nil, in(list(1, 2), list(0), list(2, 2))}, {"Slice", nil, in(list(1, 2), list(0), list(2), list(1))}, {"Slice", nil, in(list(1, 2), list(0), list(2), list(0, 0))},
		{"Slice", nil, in(list(1, 2), list(0), list(2), list(0), list(2))}, {"Slice", nil, in(list(1, 2), list(0), list(2), list(0), list(1, 1))}, {"Slice", nil, in(num(1), list(0), list(1))}, {"Slice", nil, in(list(1, 2, 3), list(1), list(-4), list(0), list(-1))}, {"Slice", nil, in(list(1, 2, 3), list(-1), list(-3), list(0), list(-1))},
		{"Mul", nil, in(list(1))}, {"Mul", nil, in(list(1, 2), list(1, 2, 3))}, {"Mul", nil, in(matrix(1, 1, 1), num(1))}, {"Mul", nil, in(num(1), matrix(1, 1, 1))}, {"Mul", nil, in(list(), list())},
		{"Sub", nil, in(num(1))}, {"Sub", nil, in(list(1, 2), num(1))}, {"Sub", nil, in(num(1), list(1, 2))}, {"Sub", nil, in(num(1), num(anySize))}, {"Sub", nil, in(num(anyBatch), num(1))},
		{"ReduceProd", nil, in(num(2))}, {"ReduceProd", ints("axes", 1), in(list(2))}, {"ReduceProd", ints("axes", 0, 1), in(list(2))}, {"ReduceProd", nil, in(matrix(1, 1, 1))},
		{"Reshape", nil, in(list(1, 2))}, {"Reshape", nil, in(list(1, 2), list())}, {"Reshape", nil, in(list(1, 2), list(1, 1, 2))}, {"Reshape", nil, in(list(1, 2), list(-1, -1))}, {"Reshape", nil, in(list(1, 2), list(3))}, {"Reshape", nil, in(list(1, 2, 3), list(2, -1))}, {"Reshape", nil, in(list(1, 2), list(maxInts+1, -1))},
		{"Transpose", ints("perm", 0, 1), in(matrix(1, 2, 1, 2))}, {"Transpose", nil, in(list(1))}, {"Transpose", nil, in(onnxInts{[]int{1, 1, 1}, []int64{1}})},
		{"ConstantOfShape", nil, in(list(1, 2))}, {"ConstantOfShape", nil, in(list(-1))}, {"ConstantOfShape", nil, in(list(maxInts + 1))},
		{"ConstantOfShape", attrs{"value": {}}, in(list(2))}, {"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 7, ints: []int64{1}}}}, in(list(2))}, {"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 1, ints: []int64{0}}}}, in(list(2))},
		{"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 7, values: values{entry: entry{own: []byte{0, 1, 0, 0, 0, 0, 0, 0}}}}}}, in(list(2))}, {"ConstantOfShape", attrs{"value": {tensor: &onnxTensor{dataType: 7, external: map[string]string{}}}}, in(list(2))},
	} {
		_, ok := onnxIntegerOps[c.op](&onnxNode{op: c.op, attributes: c.attributes}, c.in)
		require.False(t, ok, "%s %v of %v", c.op, c.attributes, c.in)
	}
}
