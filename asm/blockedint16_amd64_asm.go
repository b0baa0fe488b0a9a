package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An int16ISA is what differs between instruction sets in products of 16-bit integers.
//
// Register budget, mr·vecs accumulators and:
//
//	AVX2:   6·2 + 2 of B + 1 of A + 1 product = 16 of 16 YMM
//	AVX512: 6·4 + 4 of B + 1 of A + 1 product = 30 of 32 ZMM
//	VNNI:   7·4 + 4 of B = 32 of 32 ZMM; A is broadcast by the multiplication itself
type int16ISA struct {
	suffix string
	lanes  int // of 32 bits
	mr     int // rows of the tallest tile
	vecs   int // vectors of the widest panel
	vnni   bool
	regs   []reg.VecPhysical
}

var int16ISAs = []int16ISA{
	{"AVX2", 8, 6, 2, false, ymm},
	{"AVX512", 16, 6, 4, false, zmm},
	{"VNNI", 16, 7, 4, true, zmm},
}

// blockedInt16Kernels emits package ukernel's BlockedInt16 for tiles of every number of rows
// and every panel width up to the instruction set's largest.
func blockedInt16Kernels(c *build.Context) {
	for _, isa := range int16ISAs {
		for vecs := isa.vecs; vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue // panels hold whole blocks of 16 channels
			}
			for mr := isa.mr; mr >= 1; mr-- {
				blockedInt16Tile(c, isa, mr, vecs)
			}
		}
	}
}

// blockedInt16Tile emits C[i][j] = Σ_p A[i][p]·B[p][j], or += with fromC, for i < mr and j < nr = vecs·lanes.
// Its Go form is ukernel.blockedInt16Generic.
func blockedInt16Tile(c *build.Context, isa int16ISA, mr, vecs int) {
	nr := vecs * isa.lanes
	name := fmt.Sprintf("blocked%dx%dInt16%s", mr, nr, isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s computes tiles of %d×%d; see BlockedInt16.", name, mr, nr))
	c.Pragma("noescape")
	c.Signature(callSignature("blockedInt16Call"))
	args := loadCall(c, reg.R15)
	blocks := args.load("blocks", reg.RCX)
	a := args.load("a", reg.RSI)
	aBlock := args.load("aBlock", reg.RDX)
	b := args.load("b", reg.RDI)
	out := args.load("c", reg.RBX)
	next := args.load("nextB", reg.R8)
	tiles, aTile := args.load("tiles", reg.R10), args.load("aTile", reg.R11)
	ahead, nextEnd, firstA, firstB := reg.R9, reg.R12, reg.R13, reg.R14
	c.SHLQ(Imm(1), aBlock)
	c.SHLQ(Imm(1), aTile)
	c.MOVQ(a, firstA)
	c.MOVQ(b, firstB)
	c.Comment("nextB ends after as many rows as B")
	c.LEAQ(Mem{Base: args.load("last", reg.RAX), Index: blocks, Scale: 2, Disp: -2}, nextEnd)
	c.IMUL3Q(U32(uint32(8*2*nr)), nextEnd, nextEnd)
	c.ADDQ(next, nextEnd)
	c.Label("tile")
	args.load("blocks", blocks)
	acc := make([][]reg.VecPhysical, mr)
	for i := range acc {
		acc[i] = isa.regs[i*vecs:][:vecs]
	}
	others := isa.regs[mr*vecs:]
	inC := func(i, v int) Mem { return Mem{Base: out, Disp: 4*nr*i + 4*isa.lanes*v} }
	args.load("fromC", reg.RAX)
	c.TESTQ(reg.RAX, reg.RAX)
	c.JZ(LabelRef("zero"))
	for i := range acc {
		for v, r := range acc[i] {
			c.VMOVUPS(inC(i, v), r)
		}
	}
	c.JMP(LabelRef("block"))
	c.Label("zero")
	for i := range acc {
		for _, r := range acc[i] {
			zero(c, r)
		}
	}

	c.Label("block")
	c.LEAQ(Mem{Base: a, Index: aBlock, Scale: 1}, ahead)
	c.MOVQ(U32(2), reg.RAX)
	c.CMPQ(blocks, Imm(1))
	c.CMOVQEQ(args.at("last"), reg.RAX)
	align(c)
	c.Label("half")
	for pair := range 4 {
		c.Comment(fmt.Sprintf("Channels %d and %d of 8: acc[i] += A[i]·B", 2*pair, 2*pair+1))
		// The next panel streams into the second-level cache meanwhile.
		for d := 2 * nr * pair; d < 2*nr*(pair+1); d += 32 {
			if d%64 == 0 {
				c.PREFETCHT1(Mem{Base: next, Disp: d})
			}
		}
		if pair < (mr+3)/4 { // a block's rows are 32 bytes each; blocks lie too far apart for the processor to foresee
			c.PREFETCHT0(Mem{Base: ahead, Disp: 64 * pair})
		}
		int16Pair(c, isa, acc, others, Mem{Base: a, Disp: 4 * pair}, Mem{Base: b, Disp: 4 * nr * pair})
	}
	c.ADDQ(Imm(16), a)
	c.ADDQ(U32(uint32(16*nr)), b)
	c.ADDQ(U32(uint32(8*nr)), next)
	c.ADDQ(U32(uint32(64*((mr+3)/4))), ahead)
	c.DECQ(reg.RAX)
	c.JNZ(LabelRef("half"))
	c.LEAQ(Mem{Base: a, Index: aBlock, Scale: 1, Disp: -32}, a) // it has moved by 32 bytes
	c.DECQ(blocks)
	c.JNZ(LabelRef("block"))

	for i := range acc {
		for v, r := range acc[i] {
			c.VMOVUPS(r, inC(i, v))
		}
	}
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
	c.VZEROUPPER()
	c.RET()
}

// int16Pair emits acc[i] += A[i]·B for two channels, which are at a for row 0.
func int16Pair(c *build.Context, isa int16ISA, acc [][]reg.VecPhysical, others []reg.VecPhysical, a, b Mem) {
	bv := others[:len(acc[0])]
	for v, r := range bv {
		c.VMOVUPS(b.Offset(4*isa.lanes*v), r)
	}
	for i, row := range acc {
		at := a.Offset(32 * i)
		if isa.vnni {
			for v, r := range row {
				c.VPDPWSSD_BCST(at, bv[v], r)
			}
			continue
		}
		av, product := others[len(bv)], others[len(bv)+1]
		c.VPBROADCASTD(at, av)
		for v, r := range row {
			c.VPMADDWD(bv[v], av, product)
			c.VPADDD(product, r, r)
		}
	}
}
