package gemm

// SGEMM sets C = alpha·op(A)·op(B) + beta·C, where op(X) is X or, with its trans
// flag, Xᵀ. op(A) is m×k, op(B) k×n and C m×n, all row-major with leading
// dimensions in elements, by the rule of BLAS: lda is at least max(1, k), or max(1, m)
// if A is transposed; ldb max(1, n) or max(1, k); ldc max(1, n). That holds for empty
// matrices as well.
//
// C must not overlap A or B. If beta is 0, C is not read: it may hold NaN. If k or
// alpha is 0, C = beta·C. If m or n is 0 nothing happens. Each element of the
// product is within Gamma(k+k/512+3)·|alpha|·|A|·|B| of the exact value, as long as
// the terms and sums of A·B and the result are in the range of normal float32s: alpha
// is multiplied by the sum. Its bits do not depend on m or the leading dimensions, nor
// on n where n·k exceeds 16.
//
// A product of 8 million multiply-adds (203³) and more is shared by as many workers as
// GOMAXPROCS says. Any number of goroutines may call SGEMM: while one of them has the
// helpers, the others compute alone. The bits are the same. A [Multiplier] has a team of
// its own, and a context.
//
// SGEMM panics if a size is negative, if a leading dimension is too small, or if
// a slice is shorter than its matrix.
func SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	p := newProblem(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	multiplyShared(&p)
}

// GEMV sets y = alpha·op(A)·x + beta·y, where op(A) is A or, with trans, Aᵀ. A is
// m×n and row-major with leading dimension lda. x has n elements and y m, or with
// trans x has m and y n. It is SGEMM with one column: see there for accuracy,
// aliasing, sizes of 0 and panics. A is read where it is, except by the portable kernel.
func GEMV(trans bool, m, n int, alpha float32, a []float32, lda int, x []float32, beta float32, y []float32) {
	rows, cols := dims(trans, m, n)
	SGEMM(trans, false, rows, 1, cols, alpha, a, lda, x, 1, beta, y, 1)
}
