package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposeKernels emits the conversions between 16 planes, one for each channel,
// and a block of 16 channels. Both move 4 pixels a turn: 16 pieces of 4 pixels
// are a 16×4 matrix, and 4 pixels of a block are its transpose.
//
// A vector holds pieces of the channels i, i+4, i+8 … in its 128-bit lanes, so
// that a transpose of 4×4 within lanes leaves the channels of a pixel in order.
func transposeKernels(c *build.Context) {
	for _, isa := range vecISAs {
		fromPlanes(c, isa)
		toPlanes(c, isa)
	}
}

// planes addresses 16 planes by four pointers, the stride and three times it.
type planes struct {
	base       [4]reg.GPPhysical // channels 0, 4, 8, 12
	one, three reg.GPPhysical
}

// loadPlanes loads the parameters ptr and plane.
func loadPlanes(c *build.Context, ptr string) planes {
	p := planes{[4]reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11}, reg.RAX, reg.RBX}
	c.Load(c.Param(ptr), p.base[0])
	c.Load(c.Param("plane"), p.one)
	c.SHLQ(Imm(2), p.one)
	c.LEAQ(Mem{Base: p.one, Index: p.one, Scale: 2}, p.three)
	for i := 1; i < 4; i++ {
		c.LEAQ(Mem{Base: p.base[i-1], Index: p.one, Scale: 4}, p.base[i])
	}
	return p
}

// at returns the address of the current pixels of a channel.
func (p planes) at(channel int) Mem {
	m := Mem{Base: p.base[channel/4]}
	switch channel % 4 {
	case 1:
		m.Index, m.Scale = p.one, 1
	case 2:
		m.Index, m.Scale = p.one, 2
	case 3:
		m.Index, m.Scale = p.three, 1
	}
	return m
}

// advance moves on by 4 pixels.
func (p planes) advance(c *build.Context) {
	for _, b := range p.base {
		c.ADDQ(Imm(16), b)
	}
}

// transposeLanes transposes the 4×4 matrices whose rows are the 128-bit lanes of
// r, using the registers t.
func transposeLanes(c *build.Context, r, t [4]reg.VecPhysical) {
	c.VUNPCKLPS(r[1], r[0], t[0]) // a0 b0 a1 b1
	c.VUNPCKHPS(r[1], r[0], t[1]) // a2 b2 a3 b3
	c.VUNPCKLPS(r[3], r[2], t[2])
	c.VUNPCKHPS(r[3], r[2], t[3])
	c.VUNPCKLPD(t[2], t[0], r[0])
	c.VUNPCKHPD(t[2], t[0], r[1])
	c.VUNPCKLPD(t[3], t[1], r[2])
	c.VUNPCKHPD(t[3], t[1], r[3])
}

// insertLane sets 128-bit lane i, not 0, of v to the memory m.
func (isa vecISA) insertLane(c *build.Context, i int, m Mem, v reg.VecPhysical) {
	if isa.lanes == 16 {
		c.VINSERTF32X4(Imm(uint64(i)), m, v, v)
	} else {
		c.VINSERTF128(Imm(uint64(i)), m, v, v)
	}
}

// extractLane stores 128-bit lane i of v.
func (isa vecISA) extractLane(c *build.Context, i int, v reg.VecPhysical, m Mem) {
	switch {
	case i == 0:
		c.VMOVUPS(v.AsX(), m)
	case isa.lanes == 16:
		c.VEXTRACTF32X4(Imm(uint64(i)), v, m)
	default:
		c.VEXTRACTF128(Imm(uint64(i)), v, m)
	}
}

// group calls body for each group of channels that fills vectors, with registers
// for a matrix and for its transpose.
func (isa vecISA) group(body func(first int, r, t [4]reg.VecPhysical)) {
	for i, first := 0, 0; first < 16; i, first = i+8, first+isa.lanes {
		body(first, [4]reg.VecPhysical(isa.regs[i:]), [4]reg.VecPhysical(isa.regs[i+4:]))
	}
}

// fromPlanes emits dst[p][l] = src[l][p] for 4n pixels. Its Go form is
// fromPlanesGeneric.
func fromPlanes(c *build.Context, isa vecISA) {
	n := begin(c, isa, "fromPlanes", "makes 4n pixels of a block from 16 planes; see kernel.fromPlanes.", "func(n int, dst, src *float32, plane int)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	p := loadPlanes(c, "src")
	c.Label("pixels")
	isa.group(func(first int, r, t [4]reg.VecPhysical) {
		for i, v := range r {
			c.VMOVUPS(p.at(first+i), v.AsX())
			for lane := 1; lane < isa.lanes/4; lane++ {
				isa.insertLane(c, lane, p.at(first+4*lane+i), v)
			}
		}
		transposeLanes(c, r, t)
		for i, v := range r {
			c.VMOVUPS(v, Mem{Base: dst, Disp: 64*i + 4*first})
		}
	})
	p.advance(c)
	c.ADDQ(U32(256), dst)
	c.DECQ(n)
	c.JNZ(LabelRef("pixels"))
	c.VZEROUPPER()
	c.RET()
}

// toPlanes emits dst[l][p] = src[p][l] for 4n pixels. Its Go form is
// toPlanesGeneric.
func toPlanes(c *build.Context, isa vecISA) {
	n := begin(c, isa, "toPlanes", "makes 4n pixels of 16 planes from a block; see kernel.toPlanes.", "func(n int, dst, src *float32, plane int)")
	src := c.Load(c.Param("src"), reg.RSI)
	p := loadPlanes(c, "dst")
	c.Label("pixels")
	isa.group(func(first int, r, t [4]reg.VecPhysical) {
		for i, v := range r {
			c.VMOVUPS(Mem{Base: src, Disp: 64*i + 4*first}, v)
		}
		transposeLanes(c, r, t)
		for i, v := range r {
			for lane := range isa.lanes / 4 {
				isa.extractLane(c, lane, v, p.at(first+4*lane+i))
			}
		}
	})
	p.advance(c)
	c.ADDQ(U32(256), src)
	c.DECQ(n)
	c.JNZ(LabelRef("pixels"))
	c.VZEROUPPER()
	c.RET()
}
