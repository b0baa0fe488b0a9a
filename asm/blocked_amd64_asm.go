package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blockedKernels emits package ukernel's Blocked for tiles of every number of rows and
// every panel width up to the instruction set's largest.
func blockedKernels(c *build.Context) {
	for _, isa := range ukernelISAs {
		for vecs := isa.vecs; vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue // panels hold whole blocks of 16 channels
			}
			for mr := isa.mr; mr >= 1; mr-- {
				blockedTile(c, isa, mr, vecs, false)
			}
			// A vector of B in half precision passes through a register, for which seven
			// rows of four vectors leave no room.
			for mr := 6; mr >= 1; mr-- {
				blockedTile(c, isa, mr, vecs, true)
			}
		}
	}
}

// blockedTile emits C[i][j] = Σ_p A[i][p]·B[p][j] for i < mr and j < nr = vecs·lanes.
// B is in half precision if half is set. The Go forms are ukernel.blockedGeneric and
// blockedHalfGeneric.
//
// In single precision it does so for several tiles: B is read again for each, from
// the caches.
func blockedTile(c *build.Context, isa ukernelISA, mr, vecs int, half bool) {
	nr := vecs * isa.lanes
	size, suffix, call := 4, isa.suffix, "blockedCall"
	if half {
		size, suffix, call = 2, "Half"+isa.suffix, "blockedHalfCall"
	}
	c.Function(fmt.Sprintf("blocked%dx%d%s", mr, nr, suffix))
	c.Doc(fmt.Sprintf("blocked%dx%d%s computes tiles of %d×%d; see Blocked.", mr, nr, suffix, mr, nr))
	c.Pragma("noescape")
	c.Signature(callSignature(call))
	args := loadCall(c, reg.R15)
	blocks := args.load("blocks", reg.RCX)
	a := args.load("a", reg.RSI)
	aBlock := args.load("aBlock", reg.RDX)
	b := args.load("b", reg.RDI)
	out := args.load("c", reg.RBX)
	next := args.load("nextB", reg.R8)
	c.SHLQ(Imm(2), aBlock)
	ahead := reg.R9 // A's lines of the next block
	tiles, aTile, nextEnd, firstA, firstB := reg.R10, reg.R11, reg.R12, reg.R13, reg.R14
	if !half {
		args.load("tiles", tiles)
		args.load("aTile", aTile)
		c.SHLQ(Imm(2), aTile)
		c.MOVQ(a, firstA)
		c.MOVQ(b, firstB)
		c.Comment("nextB ends after blocks·16 rows")
		c.IMUL3Q(U32(uint32(16*4*nr)), blocks, nextEnd)
		c.ADDQ(next, nextEnd)
		c.Label("tile")
		args.load("blocks", blocks)
	}

	acc := make([][]reg.VecPhysical, mr)
	for i := range acc {
		for v := range vecs {
			r := isa.vec(i*vecs + v)
			acc[i] = append(acc[i], r)
			zero(c, r)
		}
	}
	held := vecs // vectors of B in registers
	if mr*vecs+vecs+1 > 32 {
		held--
	}
	bv := make([]reg.VecPhysical, held)
	for v := range bv {
		bv[v] = isa.vec(mr*vecs + v)
	}
	av := isa.vec(mr*vecs + held)
	perQuarter := (mr + 3) / 4 // lines of A that a quarter of a block fetches

	c.Label("block")
	if !half {
		c.LEAQ(Mem{Base: a, Index: aBlock, Scale: 1}, ahead)
	}
	c.MOVQ(U32(4), reg.RAX)
	align(c)
	c.Label("quarter")
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[i] += A[i]·B", ch))
		for v := range bv {
			m := Mem{Base: b, Disp: size*nr*ch + size*isa.lanes*v}
			if half {
				c.VCVTPH2PS(m, bv[v])
			} else {
				c.VMOVUPS(m, bv[v])
			}
		}
		// The next panel streams into the second-level cache meanwhile.
		for d := size * nr * ch / 2; d < size*nr*(ch+1)/2; d += 8 {
			if d%64 == 0 {
				c.PREFETCHT1(Mem{Base: next, Disp: d})
			}
		}
		if !half && ch < perQuarter {
			// Blocks lie too far apart for the processor to foresee.
			c.PREFETCHT0(Mem{Base: ahead, Disp: 64 * ch})
		}
		for i := range acc {
			c.VBROADCASTSS(Mem{Base: a, Disp: 64*i + 4*ch}, av)
			for v := range vecs {
				if v < held {
					c.VFMADD231PS(bv[v], av, acc[i][v])
				} else {
					c.VFMADD231PS(Mem{Base: b, Disp: 4*nr*ch + 4*isa.lanes*v}, av, acc[i][v])
				}
			}
		}
	}
	c.ADDQ(Imm(16), a)
	c.ADDQ(U32(uint32(4*size*nr)), b)
	c.ADDQ(U32(uint32(2*size*nr)), next)
	if !half {
		c.ADDQ(U32(uint32(64*perQuarter)), ahead)
	}
	c.DECQ(reg.RAX)
	c.JNZ(LabelRef("quarter"))
	c.LEAQ(Mem{Base: a, Index: aBlock, Scale: 1, Disp: -64}, a) // it has moved by 64 bytes
	c.DECQ(blocks)
	c.JNZ(LabelRef("block"))

	for i := range acc {
		for v := range vecs {
			c.VMOVUPS(acc[i][v], Mem{Base: out, Disp: 4*nr*i + 4*isa.lanes*v})
		}
	}
	if !half {
		c.Comment("The next tile; two of them have fetched all of nextB")
		c.ADDQ(aTile, firstA)
		c.MOVQ(firstA, a)
		c.MOVQ(firstB, b)
		c.ADDQ(U32(uint32(4*nr*mr)), out)
		c.CMPQ(next, nextEnd)
		c.JB(LabelRef("more"))
		c.MOVQ(firstB, next)
		c.XORQ(nextEnd, nextEnd)
		c.Label("more")
		c.DECQ(tiles)
		c.JNZ(LabelRef("tile"))
	}
	c.VZEROUPPER()
	c.RET()
}
