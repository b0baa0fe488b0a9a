package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// productKernels emits the product for every number of tiles and every panel
// width up to the instruction set's largest.
func productKernels(c *build.Context) {
	for _, isa := range productISAs {
		for vecs := isa.vecs; vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue // panels hold whole blocks of 16 channels
			}
			for tiles := isa.tiles; tiles >= 1; tiles-- {
				productTile(c, isa, tiles, vecs, false)
			}
			// Half-precision weights pass through a register each, for which seven
			// tiles of four vectors leave no room.
			for tiles := 6; tiles >= 1; tiles-- {
				productTile(c, isa, tiles, vecs, true)
			}
		}
	}
}

// productTile emits C[tiles][KB] = Σ A[tile][c]·U[c][KB] with KB = vecs·lanes; U
// is in half precision if half is set. Its Go form is product.generic.
//
// In single precision it does so for several groups of tiles: U is read again
// for each, from the caches.
func productTile(c *build.Context, isa productISA, tiles, vecs int, half bool) {
	kb := vecs * isa.lanes
	size, suffix := 4, isa.suffix
	if half {
		size, suffix = 2, "Half"+isa.suffix
	}
	c.Function(fmt.Sprintf("product%dx%d%s", tiles, kb, suffix))
	c.Doc(fmt.Sprintf("product%dx%d%s sets C[t][0:%d] = Σ_c A[t][c]·U[c][0:%d] for %d tiles; see Kernel.", tiles, kb, suffix, kb, kb, tiles))
	c.Pragma("noescape")
	if half {
		c.SignatureExpr("func(blocks int, a *float32, stride int, u *uint16, c *float32, next *uint16)")
	} else {
		c.SignatureExpr("func(groups, blocks int, a *float32, stride, step int, u, c, next *float32)")
	}
	blocks := c.Load(c.Param("blocks"), reg.RCX)
	a := c.Load(c.Param("a"), reg.RSI)
	stride := c.Load(c.Param("stride"), reg.RDX)
	u := c.Load(c.Param("u"), reg.RDI)
	out := c.Load(c.Param("c"), reg.RBX)
	next := c.Load(c.Param("next"), reg.R8)
	c.SHLQ(Imm(2), stride)
	ahead := reg.R9 // A's lines of the next block
	groups, step, nextEnd, firstA, firstU := reg.R10, reg.R11, reg.R12, reg.R13, reg.R14
	if !half {
		c.Load(c.Param("groups"), groups)
		c.Load(c.Param("step"), step)
		c.SHLQ(Imm(2), step)
		c.MOVQ(a, firstA)
		c.MOVQ(u, firstU)
		c.Comment("next ends after blocks·16 rows")
		c.IMUL3Q(U32(uint32(16*4*kb)), blocks, nextEnd)
		c.ADDQ(next, nextEnd)
		c.Label("group")
		c.Load(c.Param("blocks"), blocks)
	}

	acc := make([][]reg.VecPhysical, tiles)
	for t := range acc {
		for v := range vecs {
			r := isa.vec(t*vecs + v)
			acc[t] = append(acc[t], r)
			zero(c, r)
		}
	}
	held := vecs // vectors of U in registers
	if tiles*vecs+vecs+1 > 32 {
		held--
	}
	uv := make([]reg.VecPhysical, held)
	for v := range uv {
		uv[v] = isa.vec(tiles*vecs + v)
	}
	av := isa.vec(tiles*vecs + held)
	perQuarter := (tiles + 3) / 4 // lines of A that a quarter of a block fetches

	c.Label("block")
	if !half {
		c.LEAQ(Mem{Base: a, Index: stride, Scale: 1}, ahead)
	}
	c.MOVQ(U32(4), reg.RAX)
	align(c)
	c.Label("quarter")
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[t] += A[t]·U", ch))
		for v := range uv {
			m := Mem{Base: u, Disp: size*kb*ch + size*isa.lanes*v}
			if half {
				c.VCVTPH2PS(m, uv[v])
			} else {
				c.VMOVUPS(m, uv[v])
			}
		}
		// The next panel streams into the second-level cache meanwhile.
		for d := size * kb * ch / 2; d < size*kb*(ch+1)/2; d += 8 {
			if d%64 == 0 {
				c.PREFETCHT1(Mem{Base: next, Disp: d})
			}
		}
		if !half && ch < perQuarter {
			// Blocks lie too far apart for the processor to foresee.
			c.PREFETCHT0(Mem{Base: ahead, Disp: 64 * ch})
		}
		for t := range acc {
			c.VBROADCASTSS(Mem{Base: a, Disp: 64*t + 4*ch}, av)
			for v := range vecs {
				if v < held {
					c.VFMADD231PS(uv[v], av, acc[t][v])
				} else {
					c.VFMADD231PS(Mem{Base: u, Disp: 4*kb*ch + 4*isa.lanes*v}, av, acc[t][v])
				}
			}
		}
	}
	c.ADDQ(Imm(16), a)
	c.ADDQ(U32(uint32(4*size*kb)), u)
	c.ADDQ(U32(uint32(2*size*kb)), next)
	if !half {
		c.ADDQ(U32(uint32(64*perQuarter)), ahead)
	}
	c.DECQ(reg.RAX)
	c.JNZ(LabelRef("quarter"))
	c.LEAQ(Mem{Base: a, Index: stride, Scale: 1, Disp: -64}, a) // it has moved by 64 bytes
	c.DECQ(blocks)
	c.JNZ(LabelRef("block"))

	for t := range acc {
		for v := range vecs {
			c.VMOVUPS(acc[t][v], Mem{Base: out, Disp: 4*kb*t + 4*isa.lanes*v})
		}
	}
	if !half {
		c.Comment("The next group; two of them have fetched all of next")
		c.ADDQ(step, firstA)
		c.MOVQ(firstA, a)
		c.MOVQ(firstU, u)
		c.ADDQ(U32(uint32(4*kb*tiles)), out)
		c.CMPQ(next, nextEnd)
		c.JB(LabelRef("more"))
		c.MOVQ(firstU, next)
		c.XORQ(nextEnd, nextEnd)
		c.Label("more")
		c.DECQ(groups)
		c.JNZ(LabelRef("group"))
	}
	c.VZEROUPPER()
	c.RET()
}
