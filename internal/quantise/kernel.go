package quantise

import (
	"math"
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the loops of one instruction set. n, positive, counts blocks of 16 floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// maxAbs returns the largest magnitude's bits, as integers: a NaN's are more than any
	// number's.
	maxAbs func(n int, x *float32) uint32
	// toInt16 sets q[b*stride+l] to x[b*xStride+l]·up·inv, each product rounded to float32 and
	// the last to a whole number, halves to even. Its magnitude is below 32767.5.
	toInt16 func(n int, q *int16, stride int, x *float32, xStride int, up, inv float32)
	// toFloat32 sets y[16b+l] to q[b*stride+l]·factor[l] + bias[l]. q as a float32, the product
	// and the sum are each rounded.
	toFloat32 func(n int, y *float32, q *int32, stride int, factor, bias *float32)
}

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call, which cannot be interrupted: some 50 µs from memory.
const piece = 4096

var generic = kernel{name: "generic", isa: cpu.Generic, maxAbs: maxAbsGeneric, toInt16: toInt16Generic, toFloat32: toFloat32Generic}

func maxAbsGeneric(n int, x *float32) (m uint32) {
	for _, v := range unsafe.Slice(x, n*16) {
		m = max(m, math.Float32bits(v)&^(1<<31))
	}
	return m
}

func toInt16Generic(n int, q *int16, stride int, x *float32, xStride int, up, inv float32) {
	to, from := unsafe.Slice(q, (n-1)*stride+16), unsafe.Slice(x, (n-1)*xStride+16)
	for b := range n {
		for l, v := range from[b*xStride:][:16] {
			to[b*stride+l] = int16(math.RoundToEven(float64(float32(v*up) * inv)))
		}
	}
}

func toFloat32Generic(n int, y *float32, q *int32, stride int, factor, bias *float32) {
	to, from := unsafe.Slice(y, n*16), unsafe.Slice(q, (n-1)*stride+16)
	factors, biases := unsafe.Slice(factor, 16), unsafe.Slice(bias, 16)
	for b := range n {
		for l, v := range from[b*stride:][:16] {
			to[b*16+l] = float32(float32(v)*factors[l]) + biases[l]
		}
	}
}
