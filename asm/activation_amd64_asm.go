package main

import (
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// activationKernels emits the loops over activations. n counts blocks of 16 floats.
func activationKernels(c *build.Context) {
	for _, isa := range vecISAs {
		relu(c, isa)
		reluGrad(c, isa)
		add(c, isa)
		sumPixels(c, isa)
		addSquares(c, isa)
		sumDiffs(c, isa)
	}
}

// relu emits x = max(x, 0), where NaN stays NaN. Its Go form is reluGeneric.
func relu(c *build.Context, isa vecISA) {
	n := begin(c, isa, "relu", "sets x = max(x, 0), n blocks of 16; see kernel.relu.", "func(n int, x *float32)")
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	zero(c, r[0])
	c.Label("block")
	isa.each(func(off int) {
		// The maximum returns its second source, memory, if that is a NaN.
		c.VMAXPS(Mem{Base: x, Disp: off}, r[0], r[1])
		c.VMOVUPS(r[1], Mem{Base: x, Disp: off})
	})
	next(c, n, "block", x)
	c.VZEROUPPER()
	c.RET()
}

// reluGrad emits dx = 0 where x ≤ 0. Its Go form is reluGradGeneric.
func reluGrad(c *build.Context, isa vecISA) {
	n := begin(c, isa, "reluGrad", "zeroes dx where x ≤ 0, n blocks of 16; see kernel.reluGrad.", "func(n int, dx, x *float32)")
	dx := c.Load(c.Param("dx"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	zero(c, r[0])
	c.Label("block")
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: x, Disp: off}, r[1])
		c.VMOVUPS(Mem{Base: dx, Disp: off}, r[2])
		keepOpen(c, isa, r[2], r[1], r[0], r[3])
		c.VMOVUPS(r[2], Mem{Base: dx, Disp: off})
	})
	next(c, n, "block", dx, x)
	c.VZEROUPPER()
	c.RET()
}

// keepOpen sets d to 0 where x ≤ 0, which no NaN is; zero holds zeros.
func keepOpen(c *build.Context, isa vecISA, d, x, zero, mask reg.VecPhysical) {
	if isa.lanes == 16 {
		c.VCMPPS(Imm(22), zero, x, reg.K1) // not x ≤ 0, unordered, quiet
		c.VMOVAPS_Z(d, reg.K1, d)
		return
	}
	c.VCMPPS(Imm(22), zero, x, mask)
	c.VANDPS(mask, d, d)
}

// add emits dst += x. Its Go form is addGeneric.
func add(c *build.Context, isa vecISA) {
	n := begin(c, isa, "add", "sets dst += x, n blocks of 16; see kernel.add.", "func(n int, dst, x *float32)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	c.Label("block")
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: x, Disp: off}, r[0])
		c.VADDPS(Mem{Base: dst, Disp: off}, r[0], r[0])
		c.VMOVUPS(r[0], Mem{Base: dst, Disp: off})
	})
	next(c, n, "block", dst, x)
	c.VZEROUPPER()
	c.RET()
}

// sumPixels emits sum[l] = Σ x[p][l] over n pixels. Its Go form is
// sumPixelsGeneric.
func sumPixels(c *build.Context, isa vecISA) {
	n := begin(c, isa, "sumPixels", "adds up n pixels of 16 channels; see kernel.sumPixels.", "func(n int, sum, x *float32)")
	sum := c.Load(c.Param("sum"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	vecs := 16 / isa.lanes
	acc := isa.regs[:vecs]
	for _, a := range acc {
		zero(c, a)
	}
	c.Label("pixel")
	for v, a := range acc {
		c.VADDPS(Mem{Base: x, Disp: 4 * isa.lanes * v}, a, a)
	}
	next(c, n, "pixel", x)
	for v, a := range acc {
		c.VMOVUPS(a, Mem{Base: sum, Disp: 4 * isa.lanes * v})
	}
	c.VZEROUPPER()
	c.RET()
}

// addSquares emits sum += x². Its Go form is addSquaresGeneric.
func addSquares(c *build.Context, isa vecISA) {
	n := begin(c, isa, "addSquares", "sets sum += x², n blocks of 16; see kernel.addSquares.", "func(n int, sum, x *float32)")
	sum := c.Load(c.Param("sum"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	c.Label("block")
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: x, Disp: off}, r[0])
		c.VMOVUPS(Mem{Base: sum, Disp: off}, r[1])
		c.VFMADD231PS(r[0], r[0], r[1])
		c.VMOVUPS(r[1], Mem{Base: sum, Disp: off})
	})
	next(c, n, "block", sum, x)
	c.VZEROUPPER()
	c.RET()
}

// sumDiffs emits sum[l] = Σ (x·u − y·v)². Both products are rounded, so that the difference
// of equal ones is 0. Its Go form is sumDiffsGeneric.
func sumDiffs(c *build.Context, isa vecISA) {
	n := begin(c, isa, "sumDiffs", "adds up squares of differences, n blocks of 16; see kernel.sumDiffs.", "func(n int, sum, x, u, y, v *float32)")
	sum := c.Load(c.Param("sum"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	u := c.Load(c.Param("u"), reg.RDX)
	y := c.Load(c.Param("y"), reg.R8)
	v := c.Load(c.Param("v"), reg.R9)
	acc, r := isa.regs[:16/isa.lanes], isa.regs[2:]
	for _, a := range acc {
		zero(c, a)
	}
	c.Label("block")
	for i, a := range acc {
		off := 4 * isa.lanes * i
		c.VMOVUPS(Mem{Base: x, Disp: off}, r[0])
		c.VMULPS(Mem{Base: u, Disp: off}, r[0], r[0])
		c.VMOVUPS(Mem{Base: y, Disp: off}, r[1])
		c.VMULPS(Mem{Base: v, Disp: off}, r[1], r[1])
		c.VSUBPS(r[1], r[0], r[0])
		c.VFMADD231PS(r[0], r[0], a)
	}
	next(c, n, "block", x, u, y, v)
	for i, a := range acc {
		c.VMOVUPS(a, Mem{Base: sum, Disp: 4 * isa.lanes * i})
	}
	c.VZEROUPPER()
	c.RET()
}
