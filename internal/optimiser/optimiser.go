// Package optimiser holds the steps by which training changes weights. Memory bounds
// them: a step reads and writes every weight and its momentum once.
package optimiser

import "sync"

// Rule is the numbers of a step.
type Rule struct{ Rate, Momentum, Decay float32 }

// SGD takes one step of stochastic gradient descent with momentum and weight decay, by
// PyTorch's rule:
//
//	v = momentum·v + (g + decay·w)
//	w = w − rate·v
//
// The slices have the same length. The bits of an element do not depend on its place. SGD
// panics if lengths differ, and does not allocate.
func SGD(w, v, g []float32, r Rule) {
	if len(v) != len(w) || len(g) != len(w) {
		panic("optimiser: lengths differ")
	}
	whole := len(w) &^ 15
	for at := 0; at < whole; at += piece * 16 {
		best.sgd(min(piece, (whole-at)/16), &w[at], &v[at], &g[at], r.Rate, r.Momentum, r.Decay)
	}
	if whole == len(w) {
		return
	}
	rest := rests.Get().(*[3][16]float32)
	copy(rest[0][:], w[whole:])
	copy(rest[1][:], v[whole:])
	copy(rest[2][:], g[whole:])
	best.sgd(1, &rest[0][0], &rest[1][0], &rest[2][0], r.Rate, r.Momentum, r.Decay)
	copy(w[whole:], rest[0][:])
	copy(v[whole:], rest[1][:])
	rests.Put(rest)
}

// rests hold the elements behind the last whole block: the kernels take pointers, which
// would move variables of a function to the heap.
var rests = sync.Pool{New: func() any { return new([3][16]float32) }}

// Product is rows of weights whose gradient is a product:
//
//	g[i][j] = Σ_t A[i*Taps+t]·X[t*LDX+j]
type Product struct {
	Rows, N, Taps int
	W, V          []float32 // weights and momentum [Rows][N]
	LD            int       // from row to row of W and V
	A             []float32 // [Rows][Taps]
	X             []float32 // [Taps][N]
	LDX           int       // from row to row of X
}

// SGDProduct is SGD for the rows of p. It does not write the gradient to memory. The
// gradient's bits are those of package gemm, as long as that does not split the sum.
// SGDProduct panics if a slice is too short.
func SGDProduct(p Product, r Rule) {
	if p.Rows < 1 || p.N < 1 || p.Taps < 1 {
		return
	}
	last := (p.Rows-1)*p.LD + p.N
	if len(p.W) < last || len(p.V) < last || len(p.A) < p.Rows*p.Taps || len(p.X) < (p.Taps-1)*p.LDX+p.N || p.LD < p.N || p.LDX < p.N {
		panic("optimiser: slice is too short")
	}
	whole := p.N &^ 15
	for i := 0; i < p.Rows; {
		f, m := best.sgdProduct[0], 1
		if i+sgdRows <= p.Rows {
			f, m = best.sgdProduct[1], sgdRows
		}
		for j := 0; j < whole; {
			blocks := min((whole-j)/16, max(1, productPiece/p.Taps))
			at := i*p.LD + j
			f(blocks, p.Taps, &p.W[at], &p.V[at], &p.A[i*p.Taps], &p.X[j], p.LD, p.LDX, r.Rate, r.Momentum, r.Decay)
			j += blocks * 16
		}
		i += m
	}
	if whole < p.N {
		p.rest(whole, r)
	}
}

// rest takes the step for the columns from whole on, which are no whole block.
func (p *Product) rest(whole int, r Rule) {
	rest := productRests.Get().(*productRest)
	if len(rest.x) < p.Taps*16 {
		rest.x = make([]float32, p.Taps*16)
	}
	for t := range p.Taps {
		copy(rest.x[t*16:][:16], p.X[t*p.LDX+whole:t*p.LDX+p.N])
	}
	for i := range p.Rows {
		w, v := p.W[i*p.LD+whole:i*p.LD+p.N], p.V[i*p.LD+whole:i*p.LD+p.N]
		copy(rest.w[:], w)
		copy(rest.v[:], v)
		best.sgdProduct[0](1, p.Taps, &rest.w[0], &rest.v[0], &p.A[i*p.Taps], &rest.x[0], 0, 16, r.Rate, r.Momentum, r.Decay)
		copy(w, rest.w[:])
		copy(v, rest.v[:])
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
