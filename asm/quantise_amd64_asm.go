package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantiseKernels emits what turns floats into integers and back. n counts blocks of 16 floats.
func quantiseKernels(c *build.Context) {
	for _, isa := range vecISAs {
		maxAbs(c, isa)
		toInt16(c, isa)
		toFloat32(c, isa)
	}
}

// maxAbs emits the largest magnitude, as an integer. Its Go form is maxAbsGeneric.
func maxAbs(c *build.Context, isa vecISA) {
	n := begin(c, isa, "maxAbs", "returns the largest magnitude, n blocks of 16; see kernel.maxAbs.", "func(n int, x *float32) uint32")
	x := c.Load(c.Param("x"), reg.RSI)
	acc, mask, v := isa.regs[:16/isa.lanes], isa.regs[2], isa.regs[3]
	for _, a := range acc {
		zero(c, a)
	}
	c.VPBROADCASTD(staticData(c, "magnitude", 4, 1, U32(1<<31-1)), mask)
	c.Label("block")
	for i, a := range acc {
		and(c, isa, Mem{Base: x, Disp: 4 * isa.lanes * i}, mask, v)
		c.VPMAXSD(v, a, a)
	}
	next(c, n, "block", x)
	if isa.lanes == 16 {
		c.VEXTRACTI64X4(Imm(1), acc[0], v.AsY())
		c.VPMAXSD(v.AsY(), acc[0].AsY(), acc[0].AsY())
	} else {
		c.VPMAXSD(acc[1], acc[0], acc[0])
	}
	c.VEXTRACTI128(Imm(1), acc[0].AsY(), v.AsX())
	c.VPMAXSD(v.AsX(), acc[0].AsX(), acc[0].AsX())
	for _, order := range []uint64{0x4e, 0xb1} { // halves, then neighbours
		c.VPSHUFD(Imm(order), acc[0].AsX(), v.AsX())
		c.VPMAXSD(v.AsX(), acc[0].AsX(), acc[0].AsX())
	}
	c.VMOVD(acc[0].AsX(), reg.EAX)
	c.Store(reg.EAX, c.ReturnIndex(0))
	c.VZEROUPPER()
	c.RET()
}

// and emits to = m & mask, bit by bit.
func and(c *build.Context, isa vecISA, m Op, mask, to reg.VecPhysical) {
	if isa.lanes == 16 {
		c.VPANDD(m, mask, to)
		return
	}
	c.VPAND(m, mask, to)
}

// toInt16 emits q = x·up·inv, rounded. Its Go form is toInt16Generic.
func toInt16(c *build.Context, isa vecISA) {
	n := begin(c, isa, "toInt16", "sets q = x·up·inv, n blocks of 16; see kernel.toInt16.", "func(n int, q *int16, stride int, x *float32, xStride int, up, inv float32)")
	q := c.Load(c.Param("q"), reg.RDI)
	stride := c.Load(c.Param("stride"), reg.RDX)
	x := c.Load(c.Param("x"), reg.RSI)
	xStride := c.Load(c.Param("xStride"), reg.RBX)
	up, inv, v := isa.regs[0], isa.regs[1], isa.regs[2:][:16/isa.lanes]
	broadcast(c, "up", up)
	broadcast(c, "inv", inv)
	c.SHLQ(Imm(1), stride)
	c.SHLQ(Imm(2), xStride)
	c.Label("block")
	for i, r := range v {
		c.VMULPS(Mem{Base: x, Disp: 4 * isa.lanes * i}, up, r)
		c.VMULPS(r, inv, r)
		c.VCVTPS2DQ(r, r)
	}
	if isa.lanes == 16 {
		c.VPMOVSDW(v[0], v[0].AsY())
	} else {
		c.VPACKSSDW(v[1], v[0], v[0])
		c.Comment("Lanes 0 2 1 3 of 64 bits")
		c.VPERMQ(Imm(0xd8), v[0], v[0])
	}
	c.VMOVDQU(v[0].AsY(), Mem{Base: q})
	c.ADDQ(stride, q)
	c.ADDQ(xStride, x)
	next(c, n, "block")
	c.VZEROUPPER()
	c.RET()
}

// toFloat32 emits y = q·factor + bias, with two roundings. Its Go form is toFloat32Generic.
func toFloat32(c *build.Context, isa vecISA) {
	n := begin(c, isa, "toFloat32", "sets y = q·factor + bias, n blocks of 16; see kernel.toFloat32.", "func(n int, y *float32, q *int32, stride int, factor, bias *float32)")
	y := c.Load(c.Param("y"), reg.RDI)
	q := c.Load(c.Param("q"), reg.RSI)
	stride := c.Load(c.Param("stride"), reg.RDX)
	from := []reg.Register{c.Load(c.Param("factor"), reg.R8), c.Load(c.Param("bias"), reg.R9)}
	vecs := 16 / isa.lanes
	factor, bias, v := isa.regs[:vecs], isa.regs[vecs:2*vecs], isa.regs[2*vecs:3*vecs]
	for i := range vecs {
		c.VMOVUPS(Mem{Base: from[0], Disp: 4 * isa.lanes * i}, factor[i])
		c.VMOVUPS(Mem{Base: from[1], Disp: 4 * isa.lanes * i}, bias[i])
	}
	c.SHLQ(Imm(2), stride)
	c.Label("block")
	for i, r := range v {
		c.VCVTDQ2PS(Mem{Base: q, Disp: 4 * isa.lanes * i}, r)
		c.VMULPS(factor[i], r, r)
		c.VADDPS(bias[i], r, r)
		c.VMOVUPS(r, Mem{Base: y, Disp: 4 * isa.lanes * i})
	}
	c.ADDQ(stride, q)
	next(c, n, "block", y)
	c.VZEROUPPER()
	c.RET()
}
