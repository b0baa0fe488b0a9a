package activation

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the loops of one instruction set. n, positive, counts blocks of 16 floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// relu sets x[i] = max(x[i], 0), where NaN stays NaN.
	relu func(n int, x *float32)
	// reluGrad sets dx[i] to 0 where x[i] ≤ 0, which no NaN is.
	reluGrad func(n int, dx, x *float32)
	// add sets dst[i] += x[i].
	add func(n int, dst, x *float32)
	// sumPixels sets sum[l] = Σ_p x[p*16+l] for 16 lanes, in the order of p.
	sumPixels func(n int, sum, x *float32)
	// addSquares sets sum[i] += x[i]².
	addSquares func(n int, sum, x *float32)
	// sumDiffs sets sum[l] = Σ_p (x[i]·u[i] − y[i]·v[i])², i = p*16+l, for 16 lanes, in the
	// order of p. Both products are rounded.
	sumDiffs func(n int, sum, x, u, y, v *float32)
}

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call, which cannot be interrupted: two streams of them
// take some 50 µs from memory.
const piece = 4096

var generic = kernel{
	name: "generic", isa: cpu.Generic,
	relu: reluGeneric, reluGrad: reluGradGeneric, add: addGeneric, sumPixels: sumPixelsGeneric,
	addSquares: addSquaresGeneric, sumDiffs: sumDiffsGeneric,
}

func reluGeneric(n int, x *float32) {
	for i, v := range unsafe.Slice(x, n*16) {
		unsafe.Slice(x, n*16)[i] = max(v, 0)
	}
}

func reluGradGeneric(n int, dx, x *float32) {
	d, s := unsafe.Slice(dx, n*16), unsafe.Slice(x, n*16)
	for i, v := range s {
		if v <= 0 {
			d[i] = 0
		}
	}
}

func addGeneric(n int, dst, x *float32) {
	d := unsafe.Slice(dst, n*16)
	for i, v := range unsafe.Slice(x, n*16) {
		d[i] += v
	}
}

func sumPixelsGeneric(n int, sum, x *float32) {
	s := unsafe.Slice(sum, 16)
	clear(s)
	for i, v := range unsafe.Slice(x, n*16) {
		s[i%16] += v
	}
}

func addSquaresGeneric(n int, sum, x *float32) {
	s := unsafe.Slice(sum, n*16)
	for i, v := range unsafe.Slice(x, n*16) {
		s[i] = float32(float64(s[i]) + float64(v)*float64(v)) // one rounding, as of a fused multiply-add
	}
}

func sumDiffsGeneric(n int, sum, x, u, y, v *float32) {
	s, xs, us, ys, vs := unsafe.Slice(sum, 16), unsafe.Slice(x, n*16), unsafe.Slice(u, n*16), unsafe.Slice(y, n*16), unsafe.Slice(v, n*16)
	clear(s)
	for i, x := range xs {
		d := float32(x*us[i]) - float32(ys[i]*vs[i])
		s[i%16] = float32(float64(s[i%16]) + float64(d)*float64(d))
	}
}
