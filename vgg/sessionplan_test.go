package vgg

import (
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/pool"
	"github.com/stretchr/testify/require"
)

// TestChunkLimits: a run computes as many pictures at a time as make their activations as large as
// the weights, or as 4 MiB if that are more; at most 64, and about equally many each time.
func TestChunkLimits(t *testing.T) {
	const mib = 1 << 18 // floats
	for _, c := range []struct{ filters, in, out, batch, want int }{
		{1, 1, 1, 1, 1},
		{1, 1, 1, 64, 64},
		{1, 1, 1, 65, 33},
		{1, 1, 1, 200, 50},
		{1, mib / 2, mib / 2, 3, 3},
		{1, mib / 2, mib / 2, 4, 4},
		{1, mib, mib, 4, 2},
		{1, mib, mib / 2, 5, 2},
		{1, 2 * mib, 3 * mib, 5, 1},
		{8 * mib, mib / 2, mib / 2, 16, 8},
		{8*mib + 32, mib / 2, mib / 2, 18, 9},
		{8 * mib, mib / 2, mib / 2, 9, 5},
		{8 * mib, mib / 2, mib / 2, 5, 5},
	} {
		n := max(c.filters/2, 1) // a weight and a bias of each channel
		weights, err := pool.NewScale(n, make([]float32, n), make([]float32, n), fuse.Epilogue{})
		require.NoError(t, err)
		s := &Session{model: &Model{layers: []packedLayer{{}, {scale: weights}}}}
		s.batch = c.batch
		ops := []op{
			{index: 0, in: Shape{c.in, 1, 1}, out: Shape{1, 1, 1}, rowsIn: true, rows: true},
			{index: 1, in: Shape{c.out - 1, 1, 1}, out: Shape{0, 1, 1}, rowsIn: true, rows: true},
		}
		require.Equal(t, c.want, s.chunk(ops), "%+v", c)
	}
}
