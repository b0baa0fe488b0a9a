package gemm

import "context"

// GEMV sets y = alpha·op(A)·x + beta·y, where op(A) is A or, with trans, Aᵀ. A is
// m×n and row-major with leading dimension lda. x has n elements and y m, or with
// trans x has m and y n. It is SGEMM with one column: see there for accuracy,
// aliasing, sizes of 0 and panics. But for the portable kernel, A is read where it is.
func GEMV(trans bool, m, n int, alpha float32, a []float32, lda int, x []float32, beta float32, y []float32) {
	g := multipliers.Get().(*Multiplier)
	_ = g.GEMV(context.Background(), trans, m, n, alpha, a, lda, x, beta, y) // the context never ends
	multipliers.Put(g)
}

// GEMV is the function of that name on the Multiplier's team.
func (g *Multiplier) GEMV(ctx context.Context, trans bool, m, n int, alpha float32, a []float32, lda int, x []float32, beta float32, y []float32) error {
	rows, cols := dims(trans, m, n)
	return g.SGEMM(ctx, trans, false, rows, 1, cols, alpha, a, lda, x, 1, beta, y, 1)
}
