package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packKernels emits the copies of rows. n counts blocks of 16 floats.
func packKernels(c *build.Context) {
	for _, isa := range vecISAs {
		copyRows(c, isa)
		copyPanels(c, isa, 1)
		copyPanels(c, isa, 8)
	}
}

// copyRows emits the copy of rows of n blocks. Its Go form is copyRowsGeneric.
func copyRows(c *build.Context, isa vecISA) {
	n := begin(c, isa, "copyRows", "copies rows of n blocks of 16; see kernel.rows.", "func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)")
	rows := c.Load(c.Param("rows"), reg.RDX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	dstStride := c.Load(c.Param("dstStride"), reg.R8)
	srcStride := c.Load(c.Param("srcStride"), reg.R9)
	ahead := c.Load(c.Param("ahead"), reg.R10)
	left, to, from := reg.RAX, reg.R11, reg.R12
	c.Label("row")
	c.MOVQ(n, left)
	c.MOVQ(dst, to)
	c.MOVQ(src, from)
	c.Label("block")
	c.PREFETCHT1(Mem{Base: from, Index: ahead, Scale: 1})
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: from, Disp: off}, isa.regs[0])
		c.VMOVUPS(isa.regs[0], Mem{Base: to, Disp: off})
	})
	next(c, left, "block", from, to)
	c.ADDQ(srcStride, src)
	c.ADDQ(dstStride, dst)
	c.DECQ(rows)
	c.JNZ(LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// copyPanels emits the copy of 1 or 8 rows of n blocks to as many panels. As in axpyf
// the processor sees streams. Its Go form is copyPanelsGeneric.
func copyPanels(c *build.Context, isa vecISA, rows int) {
	n := begin(c, isa, fmt.Sprint("copyPanels", rows), "copies rows of n blocks of 16 to panels; see kernel.panels.", "func(n int, dst, src *float32, panel, ld int)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	panel := c.Load(c.Param("panel"), reg.RDX)
	from, step := rowsFrom(c, src, c.Load(c.Param("ld"), reg.R8), rows)
	c.SHLQ(Imm(2), panel)
	c.Label("block")
	for r := range rows {
		isa.each(func(off int) {
			c.VMOVUPS(from[r].Offset(off), isa.regs[off/(4*isa.lanes)])
		})
		isa.each(func(off int) {
			c.VMOVUPS(isa.regs[off/(4*isa.lanes)], Mem{Base: dst, Disp: 64*r + off})
		})
	}
	step(64)
	c.ADDQ(panel, dst)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}
