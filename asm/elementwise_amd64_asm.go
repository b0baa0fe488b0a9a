package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// elementwiseKernels emits the loops that are bound by memory. n counts blocks of 16
// floats.
func elementwiseKernels(c *build.Context) {
	for _, isa := range vecISAs {
		relu(c, isa)
		copyRows(c, isa)
		copyPanels(c, isa, 1)
		copyPanels(c, isa, 8)
		add(c, isa)
		addRows(c, isa, 1)
		addRows(c, isa, 8)
		addDots(c, isa)
		reluGrad(c, isa)
		sumPixels(c, isa)
		sgdStep(c, isa)
		sgdProduct(c, isa, 1)
		sgdProduct(c, isa, 4)
		dots(c, isa)
	}
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

// relu emits x = max(x, 0), where NaN stays NaN. Its Go form is reluGeneric.
func relu(c *build.Context, isa vecISA) {
	c.Function("relu" + isa.suffix)
	c.Doc("relu" + isa.suffix + " sets x = max(x, 0), n blocks of 16; see kernel.relu.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, x *float32)")
	n := c.Load(c.Param("n"), reg.RCX)
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	zero(c, r[0])
	c.Label("block")
	isa.each(func(off int) {
		// The maximum returns its second source, memory, if that is a NaN.
		c.VMAXPS(Mem{Base: x, Disp: off}, r[0], r[1])
		c.VMOVUPS(r[1], Mem{Base: x, Disp: off})
	})
	c.ADDQ(Imm(64), x)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// copyRows emits the copy of rows of n blocks. Its Go form is copyRowsGeneric.
func copyRows(c *build.Context, isa vecISA) {
	c.Function("copyRows" + isa.suffix)
	c.Doc("copyRows" + isa.suffix + " copies rows of n blocks of 16; see kernel.copyRows.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)")
	n := c.Load(c.Param("n"), reg.RCX)
	rows := c.Load(c.Param("rows"), reg.RDX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	dstStride := c.Load(c.Param("dstStride"), reg.R8)
	srcStride := c.Load(c.Param("srcStride"), reg.R9)
	ahead := c.Load(c.Param("ahead"), reg.R10)
	left, to, from := reg.RAX, reg.R11, reg.R12
	c.Label("row")
	c.MOVQ(n, left)
	c.MOVQ(dst, to)
	c.MOVQ(src, from)
	c.Label("block")
	c.PREFETCHT1(Mem{Base: from, Index: ahead, Scale: 1})
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: from, Disp: off}, isa.regs[0])
		c.VMOVUPS(isa.regs[0], Mem{Base: to, Disp: off})
	})
	c.ADDQ(Imm(64), from)
	c.ADDQ(Imm(64), to)
	c.DECQ(left)
	c.JNZ(LabelRef("block"))
	c.ADDQ(srcStride, src)
	c.ADDQ(dstStride, dst)
	c.DECQ(rows)
	c.JNZ(LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// copyPanels emits the copy of 1 or 8 rows of n blocks to as many panels. As in addRows
// the processor sees streams. Its Go form is copyPanelsGeneric.
func copyPanels(c *build.Context, isa vecISA, rows int) {
	name := fmt.Sprintf("copyPanels%dx%s", rows, isa.suffix)
	c.Function(name)
	c.Doc(name + " copies rows of n blocks of 16 to panels; see kernel.copyPanels.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, dst, src *float32, panel, ld int)")
	n := c.Load(c.Param("n"), reg.RCX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	panel := c.Load(c.Param("panel"), reg.RDX)
	from, step := rowsFrom(c, src, c.Load(c.Param("ld"), reg.R8), rows)
	c.SHLQ(Imm(2), panel)
	c.Label("block")
	for r := range rows {
		isa.each(func(off int) {
			c.VMOVUPS(from[r].Offset(off), isa.regs[off/(4*isa.lanes)])
		})
		isa.each(func(off int) {
			c.VMOVUPS(isa.regs[off/(4*isa.lanes)], Mem{Base: dst, Disp: 64*r + off})
		})
	}
	step(64)
	c.ADDQ(panel, dst)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// rowsFrom returns the addresses of rows that are ld elements apart, and how to move them
// on. It takes R9 and, for every 4 rows after the first, a register from R10 on.
func rowsFrom(c *build.Context, base, ld reg.Register, rows int) (from []Mem, step func(bytes int)) {
	ld3 := reg.R9
	c.SHLQ(Imm(2), ld)
	c.LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	bases := []reg.Register{base, reg.R10, reg.R11, reg.R12}[:(rows+3)/4]
	for i, b := range bases {
		if i > 0 {
			c.LEAQ(Mem{Base: bases[i-1], Index: ld, Scale: 4}, b)
		}
		from = append(from, strided(b, ld, ld3, nil)[:4]...)
	}
	return from, func(bytes int) {
		for _, b := range bases {
			c.ADDQ(Imm(uint64(bytes)), b)
		}
	}
}

// add emits dst += x. Its Go form is addGeneric.
func add(c *build.Context, isa vecISA) {
	c.Function("add" + isa.suffix)
	c.Doc("add" + isa.suffix + " sets dst += x, n blocks of 16; see kernel.add.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, dst, x *float32)")
	n := c.Load(c.Param("n"), reg.RCX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	r := isa.regs
	c.Label("block")
	isa.each(func(off int) {
		c.VMOVUPS(Mem{Base: x, Disp: off}, r[0])
		c.VADDPS(Mem{Base: dst, Disp: off}, r[0], r[0])
		c.VMOVUPS(r[0], Mem{Base: dst, Disp: off})
	})
	c.ADDQ(Imm(64), dst)
	c.ADDQ(Imm(64), x)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// addRows emits y += Σ x[r]·b[r] for 1 or 8 rows. The rows are read by instructions of
// their own, in which the processor sees streams: it fetches them itself. Its Go form is
// addRowsGeneric.
func addRows(c *build.Context, isa vecISA, rows int) {
	name := fmt.Sprintf("addRows%dx%s", rows, isa.suffix)
	c.Function(name)
	c.Doc(name + " adds products of rows and numbers, n blocks of 16; see kernel.addRows.")
	n, y, x, from, step := addOperands(c, rows)
	factors, sums := isa.regs[:rows], isa.regs[rows:][:16/isa.lanes]
	for r, f := range factors {
		c.VBROADCASTSS(Mem{Base: x, Disp: 4 * r}, f)
	}
	c.Label("block")
	for v, sum := range sums {
		c.VMOVUPS(Mem{Base: y, Disp: 4 * isa.lanes * v}, sum)
	}
	for r, f := range factors {
		for v, sum := range sums {
			c.VFMADD231PS(from[r].Offset(4*isa.lanes*v), f, sum)
		}
	}
	for v, sum := range sums {
		c.VMOVUPS(sum, Mem{Base: y, Disp: 4 * isa.lanes * v})
	}
	step(64)
	c.ADDQ(Imm(64), y)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// addOperands begins addRows and addDots, which read so many rows side by side.
func addOperands(c *build.Context, rows int) (n, y, x reg.Register, from []Mem, step func(bytes int)) {
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, y, x, b *float32, ldb int)")
	n = c.Load(c.Param("n"), reg.RCX)
	y = c.Load(c.Param("y"), reg.RDI)
	x = c.Load(c.Param("x"), reg.RSI)
	from, step = rowsFrom(c, c.Load(c.Param("b"), reg.RDX), c.Load(c.Param("ldb"), reg.R8), rows)
	return n, y, x, from, step
}

// addDots emits y += b·x for 16 rows of b: 4×4 blocks of it are transposed on their way, so
// that each sum is a lane, and one chain. With AVX2 the taps of a cache line of 8 rows come
// before those of the other 8, because 16 lines may share a set, which has 8 ways. Its Go
// form is addDotsGeneric.
func addDots(c *build.Context, isa vecISA) {
	name := "addDots" + isa.suffix
	c.Function(name)
	c.Doc(name + " adds products of 16 rows and x, n blocks of 16; see kernel.addDots.")
	n, y, x, from, step := addOperands(c, 16)
	sums, r, pairs, factor := isa.regs[:16/isa.lanes], isa.regs[2:10], [4]reg.VecPhysical(isa.regs[10:]), isa.regs[14]
	for i, sum := range sums {
		c.VMOVUPS(Mem{Base: y, Disp: 4 * isa.lanes * i}, sum)
	}
	c.Label("block")
	for i, sum := range sums {
		rows := from[isa.lanes*i:][:isa.lanes]
		for half := 0; half < 64; half += 32 {
			c.Comment(fmt.Sprintf("Taps %d to %d of rows %d to %d", half/4, half/4+7, isa.lanes*i, isa.lanes*(i+1)-1))
			for j, v := range r { // 4 taps of every fourth row
				off := half + 16*(j/4)
				c.VMOVUPS(rows[j%4].Offset(off), v.AsX())
				for lane := 1; lane < isa.lanes/4; lane++ {
					isa.insertLane(c, lane, rows[j%4+4*lane].Offset(off), v)
				}
			}
			for four := range 2 {
				taps := [4]reg.VecPhysical(r[4*four:])
				transposeLanes(c, taps, pairs)
				for j, tap := range taps {
					c.VBROADCASTSS(Mem{Base: x, Disp: half + 16*four + 4*j}, factor)
					c.VFMADD231PS(tap, factor, sum)
				}
			}
		}
	}
	step(64)
	c.ADDQ(Imm(64), x)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	for i, sum := range sums {
		c.VMOVUPS(sum, Mem{Base: y, Disp: 4 * isa.lanes * i})
	}
	c.VZEROUPPER()
	c.RET()
}

// reluGrad emits dx = 0 where x ≤ 0. Its Go form is reluGradGeneric.
func reluGrad(c *build.Context, isa vecISA) {
	c.Function("reluGrad" + isa.suffix)
	c.Doc("reluGrad" + isa.suffix + " zeroes dx where x ≤ 0, n blocks of 16; see kernel.reluGrad.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, dx, x *float32)")
	n := c.Load(c.Param("n"), reg.RCX)
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
	c.ADDQ(Imm(64), dx)
	c.ADDQ(Imm(64), x)
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// sumPixels emits sum[l] = Σ x[p][l] over n pixels. Its Go form is
// sumPixelsGeneric.
func sumPixels(c *build.Context, isa vecISA) {
	c.Function("sumPixels" + isa.suffix)
	c.Doc("sumPixels" + isa.suffix + " adds up n pixels of 16 channels; see kernel.sumPixels.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, sum, x *float32)")
	n := c.Load(c.Param("n"), reg.RCX)
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
	c.ADDQ(Imm(64), x)
	c.DECQ(n)
	c.JNZ(LabelRef("pixel"))
	for v, a := range acc {
		c.VMOVUPS(a, Mem{Base: sum, Disp: 4 * isa.lanes * v})
	}
	c.VZEROUPPER()
	c.RET()
}

// sgdStep emits v = momentum·v + (g + decay·w), w −= rate·v. Its Go form is
// sgdGeneric.
func sgdStep(c *build.Context, isa vecISA) {
	c.Function("sgd" + isa.suffix)
	c.Doc("sgd" + isa.suffix + " takes a step of gradient descent with momentum, n blocks of 16; see kernel.sgd.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, w, v, grad *float32, rate, momentum, decay float32)")
	n := c.Load(c.Param("n"), reg.RCX)
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
	for _, p := range []reg.Register{w, v, g} {
		c.ADDQ(Imm(64), p)
	}
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
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
	name := fmt.Sprintf("sgdProduct%dx%s", rows, isa.suffix)
	c.Function(name)
	c.Doc(name + " takes a step of gradient descent along a product, n blocks of 16; see kernel.sgdProduct.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32)")
	n := c.Load(c.Param("n"), reg.RCX)
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
	for _, p := range []reg.Register{w, v, x} {
		c.ADDQ(Imm(64), p)
	}
	c.DECQ(n)
	c.JNZ(LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// dots multiplies dotRows rows of W and dotVectors vectors of X.
const (
	dotRows    = 3
	dotVectors = 8
)

// dotsAhead is how many bytes ahead of its use a row of W is fetched.
const dotsAhead = 512

// dots emits the products of rows of W and 8 vectors. Its Go form is dotsGeneric.
func dots(c *build.Context, isa vecISA) {
	c.Function("dots" + isa.suffix)
	c.Doc("dots" + isa.suffix + " multiplies rows of a matrix and 8 vectors, n blocks of 16; see kernel.dots.")
	c.Pragma("noescape")
	c.SignatureExpr("func(n int, sums, w, x *float32, ldw int)")
	n := c.Load(c.Param("n"), reg.RCX)
	sums := c.Load(c.Param("sums"), reg.RAX)
	w := c.Load(c.Param("w"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	ldw := c.Load(c.Param("ldw"), reg.RDX)
	// AVX2 has registers for the sums of half of the vectors: it reads W twice.
	vectors := dotVectors * min(isa.lanes, 16) / 16
	acc, vw, vx := isa.regs[:dotRows*vectors], isa.regs[dotRows*vectors:][:dotRows], isa.regs[dotRows*(vectors+1)]
	c.SHLQ(Imm(2), ldw)
	for first := 0; first < dotVectors; first += vectors {
		for _, a := range acc {
			zero(c, a)
		}
		at, from, left := reg.R8, reg.R9, reg.R10
		c.MOVQ(w, at)
		c.LEAQ(Mem{Base: x, Disp: 64 * first}, from)
		c.MOVQ(n, left)
		label := fmt.Sprintf("block%d", first)
		c.Label(label)
		for r := range dotRows {
			if first == 0 {
				c.PREFETCHT0(strided(at, ldw, nil, nil)[r].Offset(dotsAhead))
			}
		}
		isa.each(func(off int) {
			for r, v := range vw {
				c.VMOVUPS(strided(at, ldw, nil, nil)[r].Offset(off), v)
			}
			for p := range vectors {
				c.VMOVUPS(Mem{Base: from, Disp: 64*p + off}, vx)
				for r, v := range vw {
					c.VFMADD231PS(v, vx, acc[r*vectors+p])
				}
			}
		})
		c.ADDQ(Imm(64), at)
		c.ADDQ(U32(64*dotVectors), from)
		c.DECQ(left)
		c.JNZ(LabelRef(label))
		for i := 0; i < len(acc); i += 4 {
			addLanes(c, isa, acc[i:i+4], vw[0], vx)
			c.VMOVUPS(acc[i].AsX(), Mem{Base: sums, Disp: 4 * (i/vectors*dotVectors + first + i%vectors)})
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// addLanes adds up the lanes of each of four vectors: the sums stand in the first
// lanes of the first one. The others and two more registers are lost.
func addLanes(c *build.Context, isa vecISA, v []reg.VecPhysical, s, t reg.VecPhysical) {
	halves := func(a, b, to reg.VecPhysical) { // adds the halves of a and b, pair by pair
		c.VUNPCKLPS(b, a, s)
		c.VUNPCKHPS(b, a, t)
		c.VADDPS(t, s, to)
	}
	halves(v[0], v[2], v[0])
	halves(v[1], v[3], v[1])
	halves(v[0], v[1], v[0])
	if isa.lanes == 16 {
		c.VEXTRACTF64X4(Imm(1), v[0], s.AsY())
		c.VADDPS(s.AsY(), v[0].AsY(), v[0].AsY())
		c.VEXTRACTF32X4(Imm(1), v[0].AsY(), s.AsX())
	} else {
		c.VEXTRACTF128(Imm(1), v[0], s.AsX())
	}
	c.VADDPS(s.AsX(), v[0].AsX(), v[0].AsX())
}
