package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// poolKernels emits the 2×2 maximum and the local response normalisation.
func poolKernels(c *build.Context) {
	for _, isa := range vecISAs {
		maxPool(c, isa)
		maxPoolGrad(c, isa)
		lrn(c, isa)
	}
}

// maxPool emits the 2×2 maximum along one row of a block of 16 channels. Its Go
// form is pool.maxRowGeneric.
func maxPool(c *build.Context, isa vecISA) {
	n := begin(c, isa, "maxRow", "takes the 2×2 maximum of n pixels of a row; see kernel.maxRow.", "func(n int, dst, src *float32, row int)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	row := c.Load(c.Param("row"), reg.RDX)
	c.LEAQ(Mem{Base: src, Index: row, Scale: 4}, row)
	best, x, unordered := isa.regs[0], isa.regs[1], isa.regs[2]
	c.Label("pixel")
	for off := 0; off < 64; off += 4 * isa.lanes {
		c.VMOVUPS(Mem{Base: src, Disp: off}, best)
		for _, m := range []Mem{{Base: src, Disp: 64 + off}, {Base: row, Disp: off}, {Base: row, Disp: 64 + off}} {
			c.VMOVUPS(m, x)
			// The maximum is its second source, best, if one is a NaN: put x
			// there where x is the NaN.
			c.VMAXPS(best, x, best)
			if isa.lanes == 16 {
				c.VCMPPS(Imm(3), x, x, reg.K1)
				c.VMOVAPS(x, reg.K1, best)
			} else {
				c.VCMPPS(Imm(3), x, x, unordered)
				c.VBLENDVPS(unordered, x, best, best)
			}
		}
		c.VMOVUPS(best, Mem{Base: dst, Disp: off})
	}
	c.ADDQ(Imm(64), dst)
	c.ADDQ(U32(128), src)
	c.ADDQ(U32(128), row)
	c.DECQ(n)
	c.JNZ(LabelRef("pixel"))
	c.VZEROUPPER()
	c.RET()
}

// maxPoolGrad emits the gradient of the 2×2 maximum along one row: dy goes to the
// first of the four that equals y, and 0 to the others. Its Go form is
// pool.maxGradRowGeneric.
func maxPoolGrad(c *build.Context, isa vecISA) {
	n := begin(c, isa, "maxGradRow", "is the gradient of the 2×2 maximum for n pixels of a row; see kernel.maxGradRow.", "func(n int, dx, x, y, dy *float32, row int, floor float32, stream int)")
	dx := c.Load(c.Param("dx"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	y := c.Load(c.Param("y"), reg.R8)
	dy := c.Load(c.Param("dy"), reg.R9)
	row := c.Load(c.Param("row"), reg.RDX)
	dxRow, xRow := reg.R10, reg.R11
	c.LEAQ(Mem{Base: dx, Index: row, Scale: 4}, dxRow)
	c.LEAQ(Mem{Base: x, Index: row, Scale: 4}, xRow)
	r := isa.regs
	floor, vy, left, mask, out := r[0], r[1], r[2], r[3], r[4]
	broadcast(c, "floor", floor)
	pixels := func(label string, store func(v, m Op)) {
		c.Label(label)
		isa.each(func(off int) {
			c.VMOVUPS(Mem{Base: y, Disp: off}, vy)
			c.VMOVUPS(Mem{Base: dy, Disp: off}, left)
			c.Comment("left is what no pixel has taken yet: nothing if y is not above the floor")
			if isa.lanes == 16 {
				c.VCMPPS(Imm(30), floor, vy, reg.K1)
				c.VMOVAPS_Z(left, reg.K1, left)
			} else {
				c.VCMPPS(Imm(30), floor, vy, mask)
				c.VANDPS(mask, left, left)
			}
			for _, p := range []struct{ in, out reg.Register }{{x, dx}, {xRow, dxRow}} {
				for d := 0; d < 128; d += 64 {
					if isa.lanes == 16 {
						c.VCMPPS(Imm(0), Mem{Base: p.in, Disp: off + d}, vy, reg.K1)
						c.VMOVAPS_Z(left, reg.K1, out)
						c.VPXORD(left, left, reg.K1, left)
					} else {
						c.VCMPPS(Imm(0), Mem{Base: p.in, Disp: off + d}, vy, mask)
						c.VANDPS(left, mask, out)
						c.VANDNPS(left, mask, left)
					}
					store(out, Mem{Base: p.out, Disp: off + d})
				}
			}
		})
		c.ADDQ(Imm(64), y)
		c.ADDQ(Imm(64), dy)
		for _, p := range []reg.Register{x, xRow, dx, dxRow} {
			c.ADDQ(U32(128), p)
		}
		c.DECQ(n)
		c.JNZ(LabelRef(label))
	}
	stream := c.Load(c.Param("stream"), reg.RAX)
	c.TESTQ(stream, stream)
	c.JNZ(LabelRef("around"))
	pixels("pixel", func(v, m Op) { c.VMOVUPS(v, m) })
	c.VZEROUPPER()
	c.RET()
	c.Label("around")
	pixels("streamed", func(v, m Op) { c.VMOVNTPS(v, m) })
	c.SFENCE()
	c.VZEROUPPER()
	c.RET()
}

// lrn emits the local response normalisation of a run of pixels of one block of
// 16 channels. Its Go form is pool.lrnGeneric.
func lrn(c *build.Context, isa vecISA) {
	n := begin(c, isa, "lrn", "normalises n pixels; see kernel.lrn.", "func(n int, dst, src, below, above *float32, belowStep, aboveStep int, alpha, k float32)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	below := c.Load(c.Param("below"), reg.R8)
	above := c.Load(c.Param("above"), reg.R9)
	belowStep := c.Load(c.Param("belowStep"), reg.R10)
	aboveStep := c.Load(c.Param("aboveStep"), reg.R11)
	c.SHLQ(Imm(2), belowStep)
	c.SHLQ(Imm(2), aboveStep)
	r := isa.regs
	alpha, k := r[14], r[15]
	broadcast(c, "alpha", alpha)
	broadcast(c, "k", k)
	// Squares of the vectors below, of the block itself, and above.
	vecs := 16 / isa.lanes
	sq := r[:vecs+2]
	sum, t, u := r[vecs+2], r[vecs+3], r[vecs+4]
	c.Label("pixel")
	for i, q := range sq {
		m := Mem{Base: src, Disp: 4 * isa.lanes * (i - 1)}
		switch i {
		case 0:
			m = Mem{Base: below, Disp: 64 - 4*isa.lanes}
		case vecs + 1:
			m = Mem{Base: above}
		}
		c.VMOVUPS(m, q)
		c.VMULPS(q, q, q)
	}
	for v := range vecs {
		low, mid, high := sq[v], sq[v+1], sq[v+2]
		c.Comment("s = a[c−2]² + a[c−1]² + a[c]² + a[c+1]² + a[c+2]²")
		if isa.lanes == 16 {
			c.VALIGND(Imm(14), low, mid, sum)
			c.VALIGND(Imm(15), low, mid, t)
			c.VADDPS(t, sum, sum)
			c.VADDPS(mid, sum, sum)
			c.VALIGND(Imm(1), mid, high, t)
			c.VADDPS(t, sum, sum)
			c.VALIGND(Imm(2), mid, high, t)
			c.VADDPS(t, sum, sum)
		} else {
			// VPALIGNR shifts within halves: u holds the half that is shifted in.
			c.VPERM2F128(Imm(0x21), mid, low, u)
			c.VPALIGNR(Imm(8), u, mid, sum)
			c.VPALIGNR(Imm(12), u, mid, t)
			c.VADDPS(t, sum, sum)
			c.VADDPS(mid, sum, sum)
			c.VPERM2F128(Imm(0x21), high, mid, u)
			c.VPALIGNR(Imm(4), mid, u, t)
			c.VADDPS(t, sum, sum)
			c.VPALIGNR(Imm(8), mid, u, t)
			c.VADDPS(t, sum, sum)
		}
		c.Comment("s = k + alpha·s, and a·s^(−3/4) = a / (√s·√√s)")
		c.VFMADD213PS(k, alpha, sum)
		c.VSQRTPS(sum, t)
		c.VSQRTPS(t, u)
		c.VMULPS(t, u, u)
		c.VMOVUPS(Mem{Base: src, Disp: 4 * isa.lanes * v}, t)
		c.VDIVPS(u, t, t)
		c.VMOVUPS(t, Mem{Base: dst, Disp: 4 * isa.lanes * v})
	}
	c.ADDQ(Imm(64), dst)
	c.ADDQ(Imm(64), src)
	c.ADDQ(belowStep, below)
	c.ADDQ(aboveStep, above)
	c.DECQ(n)
	c.JNZ(LabelRef("pixel"))
	c.VZEROUPPER()
	c.RET()
}
