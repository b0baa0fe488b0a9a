package gemm

import (
	"context"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestBatch compares a batch with its products one by one, bit for bit.
func TestBatch(t *testing.T) {
	const m, n, k = 9, 20, 33
	for _, count := range []int{0, 1, 2, 7} {
		a, b := testutil.Normal(1, max(1, count)*m*k), testutil.Normal(2, max(1, count)*k*n)
		want, got := make([]float32, max(1, count)*m*n), make([]float32, max(1, count)*m*n)
		for i := range count {
			SGEMM(false, false, m, n, k, 1, a[i*m*k:], k, b[i*k*n:], n, 0, want[i*m*n:], n)
		}
		for _, workers := range []int{1, 3} {
			clear(got)
			g := NewMultiplier(parallel.NewTeam(workers))
			require.NoError(t, g.Batch(context.Background(), Batch{count, m * k, k * n, m * n}, false, false, m, n, k, 1, a, k, b, n, 0, got, n))
			testutil.CheckBits(t, "batch", count, got, want)
		}
	}
	g := NewMultiplier(nil)
	x := make([]float32, 100)
	for _, s := range []Batch{{-1, 0, 0, 0}, {1, -1, 0, 0}, {1, 0, -1, 0}, {1, 0, 0, -1}} {
		require.PanicsWithValue(t, "gemm: negative size", func() {
			_ = g.Batch(context.Background(), s, false, false, 1, 1, 1, 1, x, 1, x[1:], 1, 0, x[2:], 1)
		}, "%+v", s)
	}
	require.PanicsWithValue(t, "gemm: products of a batch overlap in C", func() {
		_ = g.Batch(context.Background(), Batch{2, 1, 1, 1}, false, false, 2, 2, 1, 1, x[:5], 1, x[10:20], 2, 0, x[50:], 2)
	})
}

// TestBatchStrides: products may share an operand, and one product alone needs no strides.
func TestBatchStrides(t *testing.T) {
	const m, n, k = 2, 3, 7
	a, b := testutil.Normal(1, m*k), testutil.Normal(2, 2*k*n)
	want, got := make([]float32, 2*m*n), make([]float32, 2*m*n)
	for i := range 2 {
		SGEMM(false, false, m, n, k, 1, a, k, b[i*k*n:], n, 0, want[i*m*n:], n)
	}
	g := NewMultiplier(nil)
	require.NoError(t, g.Batch(context.Background(), Batch{2, 0, k * n, m * n}, false, false, m, n, k, 1, a, k, b, n, 0, got, n))
	testutil.CheckBits(t, "one A", 2, got, want)
	clear(got)
	require.NoError(t, g.Batch(context.Background(), Batch{Count: 1}, false, false, m, n, k, 1, a, k, b, n, 0, got, n))
	testutil.CheckBits(t, "one product", 1, got[:m*n], want[:m*n])
}

// TestBatchOverflow: nor do strides.
func TestBatchOverflow(t *testing.T) {
	x := make([]float32, 64)
	y := make([]float32, 64)
	for _, c := range []struct {
		batch Batch
		want  string
	}{
		{Batch{5, math.MaxInt/2 + 1, 1, 4}, "gemm: slice of A is too short"},
		{Batch{5, 1, math.MaxInt/2 + 1, 4}, "gemm: slice of B is too short"},
		{Batch{5, 1, 1, math.MaxInt/2 + 1}, "gemm: slice of C is too short"},
		{Batch{2, math.MaxInt, 1, 4}, "gemm: slice of A is too short"},
		{Batch{math.MaxInt, 1, 1, 4}, "gemm: slice of A is too short"},
		{Batch{2, 1, 1, 3}, "gemm: products of a batch overlap in C"},
	} {
		require.PanicsWithValue(t, c.want, func() {
			_ = NewMultiplier(nil).Batch(context.Background(), c.batch, false, false, 2, 2, 2, 1, x, 2, x, 2, 0, y, 2)
		}, "%+v", c)
	}
	require.PanicsWithValue(t, "gemm: products of a batch overlap in C", func() {
		_ = NewMultiplier(nil).Batch(context.Background(), Batch{2, 1, 1, 8}, false, false, 5, 2, 2, 1, x, 2, x, 2, 0, y, math.MaxInt/2+1)
	})
}
