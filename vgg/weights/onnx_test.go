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
