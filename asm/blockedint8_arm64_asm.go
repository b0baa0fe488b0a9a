package main

import "github.com/nonet-go/nonet/asm/neon"

// blockedInt8NEON emits package ukernel's BlockedInt8 for tiles of one row. See
// blockedInt8Tile for amd64.
//
//	V0-V15   accumulators: each of the four lanes has one channel of a pair, for two columns
//	V16-V19  a pair of rows of B
//	V20-V27  the same in 16 bits
//	V28-V29  8 pairs of A
//	V30-V31  a pair of A in all lanes, in turn
func blockedInt8NEON(c *neon.Context) {
	const name = "blocked1x32Int8NEON"
	c.Function(name)
	c.Doc(name + " adds a tile of 1×32; see BlockedInt8.")
	c.Pragma("noescape")
	c.Signature(callSignature("blockedInt8Call"))
	const blocks, a, aBlock, b, out, left, call neon.R = 0, 1, 2, 3, 4, 5, 6
	c.Load("call", call)
	load := func(field string, r neon.R) { c.LoadField("call", call, field, r) }
	load("blocks", blocks)
	load("a", a)
	load("aBlock", aBlock)
	load("b", b)
	load("c", out)
	c.LSL(1, aBlock, aBlock)

	c.Label("sum")
	c.Comment("Up to 32 blocks are summed in 32 bits")
	c.MOVD(neon.Imm(32), left)
	c.CMP(left, blocks)
	c.Branch("BGE", "some")
	c.MOVD(blocks, left)
	c.Label("some")
	c.SUB(left, blocks, blocks)
	for v := range neon.V(16) {
		c.Zero(v)
	}
	c.Align(16)
	c.Label("block")
	c.FLDPQ(neon.Mem{Base: a}, 28, 29)
	for p := range 8 {
		c.Comment("The next two channels: acc += A·B")
		pair := neon.V(30 + p%2)
		c.VDUP(neon.V(28+p/4), p%4, pair)
		c.FLDPQ(neon.Mem{Base: b, Off: 64 * p}, 16, 17)
		c.FLDPQ(neon.Mem{Base: b, Off: 64*p + 32}, 18, 19)
		for v := range neon.V(4) {
			c.VSXTL(16+v, 20+2*v)
			c.VSXTL2(16+v, 21+2*v)
		}
		for v := range neon.V(8) {
			c.VSMLAL(pair, 20+v, 2*v)
			c.VSMLAL2(pair, 20+v, 2*v+1)
		}
	}
	c.ADD(aBlock, a, a)
	c.ADD(neon.Imm(8*64), b, b)
	c.SUBS(neon.Imm(1), left, left)
	c.Branch("BNE", "block")
	c.Comment("C += acc, pairs added, in 64 bits")
	for v := range neon.V(16) {
		at := neon.Mem{Base: out, Off: 16 * int(v)}
		c.FMOVQ(at, 16+v)
		c.VSADALP(v, 16+v)
		c.FMOVQStore(16+v, at)
	}
	c.CMP(neon.Imm(0), blocks)
	c.Branch("BNE", "sum")
	c.RET()
}
