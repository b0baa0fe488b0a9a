package main

import "github.com/nonet-go/nonet/asm/neon"

// peakNEON emits a loop of nothing but independent multiply-adds.
func peakNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.begin("fmaNEON", "does n times 24 multiply-adds of whole vectors.", "func(n int)")
	for v := range neon.V(26) {
		c.Zero(v)
	}
	c.Align(16)
	c.Label("loop")
	for v := range neon.V(24) {
		c.VFMLA(24, 25, v)
	}
	l.next("loop")
	c.RET()
}
