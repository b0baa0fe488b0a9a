package gemm

// tiny is the most elements of op(B) for which a plain loop is faster than a
// kernel with its packing: 4×4. Beyond, at 5³, the kernel wins; see BenchmarkTiny.
const tiny = 16

// plain is SGEMM by definition, with sums in float64.
func plain(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	rowA, colA, rowB, colB := lda, 1, ldb, 1
	if transA {
		rowA, colA = 1, lda
	}
	if transB {
		rowB, colB = 1, ldb
	}
	for i := range m {
		row := c[i*ldc:][:n]
		for j := range row {
			sum, x, y := float64(0), i*rowA, j*colB
			for range k {
				sum += float64(a[x]) * float64(b[y])
				x, y = x+colA, y+rowB
			}
			sum *= float64(alpha)
			if beta != 0 {
				sum += float64(beta) * float64(row[j])
			}
			row[j] = float32(sum)
		}
	}
}
