package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
)

// elementwiseNEON emits the loops that are bound by memory. See
// asm/elementwise_amd64_asm.go. n counts blocks of 16 floats.
func elementwiseNEON(c *neon.Context) {
	l := loopsNEON{c}
	l.relu()
	l.copyRows()
	for _, rows := range []int{1, 8} {
		l.copyPanels(rows)
	}
	l.add()
	for _, rows := range []int{1, 8} {
		l.addRows(rows)
	}
	l.addDots()
	l.reluGrad()
	l.sumPixels()
	l.sgd()
	for _, rows := range []int{1, 4} {
		l.sgdProduct(rows)
	}
	dotsNEON(c)
}

// loopsNEON emits one function a method. All count blocks of 16 floats in one register,
// and their operands lie behind three others.
type loopsNEON struct{ *neon.Context }

const loopCount, loopX, loopY, loopZ neon.R = 0, 1, 2, 3

func (c loopsNEON) begin(name, doc, signature string) {
	c.Function(name)
	c.Doc(name + " " + doc)
	c.Pragma("noescape")
	c.SignatureExpr(signature)
	c.Load("n", loopCount)
}

// end moves pointers to the next block and closes the loop.
func (c loopsNEON) end(pointers ...neon.R) {
	for _, p := range pointers {
		c.ADD(neon.Imm(64), p, p)
	}
	c.SUBS(neon.Imm(1), loopCount, loopCount)
	c.Branch("BNE", "block")
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

func (c loopsNEON) relu() {
	c.begin("reluNEON", "sets x = max(x, 0), n blocks of 16; see kernel.relu.", "func(n int, x *float32)")
	c.Load("x", loopX)
	c.Zero(31)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.VFMAX(31, 0, 0) // NaN stays
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.end(loopX)
	c.RET()
}

func (c loopsNEON) copyRows() {
	c.begin("copyRowsNEON", "copies rows of n blocks of 16; see kernel.copyRows.", "func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)")
	const rows, dstStride, srcStride, ahead, left, step neon.R = 4, 5, 6, 7, 8, 9
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"rows", rows}, {"dst", loopX}, {"src", loopY}, {"dstStride", dstStride}, {"srcStride", srcStride}, {"ahead", ahead}} {
		c.Load(p.name, p.r)
	}
	c.LSL(6, loopCount, step) // what the pointers move by in a row
	c.Op("SUB", step, dstStride, dstStride)
	c.Op("SUB", step, srcStride, srcStride)
	c.Label("row")
	c.MOVD(loopCount, left)
	c.Label("block")
	c.ADD(loopY, ahead, step)
	c.PRFM(neon.Mem{Base: step}, "PLDL2KEEP")
	for off := 0; off < 64; off += 32 {
		c.FLDPQ(neon.Mem{Base: loopY, Off: off}, 0, 1)
		c.FSTPQ(0, 1, neon.Mem{Base: loopX, Off: off})
	}
	c.ADD(neon.Imm(64), loopX, loopX)
	c.ADD(neon.Imm(64), loopY, loopY)
	c.SUBS(neon.Imm(1), left, left)
	c.Branch("BNE", "block")
	c.ADD(dstStride, loopX, loopX)
	c.ADD(srcStride, loopY, loopY)
	c.SUBS(neon.Imm(1), rows, rows)
	c.Branch("BNE", "row")
	c.RET()
}

// rowsFrom sets where rows begin, ld elements apart.
func (c loopsNEON) rowsFrom(rows int, base, ld string) (from []neon.R) {
	const distance neon.R = 3
	from = []neon.R{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22}[:rows]
	c.Load(base, from[0])
	c.Load(ld, distance)
	for r := 1; r < rows; r++ {
		c.ADDShift(distance, 2, from[r-1], from[r])
	}
	return from
}

func (c loopsNEON) copyPanels(rows int) {
	c.begin(fmt.Sprintf("copyPanels%dxNEON", rows), "copies rows of n blocks of 16 to panels; see kernel.copyPanels.", "func(n int, dst, src *float32, panel, ld int)")
	c.Load("dst", loopX)
	c.Load("panel", loopY)
	from := c.rowsFrom(rows, "src", "ld")
	c.Label("block")
	for r, p := range from {
		for i := range neon.V(2) {
			c.FLDPQ(neon.Mem{Base: p, Off: 32 * int(i)}, 2*i, 2*i+1)
			c.FSTPQ(2*i, 2*i+1, neon.Mem{Base: loopX, Off: 64*r + 32*int(i)})
		}
		if r > 0 { // end moves the first
			c.ADD(neon.Imm(64), p, p)
		}
	}
	c.ADDShift(loopY, 2, loopX, loopX)
	c.end(from[0])
	c.RET()
}

func (c loopsNEON) add() {
	c.begin("addNEON", "sets dst += x, n blocks of 16; see kernel.add.", "func(n int, dst, x *float32)")
	c.Load("dst", loopX)
	c.Load("x", loopY)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: loopY, Off: off}, 1)
		c.VFADD(1, 0, 0)
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.end(loopX, loopY)
	c.RET()
}

func (c loopsNEON) addRows(rows int) {
	c.begin(fmt.Sprintf("addRows%dxNEON", rows), "adds products of rows and numbers, n blocks of 16; see kernel.addRows.", "func(n int, y, x, b *float32, ldb int)")
	c.Load("y", loopX)
	c.Load("x", loopY)
	from := c.rowsFrom(rows, "b", "ldb")
	const factors, sums, row neon.V = 0, 16, 20
	if rows == 1 {
		c.FMOVS(neon.Mem{Base: loopY}, factors)
	} else {
		c.FLDPQ(neon.Mem{Base: loopY}, factors, factors+1)
	}
	c.Label("block")
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopX, Off: 32 * int(i)}, sums+2*i, sums+2*i+1)
	}
	for r, p := range from {
		for i := range neon.V(2) {
			c.FLDPQ(neon.Mem{Base: p, Off: 32 * int(i)}, row+2*i, row+2*i+1)
		}
		for j := range neon.V(4) {
			c.VFMLAElem(factors+neon.V(r/4), r%4, row+j, sums+j)
		}
		if r > 0 { // end moves the first
			c.ADD(neon.Imm(64), p, p)
		}
	}
	for i := range neon.V(2) {
		c.FSTPQ(sums+2*i, sums+2*i+1, neon.Mem{Base: loopX, Off: 32 * int(i)})
	}
	c.end(loopX, from[0])
	c.RET()
}

func (c loopsNEON) addDots() {
	c.begin("addDotsNEON", "adds products of 16 rows and x, n blocks of 16; see kernel.addDots.", "func(n int, y, x, b *float32, ldb int)")
	c.Load("y", loopX)
	c.Load("x", loopY)
	from := c.rowsFrom(16, "b", "ldb")
	const sums, factors, even, odd neon.V = 0, 4, 8, 16 // 4 rows of even and of odd fours of taps, and what transposes them
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopX, Off: 32 * int(i)}, sums+2*i, sums+2*i+1)
	}
	c.Label("block")
	for i := range neon.V(2) {
		c.FLDPQ(neon.Mem{Base: loopY, Off: 32 * int(i)}, factors+2*i, factors+2*i+1)
	}
	for half := range neon.V(2) {
		for i := range neon.V(4) { // a sum's lanes are rows
			for j := range neon.V(4) {
				c.FLDPQ(neon.Mem{Base: from[4*i+j], Off: 32 * int(half)}, even+j, odd+j)
			}
			for four, r := range []neon.V{even, odd} {
				transpose4x4NEON(c.Context, r)
				for tap := range 4 {
					c.VFMLAElem(factors+2*half+neon.V(four), tap, r+neon.V(tap), sums+i)
				}
			}
		}
	}
	for _, p := range from[1:] { // end moves the first
		c.ADD(neon.Imm(64), p, p)
	}
	c.end(loopY, from[0])
	for i := range neon.V(2) {
		c.FSTPQ(sums+2*i, sums+2*i+1, neon.Mem{Base: loopX, Off: 32 * int(i)})
	}
	c.RET()
}

func (c loopsNEON) reluGrad() {
	c.begin("reluGradNEON", "zeroes dx where x ≤ 0, n blocks of 16; see kernel.reluGrad.", "func(n int, dx, x *float32)")
	c.Load("dx", loopX)
	c.Load("x", loopY)
	c.Zero(2)
	c.Label("block")
	for off := 0; off < 64; off += 16 {
		c.FMOVQ(neon.Mem{Base: loopX, Off: off}, 0)
		c.FMOVQ(neon.Mem{Base: loopY, Off: off}, 1)
		c.VFCMLEZero(1, 1)
		c.VBIT(1, 2, 0)
		c.FMOVQStore(0, neon.Mem{Base: loopX, Off: off})
	}
	c.end(loopX, loopY)
	c.RET()
}

func (c loopsNEON) sumPixels() {
	c.begin("sumPixelsNEON", "adds up n pixels of 16 channels; see kernel.sumPixels.", "func(n int, sum, x *float32)")
	c.Load("sum", loopX)
	c.Load("x", loopY)
	for v := range neon.V(4) {
		c.Zero(v)
	}
	c.Label("block")
	for v := range neon.V(4) {
		c.FMOVQ(neon.Mem{Base: loopY, Off: 16 * int(v)}, 4+v)
		c.VFADD(4+v, v, v)
	}
	c.end(loopY)
	for v := range neon.V(4) {
		c.FMOVQStore(v, neon.Mem{Base: loopX, Off: 16 * int(v)})
	}
	c.RET()
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
	c.end(loopX, loopY, loopZ)
	c.RET()
}

func (c loopsNEON) sgdProduct(rows int) {
	c.begin(fmt.Sprintf("sgdProduct%dxNEON", rows), "takes a step of gradient descent along a product, n blocks of 16; see kernel.sgdProduct.",
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
	c.end(loopX, loopY, loopZ)
	c.RET()
}

// dotsNEON emits the products of rows of W and 8 vectors. See dots.
func dotsNEON(c *neon.Context) {
	c.Function("dotsNEON")
	c.Doc("dotsNEON multiplies rows of a matrix and 8 vectors, n blocks of 16; see kernel.dots.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, sums, w, x *float32, ldw int)")
	const n, sums, x, ldw neon.R = 0, 1, 2, 3
	w := [dotRows]neon.R{4, 5, 6}
	c.Load("n", n)
	c.Load("sums", sums)
	c.Load("w", w[0])
	c.Load("x", x)
	c.Load("ldw", ldw)
	for r := 1; r < len(w); r++ {
		c.ADDShift(ldw, 2, w[r-1], w[r])
	}
	vw, vx := neon.V(len(w)*dotVectors), neon.V(len(w)*(dotVectors+1))
	for v := range vw {
		c.Zero(v)
	}
	c.Label("block")
	for _, p := range w {
		c.PRFM(neon.Mem{Base: p, Off: dotsAhead}, "PLDL1KEEP")
	}
	for off := 0; off < 64; off += 16 {
		for r, p := range w {
			c.FMOVQ(neon.Mem{Base: p, Off: off}, vw+neon.V(r))
		}
		for p := range neon.V(dotVectors) {
			v := vx + p%2
			c.FMOVQ(neon.Mem{Base: x, Off: 64*int(p) + off}, v)
			for r := range neon.V(len(w)) {
				c.VFMLA(vw+r, v, r*dotVectors+p)
			}
		}
	}
	for _, p := range w {
		c.ADD(neon.Imm(64), p, p)
	}
	c.ADD(neon.Imm(64*dotVectors), x, x)
	c.SUBS(neon.Imm(1), n, n)
	c.Branch("BNE", "block")
	for v := neon.V(0); v < vw; v += 4 {
		halves := func(a, b, to neon.V) { // adds the halves of a and b, pair by pair
			c.VZIP1(b, a, vw)
			c.VZIP2(b, a, vx)
			c.VFADD(vx, vw, to)
		}
		halves(v, v+2, v)
		halves(v+1, v+3, v+1)
		halves(v, v+1, v)
		c.FMOVQStore(v, neon.Mem{Base: sums, Off: 4 * int(v)})
	}
	c.RET()
}

// peakNEON emits a loop of nothing but independent multiply-adds.
func peakNEON(c *neon.Context) {
	c.Function("fmaNEON")
	c.Doc("fmaNEON does n times 24 multiply-adds of whole vectors.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int)")
	c.Load("n", 0)
	for v := range neon.V(26) {
		c.Zero(v)
	}
	c.Align(16)
	c.Label("loop")
	for v := range neon.V(24) {
		c.VFMLA(24, 25, v)
	}
	c.SUBS(neon.Imm(1), 0, 0)
	c.Branch("BNE", "loop")
	c.RET()
}
