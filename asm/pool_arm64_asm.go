package main

import "github.com/nonet-go/nonet/asm/neon"

// poolNEON emits the 2×2 maximum, its gradient, and the local response
// normalisation. See asm/pool_amd64_asm.go.
func poolNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.maxPool()
	l.maxPoolGrad()
	l.lrn()
}

func (c loopsNEON) maxPool() {
	c.begin("maxRowNEON", "takes the 2×2 maximum of n pixels of a row; see kernel.maxRow.", "func(n int, dst, src *float32, row int)")
	const dst, src, row neon.R = 1, 2, 3
	c.Load("dst", dst)
	c.Load("src", src)
	c.Load("row", row)
	c.ADDShift(row, 2, src, row)
	c.Label("pixel")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: src, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: src, Off: 64 + off}, 1)
		c.FMOVQ(neon.Mem{Base: row, Off: off}, 2)
		c.FMOVQ(neon.Mem{Base: row, Off: 64 + off}, 3)
		c.VFMAX(1, 0, 0) // NaN if either is
		c.VFMAX(3, 2, 2)
		c.VFMAX(2, 0, 0)
		c.FMOVQStore(0, neon.Mem{Base: dst, Off: off})
	}
	c.ADD(neon.Imm(64), dst, dst)
	c.ADD(neon.Imm(128), src, src)
	c.ADD(neon.Imm(128), row, row)
	c.next("pixel")
	c.RET()
}

func (c loopsNEON) maxPoolGrad() {
	c.begin("maxGradRowNEON", "is the gradient of the 2×2 maximum for n pixels of a row; see kernel.maxGradRow.", "func(n int, dx, x, y, dy *float32, row int, floor float32, stream int)")
	const dx, x, y, dy, row, dxRow, xRow neon.R = 1, 2, 3, 4, 5, 6, 7
	c.Load("dx", dx)
	c.Load("x", x)
	c.Load("y", y)
	c.Load("dy", dy)
	c.Load("row", row)
	c.ADDShift(row, 2, dx, dxRow)
	c.ADDShift(row, 2, x, xRow)
	const floor, vy, left, mask neon.V = 0, 1, 2, 3
	c.LoadFloat("floor", floor)
	c.VDUP(floor, 0, floor)
	c.Label("pixel")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: y, Off: off}, vy)
		c.FMOVQ(neon.Mem{Base: dy, Off: off}, left)
		c.Comment("left is what no pixel has taken yet: nothing if y is not above the floor")
		c.VFCMGT(floor, vy, mask)
		c.VAND(mask, left, left)
		for _, p := range []struct{ in, out neon.R }{{x, dx}, {xRow, dxRow}} {
			for d := 0; d < 128; d += 64 {
				c.FMOVQ(neon.Mem{Base: p.in, Off: off + d}, mask)
				c.VFCMEQ(vy, mask, mask)
				c.VAND(left, mask, mask)
				c.VEOR(mask, left, left)
				c.FMOVQStore(mask, neon.Mem{Base: p.out, Off: off + d})
			}
		}
	}
	c.ADD(neon.Imm(64), y, y)
	c.ADD(neon.Imm(64), dy, dy)
	for _, p := range []neon.R{x, xRow, dx, dxRow} {
		c.ADD(neon.Imm(128), p, p)
	}
	c.next("pixel")
	c.RET()
}

func (c loopsNEON) lrn() {
	c.begin("lrnNEON", "normalises n pixels; see kernel.lrn.", "func(n int, dst, src, below, above *float32, belowStep, aboveStep int, alpha, k float32)")
	const dst, src, below, above, belowStep, aboveStep neon.R = 1, 2, 3, 4, 5, 6
	c.Load("dst", dst)
	c.Load("src", src)
	c.Load("below", below)
	c.Load("above", above)
	c.Load("belowStep", belowStep)
	c.Load("aboveStep", aboveStep)
	c.LSL(2, belowStep, belowStep)
	c.LSL(2, aboveStep, aboveStep)
	const alpha, k, sum, t neon.V = 30, 31, 16, 17
	c.LoadFloat("alpha", alpha)
	c.VDUP(alpha, 0, alpha)
	c.LoadFloat("k", k)
	c.VDUP(k, 0, k)
	c.Label("pixel")
	// V0-V5: squares of the last vector below, of the block itself, and of the
	// first above; V8-V11: the block.
	c.FMOVQ(neon.Mem{Base: below, Off: 48}, 0)
	c.VFMUL(0, 0, 0)
	for v := range 4 {
		c.FMOVQ(neon.Mem{Base: src, Off: 16 * v}, neon.V(8+v))
		c.VFMUL(neon.V(8+v), neon.V(8+v), neon.V(1+v))
	}
	c.FMOVQ(neon.Mem{Base: above}, 5)
	c.VFMUL(5, 5, 5)
	for v := range 4 {
		low, mid, high := neon.V(v), neon.V(v+1), neon.V(v+2)
		c.Comment("s = a[c−2]² + a[c−1]² + a[c]² + a[c+1]² + a[c+2]²")
		c.VEXT(8, mid, low, sum)
		c.VEXT(12, mid, low, t)
		c.VFADD(t, sum, sum)
		c.VFADD(mid, sum, sum)
		c.VEXT(4, high, mid, t)
		c.VFADD(t, sum, sum)
		c.VEXT(8, high, mid, t)
		c.VFADD(t, sum, sum)
		c.Comment("s = k + alpha·s, and a·s^(−3/4) = a / (√s·√√s)")
		c.VMOV(k, t)
		c.VFMLA(sum, alpha, t)
		c.VFSQRT(t, sum)
		c.VFSQRT(sum, t)
		c.VFMUL(sum, t, t)
		c.VFDIV(t, neon.V(8+v), t)
		c.FMOVQStore(t, neon.Mem{Base: dst, Off: 16 * v})
	}
	c.ADD(neon.Imm(64), dst, dst)
	c.ADD(neon.Imm(64), src, src)
	c.ADD(belowStep, below, below)
	c.ADD(aboveStep, above, above)
	c.next("pixel")
	c.RET()
}
