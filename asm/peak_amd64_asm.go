package main

import "github.com/mmcloughlin/avo/build"

// peakKernels emits loops of nothing but independent multiply-adds: as many
// chains as hide their latency, with two units of latency 4 or 5.
func peakKernels(c *build.Context) {
	for _, isa := range vecISAs {
		n := begin(c, isa, "fma", "does n times 12 multiply-adds of whole vectors.", "func(n int)")
		for _, r := range isa.regs[:14] {
			zero(c, r)
		}
		align(c)
		c.Label("loop")
		for _, r := range isa.regs[:12] {
			c.VFMADD231PS(isa.regs[12], isa.regs[13], r)
		}
		next(c, n, "loop")
		c.VZEROUPPER()
		c.RET()
	}
}
