package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// blockedNEON emits package ukernel's Blocked for panels of 16 columns. See
// blockedTile for amd64.
//
//	V0-V23   accumulators, 4 of each row
//	V24-V29  four channels of each row
//	V30-V31  two vectors of B in turn
//
// Half precision is widened from V29, which leaves room for 5 rows.
func blockedNEON(c *neon.Context) {
	for mr := 6; mr >= 1; mr-- {
		blockedTileNEON(c, mr, false)
	}
	for mr := 5; mr >= 1; mr-- {
		blockedTileNEON(c, mr, true)
	}
	blockedRowNEON(c, false)
	blockedRowNEON(c, true)
}

func blockedTileNEON(c *neon.Context, mr int, half bool) {
	suffix, size, signature := "NEON", 4, callSignature("blockedCall")
	if half {
		suffix, size, signature = "HalfNEON", 2, callSignature("blockedHalfCall")
	}
	name := fmt.Sprintf("blocked%dx16%s", mr, suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s computes tiles of %d×16; see Blocked.", name, mr))
	c.Pragma("noescape")
	c.Signature(signature)
	const blocks, a, aBlock, b, out, next, quarter, tiles, aTile, nextEnd, firstA, firstB, call, last neon.R = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
	c.Load("call", call)
	load := func(field string, r neon.R) { c.LoadField("call", call, field, r) }
	load("blocks", blocks)
	load("a", a)
	load("aBlock", aBlock)
	load("b", b)
	load("c", out)
	load("nextB", next)
	c.LSL(2, aBlock, aBlock)
	c.SUB(neon.Imm(64), aBlock, aBlock) // a has moved by 64 bytes within the block
	if !half {
		load("tiles", tiles)
		load("aTile", aTile)
		c.LSL(2, aTile, aTile)
		c.MOVD(a, firstA)
		c.MOVD(b, firstB)
		load("last", last)
		c.Comment("nextB ends after as many rows as B")
		c.ADDShift(blocks, 10, next, nextEnd)
		c.ADDShift(last, 8, nextEnd, nextEnd)
		c.SUB(neon.Imm(1024), nextEnd, nextEnd)
		c.Label("tile")
		load("blocks", blocks)
	}
	acc := func(i, v int) neon.V { return neon.V(4*i + v) }
	for i := range mr {
		for v := range 4 {
			c.Zero(acc(i, v))
		}
	}
	av := func(i int) neon.V { return neon.V(24 + i) }
	c.Label("block")
	if !half {
		c.MOVD(last, quarter)
		c.CMP(neon.Imm(1), blocks)
		c.Branch("BEQ", "last")
	}
	c.MOVD(neon.Imm(4), quarter)
	if !half {
		c.Label("last")
	}
	c.Align(16)
	c.Label("quarter")
	for i := range mr {
		c.FMOVQ(neon.Mem{Base: a, Off: 64 * i}, av(i))
	}
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[i] += A[i]·B", ch))
		if ch*size%8 == 0 {
			c.PRFM(neon.Mem{Base: next, Off: ch * 16 * size / 2}, "PLDL2KEEP")
		}
		for pair := 0; pair < 4; pair += 2 {
			if half {
				c.FMOVQ(neon.Mem{Base: b, Off: 32*ch + 8*pair}, 29)
				c.VFCVTL(29, 30)
				c.VFCVTL2(29, 31)
			} else {
				c.FLDPQ(neon.Mem{Base: b, Off: 64*ch + 16*pair}, 30, 31)
			}
			for v := range 2 {
				for i := range mr {
					c.VFMLAElem(av(i), ch, neon.V(30+v), acc(i, pair+v))
				}
			}
		}
	}
	c.ADD(neon.Imm(16), a, a)
	c.ADD(neon.Imm(64*size), b, b)
	c.ADD(neon.Imm(32*size), next, next)
	c.SUBS(neon.Imm(1), quarter, quarter)
	c.Branch("BNE", "quarter")
	c.ADD(aBlock, a, a)
	c.SUBS(neon.Imm(1), blocks, blocks)
	c.Branch("BNE", "block")
	for i := range mr {
		for v := 0; v < 4; v += 2 {
			c.FSTPQ(acc(i, v), acc(i, v+1), neon.Mem{Base: out, Off: 64*i + 16*v})
		}
	}
	if !half {
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
	}
	c.RET()
}

// blockedRowNEON emits C[p][j] = Σ_k A[k]·B[p][k][j]. See blockedRow for amd64.
//
//	V0-V15   accumulators, 4 of each panel
//	V16      four elements of A
//	V17-V18  two vectors of B
//	V19      two vectors of B in half precision
func blockedRowNEON(c *neon.Context, half bool) {
	suffix, size, signature := "NEON", 4, callSignature("blockedRowCall")
	if half {
		suffix, size, signature = "HalfNEON", 2, callSignature("blockedRowHalfCall")
	}
	name := fmt.Sprintf("blockedRow%dx16%s", rowPanels, suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s multiplies one row and %d panels of 16; see BlockedRowArgs.", name, rowPanels))
	c.Pragma("noescape")
	c.Signature(signature)
	const quarters, a, bPanel, out, call neon.R = 0, 1, 2, 3, 4
	panels := []neon.R{5, 6, 7, 8}
	const av, bv, hv neon.V = 16, 17, 19
	c.Load("call", call)
	load := func(field string, r neon.R) { c.LoadField("call", call, field, r) }
	load("blocks", quarters)
	load("a", a)
	load("b", panels[0])
	load("bPanel", bPanel)
	load("c", out)
	for p := 1; p < rowPanels; p++ {
		c.ADDShift(bPanel, size/2, panels[p-1], panels[p])
	}
	for i := range 4 * rowPanels {
		c.Zero(neon.V(i))
	}
	c.LSL(2, quarters, quarters)
	c.Align(16)
	c.Label("quarter")
	c.FMOVQ(neon.Mem{Base: a}, av)
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[p] += A·B[p]", ch))
		for p, b := range panels {
			for pair := 0; pair < 4; pair += 2 {
				if half {
					c.FMOVQ(neon.Mem{Base: b, Off: 32*ch + 8*pair}, hv)
					c.VFCVTL(hv, bv)
					c.VFCVTL2(hv, bv+1)
				} else {
					c.FLDPQ(neon.Mem{Base: b, Off: 64*ch + 16*pair}, bv, bv+1)
				}
				for v := range 2 {
					c.VFMLAElem(av, ch, bv+neon.V(v), neon.V(4*p+pair+v))
				}
			}
		}
	}
	c.ADD(neon.Imm(16), a, a)
	for _, b := range panels {
		c.ADD(neon.Imm(64*size), b, b)
	}
	c.SUBS(neon.Imm(1), quarters, quarters)
	c.Branch("BNE", "quarter")
	for i := 0; i < 4*rowPanels; i += 2 {
		c.FSTPQ(neon.V(i), neon.V(i+1), neon.Mem{Base: out, Off: 16 * i})
	}
	c.RET()
}
