package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The bits of mode: those of package direct, which the generator must not import.
const (
	modeReLU       = 1
	modeAccumulate = 2
	modeAdd        = 4
	modeRuns       = 8
)

// partTaps is how many taps a part of a sum has: those of one cache line of x, if
// they lie side by side. Between two parts memory is fetched that is needed later:
// x of the taps that are aheadTaps on. From memory, 3136×64×64 (36 products) runs at 105,
// 108 and 104 GFLOP/s with 2, 3 and 4 parts.
const (
	partTaps  = 16
	aheadTaps = 3 * partTaps
)

// wideLanes is the width of the widest panel that two pixels have accumulators for on AVX2.
const wideLanes = 48

// directKernels emits the direct convolution of as many pixels at a time as there are
// accumulators for, beside the registers of productISA. Up to its vectors they are those
// of a packed panel. Up to three pixels have wider panels on AVX2, for whole pages of
// memory come faster than lines, and short sums take fewer instructions; on AVX-512 narrow
// panels have more pixels, each of which uses what is read of u once.
func directKernels(c *build.Context) {
	for _, isa := range productISAs {
		for vecs := max(isa.vecs, wideLanes/isa.lanes); vecs >= 1; vecs-- {
			if vecs*isa.lanes%16 != 0 {
				continue
			}
			most := isa.tiles
			switch {
			case isa.lanes == 16 && vecs == 2:
				most = 14 // 28 accumulators and 3 registers more of 32
			case vecs > isa.vecs:
				most = isa.tiles * isa.vecs / vecs
			}
			for pixels := most; pixels >= 1; pixels-- {
				directRun(c, isa, pixels, vecs)
			}
		}
	}
}

// directRun emits the convolution of groups of adjacent pixels of one row to
// vecs·lanes output channels. Its Go form is direct.generic.
func directRun(c *build.Context, isa productISA, pixels, vecs int) {
	kb := vecs * isa.lanes
	c.Function(fmt.Sprintf("direct%dx%d%s", pixels, kb, isa.suffix))
	c.Doc(fmt.Sprintf("direct%dx%d%s convolves groups of %d pixels to %d channels; see rowFunc.", pixels, kb, isa.suffix, pixels, kb))
	c.Pragma("noescape")
	c.SignatureExpr("func(groups, taps int, offsets *int, x *float32, step int, u *float32, row int, bias, out *float32, pixel, plane, mode, nextX, nextU, nextOut, ahead, aheadX int)")
	load := func(name string, r reg.Register) reg.GPPhysical {
		return c.Load(c.Param(name), r).(reg.GPPhysical)
	}
	ahead := load("ahead", reg.R15)
	param := func(name string) Mem { // where it stands
		p, err := c.Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		return p.Addr
	}
	firstU := load("u", reg.RSI)
	x := load("x", reg.RDI)
	step := load("step", reg.RDX)
	out := load("out", reg.R11)
	pixel := load("pixel", reg.R10)
	c.SHLQ(Imm(2), step)
	c.SHLQ(Imm(2), pixel)
	step3, step5, pixel3, pixel5 := reg.R8, reg.R9, reg.R12, reg.R13
	c.LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	c.LEAQ(Mem{Base: step, Index: step, Scale: 4}, step5)
	c.LEAQ(Mem{Base: pixel, Index: pixel, Scale: 2}, pixel3)
	c.LEAQ(Mem{Base: pixel, Index: pixel, Scale: 4}, pixel5)
	at := reg.RAX
	in, outs := strided(at, step, step3, step5), strided(at, pixel, pixel3, pixel5)
	// Vectors of U in registers, of which there are twice as many as lanes.
	held := min(vecs, 2*isa.lanes-pixels*vecs-1)
	uv := make([]reg.VecPhysical, held)
	for v := range uv {
		uv[v] = isa.vec(pixels*vecs + v)
	}
	xv := isa.vec(pixels*vecs + held)
	acc := func(t, v int) reg.VecPhysical { return isa.vec(t*vecs + v) }
	taps, tap, u := reg.RCX, reg.RBX, reg.R14

	// eachOut visits the results of a group. It needs the register that counts taps.
	eachOut := func(f func(t, v int, m Mem)) {
		plane := taps
		if vecs*isa.lanes > 16 {
			load("plane", plane)
		}
		c.MOVQ(out, at)
		for v := range vecs {
			off := 4 * isa.lanes * v % 64
			if v > 0 && off == 0 {
				if pixels > len(outs) { // only with tallVecs, where this is the second plane
					c.MOVQ(out, at)
				}
				c.LEAQ(Mem{Base: at, Index: plane, Scale: 4}, at)
			}
			eachStrided(c, pixels, outs, func(t int, m Mem) { f(t, v, m.Offset(off)) })
		}
	}
	// prefetchOut visits each cache line of the results.
	prefetchOut := func(prefetch func(Op)) {
		eachOut(func(t, v int, m Mem) {
			if m.Disp == 0 {
				prefetch(m)
			}
		})
	}
	ifMode := func(bit uint32, otherwise string) {
		c.Load(c.Param("mode"), at)
		c.TESTQ(U32(bit), at)
		c.JZ(LabelRef(otherwise))
	}

	// left holds the number of taps that have not begun.
	left := c.AllocLocal(8)

	// fma adds the products of a tap whose row of U begins with row and x with each in.
	fma := func(row Mem, disp int) {
		for v := range uv {
			c.VMOVUPS(row.Offset(4*isa.lanes*v), uv[v])
		}
		eachStrided(c, pixels, in, func(t int, m Mem) {
			c.VBROADCASTSS(m.Offset(disp), xv)
			for v := range vecs {
				if v < held {
					c.VFMADD231PS(uv[v], xv, acc(t, v))
				} else {
					c.VFMADD231PS(row.Offset(4*isa.lanes*v), xv, acc(t, v))
				}
			}
		})
	}
	// begin sets at to the first of a part's x.
	begin := func() {
		c.MOVQ(Mem{Base: tap}, at)
		c.LEAQ(Mem{Base: x, Index: at, Scale: 4}, at)
	}
	// AVX-512 has room for all instructions: 46 beside the 28 cycles of its multiply-adds.
	runs := isa.lanes == 8
	// run computes four times as many taps as taps says, whose x lie side by side from at
	// on and which fetch nothing, with 21 instructions each instead of 26. Their 12
	// multiply-adds take 6 cycles, in which Zen 3 issues 36 instructions, but a core whose
	// other thread is busy half as many, and Skylake 24. On such a core 3136×256×1152 went
	// from 31 to 24 ms.
	run := func() {
		row := ahead
		load("row", row)
		align(c)
		c.Label("run")
		for i := range 4 {
			c.Comment(fmt.Sprintf("Tap %d of 4: acc[t] += x[t]·U", i))
			if i%2 == 0 {
				fma(Mem{Base: u}, 4*i)
				continue
			}
			fma(Mem{Base: u, Index: row, Scale: 1}, 4*i)
			c.LEAQ(Mem{Base: u, Index: row, Scale: 2}, u)
		}
		c.ADDQ(Imm(16), at)
		c.DECQ(taps)
		c.JNZ(LabelRef("run"))
		c.XORQ(ahead, ahead)
	}

	c.Label("group")
	ifMode(modeAccumulate, "bias")
	eachOut(func(t, v int, m Mem) { c.VMOVUPS(m, acc(t, v)) })
	c.JMP(LabelRef("start"))
	c.Label("bias")
	load("bias", at)
	for t := range pixels {
		for v := range vecs {
			c.VMOVUPS(Mem{Base: at, Disp: 4 * isa.lanes * v}, acc(t, v))
		}
	}
	c.Label("start")
	if runs { // with AVX-512, whose groups have five times as many, it has not been measured
		c.Comment("The results, which are in memory if they are many: 2 % at 2048³ and 12544×128×576")
		prefetchOut(c.PREFETCHT1)
	}
	c.MOVQ(firstU, u)
	load("offsets", tap)
	load("taps", taps)
	c.JMP(LabelRef("part"))
	align(c)
	c.Label("tap")
	c.Comment("acc[t] += x[t]·U for one tap of the filter and one input channel")
	c.MOVQ(Mem{Base: tap}, at)
	c.LEAQ(Mem{Base: x, Index: at, Scale: 4}, at)
	for d := 0; d < 4*kb; d += 64 {
		c.PREFETCHT1(Mem{Base: u, Index: ahead, Scale: 1, Disp: d})
	}
	fma(Mem{Base: u}, 0)
	c.ADDQ(Imm(8), tap)
	c.ADDQ(param("row"), u)
	c.DECQ(taps)
	c.JNZ(LabelRef("tap"))
	c.Label("next")
	c.MOVQ(left, taps)
	c.TESTQ(taps, taps)
	c.JEQ(LabelRef("summed"))
	if runs {
		c.CMPQ(taps, Imm(4))
		c.JLT(LabelRef("single"))
	}

	c.Label("part")
	c.Comment("What a later part will read of x")
	c.CMPQ(param("aheadX"), Imm(0))
	c.JEQ(LabelRef("near"))
	begin()
	c.ADDQ(param("aheadX"), at)
	eachStrided(c, pixels, in, func(_ int, m Mem) { c.PREFETCHT1(m) })
	c.Label("near")
	c.MOVQ(taps, left)
	c.CMPQ(taps, Imm(aheadTaps))
	c.JLE(LabelRef("last"))
	begin()
	eachStrided(c, pixels, in, func(_ int, m Mem) { c.PREFETCHT0(m.Offset(4 * aheadTaps)) })
	c.SUBQ(Imm(partTaps), left)
	c.MOVQ(U32(partTaps), taps)
	if runs {
		c.TESTQ(U32(modeRuns), param("mode"))
		c.JEQ(LabelRef("tap"))
		c.MOVQ(U32(partTaps/4), taps)
		c.ADDQ(U32(8*partTaps), tap)
		c.JMP(LabelRef("adjacent"))
	} else {
		c.JMP(LabelRef("tap"))
	}

	c.Label("last")
	c.Comment("Near the end: x of the next group, as far into it as this part lies from the end")
	load("nextX", at)
	c.LEAQ(Mem{Base: x, Index: at, Scale: 4, Disp: 4 * aheadTaps}, at)
	c.SHLQ(Imm(2), taps)
	c.SUBQ(taps, at)
	eachStrided(c, pixels, in, func(_ int, m Mem) { c.PREFETCHT0(m) })
	c.Comment("and, once, the results")
	c.CMPQ(taps, U32(4*(aheadTaps-partTaps)))
	c.JGT(LabelRef("results"))
	c.CMPQ(tap, param("offsets"))
	c.JNE(LabelRef("rest"))
	c.Label("results")
	prefetchOut(c.PREFETCHT0)
	c.Label("rest")
	c.MOVQ(U32(partTaps), taps)
	c.CMPQ(left, taps)
	c.JGE(LabelRef("many"))
	c.MOVQ(left, taps)
	c.Label("many")
	if runs {
		c.TESTQ(U32(modeRuns), param("mode"))
		c.JEQ(LabelRef("single"))
		c.CMPQ(taps, Imm(4))
		c.JLT(LabelRef("single"))
		c.SHRQ(Imm(2), taps)
		begin()
		four := ahead
		c.MOVQ(taps, four)
		c.SHLQ(Imm(2), four)
		c.SUBQ(four, left)
		c.LEAQ(Mem{Base: tap, Index: four, Scale: 8}, tap)
		c.Label("adjacent")
		run()
		c.JMP(LabelRef("next"))
	}
	c.Label("single")
	c.SUBQ(taps, left)
	c.JMP(LabelRef("tap"))

	c.Label("summed")
	ifMode(modeAdd, "added")
	eachOut(func(t, v int, m Mem) { c.VADDPS(m, acc(t, v), acc(t, v)) })
	c.Label("added")
	ifMode(modeReLU, "store")
	c.Comment("The maximum returns its second source if that is a NaN")
	zero(c, xv)
	for t := range pixels {
		for v := range vecs {
			c.VMAXPS(acc(t, v), xv, acc(t, v))
		}
	}
	c.Label("store")
	eachOut(func(t, v int, m Mem) { c.VMOVUPS(acc(t, v), m) })
	for _, next := range []struct {
		name string
		r    reg.Register
	}{{"nextX", x}, {"nextU", firstU}, {"nextOut", out}} {
		load(next.name, at)
		c.LEAQ(Mem{Base: next.r, Index: at, Scale: 4}, next.r)
	}
	c.DECQ(param("groups"))
	c.JNZ(LabelRef("group"))
	c.VZEROUPPER()
	c.RET()
}
