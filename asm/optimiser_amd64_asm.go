package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// optimiserKernels emits the steps of gradient descent. n counts blocks of 16 floats.
func optimiserKernels(c *build.Context) {
	for _, isa := range vecISAs {
		sgdStep(c, isa)
		sgdProduct(c, isa, 1)
		sgdProduct(c, isa, 4)
	}
}

// sgdStep emits v = momentum·v + (g + decay·w), w −= rate·v. Its Go form is
// sgdGeneric.
func sgdStep(c *build.Context, isa vecISA) {
	n := begin(c, isa, "sgd", "takes a step of gradient descent with momentum, n blocks of 16; see kernel.sgd.", "func(n int, w, v, grad *float32, rate, momentum, decay float32)")
	w := c.Load(c.Param("w"), reg.RDI)
	v := c.Load(c.Param("v"), reg.RSI)
	g := c.Load(c.Param("grad"), reg.RDX)
	r := isa.regs
	for i, name := range []string{"rate", "momentum", "decay"} {
		broadcast(c, name, r[i])
	}
	c.Label("block")
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: g, Disp: off}, r[4])
		descend(c, isa, r[4], Mem{Base: w, Disp: off}, Mem{Base: v, Disp: off})
	})
	next(c, n, "block", w, v, g)
	c.VZEROUPPER()
	c.RET()
}

// descend takes the step for one vector, whose gradient g is lost. The first three
// registers hold rate, momentum and decay; the next is free.
func descend(c *build.Context, isa vecISA, g reg.VecPhysical, w, v Mem) {
	r := isa.regs
	c.VMOVUPS(w, r[3])
	c.VFMADD231PS(r[2], r[3], g) // g + decay·w
	c.VFMADD231PS(v, r[1], g)
	c.VMOVUPS(g, v)
	c.VFNMADD231PS(r[0], g, r[3])
	c.VMOVUPS(r[3], w)
}

// sgdAhead is how many bytes ahead of its use a weight is fetched: the processor
// itself waits for several lines of a page before it does. Lines of several rows may
// share the sets of the first-level cache, which has no room for more.
const sgdAhead = 256

// sgdProduct emits the step for 1 or 4 rows of weights whose gradient is
// g[r][j] = Σ_t a[r][t]·x[t][j]. Rows share what they read of x, which would take
// longer than the weights from memory. Its Go form is sgdProductGeneric.
func sgdProduct(c *build.Context, isa vecISA, rows int) {
	n := begin(c, isa, fmt.Sprint("sgdProduct", rows), "takes a step of gradient descent along a product, n blocks of 16; see kernel.sgdProduct.", "func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32)")
	taps := c.Load(c.Param("taps"), reg.R8)
	w := c.Load(c.Param("w"), reg.RDI)
	v := c.Load(c.Param("v"), reg.RSI)
	a := c.Load(c.Param("a"), reg.RDX)
	x := c.Load(c.Param("x"), reg.RBX)
	ld := c.Load(c.Param("ld"), reg.R10)
	row := c.Load(c.Param("row"), reg.R9)
	taps3, ld3 := reg.R13, reg.R15
	for _, p := range []reg.Register{taps, ld, row} {
		c.SHLQ(Imm(2), p)
	}
	c.LEAQ(Mem{Base: taps, Index: taps, Scale: 2}, taps3)
	c.LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	at := func(base, stride, stride3 reg.Register, i, off int) Mem {
		return strided(base, stride, stride3, nil)[i].Offset(off)
	}
	r, vecs := isa.regs, 16/isa.lanes
	for i, name := range []string{"rate", "momentum", "decay"} {
		broadcast(c, name, r[i])
	}
	factor, vx, sums := r[4], r[5:][:vecs], r[5+vecs:][:rows*vecs]
	from, tap, end := reg.RAX, reg.R11, reg.R12
	c.LEAQ(Mem{Base: a, Index: taps, Scale: 1}, end)
	c.Label("block")
	for _, s := range sums {
		zero(c, s)
	}
	c.MOVQ(x, from)
	c.MOVQ(a, tap)
	c.Label("tap")
	for i, v := range vx {
		c.VMOVUPS(Mem{Base: from, Disp: 4 * isa.lanes * i}, v)
	}
	for i := range rows {
		c.VBROADCASTSS(at(tap, taps, taps3, i, 0), factor)
		for j, v := range vx {
			c.VFMADD231PS(v, factor, sums[i*vecs+j])
		}
	}
	c.ADDQ(Imm(4), tap)
	c.ADDQ(row, from)
	c.CMPQ(tap, end)
	c.JNE(LabelRef("tap"))
	for i := range rows {
		for _, base := range []reg.Register{w, v} {
			c.PREFETCHT0(at(base, ld, ld3, i, sgdAhead))
		}
	}
	for i := range rows {
		for j := range vecs {
			off := 4 * isa.lanes * j
			descend(c, isa, sums[i*vecs+j], at(w, ld, ld3, i, off), at(v, ld, ld3, i, off))
		}
	}
	next(c, n, "block", w, v, x)
	c.VZEROUPPER()
	c.RET()
}
