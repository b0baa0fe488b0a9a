package optimiser

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the steps of one instruction set. n, positive, counts blocks of 16 floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// sgd sets v = momentum·v + (g + decay·w), then w −= rate·v.
	sgd func(n int, w, v, g *float32, rate, momentum, decay float32)
	// sgdProduct is sgd for 1 row and for sgdRows rows, ld apart, with the gradient
	// g[r][j] = Σ_t a[r*taps+t]·x[t*row+j], one chain of fused multiply-adds in the
	// order of t.
	sgdProduct [2]sgdProductFunc
}

type sgdProductFunc func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32)

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call of sgd, which cannot be interrupted: three streams
// of them take some 50 µs from memory.
const piece = 4096

var generic = kernel{
	name: "generic", isa: cpu.Generic,
	sgd:        sgdGeneric,
	sgdProduct: [2]sgdProductFunc{sgdProductGeneric(1), sgdProductGeneric(sgdRows)},
}

func sgdGeneric(n int, w, v, g *float32, rate, momentum, decay float32) {
	ws, vs, gs := unsafe.Slice(w, n*16), unsafe.Slice(v, n*16), unsafe.Slice(g, n*16)
	for i := range ws {
		vs[i] = momentum*vs[i] + (gs[i] + decay*ws[i])
		ws[i] -= rate * vs[i]
	}
}

// sgdProductGeneric sums in float64, where products of float32 are exact.
func sgdProductGeneric(rows int) sgdProductFunc {
	return func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32) {
		ws, vs := unsafe.Slice(w, (rows-1)*ld+n*16), unsafe.Slice(v, (rows-1)*ld+n*16)
		as, xs := unsafe.Slice(a, rows*taps), unsafe.Slice(x, (taps-1)*row+n*16)
		for i := range rows {
			for j := 0; j < n*16; j += 16 {
				var sum [16]float64
				for t, f := range as[i*taps:][:taps] {
					for l, y := range xs[t*row+j:][:16] {
						sum[l] += float64(f) * float64(y)
					}
				}
				at := i*ld + j
				for l, g := range sum {
					vs[at+l] = momentum*vs[at+l] + (float32(g) + decay*ws[at+l])
					ws[at+l] -= rate * vs[at+l]
				}
			}
		}
	}
}
