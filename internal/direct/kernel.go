// Package direct holds a micro-kernel for sums over a list of places: the
// convolutions that are computed from their definition (3×3 of few channels or
// by request, and 1×1), the sums over tiles of Winograd's weight gradient, and
// the blocked matrix product. All of them are
//
//	out[p][k] = bias[k] + Σ_t x[offsets[t] + p·step] · u[t][k]
//
// and differ in the table of offsets: what the kernel calls a tap is a tap of a
// filter and an input channel, a tile, or a column of a matrix; what it calls a
// pixel is a pixel, an input channel, or a row.
//
// A NaN of x reaches all outputs of the pixels that read it, one of u those of its
// column, and an infinity likewise, where it meets a zero as NaN. Subnormals are
// numbers like any other, as operands and as results. The sign of a sum that is
// zero is not determined; sums that leave the range of float32 before they come
// back do so on the portable path alone.
package direct

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// A rowFunc computes groups of pixels, whose number is the function's own, of
// width outputs:
//
//	out[(k/16)*plane + p*pixel + k%16] = bias[k] + Σ_t x[offsets[t] + p*step] · u[t*row/4 + k]
//
// and goes on to the next group by moving x, u and out by nextX, nextU and
// nextOut. Meanwhile the bytes ahead of u are fetched to the second-level cache and, on
// amd64, those aheadX of x. row, ahead and aheadX are in bytes, all else in elements. With ModeAccumulate the sum starts from
// out instead of bias; with ModeAdd out is added to it at the end; with ModeReLU
// the result is the maximum of it and 0, where NaN stays NaN. modeRuns says that x of each
// 16 taps lie side by side: some take those at once. Every sum is one
// chain of fused multiply-adds in the order of t. groups and taps must be
// positive: the loops test at their end.
type rowFunc func(groups, taps int, offsets *int, x *float32, step int, u *float32, row int, bias, out *float32, pixel, plane, mode, nextX, nextU, nextOut, ahead, aheadX int)

// The bits of a rowFunc's mode.
const (
	ModeReLU       = 1
	ModeAccumulate = 2 // a chain goes on; the results are waited for at its beginning
	ModeAdd        = 4 // unlike ModeAccumulate it waits for nothing: they are fetched meanwhile
	modeRuns       = 8 // Operands.Runs, and nothing is fetched ahead of u
)

// Kernel is the direct convolution on one instruction set.
type Kernel struct {
	Name   string
	ISA    cpu.ISA
	Pixels int         // largest group
	KB     int         // panel width, a multiple of 16; the last panel may be narrower
	funcs  [][]rowFunc // [width/16-1][pixels-1]; the narrower may have more than Pixels, those beyond KB fewer
	few    int         // the most taps of the sums that For chooses it for
}

// Widest returns the width of the widest panel that some group has.
func (kern *Kernel) Widest() int { return 16 * len(kern.funcs) }

// Width returns the widest panel of which n pixels are one group, 0 if there is none.
func (kern *Kernel) Width(n int) int {
	for width := kern.Widest(); width > 0; width -= 16 {
		if n <= len(kern.funcs[width/16-1]) {
			return width
		}
	}
	return 0
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

// For returns the kernel of the same instruction set that is best for sums of so many
// taps. 3 pixels of 32 outputs take 18 instructions for 12 multiply-adds where 6 of 16 take
// 20, but more than fit the first-level cache of what they are multiplied by, once taps are
// many.
// The results are the same, bit for bit. Products of matrices with AVX2, with one thread of
// Zen 3 (medians of 13 rounds taking turns, GFLOP/s; bench/compare measures them, with few
// of the table changed to 0):
//
//	m×n×k           6×16  3×32
//	50176×64×27     77.0  81.0
//	784×128×64      66.2  74.3
//	784×128×128     72.1  80.0
//	196×256×256     87.3  87.0
//	49×512×256      71.6  70.9
//
// conv1_1 by BenchmarkDirect, three runs in turn: 39.9, 50.6, 63.1 and 46.4, 67.9, 74.9.
func (kern *Kernel) For(taps int) *Kernel {
	for i := range Kernels {
		if k := &Kernels[i]; k.ISA == kern.ISA && taps <= k.few {
			return k
		}
	}
	return kern
}

// Operands are what Row works on. The slices reach as far as it needs.
type Operands struct {
	Offsets      []int // the largest stands last
	Runs         bool  // whether, from the first on, each 16 offsets, or those that remain, are adjacent; false is slower, and always allowed
	X            []float32
	Step         int
	U            []float32 // [len(Offsets)][width]
	Row          int       // distance of the rows of U; 0: width
	Bias         []float32 // nil with ModeAccumulate
	Out          []float32
	Pixel, Plane int
	Mode         int
	Ahead        [3]int // how far from U lies what each of the first groups fetches meanwhile; 0: nothing
	AheadX       int    // how far from X lies what each group fetches meanwhile; 0: nothing
}

func (o *Operands) row(width int) int {
	if o.Row == 0 {
		return width
	}
	return o.Row
}

// Tallest returns the most pixels of a group that some width has.
func (kern *Kernel) Tallest() int {
	most := 0
	for _, f := range kern.funcs {
		most = max(most, len(f))
	}
	return most
}

// Row computes n pixels of width outputs, a multiple of 16 up to KB or Width(n): whole groups
// first, and what remains in two even ones, since a small group runs below the
// peak. See rowFunc.
func (kern *Kernel) Row(n, width int, o *Operands) {
	// The bounds of everything that the kernel touches.
	taps := len(o.Offsets)
	_ = o.X[o.Offsets[taps-1]+(n-1)*o.Step]
	_ = o.U[(taps-1)*o.row(width)+width-1]
	_ = o.Out[(width/16-1)*o.Plane+(n-1)*o.Pixel+15]
	if o.Mode&ModeAccumulate == 0 {
		_ = o.Bias[width-1]
	}
	// A call cannot be interrupted, so a long row takes several.
	most := max(1, callWork/(taps*kern.Pixels*width))
	groups, rest := n/kern.Pixels, n%kern.Pixels
	if groups > 0 && rest > 0 { // two even groups
		groups, rest = groups-1, rest+kern.Pixels
	}
	ahead := o.Ahead
	for g := 0; g < groups; {
		p, n := g*kern.Pixels, min(most, groups-g)
		if ahead != [3]int{} {
			n = 1 // the next group fetches something else
		}
		kern.call(n, kern.Pixels, width, o, p*o.Step, 0, p*o.Pixel, kern.Pixels*o.Step, 0, kern.Pixels*o.Pixel, ahead[0], o.AheadX)
		g += n
		ahead = [3]int{ahead[1], ahead[2]}
	}
	for rest > 0 {
		p, pixels := n-rest, rest
		if rest > kern.Pixels {
			pixels = (rest + 1) / 2
		}
		kern.call(1, pixels, width, o, p*o.Step, 0, p*o.Pixel, 0, 0, 0, ahead[0], o.AheadX)
		rest -= pixels
		ahead = [3]int{ahead[1], ahead[2]}
	}
}

// Panels computes n pixels, a single group, of several panels that lie side by side,
// as wide as Width(n) or narrower. The rows of U are Row apart at least, those of Out
// as far as the panels are wide together. Plane is 16, and Bias the same for all.
func (kern *Kernel) Panels(panels, n, width int, o *Operands) {
	taps := len(o.Offsets)
	_ = o.X[o.Offsets[taps-1]+(n-1)*o.Step]
	_ = o.U[(taps-1)*o.Row+panels*width-1]
	_ = o.Out[(n-1)*o.Pixel+panels*width-1]
	if o.Mode&ModeAccumulate == 0 {
		_ = o.Bias[width-1]
	}
	most := max(1, callWork/(taps*n*width))
	for p := 0; p < panels; p += most {
		kern.call(min(most, panels-p), n, width, o, 0, p*width, p*width, 0, width, width, o.Ahead[0], o.AheadX)
	}
}

// call computes groups of pixels from x, u and out of the operands on.
func (kern *Kernel) call(groups, pixels, width int, o *Operands, x, u, out, nextX, nextU, nextOut, ahead, aheadX int) {
	mode := o.Mode
	if o.Runs && ahead == 0 {
		mode |= modeRuns
	}
	kern.funcs[width/16-1][pixels-1](groups, len(o.Offsets), &o.Offsets[0], &o.X[x], o.Step, &o.U[u], 4*o.row(width),
		unsafe.SliceData(o.Bias), &o.Out[out], o.Pixel, o.Plane, mode, nextX, nextU, nextOut, 4*ahead, 4*aheadX)
}

// callWork bounds the multiply-adds of one call: 60 µs at 70 GFLOP/s.
const callWork = 2 << 20

// generic is the portable form.
func generic(pixels, width int) rowFunc {
	return func(groups, taps int, offsets *int, x *float32, step int, u *float32, row int, bias, out *float32, pixel, plane, mode, nextX, nextU, nextOut, ahead, aheadX int) {
		offs, last := unsafe.Slice(offsets, taps), groups-1
		xs := unsafe.Slice(x, last*nextX+offs[taps-1]+(pixels-1)*step+1)
		us := unsafe.Slice(u, last*nextU+(taps-1)*row/4+width)
		outs := unsafe.Slice(out, last*nextOut+(width/16-1)*plane+(pixels-1)*pixel+16)
		for g := range groups {
			for p := range pixels {
				for b := range width / 16 {
					to := outs[g*nextOut+b*plane+p*pixel:][:16]
					start := to
					if mode&ModeAccumulate == 0 {
						start = unsafe.Slice(bias, width)[b*16:][:16]
					}
					// In float64, where products of float32 are exact: without fused
					// multiply-adds float32 would lose twice as much.
					var acc [16]float64
					for l := range acc {
						acc[l] = float64(start[l])
					}
					for t, off := range offs {
						v := float64(xs[g*nextX+off+p*step])
						from := us[g*nextU+t*row/4+b*16:][:16]
						for l := range acc {
							acc[l] += v * float64(from[l])
						}
					}
					for l, v := range acc {
						if mode&ModeAdd != 0 {
							v = float64(float32(v)) + float64(to[l])
						}
						if mode&ModeReLU != 0 {
							v = max(v, 0)
						}
						to[l] = float32(v)
					}
				}
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
