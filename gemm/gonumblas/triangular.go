package gonumblas

import (
	"github.com/nonet-go/nonet/gemm"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Strmm computes B = alpha·op(A)·B, or alpha·B·op(A) for blas.Right, where A is triangular.
// A is two triangles half as large and a square, which is SGEMM; the smallest triangles are
// gonum's.
func (Implementation) Strmm(s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n int, alpha float32, a []float32, lda int, b []float32, ldb int) {
	if t := newTriangular(s, ul, tA, d, m, n, alpha, a, lda, b, ldb); t != nil {
		t.multiply(m, n, a, b)
	}
}

// Strsm solves op(A)·X = alpha·B, or X·op(A) = alpha·B for blas.Right, where A is triangular,
// and sets B to X. It is divided as Strmm is.
func (Implementation) Strsm(s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n int, alpha float32, a []float32, lda int, b []float32, ldb int) {
	if t := newTriangular(s, ul, tA, d, m, n, alpha, a, lda, b, ldb); t != nil {
		t.solve(m, n, t.alpha, a, b)
	}
}

// triangular is what the parts of a Strmm or Strsm have in common.
type triangular struct {
	side     blas.Side
	uplo     blas.Uplo
	trans    blas.Transpose
	diag     blas.Diag
	low      bool // op(A) is a lower triangle
	alpha    float32
	lda, ldb int
	block    []float32 // columns of B, for blas.Right: those that are read and those that are written have rows in common
}

// newTriangular checks the arguments. It returns nil where nothing is left to do.
func newTriangular(s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n int, alpha float32, a []float32, lda int, b []float32, ldb int) *triangular {
	k := n
	if left(s) {
		k = m
	}
	t := &triangular{side: s, uplo: ul, diag: d, alpha: alpha, lda: lda, ldb: ldb}
	low := lower(ul)
	t.low, t.trans = low != transposed(tA), tA
	if d != blas.NonUnit && d != blas.Unit {
		panic(badDiag)
	}
	checkSizes(m, n, 0)
	checkLD(lda, k, badLdA)
	checkLD(ldb, n, badLdB)
	if m == 0 || n == 0 {
		return nil
	}
	checkLen(a, k, k, lda, shortA)
	checkLen(b, m, n, ldb, shortB)
	if alpha == 0 {
		for i := range m {
			clear(b[i*ldb:][:n])
		}
		return nil
	}
	if s == blas.Right && n > base {
		t.block = make([]float32, m*half(n))
	}
	return t
}

// multiply is Strmm of m×n.
func (t *triangular) multiply(m, n int, a, b []float32) {
	if t.side == blas.Left && m <= base || t.side == blas.Right && n <= base {
		gonum.Implementation{}.Strmm(t.side, t.uplo, t.trans, t.diag, m, n, t.alpha, a, t.lda, b, t.ldb)
		return
	}
	p := t.divide(m, n, a, b)
	if t.readsFirst() {
		p = p.swapped()
	}
	// What is read of B must not have been multiplied yet, and what is written must have.
	t.multiply(p.to.m, p.to.n, p.to.a, p.to.b)
	t.add(&p, t.alpha, 1)
	t.multiply(p.from.m, p.from.n, p.from.a, p.from.b)
}

// solve is Strsm of m×n.
func (t *triangular) solve(m, n int, alpha float32, a, b []float32) {
	if t.side == blas.Left && m <= base || t.side == blas.Right && n <= base {
		gonum.Implementation{}.Strsm(t.side, t.uplo, t.trans, t.diag, m, n, alpha, a, t.lda, b, t.ldb)
		return
	}
	p := t.divide(m, n, a, b)
	if t.readsFirst() {
		p = p.swapped()
	}
	t.solve(p.from.m, p.from.n, alpha, p.from.a, p.from.b)
	t.add(&p, -1, alpha)
	t.solve(p.to.m, p.to.n, 1, p.to.a, p.to.b)
}

// part is a triangle of A, and the rows or columns of B that go with it.
type part struct {
	m, n int
	a, b []float32
}

// parts are two triangles of A and the square between them. Its product with from is added
// to to.
type parts struct {
	from, to part
	square   []float32
}

func (p parts) swapped() parts { return parts{p.to, p.from, p.square} }

// readsFirst reports whether op(A)'s square leads from the second part of B to the first.
func (t *triangular) readsFirst() bool { return t.low != (t.side == blas.Left) }

// divide returns the first triangle as from, the second as to.
func (t *triangular) divide(m, n int, a, b []float32) parts {
	size := n
	if t.side == blas.Left {
		size = m
	}
	n1 := half(size)
	p := parts{square: a[n1:]}
	if t.uplo == blas.Lower {
		p.square = a[n1*t.lda:]
	}
	if t.side == blas.Left {
		p.from, p.to = part{n1, n, a, b}, part{m - n1, n, a[n1*t.lda+n1:], b[n1*t.ldb:]}
	} else {
		p.from, p.to = part{m, n1, a, b}, part{m, n - n1, a[n1*t.lda+n1:], b[n1:]}
	}
	return p
}

// add sets to to alpha·op(square)·from + beta·to, or with the factors exchanged.
func (t *triangular) add(p *parts, alpha, beta float32) {
	trans := t.trans != blas.NoTrans
	to := p.to.b[:(p.to.m-1)*t.ldb+p.to.n]
	if t.side == blas.Left {
		from := p.from.b[:(p.from.m-1)*t.ldb+p.from.n]
		gemm.SGEMM(trans, false, p.to.m, p.to.n, p.from.m, alpha, p.square, t.lda, from, t.ldb, beta, to, t.ldb)
		return
	}
	n := p.from.n
	for i := range p.from.m {
		copy(t.block[i*n:][:n], p.from.b[i*t.ldb:])
	}
	gemm.SGEMM(false, trans, p.to.m, p.to.n, n, alpha, t.block, n, p.square, t.lda, beta, to, t.ldb)
}
