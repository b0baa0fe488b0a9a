package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The bits of mode: those of package direct, which the generator must not import.
const (
	modeReLU       = 1
	modeAccumulate = 2
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
	c.SignatureExpr("func(groups, taps int, offsets *int, x *float32, step int, u *float32, row int, bias, out *float32, pixel, plane, mode int)")
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
	mode := load("mode", reg.R13)
	c.SHLQ(Imm(2), step)
	c.SHLQ(Imm(2), plane)
	step3, step5 := reg.R8, reg.R9
	c.LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	c.LEAQ(Mem{Base: step, Index: step, Scale: 4}, step5)
	at := reg.RAX
	in := strided(at, step, step3, step5)
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

	// eachOut visits the results of a group; between two groups the registers
	// that count the taps are free to hold multiples of the distance of pixels.
	eachOut := func(f func(r reg.VecPhysical, m Mem)) {
		c.Load(c.Param("pixel"), taps)
		c.SHLQ(Imm(2), taps)
		c.LEAQ(Mem{Base: taps, Index: taps, Scale: 2}, tap)
		c.LEAQ(Mem{Base: taps, Index: taps, Scale: 4}, u)
		c.MOVQ(out, at)
		for v := range vecs {
			off := 4 * isa.lanes * v % 64
			if v > 0 && off == 0 {
				c.ADDQ(plane, at)
			}
			for t, m := range strided(at, taps, tap, u)[:pixels] {
				m.Disp = off
				f(acc(t, v), m)
			}
		}
	}

	// prefetchOut fetches the results that the next group will write, and read.
	prefetchOut := func() {
		c.Load(c.Param("pixel"), taps)
		c.IMUL3Q(Imm(uint64(4*pixels)), taps, at)
		c.ADDQ(out, at)
		c.SHLQ(Imm(2), taps)
		c.LEAQ(Mem{Base: taps, Index: taps, Scale: 2}, tap)
		c.LEAQ(Mem{Base: taps, Index: taps, Scale: 4}, u)
		for v := range vecs {
			if off := 4 * isa.lanes * v % 64; off > 0 {
				continue
			}
			if v > 0 {
				c.ADDQ(plane, at)
			}
			for _, m := range strided(at, taps, tap, u)[:pixels] {
				c.PREFETCHT0(m)
			}
		}
	}

	c.Label("group")
	c.TESTQ(U32(modeAccumulate), mode)
	c.JZ(LabelRef("bias"))
	eachOut(func(r reg.VecPhysical, m Mem) { c.VMOVUPS(m, r) })
	c.JMP(LabelRef("start"))
	c.Label("bias")
	for t := range pixels {
		for v := range vecs {
			c.VMOVUPS(Mem{Base: bias, Disp: 4 * isa.lanes * v}, acc(t, v))
		}
	}
	c.Label("start")
	prefetchOut()
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
		c.VBROADCASTSS(in[t], xv)
		for v := range vecs {
			if v < held {
				c.VFMADD231PS(uv[v], xv, acc(t, v))
			} else {
				c.VFMADD231PS(Mem{Base: u, Disp: 4 * isa.lanes * v}, xv, acc(t, v))
			}
		}
	}
	c.ADDQ(Imm(8), tap)
	row, err := c.Param("row").Resolve()
	if err != nil {
		panic(err)
	}
	c.ADDQ(row.Addr, u)
	c.DECQ(taps)
	c.JNZ(LabelRef("tap"))

	c.TESTQ(U32(modeReLU), mode)
	c.JZ(LabelRef("store"))
	c.Comment("The maximum returns its second source if that is a NaN")
	zero(c, xv)
	for t := range pixels {
		for v := range vecs {
			c.VMAXPS(acc(t, v), xv, acc(t, v))
		}
	}
	c.Label("store")
	eachOut(func(r reg.VecPhysical, m Mem) { c.VMOVUPS(r, m) })
	c.IMUL3Q(Imm(uint64(pixels)), taps, at)
	c.ADDQ(at, out)
	c.IMUL3Q(Imm(uint64(pixels)), step, at)
	c.ADDQ(at, x)
	c.DECQ(groups)
	c.JNZ(LabelRef("group"))
	c.VZEROUPPER()
	c.RET()
}

// strided returns the addresses at, at + s, … at + 6·s, where s3 and s5 hold
// multiples of s.
func strided(at, s, s3, s5 reg.Register) []Mem {
	return []Mem{
		{Base: at},
		{Base: at, Index: s, Scale: 1},
		{Base: at, Index: s, Scale: 2},
		{Base: at, Index: s3, Scale: 1},
		{Base: at, Index: s, Scale: 4},
		{Base: at, Index: s5, Scale: 1},
		{Base: at, Index: s3, Scale: 2},
	}
}
