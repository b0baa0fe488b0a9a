package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/level1f"
)

// across reports whether B is transposed and yet read where it is: by one row of A, for
// which reading it is all. Two rows take as long that way as with B packed. One thread of
// Zen 3, GB/s by BenchmarkGEMV, and with the ways of this file left out; Aᵀ is read by
// AddRows:
//
//	A of a column  packed  where it is    Aᵀ packed  where it is
//	4096×4096      8       17             5          27
//	1000×4096      9       20             6          48
//	1000×4100      9       20             7          45
func (g *Multiplier) across() bool {
	return g.m == 1 && g.reading().few > 0 && g.packed == nil && g.transB && g.alpha == 1
}

// dotRows is how many rows of a transposed B are read side by side.
const dotRows = 16

// dotItems returns the number of items: each has columns of C, which are rows of B, side by
// side.
func (g *Multiplier) dotItems() int {
	items := 1
	if w := g.team.Workers(); w > 1 {
		items = 4 * w
	}
	return min(items, (g.nb+dotRows-1)/dotRows)
}

// dotsItem computes some columns from jc on of the only row of C.
func (g *Multiplier) dotsItem(worker, item int) {
	w, blocks := &g.work[worker], (g.nb+dotRows-1)/dotRows
	j, end := item*blocks/g.groups*dotRows, min((item+1)*blocks/g.groups*dotRows, g.nb)
	for ; j < end && g.ctx.Err() == nil; j += dotRows {
		at := g.jc + j
		row := g.c[at:][:min(dotRows, end-j)]
		sums := w.sums[:len(row)]
		for pc := 0; pc < g.k; pc += g.kstep {
			kb := min(g.kstep, g.k-pc)
			clear(sums)
			level1f.Dotxf(sums, g.a[pc:][:kb], g.bm[at*g.ldb+pc:], g.ldb, &w.edge)
			g.put(row, sums, pc)
			g.finish(0, row, pc == 0, pc+kb == g.k)
		}
	}
}

// gathered copies k elements that are step apart, and multiplies them by alpha, 1 or −1.
func (g *Multiplier) gathered(alpha float32, x []float32, step, k int) []float32 {
	grow(&g.x, k)
	for i := range k {
		g.x[i] = alpha * x[i*step]
	}
	return g.x
}

// column is SGEMM with one column, whose elements are adjacent. Seen as a row it is
// Cᵀ = op(B)ᵀ·op(A)ᵀ, and A is read where it is. The sums are the same.
func (g *Multiplier) column(ctx context.Context, transA, transB bool, m, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32) error {
	step := ldb
	if transB {
		step = 1
	}
	bias := g.bias // of rows, which are columns here
	if bias != nil {
		beta = 1
		copy(c, bias)
		g.bias = nil
	}
	g.transB, g.alpha, g.bm, g.ldb, g.packed = !transA, 1, a, lda, nil
	err := g.multiply(ctx, false, 1, m, k, g.gathered(alpha, b, step, k), k, beta, c, m)
	g.bias = bias
	return err
}
