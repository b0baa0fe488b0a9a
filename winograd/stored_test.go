package winograd

import (
	"errors"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestStored takes filters out in blocks, and makes the same filter of them.
func TestStored(t *testing.T) {
	t.Parallel()
	for _, s := range [][2]int{{16, 1}, {17, 40}, {130, 64}, {32, 100}} {
		c, k := s[0], s[1]
		f, err := NewFixedFilter(c, k, testutil.Normal(1, k*c*9), nil)
		require.NoError(t, err)
		read := func(kb int, b StoredBlock) error { f.StoreFixed(kb, b); return nil }
		again, err := NewStoredFilter(c, k, read, parallel.NewTeam(2))
		require.NoError(t, err)
		require.Equal(t, f, again)
		bad := errors.New("bad")
		_, err = NewStoredFilter(c, k, func(int, StoredBlock) error { return bad }, nil)
		require.ErrorIs(t, err, bad)
	}
	_, err := NewStoredFilter(0, 1, nil, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewStoredFilter(math.MaxInt/64, math.MaxInt/64, nil, nil)
	require.ErrorIs(t, err, ErrShape)
}

// TestStoredOverflow refuses blocks whose sums might wrap around, and takes the largest that
// cannot.
func TestStoredOverflow(t *testing.T) {
	t.Parallel()
	const c, k = 20, 16
	limit := int64(fixedLimit(c))
	make1 := func(change func(b StoredBlock)) error {
		_, err := NewStoredFilter(c, k, func(_ int, b StoredBlock) error { clear(b.U); change(b); return nil }, nil)
		return err
	}
	most := math.MaxInt32 / limit // of the sum of all channels
	fill := func(sum int64) func(b StoredBlock) {
		return func(b StoredBlock) {
			for ch := range c {
				v := min(sum, math.MaxInt16)
				b.U[(7*c+ch)*16+3] = int16(v)
				sum -= v
			}
		}
	}
	require.NoError(t, make1(fill(most)))
	require.ErrorIs(t, make1(fill(most+1)), ErrShape)
	require.ErrorIs(t, make1(func(b StoredBlock) {
		for i := range b.U {
			b.U[i] = math.MinInt16
		}
	}), ErrShape)
}
