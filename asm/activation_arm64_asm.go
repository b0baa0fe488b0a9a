package main

import "github.com/nonet-go/nonet/asm/neon"

// activationNEON emits the loops over activations. See asm/activation_amd64_asm.go.
func activationNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.relu()
	l.reluGrad()
	l.add()
	l.sumPixels()
	l.addSquares()
	l.sumDiffs()
}

func (c loopsNEON) relu() {
	c.begin("reluNEON", "sets x = max(x, 0), n blocks of 16; see kernel.relu.", "func(n int, x *float32)")
	c.Load("x", loopX)
	c.Zero(31)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.VFMAX(31, 0, 0) // NaN stays
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.next("block", loopX)
	c.RET()
}

func (c loopsNEON) reluGrad() {
	c.begin("reluGradNEON", "zeroes dx where x ≤ 0, n blocks of 16; see kernel.reluGrad.", "func(n int, dx, x *float32)")
	c.Load("dx", loopX)
	c.Load("x", loopY)
	c.Zero(2)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: loopY, Off: off}, 1)
		c.VFCMLEZero(1, 1)
		c.VBIT(1, 2, 0)
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.next("block", loopX, loopY)
	c.RET()
}

func (c loopsNEON) add() {
	c.begin("addNEON", "sets dst += x, n blocks of 16; see kernel.add.", "func(n int, dst, x *float32)")
	c.Load("dst", loopX)
	c.Load("x", loopY)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: loopY, Off: off}, 1)
		c.VFADD(1, 0, 0)
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.next("block", loopX, loopY)
	c.RET()
}

func (c loopsNEON) sumPixels() {
	c.begin("sumPixelsNEON", "adds up n pixels of 16 channels; see kernel.sumPixels.", "func(n int, sum, x *float32)")
	c.Load("sum", loopX)
	c.Load("x", loopY)
	for v := range neon.V(4) {
		c.Zero(v)
	}
	c.Label("block")
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: loopY, Off: 16 * int(v)}, 4+v)
		c.VFADD(4+v, v, v)
	}
	c.next("block", loopY)
	for v := range neon.V(4) {
		c.FMOVQStore(v, neon.Mem{Base: loopX, Off: 16 * int(v)})
	}
	c.RET()
}

func (c loopsNEON) addSquares() {
	c.begin("addSquaresNEON", "sets sum += x², n blocks of 16; see kernel.addSquares.", "func(n int, sum, x *float32)")
	c.Load("sum", loopX)
	c.Load("x", loopY)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: loopY, Off: off}, 1)
		c.VFMLA(1, 1, 0)
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.next("block", loopX, loopY)
	c.RET()
}

func (c loopsNEON) sumDiffs() {
	c.begin("sumDiffsNEON", "adds up squares of differences, n blocks of 16; see kernel.sumDiffs.", "func(n int, sum, x, u, y, v *float32)")
	const sum, x, u, y, v neon.R = 1, 2, 3, 4, 5
	c.Load("sum", sum)
	c.Load("x", x)
	c.Load("u", u)
	c.Load("y", y)
	c.Load("v", v)
	for i := range neon.V(4) {
		c.Zero(i)
	}
	c.Label("block")
	for i := range neon.V(4) {
		off, xu, yv := 16*int(i), 4+4*i, 5+4*i
		c.FMOVQ(neon.Mem{Base: x, Off: off}, xu)
		c.FMOVQ(neon.Mem{Base: u, Off: off}, xu+2)
		c.FMOVQ(neon.Mem{Base: y, Off: off}, yv)
		c.FMOVQ(neon.Mem{Base: v, Off: off}, yv+2)
		c.VFMUL(xu+2, xu, xu)
		c.VFMUL(yv+2, yv, yv)
		c.VFSUB(yv, xu, xu)
		c.VFMLA(xu, xu, i)
	}
	c.next("block", x, u, y, v)
	for i := range neon.V(4) {
		c.FMOVQStore(i, neon.Mem{Base: sum, Off: 16 * int(i)})
	}
	c.RET()
}
