package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// directNEON emits the direct convolution of 1 … 6 pixels to 16 channels. See
// directRun for amd64.
//
//	V0-V23   accumulators, 4 of each pixel
//	V24-V27  a row of U
//	V28-V31  x of a pixel, in turn; V31 is zero for the ReLU
func directNEON(c *neon.Context) {
	for pixels := 6; pixels >= 1; pixels-- {
		directRunNEON(c, pixels)
	}
}

func directRunNEON(c *neon.Context, pixels int) {
	name := fmt.Sprintf("direct%dx16NEON", pixels)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s convolves groups of %d pixels to 16 channels; see rowFunc.", name, pixels))
	c.Pragma("noescape")
	c.SignatureExpr("func(groups, taps int, offsets *int, x *float32, step int, u *float32, row int, bias, out *float32, pixel, plane, mode, nextX, nextU, nextOut, ahead, aheadX int)")
	const groups, taps, offsets, x, step, u, bias, out, pixel, mode, tap, at, count, uv, row, nextX, nextU, nextOut, ahead neon.R = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21
	// aheadX is not read: x is left to the processor's own prefetching, as none of it was
	// measured here.
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"groups", groups}, {"taps", taps}, {"offsets", offsets}, {"x", x}, {"step", step}, {"u", u}, {"row", row}, {"bias", bias}, {"out", out}, {"pixel", pixel}, {"mode", mode},
		{"nextX", nextX}, {"nextU", nextU}, {"nextOut", nextOut}, {"ahead", ahead}} {
		c.Load(p.name, p.r)
	}
	c.LSL(2, step, step)
	c.LSL(2, pixel, pixel)
	acc := func(t, v int) neon.V { return neon.V(4*t + v) }
	// eachOut visits the results of a group.
	eachOut := func(f func(t int)) {
		c.MOVD(out, at)
		for t := range pixels {
			f(t)
			if t < pixels-1 {
				c.ADD(pixel, at, at)
			}
		}
	}
	c.Label("group")
	c.MOVD(neon.Imm(modeAccumulate), tap)
	c.Op("TST", tap, mode)
	c.Branch("BEQ", "bias")
	eachOut(func(t int) {
		c.FLDPQ(neon.Mem{Base: at}, acc(t, 0), acc(t, 1))
		c.FLDPQ(neon.Mem{Base: at, Off: 32}, acc(t, 2), acc(t, 3))
	})
	c.B("start")
	c.Label("bias")
	for t := range pixels {
		c.FLDPQ(neon.Mem{Base: bias}, acc(t, 0), acc(t, 1))
		c.FLDPQ(neon.Mem{Base: bias, Off: 32}, acc(t, 2), acc(t, 3))
	}
	c.Label("start")
	c.MOVD(taps, count)
	c.MOVD(offsets, tap)
	c.MOVD(u, uv)
	c.Align(16)
	c.Label("tap")
	c.Comment("acc[t] += x[t]·U for one tap")
	c.Op("MOVD", neon.Mem{Base: tap}, at)
	c.ADDShift(at, 2, x, at)
	c.FLDPQ(neon.Mem{Base: uv}, 24, 25)
	c.FLDPQ(neon.Mem{Base: uv, Off: 32}, 26, 27)
	for t := range pixels {
		xv := neon.V(28 + t%4)
		c.FMOVS(neon.Mem{Base: at}, xv)
		if t < pixels-1 {
			c.ADD(step, at, at)
		}
		for v := range 4 {
			c.VFMLAElem(xv, 0, neon.V(24+v), acc(t, v))
		}
	}
	c.ADD(neon.Imm(8), tap, tap)
	c.ADD(uv, ahead, at)
	c.PRFM(neon.Mem{Base: at}, "PLDL2KEEP")
	c.ADD(row, uv, uv)
	c.SUBS(neon.Imm(1), count, count)
	c.Branch("BNE", "tap")

	c.MOVD(neon.Imm(modeAdd), tap)
	c.Op("TST", tap, mode)
	c.Branch("BEQ", "added")
	eachOut(func(t int) {
		c.FLDPQ(neon.Mem{Base: at}, 24, 25)
		c.FLDPQ(neon.Mem{Base: at, Off: 32}, 26, 27)
		for v := range 4 {
			c.VFADD(neon.V(24+v), acc(t, v), acc(t, v))
		}
	})
	c.Label("added")
	c.MOVD(neon.Imm(modeReLU), tap)
	c.Op("TST", tap, mode)
	c.Branch("BEQ", "store")
	c.Zero(31)
	for t := range pixels {
		for v := range 4 {
			c.VFMAX(31, acc(t, v), acc(t, v))
		}
	}
	c.Label("store")
	eachOut(func(t int) {
		c.FSTPQ(acc(t, 0), acc(t, 1), neon.Mem{Base: at})
		c.FSTPQ(acc(t, 2), acc(t, 3), neon.Mem{Base: at, Off: 32})
	})
	c.ADDShift(nextOut, 2, out, out)
	c.ADDShift(nextX, 2, x, x)
	c.ADDShift(nextU, 2, u, u)
	c.SUBS(neon.Imm(1), groups, groups)
	c.Branch("BNE", "group")
	c.RET()
}
