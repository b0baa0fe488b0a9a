package gemm

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLeadingOverflow: leading dimensions whose products with the rows overflow do not
// reach memory, on any path.
func TestLeadingOverflow(t *testing.T) {
	const most = math.MaxInt
	type product struct {
		transA, transB bool
		m, n, k        int
		a              int // elements
		lda            int
		b, ldb         int
		c, ldc         int
		want           string
	}
	g := NewMultiplier(nil)
	for _, p := range []product{
		{false, false, 9, 64, 8, 8, most/4 + 1, 512, 64, 9 * 64, 64, "gemm: slice of A is too short"},
		{false, false, 5, 64, 8, 8, most/2 + 1, 512, 64, 5 * 64, 64, "gemm: slice of A is too short"},
		{true, false, 8, 64, 9, 8, most/4 + 1, 9 * 64, 64, 8 * 64, 64, "gemm: slice of A is too short"},
		{false, false, 300, 64, 9, 300 * 9, 9, 64, most/4 + 1, 300 * 64, 64, "gemm: slice of B is too short"},
		{false, false, 1, 64, 9, 9, 9, 64, most/4 + 1, 64, 64, "gemm: slice of B is too short"},
		{false, true, 7, 9, 64, 7 * 64, 64, 64, most/4 + 1, 7 * 9, 9, "gemm: slice of B is too short"},
		{false, false, 5, 64, 8, 40, 8, 512, 64, 64, most/2 + 1, "gemm: slice of C is too short"},
		{false, false, 2, 64, 64, 128, 64, 4096, 64, 65, most, "gemm: slice of C is too short"},
		{false, false, most, 1, 4, 8, most, 4, 1, 1, 1, "gemm: slice of A is too short"},
		{false, false, most, 4, 0, 0, 1, 0, 4, 4, 4, "gemm: slice of C is too short"},
	} {
		a, b, c := make([]float32, p.a), make([]float32, p.b), make([]float32, p.c)
		require.PanicsWithValue(t, p.want, func() { SGEMM(p.transA, p.transB, p.m, p.n, p.k, 1, a, p.lda, b, p.ldb, 0, c, p.ldc) }, "%+v", p)
		if p.want == "gemm: slice of B is too short" {
			require.PanicsWithValue(t, p.want, func() { g.Pack(p.transB, p.n, p.k, b, p.ldb) }, "%+v", p)
		}
	}
	// The leading dimension of a single row means nothing.
	for _, k := range []int{1, 3, 64} {
		for _, n := range []int{1, 2, 64, 70} {
			a, b, want, got := make([]float32, k), make([]float32, k*n), make([]float32, n), make([]float32, n)
			for i := range a {
				a[i] = float32(i%5 - 2)
			}
			for i := range b {
				b[i] = float32(i%7 - 3)
			}
			for _, alpha := range []float32{1, 2} {
				SGEMM(false, false, 1, n, k, alpha, a, k, b, n, 0, want, n)
				SGEMM(false, false, 1, n, k, alpha, a, most, b, n, 0, got, most)
				require.Equal(t, want, got)
				if k == 1 {
					SGEMM(false, false, 1, n, k, alpha, a, most, b, most, 0, got, most)
					require.Equal(t, want, got)
				}
				if n == 1 {
					SGEMM(false, true, 1, n, k, alpha, a, most, b, most, 0, got, most)
					require.Equal(t, want, got)
				}
			}
		}
	}
}

// TestEmpty: the rule of BLAS for leading dimensions, at least max(1, columns), holds
// for empty matrices; they may be nil.
func TestEmpty(t *testing.T) {
	nan := float32(math.NaN())
	for _, d := range []struct{ m, n, k int }{{0, 0, 0}, {0, 5, 3}, {5, 0, 3}, {2, 2, 0}, {1, 0, 0}, {0, 0, 4}} {
		a, b, c := make([]float32, d.m*d.k), make([]float32, d.k*d.n), make([]float32, d.m*d.n)
		for i := range c {
			c[i] = nan
		}
		lda, ldb, ldc := max(1, d.k), max(1, d.n), max(1, d.n)
		SGEMM(false, false, d.m, d.n, d.k, 1, a, lda, b, ldb, 0, c, ldc)
		require.Equal(t, make([]float32, d.m*d.n), c)
		SGEMM(true, true, d.m, d.n, d.k, 1, a, max(1, d.m), b, max(1, d.k), 2, c, ldc)
		panics := func(what string, f func()) {
			require.PanicsWithValue(t, "gemm: leading dimension of "+what+" is too small", f, "%+v", d)
		}
		panics("A", func() { SGEMM(false, false, d.m, d.n, d.k, 1, a, lda-1, b, ldb, 0, c, ldc) })
		panics("B", func() { SGEMM(false, false, d.m, d.n, d.k, 1, a, lda, b, ldb-1, 0, c, ldc) })
		panics("C", func() { SGEMM(false, false, d.m, d.n, d.k, 1, a, lda, b, ldb, 0, c, ldc-1) })
		p := NewMultiplier(nil).Pack(false, d.n, d.k, b, ldb)
		require.NoError(t, NewMultiplier(nil).Packed(context.Background(), false, d.m, a, lda, p, 0, c, ldc))
	}
	c := []float32{1, 2}
	SGEMM(false, false, 1, 2, 0, 1, nil, 1, nil, 2, 2, c, 2)
	require.Equal(t, []float32{2, 4}, c)
	p := NewMultiplier(nil).Pack(false, 0, math.MaxInt, nil, 1)
	require.Zero(t, p.Bytes())
	p = NewMultiplier(nil).Pack(false, math.MaxInt, 0, nil, math.MaxInt)
	require.Zero(t, p.Bytes())
}

// TestWindowsOverflow: no place of an input may lie outside of the source.
func TestWindowsOverflow(t *testing.T) {
	l, err := NewLinear(32, 2, make([]float32, 64), nil, nil)
	require.NoError(t, err)
	e, err := l.NewExec(2, nil)
	require.NoError(t, err)
	dst, src := make([]float32, 4), make([]float32, 64)
	require.NoError(t, e.RunWindows(context.Background(), dst, src, []int{0, 32}, []int{0, 16}))
	for _, bad := range [][2][]int{
		{{0, 33}, {0, 16}}, {{0, math.MaxInt}, {0, 16}}, {{0, 0}, {0, math.MaxInt}},
		{{16, 16}, {-16, 0}}, {{-16, 0}, {16, 16}}, {{math.MinInt, 0}, {0, 16}},
	} {
		require.ErrorIs(t, e.RunWindows(context.Background(), dst, src, bad[0], bad[1]), ErrShape, "%v", bad)
	}
}
