package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var vecISAs = []vecISA{{"AVX2", 8, ymm}, {"AVX512", 16, zmm}}

// poolKernels emits the 2×2 maximum and the local response normalisation.
func poolKernels(c *build.Context) {
	for _, isa := range vecISAs {
		maxPool(c, isa)
		lrn(c, isa)
	}
}

// maxPool emits the 2×2 maximum along one row of a block of 16 channels. Its Go
// form is pool.maxRowGeneric.
func maxPool(c *build.Context, isa vecISA) {
	c.Function("maxRow" + isa.suffix)
	c.Doc("maxRow" + isa.suffix + " takes the 2×2 maximum of n pixels of a row; see kernel.maxRow.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, dst, src *float32, row int)")
	n := c.Load(c.Param("n"), reg.RCX).(reg.Register)
	dst := c.Load(c.Param("dst"), reg.RDI).(reg.Register)
	src := c.Load(c.Param("src"), reg.RSI).(reg.Register)
	row := c.Load(c.Param("row"), reg.RDX).(reg.Register)
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

// lrn emits the local response normalisation of a run of pixels of one block of
// 16 channels. Its Go form is pool.lrnGeneric.
func lrn(c *build.Context, isa vecISA) {
	c.Function("lrn" + isa.suffix)
	c.Doc("lrn" + isa.suffix + " normalises n pixels; see kernel.lrn.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, dst, src, below, above *float32, belowStep, aboveStep int, alpha, k float32)")
	n := c.Load(c.Param("n"), reg.RCX).(reg.Register)
	dst := c.Load(c.Param("dst"), reg.RDI).(reg.Register)
	src := c.Load(c.Param("src"), reg.RSI).(reg.Register)
	below := c.Load(c.Param("below"), reg.R8).(reg.Register)
	above := c.Load(c.Param("above"), reg.R9).(reg.Register)
	belowStep := c.Load(c.Param("belowStep"), reg.R10).(reg.Register)
	aboveStep := c.Load(c.Param("aboveStep"), reg.R11).(reg.Register)
	c.SHLQ(Imm(2), belowStep)
	c.SHLQ(Imm(2), aboveStep)
	r := isa.regs
	alpha, k := r[14], r[15]
	for _, p := range []struct {
		name string
		to   reg.VecPhysical
	}{{"alpha", alpha}, {"k", k}} {
		m, err := c.Param(p.name).Resolve()
		if err != nil {
			panic(err)
		}
		c.VBROADCASTSS(m.Addr, p.to)
	}
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
