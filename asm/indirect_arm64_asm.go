package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// indirectNEON emits package ukernel's Indirect for tiles of 1 … 6 rows and 16
// columns. See indirectTile for amd64.
//
//	V0-V23   accumulators, 4 of each row
//	V24-V27  a row of B
//	V28-V31  A of a row, in turn; V31 is zero for the ReLU
func indirectNEON(c *neon.Context) {
	for mr := 6; mr >= 1; mr-- {
		indirectTileNEON(c, mr)
	}
}

func indirectTileNEON(c *neon.Context, mr int) {
	name := fmt.Sprintf("indirect%dx16NEON", mr)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s computes tiles of %d×16; see indirectFunc.", name, mr))
	c.Pragma("noescape")
	c.Signature(callSignature("indirectCall"))
	const tiles, k, offsets, a, aStep, b, bias, out, ldc, mode, offset, at, p, row, ldb, nextA, nextB, nextC, prefetchB, call neon.R = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22
	// prefetchA is not read: A is left to the processor's own prefetching, as none of it was
	// measured here.
	c.Load("call", call)
	for _, arg := range []struct {
		name string
		r    neon.R
	}{{"tiles", tiles}, {"k", k}, {"offsets", offsets}, {"a", a}, {"aStep", aStep}, {"b", b}, {"ldb", ldb}, {"bias", bias}, {"c", out}, {"ldc", ldc}, {"mode", mode},
		{"nextA", nextA}, {"nextB", nextB}, {"nextC", nextC}, {"prefetchB", prefetchB}} {
		c.LoadField("call", call, arg.name, arg.r)
	}
	c.LSL(2, aStep, aStep)
	c.LSL(2, ldc, ldc)
	acc := func(i, v int) neon.V { return neon.V(4*i + v) }
	// eachC visits the rows of a tile of C.
	eachC := func(f func(i int)) {
		c.MOVD(out, at)
		for i := range mr {
			f(i)
			if i < mr-1 {
				c.ADD(ldc, at, at)
			}
		}
	}
	c.Label("tile")
	c.MOVD(neon.Imm(modeBit("ModeFromC")), offset)
	c.Op("TST", offset, mode)
	c.Branch("BEQ", "bias")
	eachC(func(i int) {
		c.FLDPQ(neon.Mem{Base: at}, acc(i, 0), acc(i, 1))
		c.FLDPQ(neon.Mem{Base: at, Off: 32}, acc(i, 2), acc(i, 3))
	})
	c.B("start")
	c.Label("bias")
	for i := range mr {
		c.FLDPQ(neon.Mem{Base: bias}, acc(i, 0), acc(i, 1))
		c.FLDPQ(neon.Mem{Base: bias, Off: 32}, acc(i, 2), acc(i, 3))
	}
	c.Label("start")
	c.MOVD(k, p)
	c.MOVD(offsets, offset)
	c.MOVD(b, row)
	c.Align(16)
	c.Label("k")
	c.Comment("acc[i] += A[i][p]·B[p]")
	c.Op("MOVD", neon.Mem{Base: offset}, at)
	c.ADDShift(at, 2, a, at)
	c.FLDPQ(neon.Mem{Base: row}, 24, 25)
	c.FLDPQ(neon.Mem{Base: row, Off: 32}, 26, 27)
	for i := range mr {
		av := neon.V(28 + i%4)
		c.FMOVS(neon.Mem{Base: at}, av)
		if i < mr-1 {
			c.ADD(aStep, at, at)
		}
		for v := range 4 {
			c.VFMLAElem(av, 0, neon.V(24+v), acc(i, v))
		}
	}
	c.ADD(neon.Imm(8), offset, offset)
	c.ADD(row, prefetchB, at)
	c.PRFM(neon.Mem{Base: at}, "PLDL2KEEP")
	c.ADD(ldb, row, row)
	c.SUBS(neon.Imm(1), p, p)
	c.Branch("BNE", "k")

	c.MOVD(neon.Imm(modeBit("ModeAddC")), offset)
	c.Op("TST", offset, mode)
	c.Branch("BEQ", "added")
	eachC(func(i int) {
		c.FLDPQ(neon.Mem{Base: at}, 24, 25)
		c.FLDPQ(neon.Mem{Base: at, Off: 32}, 26, 27)
		for v := range 4 {
			c.VFADD(neon.V(24+v), acc(i, v), acc(i, v))
		}
	})
	c.Label("added")
	c.MOVD(neon.Imm(modeBit("ModeReLU")), offset)
	c.Op("TST", offset, mode)
	c.Branch("BEQ", "store")
	c.Zero(31)
	for i := range mr {
		for v := range 4 {
			c.VFMAX(31, acc(i, v), acc(i, v))
		}
	}
	c.Label("store")
	eachC(func(i int) {
		c.FSTPQ(acc(i, 0), acc(i, 1), neon.Mem{Base: at})
		c.FSTPQ(acc(i, 2), acc(i, 3), neon.Mem{Base: at, Off: 32})
	})
	c.ADDShift(nextC, 2, out, out)
	c.ADDShift(nextA, 2, a, a)
	c.ADDShift(nextB, 2, b, b)
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}
