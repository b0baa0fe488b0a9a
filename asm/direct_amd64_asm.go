package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// directKernels emits the direct convolution of 1 … isa.tiles pixels at a time.
// Its register budgets are those of the blocked product, see productISA.
func directKernels(c *build.Context) {
	for _, isa := range productISAs {
		for vecs := isa.vecs; vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue
			}
			for pixels := isa.tiles; pixels >= 1; pixels-- {
				directRun(c, isa, pixels, vecs)
			}
		}
	}
}

// directRun emits the convolution of groups of adjacent pixels of one row to
// vecs·lanes output channels. Its Go form is direct.generic.
func directRun(c *build.Context, isa productISA, pixels, vecs int) {
	kb := vecs * isa.lanes
	c.Function(fmt.Sprintf("direct%dx%d%s", pixels, kb, isa.suffix))
	c.Doc(fmt.Sprintf("direct%dx%d%s convolves groups of %d pixels to %d channels; see rowFunc.", pixels, kb, isa.suffix, pixels, kb))
	c.Pragma("noescape")
	c.SignatureExpr("func(groups, taps int, offsets *int, x *float32, step int, u, bias, out *float32, plane, relu int)")
	load := func(name string, r reg.Register) reg.GPPhysical {
		return c.Load(c.Param(name), r).(reg.GPPhysical)
	}
	groups := load("groups", reg.R15)
	offsets := load("offsets", reg.RSI)
	x := load("x", reg.RDI)
	step := load("step", reg.RDX)
	bias := load("bias", reg.R10)
	out := load("out", reg.R11)
	plane := load("plane", reg.R12)
	relu := load("relu", reg.R13)
	c.SHLQ(Imm(2), step)
	c.SHLQ(Imm(2), plane)
	step3, step5 := reg.R8, reg.R9
	c.LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	c.LEAQ(Mem{Base: step, Index: step, Scale: 4}, step5)
	at := reg.RAX
	pixel := []Mem{ // the pixels of a group for one tap
		{Base: at},
		{Base: at, Index: step, Scale: 1},
		{Base: at, Index: step, Scale: 2},
		{Base: at, Index: step3, Scale: 1},
		{Base: at, Index: step, Scale: 4},
		{Base: at, Index: step5, Scale: 1},
		{Base: at, Index: step3, Scale: 2},
	}
	held := vecs // vectors of U in registers
	if pixels*vecs+vecs+1 > 32 {
		held--
	}
	uv := make([]reg.VecPhysical, held)
	for v := range uv {
		uv[v] = isa.vec(pixels*vecs + v)
	}
	xv := isa.vec(pixels*vecs + held)
	acc := func(t, v int) reg.VecPhysical { return isa.vec(t*vecs + v) }
	taps, tap, u := reg.RCX, reg.RBX, reg.R14

	c.Label("group")
	for t := range pixels {
		for v := range vecs {
			c.VMOVUPS(Mem{Base: bias, Disp: 4 * isa.lanes * v}, acc(t, v))
		}
	}
	c.Load(c.Param("taps"), taps)
	c.Load(c.Param("u"), u)
	c.MOVQ(offsets, tap)
	align(c)
	c.Label("tap")
	c.Comment("acc[t] += x[t]·U for one tap of the filter and one input channel")
	c.MOVQ(Mem{Base: tap}, at)
	c.LEAQ(Mem{Base: x, Index: at, Scale: 4}, at)
	for v := range uv {
		c.VMOVUPS(Mem{Base: u, Disp: 4 * isa.lanes * v}, uv[v])
	}
	for t := range pixels {
		c.VBROADCASTSS(pixel[t], xv)
		for v := range vecs {
			if v < held {
				c.VFMADD231PS(uv[v], xv, acc(t, v))
			} else {
				c.VFMADD231PS(Mem{Base: u, Disp: 4 * isa.lanes * v}, xv, acc(t, v))
			}
		}
	}
	c.ADDQ(Imm(8), tap)
	c.ADDQ(U32(uint32(4*kb)), u)
	c.DECQ(taps)
	c.JNZ(LabelRef("tap"))

	c.TESTQ(relu, relu)
	c.JZ(LabelRef("store"))
	c.Comment("The maximum returns its second source if that is a NaN")
	zero(c, xv)
	for t := range pixels {
		for v := range vecs {
			c.VMAXPS(acc(t, v), xv, acc(t, v))
		}
	}
	c.Label("store")
	c.MOVQ(out, at)
	for v := range vecs {
		off := 4 * isa.lanes * v % 64
		if v > 0 && off == 0 {
			c.ADDQ(plane, at)
		}
		for t := range pixels {
			c.VMOVUPS(acc(t, v), Mem{Base: at, Disp: 64*t + off})
		}
	}
	c.ADDQ(U32(uint32(64*pixels)), out)
	c.MOVQ(U32(uint32(pixels)), at)
	c.IMULQ(step, at)
	c.ADDQ(at, x)
	c.DECQ(groups)
	c.JNZ(LabelRef("group"))
	c.VZEROUPPER()
	c.RET()
}
