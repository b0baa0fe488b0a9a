package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// packNEON emits the copies of rows. See asm/pack_amd64_asm.go.
func packNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.copyRows()
	l.copyPanels(1)
	l.copyPanels(8)
}

func (c loopsNEON) copyRows() {
	c.begin("copyRowsNEON", "copies rows of n blocks of 16; see kernel.rows.", "func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)")
	const rows, dstStride, srcStride, ahead, left, step neon.R = 4, 5, 6, 7, 8, 9
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"rows", rows}, {"dst", loopX}, {"src", loopY}, {"dstStride", dstStride}, {"srcStride", srcStride}, {"ahead", ahead}} {
		c.Load(p.name, p.r)
	}
	c.LSL(6, loopCount, step) // what the pointers move by in a row
	c.Op("SUB", step, dstStride, dstStride)
	c.Op("SUB", step, srcStride, srcStride)
	c.Label("row")
	c.MOVD(loopCount, left)
	c.Label("block")
	c.ADD(loopY, ahead, step)
	c.PRFM(neon.Mem{Base: step}, "PLDL2KEEP")
	for off := 0; off < 64; off += 32 {
		c.FLDPQ(neon.Mem{Base: loopY, Off: off}, 0, 1)
		c.FSTPQ(0, 1, neon.Mem{Base: loopX, Off: off})
	}
	c.ADD(neon.Imm(64), loopX, loopX)
	c.ADD(neon.Imm(64), loopY, loopY)
	c.SUBS(neon.Imm(1), left, left)
	c.Branch("BNE", "block")
	c.ADD(dstStride, loopX, loopX)
	c.ADD(srcStride, loopY, loopY)
	c.SUBS(neon.Imm(1), rows, rows)
	c.Branch("BNE", "row")
	c.RET()
}

func (c loopsNEON) copyPanels(rows int) {
	c.begin(fmt.Sprintf("copyPanels%dNEON", rows), "copies rows of n blocks of 16 to panels; see kernel.panels.", "func(n int, dst, src *float32, panel, ld int)")
	c.Load("dst", loopX)
	c.Load("panel", loopY)
	from := c.rowsFrom(rows, "src", "ld")
	c.Label("block")
	for r, p := range from {
		for i := range neon.V(2) {
			c.FLDPQ(neon.Mem{Base: p, Off: 32 * int(i)}, 2*i, 2*i+1)
			c.FSTPQ(2*i, 2*i+1, neon.Mem{Base: loopX, Off: 64*r + 32*int(i)})
		}
		if r > 0 { // end moves the first
			c.ADD(neon.Imm(64), p, p)
		}
	}
	c.ADDShift(loopY, 2, loopX, loopX)
	c.next("block", from[0])
	c.RET()
}
