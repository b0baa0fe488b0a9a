package main

import "github.com/nonet-go/nonet/asm/neon"

// quantiseNEON emits what turns floats into integers and back. See asm/quantise_amd64_asm.go.
func quantiseNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.maxAbs()
	l.toInt16()
	l.toFloat32()
}

func (c loopsNEON) maxAbs() {
	c.begin("maxAbsNEON", "returns the largest magnitude, n blocks of 16; see kernel.maxAbs.", "func(n int, x *float32) uint32")
	c.Load("x", loopY)
	const magnitude neon.R = 4
	c.MOVD(neon.Imm(1<<31-1), magnitude)
	c.VDUPR(magnitude, 8)
	for v := range neon.V(4) {
		c.Zero(v)
	}
	c.Label("block")
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: loopY, Off: 16 * int(v)}, 4+v)
		c.VAND(8, 4+v, 4+v)
		c.VSMAX(4+v, v, v)
	}
	c.next("block", loopY)
	c.VSMAX(1, 0, 0)
	c.VSMAX(3, 2, 2)
	c.VSMAX(2, 0, 0)
	for lane := range 3 {
		c.VDUP(0, lane+1, neon.V(1+lane))
	}
	for v := range neon.V(3) {
		c.VSMAX(1+v, 0, 0)
	}
	c.Return32(0)
	c.RET()
}

func (c loopsNEON) toInt16() {
	c.begin("toInt16NEON", "sets q = x·up·inv, n blocks of 16; see kernel.toInt16.", "func(n int, q *int16, stride int, x *float32, xStride int, up, inv float32)")
	const stride, xStride neon.R = 4, 5
	c.Load("q", loopX)
	c.Load("stride", stride)
	c.Load("x", loopY)
	c.Load("xStride", xStride)
	c.LoadFloat("up", 8)
	c.LoadFloat("inv", 9)
	c.VDUP(8, 0, 8)
	c.VDUP(9, 0, 9)
	c.LSL(1, stride, stride)
	c.LSL(2, xStride, xStride)
	c.Label("block")
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: loopY, Off: 16 * int(v)}, v)
	}
	for v := range neon.V(4) {
		c.VFMUL(8, v, v)
	}
	for v := range neon.V(4) {
		c.VFMUL(9, v, v)
	}
	for v := range neon.V(4) {
		c.VFCVTNS(v, v)
	}
	for v := neon.V(0); v < 4; v += 2 {
		c.VSQXTN(v, 4+v)
		c.VSQXTN2(v+1, 4+v)
	}
	c.FSTPQ(4, 6, neon.Mem{Base: loopX})
	c.ADD(stride, loopX, loopX)
	c.ADD(xStride, loopY, loopY)
	c.next("block")
	c.RET()
}

func (c loopsNEON) toFloat32() {
	c.begin("toFloat32NEON", "sets y = q·factor + bias, n blocks of 16; see kernel.toFloat32.", "func(n int, y *float32, q *int32, stride int, factor, bias *float32)")
	const stride, factor, bias neon.R = 4, 5, 6
	c.Load("y", loopX)
	c.Load("q", loopY)
	c.Load("stride", stride)
	c.Load("factor", factor)
	c.Load("bias", bias)
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: factor, Off: 16 * int(v)}, 4+v)
		c.FMOVQ(neon.Mem{Base: bias, Off: 16 * int(v)}, 8+v)
	}
	c.LSL(2, stride, stride)
	c.Label("block")
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: loopY, Off: 16 * int(v)}, v)
		c.VSCVTF(v, v)
		c.VFMUL(4+v, v, v)
		c.VFADD(8+v, v, v)
		c.FMOVQStore(v, neon.Mem{Base: loopX, Off: 16 * int(v)})
	}
	c.ADD(stride, loopY, loopY)
	c.next("block", loopX)
	c.RET()
}
