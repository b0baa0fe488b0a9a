// Package direct holds the micro-kernel of convolutions that are computed from
// their definition: the 3×3 convolution of few input channels or by request, and
// the 1×1 convolution. It knows nothing of filters; a table of offsets says
// where the taps of a pixel lie.
package direct

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// A rowFunc convolves groups·pixels adjacent pixels of one row, where pixels
// is the function's own number, to width output channels:
//
//	out[(k/16)*plane + p*16 + k%16] = bias[k] + Σ_t x[offsets[t] + p*step] · u[t*width + k]
//
// and, unless relu is 0, the maximum of that and 0, where NaN stays NaN. groups
// and taps must be positive: the loops test at their end.
type rowFunc func(groups, taps int, offsets *int, x *float32, step int, u, bias, out *float32, plane, relu int)

// Kernel is the direct convolution on one instruction set.
type Kernel struct {
	Name   string
	ISA    cpu.ISA
	Pixels int         // largest group
	KB     int         // panel width, a multiple of 16; the last panel may be narrower
	funcs  [][]rowFunc // [width/16-1][pixels-1]
}

// Best returns the kernel that this process prefers.
func Best() *Kernel {
	for i := range Kernels {
		if cpu.Has(Kernels[i].ISA) {
			return &Kernels[i]
		}
	}
	panic("direct: no kernel") // the generic one runs everywhere
}

// Row convolves n adjacent pixels: whole groups first, and what remains in one
// smaller group. The operands are those of rowFunc; the tap furthest on stands
// last in offsets.
func (kern *Kernel) Row(n, width int, offsets []int, x []float32, step int, u, bias, out []float32, plane int, relu bool) {
	// The bounds of everything that the kernel touches.
	_ = x[offsets[len(offsets)-1]+(n-1)*step]
	_ = u[len(offsets)*width-1]
	_ = bias[width-1]
	_ = out[(width/16-1)*plane+n*16-1]
	flag := 0
	if relu {
		flag = 1
	}
	run := func(groups, pixels, at int) {
		kern.funcs[width/16-1][pixels-1](groups, len(offsets), &offsets[0], &x[at*step], step,
			&u[0], unsafe.SliceData(bias), &out[at*16], plane, flag)
	}
	// A call cannot be interrupted, so a long row takes several.
	most := max(1, callWork/(len(offsets)*kern.Pixels*width))
	groups := n / kern.Pixels
	for g := 0; g < groups; g += most {
		run(min(most, groups-g), kern.Pixels, g*kern.Pixels)
	}
	if rest := n % kern.Pixels; rest > 0 {
		run(1, rest, n-rest)
	}
}

// callWork bounds the multiply-adds of one call: 60 µs at 70 GFLOP/s.
const callWork = 2 << 20

// generic is the portable form.
func generic(pixels, width int) rowFunc {
	return func(groups, taps int, offsets *int, x *float32, step int, u, bias, out *float32, plane, relu int) {
		offs := unsafe.Slice(offsets, taps)
		n := groups * pixels
		xs := unsafe.Slice(x, offs[taps-1]+(n-1)*step+1)
		us := unsafe.Slice(u, taps*width)
		bs := unsafe.Slice(bias, width)
		outs := unsafe.Slice(out, (width/16-1)*plane+n*16)
		for p := range n {
			for b := range width / 16 {
				acc := [16]float32(bs[b*16:])
				for t, off := range offs {
					v := xs[off+p*step]
					row := us[t*width+b*16:][:16]
					for l := range acc {
						acc[l] += v * row[l]
					}
				}
				if relu != 0 {
					for l := range acc {
						acc[l] = max(acc[l], 0)
					}
				}
				copy(outs[b*plane+p*16:], acc[:])
			}
		}
	}
}

func genericKernel() Kernel {
	kern := Kernel{Name: "generic_4x16", ISA: cpu.Generic, Pixels: 4, KB: 16, funcs: make([][]rowFunc, 1)}
	for p := 1; p <= kern.Pixels; p++ {
		kern.funcs[0] = append(kern.funcs[0], generic(p, 16))
	}
	return kern
}
