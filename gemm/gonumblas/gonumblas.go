// Package gonumblas lets users of gonum multiply with nonet's kernels by one line:
//
//	blas32.Use(gonumblas.Implementation{})
//
// It is a package of its own so that package gemm does not import gonum.
package gonumblas

import (
	"github.com/nonet-go/nonet/gemm"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Implementation is gonum's own, but for Sgemm. The zero value is ready.
type Implementation struct{ gonum.Implementation }

// Sgemm computes C = alpha·op(A)·op(B) + beta·C, see gemm.SGEMM. It uses one
// core. It panics where gonum's does, with messages of its own, and if C overlaps
// A or B.
func (Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gemm.SGEMM(transposed(tA), transposed(tB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func transposed(t blas.Transpose) bool {
	switch t {
	case blas.NoTrans:
		return false
	case blas.Trans, blas.ConjTrans:
		return true
	}
	panic("gonumblas: bad transposition")
}

var _ blas.Float32 = Implementation{}
