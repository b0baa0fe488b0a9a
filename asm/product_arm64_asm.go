package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// productNEON emits the blocked product for panels of 16 channels. See
// productTile for amd64.
//
//	V0-V23   accumulators, 4 of each tile
//	V24-V29  four channels of each tile
//	V30-V31  two vectors of U in turn
//
// Half-precision weights are widened from V29: they leave room for 5 tiles.
func productNEON(c *neon.Context) {
	for tiles := 6; tiles >= 1; tiles-- {
		productTileNEON(c, tiles, false)
	}
	for tiles := 5; tiles >= 1; tiles-- {
		productTileNEON(c, tiles, true)
	}
}

func productTileNEON(c *neon.Context, tiles int, half bool) {
	suffix, size, signature := "NEON", 4, "func(groups, blocks int, a *float32, stride, step int, u, c, next *float32)"
	if half {
		suffix, size, signature = "HalfNEON", 2, "func(blocks int, a *float32, stride int, u *uint16, c *float32, next *uint16)"
	}
	name := fmt.Sprintf("product%dx16%s", tiles, suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets C[t][0:16] = Σ_c A[t][c]·U[c][0:16] for %d tiles; see Kernel.", name, tiles))
	c.Pragma("noescape")
	c.SignatureExpr(signature)
	const blocks, a, stride, u, out, next, quarter, groups, step, nextEnd, firstA, firstU neon.R = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	c.Load("blocks", blocks)
	c.Load("a", a)
	c.Load("stride", stride)
	c.Load("u", u)
	c.Load("c", out)
	c.Load("next", next)
	c.LSL(2, stride, stride)
	c.SUB(neon.Imm(64), stride, stride) // a has moved by 64 bytes within the block
	if !half {
		c.Load("groups", groups)
		c.Load("step", step)
		c.LSL(2, step, step)
		c.MOVD(a, firstA)
		c.MOVD(u, firstU)
		c.Comment("next ends after blocks·16 rows")
		c.ADDShift(blocks, 10, next, nextEnd)
		c.Label("group")
		c.Load("blocks", blocks)
	}
	acc := func(t, v int) neon.V { return neon.V(4*t + v) }
	for t := range tiles {
		for v := range 4 {
			c.Zero(acc(t, v))
		}
	}
	av := func(t int) neon.V { return neon.V(24 + t) }
	c.Label("block")
	c.MOVD(neon.Imm(4), quarter)
	c.Align(16)
	c.Label("quarter")
	for t := range tiles {
		c.FMOVQ(neon.Mem{Base: a, Off: 64 * t}, av(t))
	}
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[t] += A[t]·U", ch))
		if ch*size%8 == 0 {
			c.PRFM(neon.Mem{Base: next, Off: ch * 16 * size / 2}, "PLDL2KEEP")
		}
		for pair := 0; pair < 4; pair += 2 {
			if half {
				c.FMOVQ(neon.Mem{Base: u, Off: 32*ch + 8*pair}, 29)
				c.VFCVTL(29, 30)
				c.VFCVTL2(29, 31)
			} else {
				c.FLDPQ(neon.Mem{Base: u, Off: 64*ch + 16*pair}, 30, 31)
			}
			for i := range 2 {
				for t := range tiles {
					c.VFMLAElem(av(t), ch, neon.V(30+i), acc(t, pair+i))
				}
			}
		}
	}
	c.ADD(neon.Imm(16), a, a)
	c.ADD(neon.Imm(64*size), u, u)
	c.ADD(neon.Imm(32*size), next, next)
	c.SUBS(neon.Imm(1), quarter, quarter)
	c.Branch("BNE", "quarter")
	c.ADD(stride, a, a)
	c.SUBS(neon.Imm(1), blocks, blocks)
	c.Branch("BNE", "block")
	for t := range tiles {
		for v := 0; v < 4; v += 2 {
			c.FSTPQ(acc(t, v), acc(t, v+1), neon.Mem{Base: out, Off: 64*t + 16*v})
		}
	}
	if !half {
		c.Comment("The next group; two of them have fetched all of next")
		c.ADD(step, firstA, firstA)
		c.MOVD(firstA, a)
		c.MOVD(firstU, u)
		c.ADD(neon.Imm(64*tiles), out, out)
		c.CMP(nextEnd, next)
		c.Branch("BLO", "more")
		c.MOVD(firstU, next)
		c.MOVD(neon.Imm(0), nextEnd)
		c.Label("more")
		c.SUBS(neon.Imm(1), groups, groups)
		c.Branch("BNE", "group")
	}
	c.RET()
}
