package gonumblas

import (
	"github.com/nonet-go/nonet/gemm"
	"gonum.org/v1/gonum/blas"
)

// Ssymm computes C = alpha·A·B + beta·C, or alpha·B·A + beta·C for blas.Right, where A is
// symmetric and one triangle of it is read. It is SGEMM with a copy of the whole A.
func (Implementation) Ssymm(s blas.Side, ul blas.Uplo, m, n int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	k := n
	if left(s) {
		k = m
	}
	low := lower(ul)
	checkSizes(m, n, 0)
	checkLD(lda, k, badLdA)
	checkLD(ldb, n, badLdB)
	checkLD(ldc, n, badLdC)
	if m == 0 || n == 0 {
		return
	}
	checkLen(a, k, k, lda, shortA)
	checkLen(b, m, n, ldb, shortB)
	checkLen(c, m, n, ldc, shortC)
	whole := symmetric(low, k, a, lda)
	if left(s) {
		gemm.SGEMM(false, false, m, n, k, alpha, whole, k, b, ldb, beta, c, ldc)
	} else {
		gemm.SGEMM(false, false, m, n, k, alpha, b, ldb, whole, k, beta, c, ldc)
	}
}

// symmetric returns A, n×n, of which one triangle is stored.
func symmetric(low bool, n int, a []float32, lda int) []float32 {
	whole := make([]float32, n*n)
	for i := range n {
		from, end := i, n
		if low {
			from, end = 0, i+1
		}
		row := a[i*lda:][:end]
		for j := from; j < end; j++ {
			whole[i*n+j], whole[j*n+i] = row[j], row[j]
		}
	}
	return whole
}

// Ssyrk computes one triangle of C = alpha·A·Aᵀ + beta·C, or alpha·Aᵀ·A + beta·C if A is
// transposed. A triangle is two half as large, and a square between them that is SGEMM.
func (Implementation) Ssyrk(ul blas.Uplo, tA blas.Transpose, n, k int, alpha float32, a []float32, lda int, beta float32, c []float32, ldc int) {
	r := rankK{low: lower(ul), trans: transposed(tA), k: k, alpha: alpha, beta: beta, lda: lda, ldc: ldc}
	rows, cols := shape(r.trans, n, k)
	checkSizes(0, n, k)
	checkLD(lda, cols, badLdA)
	checkLD(ldc, n, badLdC)
	if n == 0 {
		return
	}
	checkLen(a, rows, cols, lda, shortA)
	checkLen(c, n, n, ldc, shortC)
	r.tile = make([]float32, min(n, base)*min(n, base))
	r.update(n, a, c)
}

// base is the size of a triangle that is not divided further.
const base = 32

// rankK is what the parts of an Ssyrk have in common.
type rankK struct {
	low, trans  bool
	k           int
	alpha, beta float32
	lda, ldc    int
	tile        []float32 // a square with a triangle of base
}

// update computes a triangle of n×n.
func (r *rankK) update(n int, a, c []float32) {
	if n <= base {
		r.triangle(n, a, c)
		return
	}
	n1 := half(n)
	a2 := r.rows(a, n1)
	r.update(n1, a, c)
	if r.low {
		r.product(n-n1, n1, a2, a, r.beta, c[n1*r.ldc:], r.ldc)
	} else {
		r.product(n1, n-n1, a, a2, r.beta, c[n1:], r.ldc)
	}
	r.update(n-n1, a2, c[n1*r.ldc+n1:])
}

// rows returns op(A) from row i on.
func (r *rankK) rows(a []float32, i int) []float32 {
	if r.k == 0 {
		return nil
	}
	if r.trans {
		return a[i:]
	}
	return a[i*r.lda:]
}

// product sets c to alpha·op(x)·op(y)ᵀ + beta·c.
func (r *rankK) product(m, n int, x, y []float32, beta float32, c []float32, ldc int) {
	gemm.SGEMM(r.trans, !r.trans, m, n, r.k, r.alpha, x, r.lda, y, r.lda, beta, c[:(m-1)*ldc+n], ldc)
}

// triangle computes the whole square, and takes a triangle of it.
func (r *rankK) triangle(n int, a, c []float32) {
	r.product(n, n, a, a, 0, r.tile, n)
	for i := range n {
		from, end := i, n
		if r.low {
			from, end = 0, i+1
		}
		row := c[i*r.ldc:][:end]
		for j := from; j < end; j++ {
			v := r.tile[i*n+j]
			if r.beta != 0 {
				v += float32(r.beta * row[j])
			}
			row[j] = v
		}
	}
}

// half divides n: the first part is a multiple of base, and not smaller than the second.
func half(n int) int { return ((n+1)/2 + base - 1) / base * base }
