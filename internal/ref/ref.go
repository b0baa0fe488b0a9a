// Package ref computes in float64 what the kernels compute in float32. Tests compare with
// it. Its plain loops are slow and readable on purpose. It imports nothing of nonet.
//
// Tensors are flat slices with explicit sizes: activations NCHW, weights OIHW, fully
// connected weights out×in, matrices row-major. Operands are float32 or, where results are
// chained, float64; results are float64.
//
// A function that sums products also returns, for each element, the magnitude mag = Σ|a||b|
// of the sum. A float32 computation of an element by n operations, in any order, fused or
// not, is within Gamma(n)·mag of the exact value (Higham, Accuracy and Stability of
// Numerical Algorithms, 2nd ed., §3.1). Bound makes a test's bound of it. The error of the
// references themselves is 2²⁹ times smaller.
//
// Wrong lengths panic: only tests call this.
package ref

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Float is an operand's type.
type Float interface{ ~float32 | ~float64 }

// Unit is the unit roundoff of float32, 2⁻²⁴.
const Unit = 0x1p-24

// Gamma returns γ(n) = n·u / (1 − n·u), the relative error bound of n roundings
// in float32.
func Gamma(n int) float64 {
	nu := float64(n) * Unit
	if nu >= 1 {
		return math.Inf(1)
	}
	return nu / (1 - nu)
}

// Bound returns the error bound Gamma(n)·mag[i] of element i, plus what n
// results that are too small for a normal float32 lose.
func Bound(n int, mag []float64) func(i int) float64 {
	gamma, underflow := Gamma(n), float64(n)*0x1p-150
	return func(i int) float64 { return gamma*mag[i] + underflow }
}

// Float64 returns x in float64.
func Float64[T Float](x []T) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// Float32 returns x rounded to float32.
func Float32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// Abs returns |x| in float64.
func Abs[T Float](x []T) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = math.Abs(float64(v))
	}
	return y
}

// Dot returns Σ a[i]·b[i].
func Dot[A, B Float](a []A, b []B) float64 {
	mustLen("b", len(b), len(a))
	return dot(a, b)
}

// dot adds in four sums, because each addition waits for the last one to its sum.
func dot[A, B Float](a []A, b []B) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + s2 + s3
}

// axpy computes y[i] += a·x[i].
func axpy[X Float](a float64, x []X, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += a * float64(v)
	}
}

// parallel calls fn(0) to fn(n−1), each once, on as many goroutines as there are
// processors.
func parallel(n int, fn func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("ref: %s has %d elements, want %d", what, got, want))
	}
}
