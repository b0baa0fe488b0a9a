package gemm

import "github.com/nonet-go/nonet/internal/shape"

// A matrix is an operand as the loops see it: element (i, j) stands at
// data[i·rs + j·cs]. As in BLIS, rs is the row stride and cs the column stride; those
// of a transposed matrix are exchanged. One of them is 1.
type matrix struct {
	data   []float32
	rs, cs int
}

// from returns the elements from (i, j) on.
func (x matrix) from(i, j int) []float32 { return x.data[i*x.rs+j*x.cs:] }

// transposed returns the transpose, which has the same elements.
func (x matrix) transposed() matrix { return matrix{x.data, x.cs, x.rs} }

// operand returns op(X), which is rows×cols, for a row-major X with leading dimension ld.
func operand(trans bool, rows, cols int, x []float32, ld int) matrix {
	if trans {
		return operand(false, cols, rows, x, ld).transposed()
	}
	if rows < 2 { // nothing is computed with the leading dimension of a single row
		ld = max(1, cols)
	}
	return matrix{x, ld, 1}
}

// A problem is C = alpha·A·B + beta·C, where A is m×k, B k×n and C m×n. The rows of C
// are contiguous.
type problem struct {
	m, n, k     int
	alpha, beta float32
	a, b, c     matrix
	packed      *Packed // B, if it was packed before; b is unset then
	nextB       int     // elements from B to that of the product that follows; 0: none is known
}

// isColumn reports whether C is one contiguous column, of a product that is not small.
func (p *problem) isColumn() bool {
	return p.n == 1 && p.m > 1 && p.c.rs == 1 && p.packed == nil && p.k > smallB && p.alpha != 0
}

// transposed returns Cᵀ = alpha·Bᵀ·Aᵀ + beta·Cᵀ, for a C of one contiguous column.
func (p *problem) transposed() problem {
	return problem{
		m: p.n, n: p.m, k: p.k, alpha: p.alpha, beta: p.beta,
		a: p.b.transposed(), b: p.a.transposed(), c: p.c.transposed(),
	}
}

// newProblem checks the operands of SGEMM.
func newProblem(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) problem {
	if m < 0 || n < 0 || k < 0 {
		panic("gemm: negative size")
	}
	checkB(transB, n, k, b, ldb)
	if overlap(c, b) {
		panic("gemm: C overlaps A or B")
	}
	checkAC(transA, m, n, k, a, lda, c, ldc)
	return problem{
		m: m, n: n, k: k, alpha: alpha, beta: beta,
		a: operand(transA, m, k, a, lda), b: operand(transB, k, n, b, ldb), c: operand(false, m, n, c, ldc),
	}
}

// checkB checks that b holds op(B), k×n.
func checkB(transB bool, n, k int, b []float32, ldb int) {
	rows, cols := dims(transB, k, n)
	switch {
	case n < 0 || k < 0:
		panic("gemm: negative size")
	case ldb < max(1, cols):
		panic("gemm: leading dimension of B is too small")
	case !shape.Holds(len(b), rows, cols, ldb):
		panic("gemm: slice of B is too short")
	}
}

// checkAC checks that a holds op(A), m×k, and c C, m×n.
func checkAC(transA bool, m, n, k int, a []float32, lda int, c []float32, ldc int) {
	rows, cols := dims(transA, m, k)
	switch {
	case m < 0 || n < 0 || k < 0:
		panic("gemm: negative size")
	case lda < max(1, cols):
		panic("gemm: leading dimension of A is too small")
	case ldc < max(1, n):
		panic("gemm: leading dimension of C is too small")
	case !shape.Holds(len(a), rows, cols, lda):
		panic("gemm: slice of A is too short")
	case !shape.Holds(len(c), m, n, ldc):
		panic("gemm: slice of C is too short")
	case overlap(c, a):
		panic("gemm: C overlaps A or B")
	}
}

// dims returns rows and columns of a matrix as it is stored, where op of it is rows×cols.
func dims(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

// scaleC sets C = beta·C, and does not read C for 0.
func (p *problem) scaleC(beta float32) {
	if beta == 1 {
		return
	}
	for i := range p.m {
		row := p.c.from(i, 0)[:p.n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}
