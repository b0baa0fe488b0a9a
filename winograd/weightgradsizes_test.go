package winograd

import (
	"testing"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/stretchr/testify/require"
)

// TestWeightGradSizes: each size is checked, also where the others are right.
func TestWeightGradSizes(t *testing.T) {
	for _, s := range [][6]int{{1, 1, 1, 1, 1, 1}, {1, 1, 3, 3, 1, 0}, {2, 20, 1, 5, 3, 1}} {
		_, err := NewWeightGrad(s[0], s[1], s[2], s[3], s[4], s[5])
		require.NoError(t, err, "%v", s)
	}
	for i, bad := range []int{0, 0, 0, 0, 0, -1} {
		s := [6]int{1, 2, 5, 6, 3, 1}
		s[i] = bad
		_, err := NewWeightGrad(s[0], s[1], s[2], s[3], s[4], s[5])
		require.ErrorIs(t, err, shape.Err, "%v", s)
	}
	for _, s := range [][6]int{{1, 1, 3, 3, 1, 2}, {1, 1, 2, 3, 1, 0}, {1, 1, 3, 2, 1, 0}, {1, 1, shape.Max + 1, 3, 1, 1}, {1, 1, 3, shape.Max + 1, 1, 1}} {
		_, err := NewWeightGrad(s[0], s[1], s[2], s[3], s[4], s[5])
		require.ErrorIs(t, err, shape.Err, "%v", s)
	}
}
