package main

import "github.com/nonet-go/nonet/asm/neon"

// transposeNEON emits the conversions between planes and blocks. See
// asm/transpose_amd64_asm.go.
func transposeNEON(c *neon.Context) {
	l := loopsNEON{c}
	const block, plane, at neon.R = 1, 2, 3 // at: the plane of the channel under way
	const first neon.R = 4                  // the first plane
	begin := func(name, doc, blockParam, planeParam string) {
		l.begin(name, doc, "func(n int, dst, src *float32, plane int)")
		c.Load(blockParam, block)
		c.Load(planeParam, first)
		c.Load("plane", plane)
		c.LSL(2, plane, plane)
		c.Label("pixels")
		c.ADD(neon.Imm(0), first, at)
	}
	end := func() {
		c.ADD(neon.Imm(16), first, first)
		c.ADD(neon.Imm(256), block, block)
		l.next("pixels")
		c.RET()
	}

	begin("fromPlanesNEON", "makes 4n pixels of a block from 16 planes; see kernel.fromPlanes.", "dst", "src")
	for g := range 4 {
		r := neon.V(8 * g)
		for i := range neon.V(4) {
			c.FMOVQ(neon.Mem{Base: at}, r+i)
			c.ADD(plane, at, at)
		}
		transpose4x4NEON(c, r)
		for i := range 4 {
			c.FMOVQStore(r+neon.V(i), neon.Mem{Base: block, Off: 64*i + 16*g})
		}
	}
	end()

	begin("toPlanesNEON", "makes 4n pixels of 16 planes from a block; see kernel.toPlanes.", "src", "dst")
	for g := range 4 {
		r := neon.V(8 * g)
		for i := range 4 {
			c.FMOVQ(neon.Mem{Base: block, Off: 64*i + 16*g}, r+neon.V(i))
		}
		transpose4x4NEON(c, r)
		for i := range neon.V(4) {
			c.FMOVQStore(r+i, neon.Mem{Base: at})
			c.ADD(plane, at, at)
		}
	}
	end()
}

// transpose4x4NEON transposes the 4×4 matrix in the four registers from r on by way of the
// next four. Where the registers of several are their own, they overlap.
func transpose4x4NEON(c *neon.Context, r neon.V) {
	c.VZIP1(r+2, r, r+4) // a0 c0 a1 c1
	c.VZIP2(r+2, r, r+5)
	c.VZIP1(r+3, r+1, r+6) // b0 d0 b1 d1
	c.VZIP2(r+3, r+1, r+7)
	c.VZIP1(r+6, r+4, r)
	c.VZIP2(r+6, r+4, r+1)
	c.VZIP1(r+7, r+5, r+2)
	c.VZIP2(r+7, r+5, r+3)
}
