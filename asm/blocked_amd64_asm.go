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
		blockedRow(c, isa, false)
		blockedRow(c, isa, true)
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
		c.Comment("nextB ends after as many rows as B")
		c.LEAQ(Mem{Base: args.load("last", reg.RAX), Index: blocks, Scale: 4, Disp: -4}, nextEnd)
		c.IMUL3Q(U32(uint32(4*size*nr)), nextEnd, nextEnd)
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
	if !half {
		c.CMPQ(blocks, Imm(1))
		c.CMOVQEQ(args.at("last"), reg.RAX)
	}
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

// rowPanels is ukernel.RowPanels.
const rowPanels = 4

// blockedRow emits C[p][j] = Σ_k A[k]·B[p][k][j] for some of the widest panels. B is in half
// precision if half is set. The Go forms are ukernel.blockedRowGeneric and
// blockedRowHalfGeneric.
func blockedRow(c *build.Context, isa ukernelISA, half bool) {
	nr := isa.vecs * isa.lanes
	size, shift, suffix, call := 4, 2, isa.suffix, "blockedRowCall"
	if half {
		size, shift, suffix, call = 2, 1, "Half"+isa.suffix, "blockedRowHalfCall"
	}
	c.Function(fmt.Sprintf("blockedRow%dx%d%s", rowPanels, nr, suffix))
	c.Doc(fmt.Sprintf("blockedRow%dx%d%s multiplies one row and %d panels of %d; see BlockedRowArgs.", rowPanels, nr, suffix, rowPanels, nr))
	c.Pragma("noescape")
	c.Signature(callSignature(call))
	args := loadCall(c, reg.R15)
	quarters := args.load("blocks", reg.RCX)
	a := args.load("a", reg.RSI)
	b := args.load("b", reg.RDI)
	bPanel := args.load("bPanel", reg.RDX)
	out := args.load("c", reg.RBX)
	bPanel3 := reg.R8
	c.SHLQ(Imm(uint64(shift)), bPanel)
	c.LEAQ(Mem{Base: bPanel, Index: bPanel, Scale: 2}, bPanel3)
	panels := strided(b, bPanel, bPanel3, nil)[:rowPanels]
	acc := func(p, v int) reg.VecPhysical { return isa.vec(p*isa.vecs + v) }
	av, bv := isa.vec(rowPanels*isa.vecs), isa.vec(rowPanels*isa.vecs+1)
	for i := range rowPanels * isa.vecs {
		zero(c, isa.vec(i))
	}
	c.SHLQ(Imm(2), quarters)
	align(c)
	c.Label("quarter")
	for ch := range 4 {
		c.Comment(fmt.Sprintf("Channel %d of 4: acc[p] += A·B[p]", ch))
		c.VBROADCASTSS(Mem{Base: a, Disp: 4 * ch}, av)
		for p, panel := range panels {
			for v := range isa.vecs {
				m := panel.Offset(size*nr*ch + size*isa.lanes*v)
				if half {
					c.VCVTPH2PS(m, bv)
					c.VFMADD231PS(bv, av, acc(p, v))
				} else {
					c.VFMADD231PS(m, av, acc(p, v))
				}
			}
		}
	}
	c.ADDQ(Imm(16), a)
	c.ADDQ(U32(uint32(4*size*nr)), b)
	c.DECQ(quarters)
	c.JNZ(LabelRef("quarter"))
	for p := range rowPanels {
		for v := range isa.vecs {
			c.VMOVUPS(acc(p, v), Mem{Base: out, Disp: 4 * (nr*p + isa.lanes*v)})
		}
	}
	c.VZEROUPPER()
	c.RET()
}
