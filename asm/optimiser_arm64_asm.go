package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// optimiserNEON emits the steps of gradient descent. See asm/optimiser_amd64_asm.go.
func optimiserNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.sgd()
	l.sgdProduct(1)
	l.sgdProduct(4)
}

const sgdRate, sgdMomentum, sgdDecay neon.V = 29, 30, 31

// constants loads those of a step.
func (c loopsNEON) constants() {
	for i, name := range []string{"rate", "momentum", "decay"} {
		c.LoadFloat(name, sgdRate+neon.V(i))
		c.VDUP(sgdRate+neon.V(i), 0, sgdRate+neon.V(i))
	}
}

// descend takes the step for a block whose gradient is in the four vectors from
// g on, and lost: four chains side by side. V0-V3 are w, V4-V7 v.
func (c loopsNEON) descend(g neon.V, w, v neon.R) {
	for i, p := range []neon.R{w, v} {
		for j := range 2 {
			r := neon.V(4*i + 2*j)
			c.FLDPQ(neon.Mem{Base: p, Off: 32 * j}, r, r+1)
		}
	}
	for i := range neon.V(4) {
		c.VFMLA(sgdDecay, i, g+i) // g + decay·w
	}
	for i := range neon.V(4) {
		c.VFMLA(sgdMomentum, 4+i, g+i)
	}
	for i := range neon.V(4) {
		c.VFMLS(sgdRate, g+i, i)
	}
	for j := range 2 {
		r := neon.V(2 * j)
		c.FSTPQ(g+r, g+r+1, neon.Mem{Base: v, Off: 32 * j})
		c.FSTPQ(r, r+1, neon.Mem{Base: w, Off: 32 * j})
	}
}

func (c loopsNEON) sgd() {
	c.begin("sgdNEON", "takes a step of gradient descent with momentum, n blocks of 16; see kernel.sgd.", "func(n int, w, v, grad *float32, rate, momentum, decay float32)")
	c.Load("w", loopX)
	c.Load("v", loopY)
	c.Load("grad", loopZ)
	c.constants()
	c.Label("block")
	for j := range 2 {
		r := neon.V(8 + 2*j)
		c.FLDPQ(neon.Mem{Base: loopZ, Off: 32 * j}, r, r+1)
	}
	c.descend(8, loopX, loopY)
	c.next("block", loopX, loopY, loopZ)
	c.RET()
}

func (c loopsNEON) sgdProduct(rows int) {
	c.begin(fmt.Sprintf("sgdProduct%dNEON", rows), "takes a step of gradient descent along a product, n blocks of 16; see kernel.sgdProduct.",
		"func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32)")
	const taps, factors, row, ld, at, tap, last neon.R = 4, 5, 6, 7, 8, 9, 10
	const factor, vx neon.V = 28, 24
	w, v, a := []neon.R{loopX, 11, 12, 13}[:rows], []neon.R{loopY, 14, 15, 19}[:rows], []neon.R{tap, 20, 21, 22}[:rows]
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"taps", taps}, {"w", loopX}, {"v", loopY}, {"a", factors}, {"x", loopZ}, {"ld", ld}, {"row", row}} {
		c.Load(p.name, p.r)
	}
	c.LSL(2, row, row)
	for i := 1; i < rows; i++ {
		c.ADDShift(ld, 2, w[i-1], w[i])
		c.ADDShift(ld, 2, v[i-1], v[i])
	}
	c.ADDShift(taps, 2, factors, last)
	c.constants()
	c.Label("block")
	for i := range neon.V(4 * rows) {
		c.Zero(8 + i)
	}
	c.MOVD(loopZ, at)
	c.MOVD(factors, tap)
	for i := 1; i < rows; i++ {
		c.ADDShift(taps, 2, a[i-1], a[i])
	}
	c.Label("tap")
	for j := range 2 {
		c.FLDPQ(neon.Mem{Base: at, Off: 32 * j}, vx+neon.V(2*j), vx+neon.V(2*j)+1)
	}
	for i, p := range a {
		c.FMOVS(neon.Mem{Base: p}, factor)
		for j := range neon.V(4) {
			c.VFMLAElem(factor, 0, vx+j, neon.V(8+4*i)+j)
		}
		c.ADD(neon.Imm(4), p, p)
	}
	c.ADD(row, at, at)
	c.CMP(last, tap)
	c.Branch("BNE", "tap")
	for i := range rows {
		c.descend(neon.V(8+4*i), w[i], v[i])
		if i > 0 { // end moves the first
			c.ADD(neon.Imm(64), w[i], w[i])
			c.ADD(neon.Imm(64), v[i], v[i])
		}
	}
	c.next("block", loopX, loopY, loopZ)
	c.RET()
}
