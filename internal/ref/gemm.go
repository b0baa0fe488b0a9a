package ref

// Gemm returns α·op(A)·op(B) + β·C as an m×n matrix without gaps between the
// rows. op(A) is m×k: A is m×k, or k×m if transA; op(B) is k×n: B is k×n, or n×k
// if transB. lda, ldb and ldc are the distances of rows. As in BLAS, nothing of
// A and B is read if alpha is 0, nor of C if beta is 0; c may then be nil.
func Gemm[T Float](transA, transB bool, m, n, k int, alpha float64, a []T, lda int, b []T, ldb int, beta float64, c []T, ldc int) (out, mag []float64) {
	out, mag = make([]float64, m*n), make([]float64, m*n)
	at := func(x []T, ld int, trans bool, i, j int) float64 {
		if trans {
			i, j = j, i
		}
		return float64(x[i*ld+j])
	}
	parallel(m, func(i int) {
		for j := range n {
			e := i*n + j
			if alpha != 0 {
				for p := range k {
					product := at(a, lda, transA, i, p) * at(b, ldb, transB, p, j)
					out[e] += product
					mag[e] += abs(product)
				}
			}
			out[e], mag[e] = alpha*out[e], abs(alpha)*mag[e]
			if beta != 0 {
				out[e] += beta * float64(c[i*ldc+j])
				mag[e] += abs(beta * float64(c[i*ldc+j]))
			}
		}
	})
	return out, mag
}

// Gemv returns α·op(A)·x + β·y, where A is rows×cols with distance lda of rows,
// and op(A) is A, or its transpose if trans. y may be nil if beta is 0.
func Gemv[T Float](trans bool, rows, cols int, alpha float64, a []T, lda int, x []T, beta float64, y []T) (out, mag []float64) {
	m, k := rows, cols
	if trans {
		m, k = cols, rows
	}
	return Gemm(trans, false, m, 1, k, alpha, a, lda, x, 1, beta, y, 1)
}

// Linear returns y = x·Wᵀ + b for x n×in, W out×in and b of out elements, or nil
// for none: n×out.
func Linear[X, W Float](n, in, out int, x []X, w, b []W) (y, mag []float64) {
	y = linear(n, in, out, x, w, b)
	return y, linear(n, in, out, Abs(x), Abs(w), Abs(b))
}

func linear[X, W Float](n, in, out int, x []X, w, b []W) []float64 {
	mustLen("x", len(x), n*in)
	mustLen("w", len(w), out*in)
	y := make([]float64, n*out)
	parallel(out, func(o int) {
		for i := range n {
			y[i*out+o] = dot(x[i*in:][:in], w[o*in:][:in])
			if len(b) > 0 {
				y[i*out+o] += float64(b[o])
			}
		}
	})
	return y
}

// LinearInputGrad returns dX = dY·W, n×in.
func LinearInputGrad[Y, W Float](n, in, out int, dy []Y, w []W) (dx, mag []float64) {
	return linearInputGrad(n, in, out, dy, w), linearInputGrad(n, in, out, Abs(dy), Abs(w))
}

func linearInputGrad[Y, W Float](n, in, out int, dy []Y, w []W) []float64 {
	mustLen("dy", len(dy), n*out)
	mustLen("w", len(w), out*in)
	dx := make([]float64, n*in)
	const chunk = 256
	parallel((in+chunk-1)/chunk, func(c int) {
		lo, hi := c*chunk, min((c+1)*chunk, in)
		for i := range n {
			for o := range out {
				axpy(float64(dy[i*out+o]), w[o*in+lo:o*in+hi], dx[i*in+lo:i*in+hi])
			}
		}
	})
	return dx
}

// LinearWeightGrad returns dW = dYᵀ·X, out×in, summed over the batch.
func LinearWeightGrad[X, Y Float](n, in, out int, x []X, dy []Y) (dw, mag []float64) {
	return linearWeightGrad(n, in, out, x, dy), linearWeightGrad(n, in, out, Abs(x), Abs(dy))
}

func linearWeightGrad[X, Y Float](n, in, out int, x []X, dy []Y) []float64 {
	mustLen("x", len(x), n*in)
	mustLen("dy", len(dy), n*out)
	dw := make([]float64, out*in)
	parallel(out, func(o int) {
		for i := range n {
			axpy(float64(dy[i*out+o]), x[i*in:][:in], dw[o*in:][:in])
		}
	})
	return dw
}

// LinearBiasGrad returns dB = Σ dY over the batch.
func LinearBiasGrad[Y Float](n, out int, dy []Y) (db, mag []float64) {
	return BiasGrad(n, out, 1, dy)
}
