// Package activation holds loops over activations that touch each element once: the ReLU,
// its gradient, a sum of two activations, the sum over pixels that a bias gradient is, and
// the sums of squares that distances of activations are made of.
// Memory bounds them.
//
// On every instruction set subnormals are numbers like any other, and a NaN or an
// infinity touches the results of its own element alone. ReLU turns −0 and negative
// numbers into 0 and keeps a NaN; the gradient passes through a NaN.
package activation

import "unsafe"

// pieces calls f for every piece of n blocks: the first float and the blocks.
func pieces(n int, f func(at, n int)) {
	for b := 0; b < n; b += piece {
		f(b*16, min(piece, n-b))
	}
}

// ReLU sets x[i] = max(x[i], 0). NaN stays NaN. It does not allocate.
func ReLU(x []float32) {
	pieces(len(x)/16, func(at, n int) { best.relu(n, &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		x[i] = max(x[i], 0)
	}
}

// Add sets dst[i] += x[i]. It panics if lengths differ, and does not allocate.
func Add(dst, x []float32) {
	if len(x) != len(dst) {
		panic("activation: lengths differ")
	}
	pieces(len(x)/16, func(at, n int) { best.add(n, &dst[at], &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		dst[i] += x[i]
	}
}

// ReLUGrad sets dx[i] to 0 where x[i] ≤ 0, which no NaN is. It panics if lengths differ,
// and does not allocate.
func ReLUGrad(dx, x []float32) {
	if len(x) != len(dx) {
		panic("activation: lengths differ")
	}
	pieces(len(dx)/16, func(at, n int) { best.reluGrad(n, &dx[at], &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		if x[i] <= 0 {
			dx[i] = 0
		}
	}
}

// SumPixels sets sum[l] = Σ_p x[16p+l], in the order of p. It panics if the length of x
// is no multiple of 16, and does not allocate.
func SumPixels(sum *[16]float32, x []float32) {
	if len(x)%16 != 0 {
		panic("activation: length is no multiple of 16")
	}
	*sum = [16]float32{}
	if len(x) > 0 {
		best.sumPixels(len(x)/16, &sum[0], unsafe.SliceData(x))
	}
}

// AddSquares sets sum[i] += x[i]². It panics if lengths differ, and does not allocate.
func AddSquares(sum, x []float32) {
	if len(x) != len(sum) {
		panic("activation: lengths differ")
	}
	pieces(len(x)/16, func(at, n int) { best.addSquares(n, &sum[at], &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		sum[i] += x[i] * x[i]
	}
}

// SquaredDistance returns Σ_i (x[i]·u[i] − y[i]·v[i])². It is 0 where x·u is y·v. Differences
// are float32; so are sums of up to 4096 of them, which are added up in float64. lanes is
// scratch. It panics if lengths differ, and does not allocate.
func SquaredDistance(x, u, y, v []float32, lanes *[16]float32) (total float64) {
	if len(u) != len(x) || len(y) != len(x) || len(v) != len(x) {
		panic("activation: lengths differ")
	}
	pieces(len(x)/16, func(at, n int) {
		best.sumDiffs(n, &lanes[0], &x[at], &u[at], &y[at], &v[at])
		for _, s := range lanes {
			total += float64(s)
		}
	})
	for i := len(x) &^ 15; i < len(x); i++ {
		d := float32(x[i]*u[i]) - float32(y[i]*v[i])
		total += float64(d) * float64(d)
	}
	return total
}
