package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// level1fNEON emits the fused vector operations. See asm/level1f_amd64_asm.go.
func level1fNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.axpyf(1)
	l.axpyf(8)
	l.dotxf()
	l.dots()
}

func (c loopsNEON) axpyf(rows int) {
	c.begin(fmt.Sprintf("axpyf%dNEON", rows), "adds multiples of rows, n blocks of 16; see kernel.axpyf.", "func(n int, y, x, a *float32, lda int)")
	c.Load("y", loopX)
	c.Load("x", loopY)
	from := c.rowsFrom(rows, "a", "lda")
	const factors, sums, row neon.V = 0, 16, 20
	if rows == 1 {
		c.FMOVS(neon.Mem{Base: loopY}, factors)
	} else {
		c.FLDPQ(neon.Mem{Base: loopY}, factors, factors+1)
	}
	c.Label("block")
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopX, Off: 32 * int(i)}, sums+2*i, sums+2*i+1)
	}
	for r, p := range from {
		for i := range neon.V(2) {
			c.FLDPQ(neon.Mem{Base: p, Off: 32 * int(i)}, row+2*i, row+2*i+1)
		}
		for j := range neon.V(4) {
			c.VFMLAElem(factors+neon.V(r/4), r%4, row+j, sums+j)
		}
		if r > 0 { // end moves the first
			c.ADD(neon.Imm(64), p, p)
		}
	}
	for i := range neon.V(2) {
		c.FSTPQ(sums+2*i, sums+2*i+1, neon.Mem{Base: loopX, Off: 32 * int(i)})
	}
	c.next("block", loopX, from[0])
	c.RET()
}

func (c loopsNEON) dotxf() {
	c.begin("dotxfNEON", "adds the dot products of 16 rows and x, n blocks of 16; see kernel.dotxf.", "func(n int, y, x, a *float32, lda int)")
	c.Load("y", loopX)
	c.Load("x", loopY)
	from := c.rowsFrom(16, "a", "lda")
	const sums, factors, even, odd neon.V = 0, 4, 8, 16 // 4 rows of even and of odd fours of taps, and what transposes them
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopX, Off: 32 * int(i)}, sums+2*i, sums+2*i+1)
	}
	c.Label("block")
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopY, Off: 32 * int(i)}, factors+2*i, factors+2*i+1)
	}
	for half := range neon.V(2) {
		for i := range neon.V(4) { // a sum's lanes are rows
			for j := range neon.V(4) {
				c.FLDPQ(neon.Mem{Base: from[4*i+j], Off: 32 * int(half)}, even+j, odd+j)
			}
			for four, r := range []neon.V{even, odd} {
				transpose4x4NEON(c.Context, r)
				for tap := range 4 {
					c.VFMLAElem(factors+2*half+neon.V(four), tap, r+neon.V(tap), sums+i)
				}
			}
		}
	}
	for _, p := range from[1:] { // end moves the first
		c.ADD(neon.Imm(64), p, p)
	}
	c.next("block", loopY, from[0])
	for i := range neon.V(2) {
		c.FSTPQ(sums+2*i, sums+2*i+1, neon.Mem{Base: loopX, Off: 32 * int(i)})
	}
	c.RET()
}

func (c loopsNEON) dots() {
	c.begin("dotsNEON", "multiplies rows of a matrix and 8 vectors, n blocks of 16; see kernel.dots.", "func(n int, sums, w, x *float32, ldw int)")
	const sums, x, ldw neon.R = 1, 2, 3
	w := [dotMR]neon.R{4, 5, 6}
	c.Load("sums", sums)
	c.Load("w", w[0])
	c.Load("x", x)
	c.Load("ldw", ldw)
	for r := 1; r < len(w); r++ {
		c.ADDShift(ldw, 2, w[r-1], w[r])
	}
	vw, vx := neon.V(len(w)*dotNR), neon.V(len(w)*(dotNR+1))
	for v := range vw {
		c.Zero(v)
	}
	c.Label("block")
	for _, p := range w {
		c.PRFM(neon.Mem{Base: p, Off: dotsAhead}, "PLDL1KEEP")
	}
	for off := 0; off < 64; off += 16 {
		for r, p := range w {
			c.FMOVQ(neon.Mem{Base: p, Off: off}, vw+neon.V(r))
		}
		for p := range neon.V(dotNR) {
			v := vx + p%2
			c.FMOVQ(neon.Mem{Base: x, Off: 64*int(p) + off}, v)
			for r := range neon.V(len(w)) {
				c.VFMLA(vw+r, v, r*dotNR+p)
			}
		}
	}
	for _, p := range w {
		c.ADD(neon.Imm(64), p, p)
	}
	c.ADD(neon.Imm(64*dotNR), x, x)
	c.next("block")
	for v := neon.V(0); v < vw; v += 4 {
		halves := func(a, b, to neon.V) { // adds the halves of a and b, pair by pair
			c.VZIP1(b, a, vw)
			c.VZIP2(b, a, vx)
			c.VFADD(vx, vw, to)
		}
		halves(v, v+2, v)
		halves(v+1, v+3, v+1)
		halves(v, v+1, v)
		c.FMOVQStore(v, neon.Mem{Base: sums, Off: 4 * int(v)})
	}
	c.RET()
}
