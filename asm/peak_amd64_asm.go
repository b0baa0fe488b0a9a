package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakKernels emits loops of nothing but independent multiply-adds: as many
// chains as hide their latency, with two units of latency 4 or 5.
func peakKernels(c *build.Context) {
	for _, isa := range vecISAs {
		c.Function("fma" + isa.suffix)
		c.Doc("fma" + isa.suffix + " does n times 12 multiply-adds of whole vectors.")
		c.Pragma("noescape")
		c.SignatureExpr("func(n int)")
		n := c.Load(c.Param("n"), reg.RCX)
		for _, r := range isa.regs[:14] {
			zero(c, r)
		}
		align(c)
		c.Label("loop")
		for _, r := range isa.regs[:12] {
			c.VFMADD231PS(isa.regs[12], isa.regs[13], r)
		}
		c.DECQ(n)
		c.JNZ(LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
}
