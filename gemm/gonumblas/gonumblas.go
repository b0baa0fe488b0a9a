// Package gonumblas lets users of gonum multiply with nonet's kernels by one line:
//
//	blas32.Use(gonumblas.Implementation{})
//
// Sgemm, Ssyrk, Ssymm, Strmm, Strsm and Sgemv are nonet's. All other routines are gonum's
// own. Large products use all cores, see gemm.SGEMM; the bits do not depend on how many.
//
// It is a package of its own so that package gemm does not import gonum.
package gonumblas

import (
	"github.com/nonet-go/nonet/gemm"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Implementation is gonum's own, but for Sgemm, Ssyrk, Ssymm, Strmm, Strsm and Sgemv. The
// zero value is ready. Any number of goroutines may use it.
//
// These panic where gonum's do, with the same messages. Sgemm, Ssyrk, Ssymm and Sgemv panic
// as well if the result overlaps another operand. A NaN or infinity of an operand reaches
// every element of the result that it is a term of, also where its factor is 0. What BLAS
// says not to read is not read: the other triangle, the diagonal of blas.Unit, and C
// or y where beta is 0.
type Implementation struct{ gonum.Implementation }

var _ blas.Float32 = Implementation{}

// Sgemm computes C = alpha·op(A)·op(B) + beta·C, see gemm.SGEMM.
func (Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	rowsA, colsA := shape(transposed(tA), m, k)
	rowsB, colsB := shape(transposed(tB), k, n)
	checkSizes(m, n, k)
	checkLD(lda, colsA, badLdA)
	checkLD(ldb, colsB, badLdB)
	checkLD(ldc, n, badLdC)
	if m == 0 || n == 0 {
		return
	}
	checkLen(a, rowsA, colsA, lda, shortA)
	checkLen(b, rowsB, colsB, ldb, shortB)
	checkLen(c, m, n, ldc, shortC)
	gemm.SGEMM(transposed(tA), transposed(tB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Sgemv computes y = alpha·op(A)·x + beta·y, see gemm.GEMV. Vectors with increments other
// than 1 are copied.
func (Implementation) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	lenY, lenX := shape(transposed(tA), m, n)
	checkSizes(m, n, 0)
	checkLD(lda, n, badLdA)
	if incX == 0 {
		panic(zeroIncX)
	}
	if incY == 0 {
		panic(zeroIncY)
	}
	if m == 0 || n == 0 {
		return
	}
	checkVector(x, lenX, incX, shortX)
	checkVector(y, lenY, incY, shortY)
	checkLen(a, m, n, lda, shortA)
	if incX != 1 {
		x = gather(x, lenX, incX)
	}
	if incY == 1 {
		gemm.GEMV(transposed(tA), m, n, alpha, a, lda, x, beta, y)
		return
	}
	to := gather(y, lenY, incY)
	gemm.GEMV(transposed(tA), m, n, alpha, a, lda, x, beta, to)
	scatter(y, to, incY)
}

// first returns where a vector of n elements begins: at the end if inc is negative.
func first(n, inc int) int { return max(0, (1-n)*inc) }

// gather copies a vector.
func gather(x []float32, n, inc int) []float32 {
	to := make([]float32, n)
	for i, at := 0, first(n, inc); i < n; i, at = i+1, at+inc {
		to[i] = x[at]
	}
	return to
}

// scatter copies to a vector.
func scatter(y, from []float32, inc int) {
	for i, at := 0, first(len(from), inc); i < len(from); i, at = i+1, at+inc {
		y[at] = from[i]
	}
}
