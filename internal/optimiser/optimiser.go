// Package optimiser holds the steps by which training changes weights. Memory bounds
// them: a step reads and writes every weight and its momentum once.
package optimiser

import "sync"

// SGD takes one step of stochastic gradient descent with momentum and weight decay, by
// PyTorch's rule:
//
//	v = momentum·v + (g + decay·w)
//	w = w − rate·v
//
// The slices have the same length. The bits of an element do not depend on its place. SGD
// panics if lengths differ, and does not allocate.
func SGD(w, v, g []float32, rate, momentum, decay float32) {
	if len(v) != len(w) || len(g) != len(w) {
		panic("optimiser: lengths differ")
	}
	whole := len(w) &^ 15
	for at := 0; at < whole; at += piece * 16 {
		best.sgd(min(piece, (whole-at)/16), &w[at], &v[at], &g[at], rate, momentum, decay)
	}
	if whole == len(w) {
		return
	}
	rest := rests.Get().(*[3][16]float32)
	copy(rest[0][:], w[whole:])
	copy(rest[1][:], v[whole:])
	copy(rest[2][:], g[whole:])
	best.sgd(1, &rest[0][0], &rest[1][0], &rest[2][0], rate, momentum, decay)
	copy(w[whole:], rest[0][:])
	copy(v[whole:], rest[1][:])
	rests.Put(rest)
}

// rests hold the elements behind the last whole block: the kernels take pointers, which
// would move variables of a function to the heap.
var rests = sync.Pool{New: func() any { return new([3][16]float32) }}

// SGDProduct is SGD for rows of n weights, whose gradient is a product:
//
//	g[i][j] = Σ_t a[i*taps+t]·x[t*ldx+j]
//
// The rows of w and v are ld elements apart. The gradient is not written to memory. Its
// bits are those of package gemm, as long as that does not split the sum.
func SGDProduct(w, v []float32, ld, rows, n int, a []float32, taps int, x []float32, ldx int, rate, momentum, decay float32) {
	if rows < 1 || n < 1 || taps < 1 {
		return
	}
	last := (rows-1)*ld + n
	if len(w) < last || len(v) < last || len(a) < rows*taps || len(x) < (taps-1)*ldx+n || ld < n || ldx < n {
		panic("optimiser: slice is too short")
	}
	whole := n &^ 15
	for i := 0; i < rows; {
		f, m := best.sgdProduct[0], 1
		if i+sgdRows <= rows {
			f, m = best.sgdProduct[1], sgdRows
		}
		for j := 0; j < whole; {
			blocks := min((whole-j)/16, max(1, productPiece/taps))
			at := i*ld + j
			f(blocks, taps, &w[at], &v[at], &a[i*taps], &x[j], ld, ldx, rate, momentum, decay)
			j += blocks * 16
		}
		i += m
	}
	if whole == n {
		return
	}
	rest := productRests.Get().(*productRest)
	if len(rest.x) < taps*16 {
		rest.x = make([]float32, taps*16)
	}
	for t := range taps {
		copy(rest.x[t*16:][:16], x[t*ldx+whole:t*ldx+n])
	}
	for i := range rows {
		rw, rv := w[i*ld+whole:i*ld+n], v[i*ld+whole:i*ld+n]
		copy(rest.w[:], rw)
		copy(rest.v[:], rv)
		best.sgdProduct[0](1, taps, &rest.w[0], &rest.v[0], &a[i*taps], &rest.x[0], 0, 16, rate, momentum, decay)
		copy(rw, rest.w[:])
		copy(rv, rest.v[:])
	}
	productRests.Put(rest)
}

// A call takes sgdRows rows, and productPiece bounds its blocks times taps: some
// 100 µs from memory.
const (
	sgdRows      = 4
	productPiece = 1 << 14
)

// productRest holds the elements behind the last whole block.
type productRest struct {
	w, v [16]float32
	x    []float32
}

var productRests = sync.Pool{New: func() any { return new(productRest) }}
