package gemm

import (
	"context"
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestOneRow: the only row of C has the bits of the same row among five, for which B is
// packed, whatever is transposed and however many workers there are.
func TestOneRow(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []sgemmCase{
			{n: 1, k: 17}, {n: 15, k: 40, beta: 1}, {n: 16, k: 16}, {n: 37, k: 600, beta: 2}, {n: 100, k: 1111, pad: 5}, {n: 4100, k: 20, pad: 1, beta: 1},
		} {
			for _, transA := range []bool{false, true} {
				one, five := s, s
				one.transA, one.transB, one.alpha, one.m = transA, true, 1, 1
				five.transB, five.alpha, five.m = true, 1, 5
				la, lda, lb, _, lc, ldc := five.sizes()
				a, b, c := testutil.Normal(uint64(i), la), testutil.Normal(uint64(i+9), lb), testutil.Normal(uint64(i+20), lc)
				want := five.run(t, kern, a, b, c, 1)[3*ldc:][:s.n]
				row := a[3*lda:][:s.k]
				if transA { // as a column
					_, ld, _, _, _, _ := one.sizes()
					column := make([]float32, (s.k-1)*ld+1)
					for k, v := range row {
						column[k*ld] = v
					}
					row = column
				}
				for _, workers := range []int{1, 2, 3} {
					testutil.CheckBits(t, "one row", []any{one, workers}, one.run(t, kern, row, b, c[3*ldc:][:s.n], workers), want)
				}
			}
		}
	})
}

// TestOneColumn: the only column of C, adjacent, has the bits of the same column among three.
func TestOneColumn(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []sgemmCase{
			{m: 2, k: 17, alpha: 1}, {m: 21, k: 600, alpha: -0.3, beta: 2}, {m: 100, k: 1111, alpha: 1, beta: 1}, {m: 4100, k: 20, alpha: 1}, {m: 9, k: 70, beta: 3},
		} {
			for flags := range 4 {
				three := s
				three.transA, three.transB, three.n = flags&1 > 0, flags&2 > 0, 3
				la, lda, lb, ldb, lc, ldc := three.sizes()
				a, b, c := testutil.Normal(uint64(i), la), testutil.Normal(uint64(i+9), lb), testutil.Normal(uint64(i+20), lc)
				all, y, want := three.run(t, kern, a, b, c, 1), make([]float32, s.m), make([]float32, s.m)
				for j := range y {
					y[j], want[j] = c[j*ldc+1], all[j*ldc+1]
				}
				for _, workers := range []int{1, 2} {
					got := append([]float32(nil), y...)
					x := b[1:]
					if three.transB {
						x = b[ldb:]
					}
					team := parallel.NewTeam(workers)
					team.Begin()
					require.NoError(t, newMultiplier(kern, team).SGEMM(context.Background(), three.transA, three.transB, s.m, 1, s.k, s.alpha, a, lda, x, ldb, s.beta, got, 1))
					team.End()
					testutil.CheckBits(t, "one column", []any{three, workers}, got, want)
				}
			}
		}
	})
}

// BenchmarkGEMV reads a matrix from memory, and from the last-level cache.
func BenchmarkGEMV(b *testing.B) {
	for _, s := range []struct{ m, n int }{{4096, 4096}, {1000, 4096}, {1000, 4100}} {
		for i := range ukernel.IndirectKernels {
			kern := &ukernel.IndirectKernels[i]
			if !cpu.Has(kern.ISA) {
				continue
			}
			for _, trans := range []bool{false, true} {
				b.Run(fmt.Sprintf("m=%d/n=%d/trans=%v/kernel=%s", s.m, s.n, trans, kern.Name), func(b *testing.B) {
					g := newMultiplier(kern, nil)
					a, x, y := testutil.Uniform(1, s.m*s.n), testutil.Uniform(2, s.m+s.n), make([]float32, s.m+s.n)
					b.SetBytes(4 * int64(len(a)))
					for b.Loop() {
						_ = g.GEMV(context.Background(), trans, s.m, s.n, 1, a, s.n, x, 0, y)
					}
				})
			}
		}
	}
}

func TestGEMV(t *testing.T) {
	for _, s := range []struct{ m, n int }{{1, 1}, {7, 30}, {200, 513}} {
		for _, trans := range []bool{false, true} {
			nx, ny := s.n, s.m
			if trans {
				nx, ny = ny, nx
			}
			lda := s.n + 3
			a, x, y := testutil.Ints(1, s.m*lda, -3, 3), testutil.Ints(2, nx, -3, 3), testutil.Ints(3, ny, -3, 3)
			want := make([]float64, ny)
			for j := range ny {
				want[j] = -2 * float64(y[j])
				for i := range nx {
					at := j*lda + i
					if trans {
						at = i*lda + j
					}
					want[j] += 2 * float64(a[at]) * float64(x[i])
				}
			}
			GEMV(trans, s.m, s.n, 2, a, lda, x, -2, y)
			testutil.CheckExact(t, "GEMV", s, y, want)
		}
	}
}

// TestRowMinus: one row with alpha −1 gives the results of alpha 1, negated.
func TestRowMinus(t *testing.T) {
	const n, k = 700, 300
	a, b := testutil.Normal(1, k), testutil.Normal(2, k*n)
	for transB, ldb := range map[bool]int{false: n, true: k} {
		plus, minus := make([]float32, n), make([]float32, n)
		g := NewMultiplier(nil)
		require.NoError(t, g.SGEMM(context.Background(), false, transB, 1, n, k, 1, a, k, b, ldb, 0, plus, n))
		require.NoError(t, g.SGEMM(context.Background(), false, transB, 1, n, k, -1, a, k, b, ldb, 0, minus, n))
		for i := range plus {
			plus[i] = -plus[i]
		}
		testutil.CheckBits(t, "alpha -1", transB, minus, plus)
	}
}
