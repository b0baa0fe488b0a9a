package gemm

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
)

// TestAlphaRange: alpha·A·B is right where alpha·B or alpha·A is out of range, on every
// path, whichever operand is the large one, and with C read or not.
func TestAlphaRange(t *testing.T) {
	team := parallel.NewTeam(3)
	team.Begin()
	defer team.End()
	for _, g := range []*Multiplier{NewMultiplier(nil), NewMultiplier(team)} {
		for _, s := range [][3]int{{1, 1, 1}, {1, 1, 64}, {1, 64, 64}, {8, 64, 64}, {64, 1, 64}, {300, 64, 64}, {3, 4200, 5}} {
			for _, v := range []struct{ alpha, a, b float32 }{
				{1e38, 1e-3, 100}, {1e-38, 1e15, 1e-10}, {-1e38, 1e-3, 100}, {2, 3e38, 0.25}, {0.5, 1e-38, 1e10}, {1e-30, 1e-20, 1e30},
			} {
				for trans := range 4 {
					for _, beta := range []float32{0, 1, 2} {
						testAlpha(t, g, s, v.alpha, v.a, v.b, beta, trans)
						testAlpha(t, g, s, v.alpha, v.b, v.a, beta, trans)
					}
				}
			}
		}
	}
}

// TestAlphaBits: with alpha as well, the bits of a column do not depend on the number of
// columns.
func TestAlphaBits(t *testing.T) {
	const k, most = 3, 4096 + 40
	g := NewMultiplier(nil)
	a, b := testutil.Normal(1, 2*k), testutil.Normal(2, k*most)
	var want []float32
	for _, n := range []int{most, 4096 + 17, 4096 + 5, 4097, 4096, 4095, 100, 16, 6} {
		c := make([]float32, 2*n)
		for i := range c {
			c[i] = 0.001 // less than the products, so that their last bits count
		}
		require.NoError(t, g.SGEMM(context.Background(), false, true, 2, n, k, 0.3, a, k, b, k, 0.7, c, n))
		if want == nil {
			want = c
		}
		testutil.CheckBits(t, "first row, columns", n, c[:n], want[:n])
		testutil.CheckBits(t, "second row, columns", n, c[n:], want[most:][:n])
	}
}

// testAlpha multiplies an A and a B of one element x and y in each sum.
func testAlpha(t *testing.T, g *Multiplier, s [3]int, alpha, x, y, beta float32, trans int) {
	t.Helper()
	m, n, k := s[0], s[1], s[2]
	a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
	lda, ldb := k, n
	stepA, stepB := k, 1
	if trans&1 != 0 {
		lda, stepA = m, 1
	}
	if trans&2 != 0 {
		ldb, stepB = k, k
	}
	for i := range m {
		a[i*stepA] = x
	}
	for j := range n {
		b[j*stepB] = y
	}
	want := float64(alpha) * float64(x) * float64(y)
	for i := range c {
		c[i] = float32(want / 8)
		if beta == 0 {
			c[i] = float32(math.NaN())
		}
	}
	if beta != 0 {
		want += float64(beta) * float64(float32(want/8))
	}
	require.NoError(t, g.SGEMM(context.Background(), trans&1 != 0, trans&2 != 0, m, n, k, alpha, a, lda, b, ldb, beta, c, n))
	for i, v := range c {
		if math.Abs(float64(v)-want) > 1e-6*math.Abs(want) || math.IsNaN(float64(v)) {
			t.Fatalf("%v, alpha %g, a %g, b %g, beta %g, trans %d: element %d is %g, want %g", s, alpha, x, y, beta, trans, i, v, want)
		}
	}
}
