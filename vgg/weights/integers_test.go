package weights

import (
	"encoding/binary"
	"os"
	"path/filepath"
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

// TestIntegersOfFile reads parts of tensors of a mapped file and refuses those that it no longer has.
func TestIntegersOfFile(t *testing.T) {
	t.Parallel()
	const n = 100_000
	var data []byte
	for i := range n {
		data = binary.LittleEndian.AppendUint16(data, uint16(7*i))
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, WriteFile(path, []Out{
		{Name: "a", DType: I16, Shape: []int{n}, Data: data}, {Name: "b", DType: I8, Shape: []int{n}, Data: data[:n]},
	}, nil))
	f, err := Open(path)
	require.NoError(t, err)
	a, err := f.Tensor("a")
	require.NoError(t, err)
	b, err := f.Tensor("b")
	require.NoError(t, err)
	words, bytes := make([]int16, 1000), make([]int8, 1000)
	require.NoError(t, a.Int16sAt(words, n-1000))
	require.NoError(t, b.Int8sAt(bytes, 1))
	for i := range 1000 {
		require.Equal(t, binary.LittleEndian.Uint16(data[2*(n-1000+i):]), uint16(words[i]))
		require.Equal(t, data[1+i], byte(bytes[i]))
	}
	require.Panics(t, func() { _ = b.Int8sAt(bytes, n-999) })
	require.NoError(t, os.Truncate(path, n))
	require.NoError(t, a.Int16sAt(words, 0))
	require.ErrorIs(t, a.Int16sAt(words, n-1000), ErrFormat)
	require.ErrorIs(t, b.Int8sAt(bytes, 0), ErrFormat)
	require.NoError(t, f.Close())
}
