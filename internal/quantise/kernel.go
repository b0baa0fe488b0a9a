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
	// toInt16 sets q[b*stride+l] to x[16b+l]·up·inv, each product rounded to float32 and the
	// last to a whole number, halves to even. Its magnitude is below 32767.5.
	toInt16 func(n int, q *int16, stride int, x *float32, up, inv float32)
}

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call, which cannot be interrupted: some 50 µs from memory.
const piece = 4096

var generic = kernel{name: "generic", isa: cpu.Generic, maxAbs: maxAbsGeneric, toInt16: toInt16Generic}

func maxAbsGeneric(n int, x *float32) (m uint32) {
	for _, v := range unsafe.Slice(x, n*16) {
		m = max(m, math.Float32bits(v)&^(1<<31))
	}
	return m
}

func toInt16Generic(n int, q *int16, stride int, x *float32, up, inv float32) {
	to := unsafe.Slice(q, (n-1)*stride+16)
	for i, v := range unsafe.Slice(x, n*16) {
		to[i/16*stride+i%16] = int16(math.RoundToEven(float64(float32(v*up) * inv)))
	}
}
