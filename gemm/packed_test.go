package gemm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlace: the items of a team are each panel of each block of rows once, and
// those of a worker's range lie in its own panels where these divide evenly.
func TestPlace(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		for _, rows := range []int{1, 2, 7} {
			for panels := 1; panels < 14; panels++ {
				seen := map[[2]int]bool{}
				for item := range rows * panels {
					i, p, from, end := grid{rows, panels}.place(item, workers)
					require.True(t, 0 <= i && i < rows && 0 <= from && from <= p && p < end && end <= panels, "item %d of %d×%d", item, rows, panels)
					seen[[2]int{i, p}] = true
					if panels%workers == 0 && panels >= 2*workers {
						require.Equal(t, item/(rows*panels/workers), p/(panels/workers))
					}
				}
				require.Len(t, seen, rows*panels)
			}
		}
	}
}
