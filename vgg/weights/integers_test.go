package weights

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIntegersAt reads parts of tensors of integers, and refuses other types.
func TestIntegersAt(t *testing.T) {
	t.Parallel()
	x := Tensor{Name: "x", DType: I16, Shape: []int{3}, Data: []byte{1, 0, 0xfe, 0xff, 0, 0x80}}
	words := make([]int16, 2)
	require.NoError(t, x.Int16sAt(words, 1))
	require.Equal(t, []int16{-2, -32768}, words)
	require.NoError(t, x.Int16sAt(nil, 3))
	require.ErrorIs(t, x.Int8sAt(make([]int8, 1), 0), ErrShape)
	x = Tensor{Name: "x", DType: I8, Shape: []int{3}, Data: []byte{1, 0xff, 0x80}}
	bytes := make([]int8, 2)
	require.NoError(t, x.Int8sAt(bytes, 1))
	require.Equal(t, []int8{-1, -128}, bytes)
	require.NoError(t, x.Int8sAt(nil, 0))
	require.ErrorIs(t, x.Int16sAt(words, 0), ErrShape)
}
