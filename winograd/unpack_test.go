package winograd

import (
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// weightsBound bounds the errors of Weights, in units of 2⁻²⁴ of the largest of nine.
const weightsBound = 12

// TestWeights takes the transform of filters back: of every kernel, for numbers of
// channels that fill no panel.
func TestWeights(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant) {
		for _, s := range [][2]int{{16, 16}, {3, 5}, {17, 33}, {40, 130}} {
			c, k := s[0], s[1]
			w := testutil.Normal(uint64(c), k*c*9)
			for i := range w {
				w[i] *= float32(math.Ldexp(1, i/9%40-20)) // filters of very different sizes
			}
			for _, rotated := range []bool{false, true} {
				in, out := c, k
				if rotated {
					in, out = k, c
				}
				f, err := newFilter(v.kern, v.tr, v.tr.m, in, out, rotated, w, nil)
				require.NoError(t, err)
				got := f.Weights(parallel.NewTeam(2))
				require.Len(t, got, len(w))
				worst := 0.0
				for i, x := range w {
					largest := 0.0
					for _, y := range w[i/9*9:][:9] {
						largest = max(largest, math.Abs(float64(y)))
					}
					worst = max(worst, math.Abs(float64(got[i])-float64(x))/largest)
				}
				require.LessOrEqual(t, worst, math.Ldexp(weightsBound, -24), "%v", s)
			}
		}
	})
}

// TestLeftInverse holds the bound of Weights: an element of U is wrong by 2⁻²⁴ of
// itself, the sums add these errors, and the result is rounded once.
func TestLeftInverse(t *testing.T) {
	for m, p := range inverses() {
		g := bilinear.New(m).G.Float64()
		for a := range 3 {
			size := 0.0 // Σ|p||g|
			for b := range 3 {
				sum := 0.0
				for i, row := range g {
					sum += p[a][i] * row[b]
					size += math.Abs(p[a][i] * row[b])
				}
				want := 0.0
				if a == b {
					want = 1
				}
				require.InDelta(t, want, sum, 1e-14)
			}
			require.LessOrEqual(t, size*size+1, float64(weightsBound), "m=%d, row %d", m, a)
		}
	}
}
