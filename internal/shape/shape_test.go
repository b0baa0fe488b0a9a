package shape

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProduct compares with products that cannot overflow.
func TestProduct(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 16, 1 << 14, 1<<14 + 1, 1 << 28, 1 << 30, math.MaxInt / 2, math.MaxInt/2 + 1, math.MaxInt/4 + 1, math.MaxInt - 1, math.MaxInt, -1, math.MinInt}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		list := make([]int, 1+r.IntN(4))
		want, negative := big.NewInt(1), false
		for i := range list {
			list[i] = sizes[r.IntN(len(sizes))]
			want.Mul(want, big.NewInt(int64(list[i])))
			negative = negative || list[i] < 0
		}
		got := Product(list...)
		if negative || want.Cmp(big.NewInt(Max)) > 0 {
			require.Equal(t, TooMany, got, "%v", list)
			require.False(t, Fits(list...), "%v", list)
			continue
		}
		require.Equal(t, want.Int64(), int64(got), "%v", list)
		require.True(t, Fits(list...), "%v", list)
	}
	require.Equal(t, 1, Product())
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		n, rows, cols, ld int
		want              bool
	}{
		{0, 0, 5, 5, true}, {0, 5, 0, 1, true}, {0, math.MaxInt, 0, math.MaxInt, true},
		{4, 1, 4, math.MaxInt, true}, {3, 1, 4, 4, false},
		{12, 3, 4, 4, true}, {11, 3, 4, 4, false}, {13, 3, 4, 5, false}, {14, 3, 4, 5, true},
		{64, 9, 64, math.MaxInt/4 + 1, false}, {64, 3, 64, math.MaxInt/2 + 1, false},
		{1 << 20, math.MaxInt, 1, math.MaxInt, false}, {1 << 20, math.MaxInt/4 + 2, 4, 4, false},
	} {
		require.Equal(t, c.want, Holds(c.n, c.rows, c.cols, c.ld), "%+v", c)
	}
}

// TestErrorf: the error is Err, says what was said, and nothing more.
func TestErrorf(t *testing.T) {
	err := fmt.Errorf("outer: %w", Errorf("batch of %d", 3))
	require.ErrorIs(t, err, Err)
	require.EqualError(t, err, "outer: batch of 3")
	require.False(t, errors.Is(errors.New("wrong shape"), Err))
}
