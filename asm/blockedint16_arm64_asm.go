package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// blockedInt16NEON emits package ukernel's BlockedInt16 for panels of 16 columns, whose rows
// do not lie in pairs. See blockedInt16Tile for amd64.
//
//	V0-V5    eight channels of each row: an element of a product comes from V0-V15
//	V6-V7    a row of B
//	V8-V31   accumulators, 4 of each row
func blockedInt16NEON(c *neon.Context) {
	for mr := 6; mr >= 1; mr-- {
		blockedInt16TileNEON(c, mr)
	}
}

func blockedInt16TileNEON(c *neon.Context, mr int) {
	name := fmt.Sprintf("blocked%dx16Int16NEON", mr)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s computes tiles of %d×16; see BlockedInt16.", name, mr))
	c.Pragma("noescape")
	c.Signature(callSignature("blockedInt16Call"))
	const blocks, a, aBlock, b, out, next, half, tiles, aTile, nextEnd, firstA, firstB, call, last neon.R = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
	c.Load("call", call)
	load := func(field string, r neon.R) { c.LoadField("call", call, field, r) }
	load("a", a)
	load("aBlock", aBlock)
	load("b", b)
	load("c", out)
	load("nextB", next)
	load("tiles", tiles)
	load("aTile", aTile)
	load("blocks", blocks)
	load("last", last)
	c.LSL(1, aBlock, aBlock)
	c.SUB(neon.Imm(32), aBlock, aBlock) // a has moved by 32 bytes within the block
	c.LSL(1, aTile, aTile)
	c.MOVD(a, firstA)
	c.MOVD(b, firstB)
	c.Comment("nextB ends after as many rows as B")
	c.ADDShift(blocks, 9, next, nextEnd)
	c.ADDShift(last, 8, nextEnd, nextEnd)
	c.SUB(neon.Imm(512), nextEnd, nextEnd)
	c.Label("tile")
	load("blocks", blocks)
	acc := func(i, v int) neon.V { return neon.V(8 + 4*i + v) }
	inC := func(i, v int) neon.Mem { return neon.Mem{Base: out, Off: 64*i + 16*v} }
	load("fromC", half)
	c.CBZ(half, "zero")
	for i := range mr {
		for v := 0; v < 4; v += 2 {
			c.FLDPQ(inC(i, v), acc(i, v), acc(i, v+1))
		}
	}
	c.Branch("B", "block")
	c.Label("zero")
	for i := range mr {
		for v := range 4 {
			c.Zero(acc(i, v))
		}
	}
	c.Label("block")
	c.MOVD(last, half)
	c.CMP(neon.Imm(1), blocks)
	c.Branch("BEQ", "last")
	c.MOVD(neon.Imm(2), half)
	c.Label("last")
	c.Align(16)
	c.Label("half")
	for i := range mr {
		c.FMOVQ(neon.Mem{Base: a, Off: 32 * i}, neon.V(i))
	}
	for ch := range 8 {
		c.Comment(fmt.Sprintf("Channel %d of 8: acc[i] += A[i]·B", ch))
		if ch%4 == 0 {
			c.PRFM(neon.Mem{Base: next, Off: 16 * ch}, "PLDL2KEEP")
		}
		c.FLDPQ(neon.Mem{Base: b, Off: 32 * ch}, 6, 7)
		for v := range neon.V(2) {
			for i := range mr {
				c.VSMLALElem(neon.V(i), ch, 6+v, acc(i, int(2*v)))
				c.VSMLAL2Elem(neon.V(i), ch, 6+v, acc(i, int(2*v+1)))
			}
		}
	}
	c.ADD(neon.Imm(16), a, a)
	c.ADD(neon.Imm(256), b, b)
	c.ADD(neon.Imm(128), next, next)
	c.SUBS(neon.Imm(1), half, half)
	c.Branch("BNE", "half")
	c.ADD(aBlock, a, a)
	c.SUBS(neon.Imm(1), blocks, blocks)
	c.Branch("BNE", "block")
	for i := range mr {
		for v := 0; v < 4; v += 2 {
			c.FSTPQ(acc(i, v), acc(i, v+1), inC(i, v))
		}
	}
	c.Comment("The next tile; two of them have fetched all of nextB")
	c.ADD(aTile, firstA, firstA)
	c.MOVD(firstA, a)
	c.MOVD(firstB, b)
	c.ADD(neon.Imm(64*mr), out, out)
	c.CMP(nextEnd, next)
	c.Branch("BLO", "more")
	c.MOVD(firstB, next)
	c.MOVD(neon.Imm(0), nextEnd)
	c.Label("more")
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}
