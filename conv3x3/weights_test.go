package conv3x3

import (
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestFilterWeights: a filter gives its weights back, whatever it is packed for.
func TestFilterWeights(t *testing.T) {
	for _, s := range [][2]int{{3, 64}, {17, 33}, {32, 3}} {
		c, k := s[0], s[1]
		w := testutil.Normal(1, k*c*9)
		for _, opts := range [][]Option{nil, {Direct()}, {Winograd(2)}, {Stride(2)}} {
			f, err := NewFilter(c, k, w, nil, nil, opts...)
			require.NoError(t, err)
			g, err := NewInputGradFilter(c, k, w, nil, opts...)
			require.NoError(t, err)
			for _, f := range []*Filter{f, g} {
				got := f.Weights(nil)
				if f.Algorithm() == "direct" {
					testutil.CheckBits(t, "weights", s, got, w)
					continue
				}
				for i := range got {
					require.InDelta(t, w[i], got[i], 12*math.Ldexp(5, -24), f.Algorithm()) // no |w| reaches 5
				}
			}
		}
	}
}
