package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A part is 16 steps of the sum over p: a cache line of a row of A, if its offsets are
// contiguous. Before each part the kernel prefetches A of the steps that are partsAhead
// on. From memory, 3136×64×64 (36 products) runs at 105, 108 and 104 GFLOP/s with 2, 3
// and 4 parts.
const (
	part       = 16
	partsAhead = 3 * part
)

// maxNRAVX2 is the width of the widest tile of AVX2, which has two rows.
const maxNRAVX2 = 48

// indirectKernels emits package ukernel's Indirect for tiles of as many rows as there are
// accumulators for, beside the registers of ukernelISA. Tiles of up to three rows are
// also wider than a packed panel on AVX2: whole pages of memory come faster than lines,
// and short sums take fewer instructions. On AVX-512 narrow tiles have more rows, each of
// which uses what is read of B once.
func indirectKernels(c *build.Context) {
	for _, isa := range ukernelISAs {
		for vecs := max(isa.vecs, maxNRAVX2/isa.lanes); vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue
			}
			most := isa.mr
			switch {
			case isa.lanes == 16 && vecs == 2:
				most = 14 // 28 accumulators and 3 registers more of 32
			case vecs > isa.vecs:
				most = isa.mr * isa.vecs / vecs
			}
			for mr := most; mr >= 1; mr-- {
				indirectTile(c, isa, mr, vecs)
			}
		}
	}
}

// indirectTile emits C[i][j] = bias[j] + Σ_p A[offsets[p]+i·aStep]·B[p][j] for i < mr and
// j < nr = vecs·lanes, tile by tile. The Go form is ukernel.indirectGeneric.
func indirectTile(c *build.Context, isa ukernelISA, mr, vecs int) {
	nr := vecs * isa.lanes
	c.Function(fmt.Sprintf("indirect%dx%d%s", mr, nr, isa.suffix))
	c.Doc(fmt.Sprintf("indirect%dx%d%s computes tiles of %d×%d; see indirectFunc.", mr, nr, isa.suffix, mr, nr))
	c.Pragma("noescape")
	c.Signature(callSignature("indirectCall"))
	args := loadCall(c, reg.RSI)
	at := reg.RAX
	// tilesLeft is how many tiles, left how many steps have not begun; firstB is where the
	// panel of a tile begins.
	tilesLeft, firstB, left := args.local("tiles", at), args.local("b", at), c.AllocLocal(8)
	prefetchB := args.load("prefetchB", reg.R15)
	a := args.load("a", reg.RDI)
	aStep := args.load("aStep", reg.RDX)
	out := args.load("c", reg.R11)
	ldc := args.load("ldc", reg.R10)
	c.SHLQ(Imm(2), aStep)
	c.SHLQ(Imm(2), ldc)
	aStep3, aStep5, ldc3, ldc5 := reg.R8, reg.R9, reg.R12, reg.R13
	c.LEAQ(Mem{Base: aStep, Index: aStep, Scale: 2}, aStep3)
	c.LEAQ(Mem{Base: aStep, Index: aStep, Scale: 4}, aStep5)
	c.LEAQ(Mem{Base: ldc, Index: ldc, Scale: 2}, ldc3)
	c.LEAQ(Mem{Base: ldc, Index: ldc, Scale: 4}, ldc5)
	rowsA, rowsC := strided(at, aStep, aStep3, aStep5), strided(at, ldc, ldc3, ldc5)
	// Vectors of B in registers, of which there are twice as many as lanes.
	held := min(vecs, 2*isa.lanes-mr*vecs-1)
	bv := make([]reg.VecPhysical, held)
	for v := range bv {
		bv[v] = isa.vec(mr*vecs + v)
	}
	av := isa.vec(mr*vecs + held)
	acc := func(i, v int) reg.VecPhysical { return isa.vec(i*vecs + v) }
	p, offset, b := reg.RCX, reg.RBX, reg.R14 // p counts down

	// eachC visits the vectors of a tile of C. It needs the register of p.
	eachC := func(f func(i, v int, m Mem)) {
		cBlock := p
		if nr > 16 {
			args.load("cBlock", cBlock)
		}
		c.MOVQ(out, at)
		for v := range vecs {
			off := 4 * isa.lanes * v % 64
			if v > 0 && off == 0 {
				if mr > len(rowsC) { // only where nr is 32, and this is the second block
					c.MOVQ(out, at)
				}
				c.LEAQ(Mem{Base: at, Index: cBlock, Scale: 4}, at)
			}
			eachStrided(c, mr, rowsC, func(i int, m Mem) { f(i, v, m.Offset(off)) })
		}
	}
	// prefetchC visits each cache line of a tile of C.
	prefetchC := func(prefetch func(Op)) {
		eachC(func(_, _ int, m Mem) {
			if m.Disp == 0 {
				prefetch(m)
			}
		})
	}
	ifMode := func(bit, otherwise string) {
		c.TESTQ(U32(modeBit(bit)), args.at("mode"))
		c.JZ(LabelRef(otherwise))
	}

	// fma is one step: row is the row of B, disp where A stands from at on.
	fma := func(row Mem, disp int) {
		for v := range bv {
			c.VMOVUPS(row.Offset(4*isa.lanes*v), bv[v])
		}
		eachStrided(c, mr, rowsA, func(i int, m Mem) {
			c.VBROADCASTSS(m.Offset(disp), av)
			for v := range vecs {
				if v < held {
					c.VFMADD231PS(bv[v], av, acc(i, v))
				} else {
					c.VFMADD231PS(row.Offset(4*isa.lanes*v), av, acc(i, v))
				}
			}
		})
	}
	// begin sets at to A of a part's first step.
	begin := func() {
		c.MOVQ(Mem{Base: offset}, at)
		c.LEAQ(Mem{Base: a, Index: at, Scale: 4}, at)
	}
	// AVX-512 has room for all instructions: 46 beside the 28 cycles of its multiply-adds.
	contiguous := isa.lanes == 8
	// run computes 4·p steps whose A is contiguous from at on, and fetches nothing of B.
	// A step takes 21 instructions instead of 26. Its 12
	// multiply-adds take 6 cycles, in which Zen 3 issues 36 instructions, but a core whose
	// other thread is busy half as many, and Skylake 24. On such a core 3136×256×1152 went
	// from 31 to 24 ms.
	run := func() {
		ldb := prefetchB // which is 0
		args.load("ldb", ldb)
		align(c)
		c.Label("run")
		for step := range 4 {
			c.Comment(fmt.Sprintf("Step %d of 4: acc[i] += A[i][p]·B[p]", step))
			if step%2 == 0 {
				fma(Mem{Base: b}, 4*step)
				continue
			}
			fma(Mem{Base: b, Index: ldb, Scale: 1}, 4*step)
			c.LEAQ(Mem{Base: b, Index: ldb, Scale: 2}, b)
		}
		c.ADDQ(Imm(16), at)
		c.DECQ(p)
		c.JNZ(LabelRef("run"))
		c.XORQ(prefetchB, prefetchB)
	}

	c.Label("tile")
	ifMode("ModeFromC", "bias")
	eachC(func(i, v int, m Mem) { c.VMOVUPS(m, acc(i, v)) })
	c.JMP(LabelRef("start"))
	c.Label("bias")
	args.load("bias", at)
	for i := range mr {
		for v := range vecs {
			c.VMOVUPS(Mem{Base: at, Disp: 4 * isa.lanes * v}, acc(i, v))
		}
	}
	c.Label("start")
	if contiguous { // with AVX-512, whose groups have five times as many, it has not been measured
		c.Comment("C, which is in memory if it is large: 2 % at 2048³ and 12544×128×576")
		prefetchC(c.PREFETCHT1)
	}
	c.MOVQ(firstB, b)
	args.load("offsets", offset)
	args.load("k", p)
	c.JMP(LabelRef("part"))
	align(c)
	c.Label("k")
	c.Comment("acc[i] += A[i][p]·B[p]")
	c.MOVQ(Mem{Base: offset}, at)
	c.LEAQ(Mem{Base: a, Index: at, Scale: 4}, at)
	for d := 0; d < 4*nr; d += 64 {
		c.PREFETCHT1(Mem{Base: b, Index: prefetchB, Scale: 1, Disp: d})
	}
	fma(Mem{Base: b}, 0)
	c.ADDQ(Imm(8), offset)
	c.ADDQ(args.at("ldb"), b)
	c.DECQ(p)
	c.JNZ(LabelRef("k"))
	align(c)
	c.Label("next")
	c.MOVQ(left, p)
	c.TESTQ(p, p)
	c.JEQ(LabelRef("summed"))
	if contiguous {
		c.CMPQ(p, Imm(4))
		c.JLT(LabelRef("single"))
	}

	c.Label("part")
	c.Comment("What a later part will read of A")
	c.CMPQ(args.at("prefetchA"), Imm(0))
	c.JEQ(LabelRef("near"))
	begin()
	c.ADDQ(args.at("prefetchA"), at)
	eachStrided(c, mr, rowsA, func(_ int, m Mem) { c.PREFETCHT1(m) })
	c.Label("near")
	c.MOVQ(p, left)
	c.CMPQ(p, Imm(partsAhead))
	c.JLE(LabelRef("last"))
	begin()
	eachStrided(c, mr, rowsA, func(_ int, m Mem) { c.PREFETCHT0(m.Offset(4 * partsAhead)) })
	c.SUBQ(Imm(part), left)
	c.MOVQ(U32(part), p)
	if contiguous {
		c.TESTQ(U32(modeBit("modeContiguous")), args.at("mode"))
		c.JEQ(LabelRef("k"))
		c.MOVQ(U32(part/4), p)
		c.ADDQ(U32(8*part), offset)
		c.JMP(LabelRef("adjacent"))
	} else {
		c.JMP(LabelRef("k"))
	}

	c.Label("last")
	c.Comment("Near the end: A of the next tile, as far into it as this part lies from the end")
	args.load("nextA", at)
	c.LEAQ(Mem{Base: a, Index: at, Scale: 4, Disp: 4 * partsAhead}, at)
	c.SHLQ(Imm(2), p)
	c.SUBQ(p, at)
	eachStrided(c, mr, rowsA, func(_ int, m Mem) { c.PREFETCHT0(m) })
	c.Comment("and, once, C")
	c.CMPQ(p, U32(4*(partsAhead-part)))
	c.JGT(LabelRef("c"))
	c.CMPQ(offset, args.at("offsets"))
	c.JNE(LabelRef("rest"))
	c.Label("c")
	prefetchC(c.PREFETCHT0)
	c.Label("rest")
	c.MOVQ(U32(part), p)
	c.CMPQ(left, p)
	c.JGE(LabelRef("many"))
	c.MOVQ(left, p)
	c.Label("many")
	if contiguous {
		c.TESTQ(U32(modeBit("modeContiguous")), args.at("mode"))
		c.JEQ(LabelRef("single"))
		c.CMPQ(p, Imm(4))
		c.JLT(LabelRef("single"))
		c.SHRQ(Imm(2), p)
		begin()
		four := prefetchB
		c.MOVQ(p, four)
		c.SHLQ(Imm(2), four)
		c.SUBQ(four, left)
		c.LEAQ(Mem{Base: offset, Index: four, Scale: 8}, offset)
		c.Label("adjacent")
		run()
		c.JMP(LabelRef("next"))
	}
	c.Label("single")
	c.SUBQ(p, left)
	c.JMP(LabelRef("k"))

	c.Label("summed")
	ifMode("ModeAddC", "added")
	eachC(func(i, v int, m Mem) { c.VADDPS(m, acc(i, v), acc(i, v)) })
	c.Label("added")
	ifMode("ModeReLU", "store")
	c.Comment("The maximum returns its second source if that is a NaN")
	zero(c, av)
	for i := range mr {
		for v := range vecs {
			c.VMAXPS(acc(i, v), av, acc(i, v))
		}
	}
	c.Label("store")
	eachC(func(i, v int, m Mem) { c.VMOVUPS(acc(i, v), m) })
	c.LEAQ(Mem{Base: a, Index: args.load("nextA", at), Scale: 4}, a)
	c.LEAQ(Mem{Base: out, Index: args.load("nextC", at), Scale: 4}, out)
	args.load("nextB", at)
	c.SHLQ(Imm(2), at)
	c.ADDQ(at, firstB)
	c.DECQ(tilesLeft)
	c.JNZ(LabelRef("tile"))
	c.VZEROUPPER()
	c.RET()
}
