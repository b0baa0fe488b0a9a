package main

import "github.com/nonet-go/nonet/asm/neon"

// peakNEON emits a loop of nothing but independent multiply-adds.
func peakNEON(c *neon.Context) {
	c.Function("fmaNEON")
	c.Doc("fmaNEON does n times 24 multiply-adds of whole vectors.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int)")
	c.Load("n", 0)
	for v := range neon.V(26) {
		c.Zero(v)
	}
	c.Align(16)
	c.Label("loop")
	for v := range neon.V(24) {
		c.VFMLA(24, 25, v)
	}
	c.SUBS(neon.Imm(1), 0, 0)
	c.Branch("BNE", "loop")
	c.RET()
}
