package ref

import "math"

func abs(x float64) float64 { return math.Abs(x) }

// ReLU returns max(x, 0); ReLU(NaN) is NaN.
func ReLU[T Float](x []T) []float64 {
	y := Float64(x)
	for i, v := range y {
		if v <= 0 { // false for NaN
			y[i] = 0
		}
	}
	return y
}

// ReLUGrad returns dy where the ReLU was open, else 0. x is the ReLU's input or
// its output: it was closed where x ≤ 0, so that a NaN lets the gradient pass.
func ReLUGrad[X, Y Float](x []X, dy []Y) []float64 {
	mustLen("dy", len(dy), len(x))
	dx := Float64(dy)
	for i, v := range x {
		if v <= 0 {
			dx[i] = 0
		}
	}
	return dx
}

// GuidedReLUGrad is ReLUGrad, and lets no negative gradient pass (Springenberg et al.,
// arXiv:1412.6806).
func GuidedReLUGrad[X, Y Float](x []X, dy []Y) []float64 { return ReLU(ReLUGrad(x, dy)) }

// LRNParams are the constants of local response normalisation across channels
// (Krizhevsky, Sutskever and Hinton, NIPS 2012, §3.3):
//
//	b[c] = a[c] / s[c]^β,  s[c] = K + α·Σ a[j]² over the Size channels around c
//
// as far as they exist. α is not divided by Size, as others do.
type LRNParams struct {
	Size           int // odd
	Alpha, Beta, K float64
}

// VGGLRN are the constants of configuration A-LRN, those of Krizhevsky et al.
var VGGLRN = LRNParams{Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}

// near returns the half-open range of channels around c.
func (p LRNParams) near(c, channels int) (lo, hi int) {
	return max(0, c-p.Size/2), min(channels, c+p.Size/2+1)
}

// scale returns s of n pictures of c planes.
func (p LRNParams) scale(n, c, plane int, a []float64) []float64 {
	mustLen("a", len(a), n*c*plane)
	s := make([]float64, len(a))
	parallel(n*c, func(i int) {
		lo, hi := p.near(i%c, c)
		for px := range plane {
			var sum float64
			for j := lo; j < hi; j++ {
				v := a[(i/c*c+j)*plane+px]
				sum += v * v
			}
			s[i*plane+px] = p.K + p.Alpha*sum
		}
	})
	return s
}

// LRN returns b for n pictures of c planes. With positive constants nothing
// cancels: the error of each element is relative to the element itself.
func LRN[T Float](p LRNParams, n, c, plane int, x []T) []float64 {
	a := Float64(x)
	b := p.scale(n, c, plane, a)
	parallel(n*c, func(i int) {
		for e := i * plane; e < (i+1)*plane; e++ {
			b[e] = a[e] * math.Pow(b[e], -p.Beta)
		}
	})
	return b
}

// LRNGrad returns the gradient with respect to a,
//
//	da[j] = dy[j]·s[j]^−β − 2αβ·a[j]·Σ dy[c]·a[c]·s[c]^(−β−1)
//
// over the channels c that j is near, and the sum of the magnitudes of its terms.
func LRNGrad[X, Y Float](p LRNParams, n, c, plane int, x []X, dy []Y) (da, mag []float64) {
	mustLen("dy", len(dy), len(x))
	a := Float64(x)
	s := p.scale(n, c, plane, a)
	inner := make([]float64, len(a)) // 2αβ·dy·a·s^(−β−1)
	for i, v := range dy {
		inner[i] = 2 * p.Alpha * p.Beta * float64(v) * a[i] * math.Pow(s[i], -p.Beta-1)
	}
	da, mag = make([]float64, len(a)), make([]float64, len(a))
	parallel(n*c, func(i int) {
		lo, hi := p.near(i%c, c) // c is near j if j is near c
		for px := range plane {
			e := i*plane + px
			da[e] = float64(dy[e]) * math.Pow(s[e], -p.Beta)
			mag[e] = abs(da[e])
			for j := lo; j < hi; j++ {
				term := a[e] * inner[(i/c*c+j)*plane+px]
				da[e] -= term
				mag[e] += abs(term)
			}
		}
	})
	return da, mag
}

// Scale returns weight[c]·x + bias[c] for n pictures of c planes.
func Scale[X, W Float](n, c, plane int, x []X, weight, bias []W) []float64 {
	mustLen("x", len(x), n*c*plane)
	mustLen("weight", len(weight), c)
	mustLen("bias", len(bias), c)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(weight[i/plane%c])*float64(v) + float64(bias[i/plane%c])
	}
	return y
}

// ScaleGrad returns the gradients of Scale: dX, dW and dB.
func ScaleGrad[X, Y, W Float](n, c, plane int, x []X, dy []Y, weight []W) (dx, dw, db []float64) {
	mustLen("x", len(x), n*c*plane)
	mustLen("dy", len(dy), len(x))
	dx, dw, db = make([]float64, len(x)), make([]float64, c), make([]float64, c)
	for i, v := range dy {
		k := i / plane % c
		dx[i] = float64(weight[k]) * float64(v)
		dw[k] += float64(v) * float64(x[i])
		db[k] += float64(v)
	}
	return dx, dw, db
}

// SGD does one step of stochastic gradient descent in place, with momentum mu and
// weight decay wd, by the rule of PyTorch:
//
//	g' = g + wd·w;  v = mu·v + g';  w = w − lr·v
//
// v begins as zeros.
func SGD[G Float](w, v []float64, g []G, lr, mu, wd float64) {
	mustLen("v", len(v), len(w))
	mustLen("g", len(g), len(w))
	for i := range w {
		v[i] = mu*v[i] + float64(g[i]) + wd*w[i]
		w[i] -= lr * v[i]
	}
}
