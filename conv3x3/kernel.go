package conv3x3

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// A directFunc convolves groups·pixels adjacent pixels of one row, where pixels
// is the function's own number, to width output channels:
//
//	out[(k/16)*plane + p*16 + k%16] = bias[k] + Σ_t x[offsets[t] + p*step] · u[t*width + k]
//
// and, unless relu is 0, the maximum of that and 0, where NaN stays NaN. groups
// and taps must be positive: the loops test at their end.
type directFunc func(groups, taps int, offsets *int, x *float32, step int, u, bias, out *float32, plane, relu int)

// kernel is the direct convolution on one instruction set.
type kernel struct {
	name   string
	isa    cpu.ISA
	pixels int            // largest group
	kb     int            // panel width, a multiple of 16; the last panel may be narrower
	funcs  [][]directFunc // [width/16-1][pixels-1]
}

// best returns the kernel that this process prefers.
func best() *kernel {
	for i := range kernels {
		if cpu.Has(kernels[i].isa) {
			return &kernels[i]
		}
	}
	panic("conv3x3: no kernel") // the generic one runs everywhere
}

// row convolves n adjacent pixels: whole groups first, and what remains in one
// smaller group. See directFunc for the rest.
func (kern *kernel) row(n, width int, offsets []int, x []float32, step int, u, bias, out []float32, plane int, relu bool) {
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
	most := max(1, callWork/(len(offsets)*kern.pixels*width))
	groups := n / kern.pixels
	for g := 0; g < groups; g += most {
		run(min(most, groups-g), kern.pixels, g*kern.pixels)
	}
	if rest := n % kern.pixels; rest > 0 {
		run(1, rest, n-rest)
	}
}

// callWork bounds the multiply-adds of one call: 60 µs at 70 GFLOP/s.
const callWork = 2 << 20

func directGeneric(pixels, width int) directFunc {
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

// generic is the portable kernel.
func generic() kernel {
	kern := kernel{name: "generic_4x16", isa: cpu.Generic, pixels: 4, kb: 16, funcs: make([][]directFunc, 1)}
	for p := 1; p <= kern.pixels; p++ {
		kern.funcs[0] = append(kern.funcs[0], directGeneric(p, 16))
	}
	return kern
}
