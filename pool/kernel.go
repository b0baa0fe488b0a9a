package pool

import (
	"math"
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the loops of one instruction set, on blocks of 16 channels.
// Subnormals are numbers like any other. A NaN or an infinity touches the results
// of its own window, and in the normalisation of its own pixel and the two
// channels on each side: an infinity makes a NaN of its own channel, 0 of the others.
type kernel struct {
	name string
	isa  cpu.ISA

	// maxRow sets n pixels of dst to the maximum of 2×2 pixels of src, whose
	// rows are row floats apart. A NaN among them is the result; of 0 and −0
	// either may be.
	maxRow func(n int, dst, src *float32, row int)

	// maxGradRow sets the 2×2 pixels of dx that belong to n pixels of y and dy:
	// dy where x is the first to equal y, 0 elsewhere, and 0 for all four unless
	// y > floor. Rows of x and dx are row floats apart. If stream is not 0, dx lies on
	// cache lines and may be written around the caches.
	maxGradRow func(n int, dx, x, y, dy *float32, row int, floor float32, stream int)

	// lrn normalises n pixels of a block, src to dst. below and above are the
	// same pixels of the blocks before and after it, their pixels step floats
	// apart: 16, or 0 for a pixel of zeros where there is no such block.
	lrn func(n int, dst, src, below, above *float32, belowStep, aboveStep int, alpha, k float32)
}

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

var generic = kernel{name: "generic", isa: cpu.Generic, maxRow: maxRowGeneric, maxGradRow: maxGradRowGeneric, lrn: lrnGeneric}

func maxRowGeneric(n int, dst, src *float32, row int) {
	d := unsafe.Slice(dst, n*16)
	s := unsafe.Slice(src, row+n*32)
	for p := range n {
		for l := range 16 {
			i := p*32 + l
			d[p*16+l] = max(s[i], s[i+16], s[row+i], s[row+i+16])
		}
	}
}

func maxGradRowGeneric(n int, dx, x, y, dy *float32, row int, floor float32, _ int) {
	d, s := unsafe.Slice(dx, row+n*32), unsafe.Slice(x, row+n*32)
	ys, dys := unsafe.Slice(y, n*16), unsafe.Slice(dy, n*16)
	for p := range n {
		for l := range 16 {
			top, left := ys[p*16+l], dys[p*16+l]
			if !(top > floor) {
				left = 0
			}
			for _, i := range [4]int{p*32 + l, p*32 + l + 16, row + p*32 + l, row + p*32 + l + 16} {
				d[i] = 0
				if s[i] == top {
					d[i], left = left, 0
				}
			}
		}
	}
}

func lrnGeneric(n int, dst, src, below, above *float32, belowStep, aboveStep int, alpha, k float32) {
	d, s := unsafe.Slice(dst, n*16), unsafe.Slice(src, n*16)
	b, a := unsafe.Slice(below, (n-1)*belowStep+16), unsafe.Slice(above, (n-1)*aboveStep+16)
	var sq [20]float32
	for p := range n {
		copy(sq[:2], b[p*belowStep+14:])
		copy(sq[2:], s[p*16:][:16])
		copy(sq[18:], a[p*aboveStep:])
		for i, v := range sq {
			sq[i] = v * v
		}
		for l := range 16 {
			sum := k + alpha*(sq[l]+sq[l+1]+sq[l+2]+sq[l+3]+sq[l+4])
			root := float32(math.Sqrt(float64(sum)))
			d[p*16+l] = s[p*16+l] / (root * float32(math.Sqrt(float64(root))))
		}
	}
}
