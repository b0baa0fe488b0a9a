package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// level1fKernels emits the fused vector operations. n counts blocks of 16 floats.
func level1fKernels(c *build.Context) {
	for _, isa := range vecISAs {
		axpyf(c, isa, 1)
		axpyf(c, isa, 8)
		dotxf(c, isa)
		dots(c, isa)
	}
}

// axpyf emits y += Σ x[r]·a[r] for 1 or 8 rows. The rows are read by instructions of
// their own, in which the processor sees streams: it fetches them itself. Its Go form is
// axpyfGeneric.
func axpyf(c *build.Context, isa vecISA, rows int) {
	n, y, x, from, step := beginFused(c, isa, fmt.Sprint("axpyf", rows), "adds multiples of rows, n blocks of 16; see kernel.axpyf.", rows)
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
	next(c, n, "block", y)
	c.VZEROUPPER()
	c.RET()
}

// beginFused begins axpyf or dotxf, which read so many rows side by side.
func beginFused(c *build.Context, isa vecISA, name, doc string, rows int) (n, y, x reg.Register, from []Mem, step func(bytes int)) {
	n = begin(c, isa, name, doc, "func(n int, y, x, a *float32, lda int)")
	y = c.Load(c.Param("y"), reg.RDI)
	x = c.Load(c.Param("x"), reg.RSI)
	from, step = rowsFrom(c, c.Load(c.Param("a"), reg.RDX), c.Load(c.Param("lda"), reg.R8), rows)
	return n, y, x, from, step
}

// dotxf emits y += A·x for 16 rows of A. It transposes 4×4 blocks of A in registers, so that
// each sum is one lane and one chain. With AVX2 the elements of a cache line of 8 rows come
// before those of the other 8, because 16 lines may share a set, which has 8 ways. Its Go
// form is dotxfGeneric.
func dotxf(c *build.Context, isa vecISA) {
	n, y, x, from, step := beginFused(c, isa, "dotxf", "adds the dot products of 16 rows and x, n blocks of 16; see kernel.dotxf.", 16)
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
	next(c, n, "block", x)
	for i, sum := range sums {
		c.VMOVUPS(sum, Mem{Base: y, Disp: 4 * isa.lanes * i})
	}
	c.VZEROUPPER()
	c.RET()
}

// dots multiplies dotMR rows of W and dotNR vectors of X.
const (
	dotMR = 3
	dotNR = 8
)

// dotsAhead is how many bytes ahead of its use a row of W is fetched.
const dotsAhead = 512

// dots emits the products of rows of W and 8 vectors. Its Go form is dotsGeneric.
func dots(c *build.Context, isa vecISA) {
	n := begin(c, isa, "dots", "multiplies rows of a matrix and 8 vectors, n blocks of 16; see kernel.dots.", "func(n int, sums, w, x *float32, ldw int)")
	sums := c.Load(c.Param("sums"), reg.RAX)
	w := c.Load(c.Param("w"), reg.RDI)
	x := c.Load(c.Param("x"), reg.RSI)
	ldw := c.Load(c.Param("ldw"), reg.RDX)
	// AVX2 has registers for the sums of half of the vectors: it reads W twice.
	vectors := dotNR * min(isa.lanes, 16) / 16
	acc, vw, vx := isa.regs[:dotMR*vectors], isa.regs[dotMR*vectors:][:dotMR], isa.regs[dotMR*(vectors+1)]
	c.SHLQ(Imm(2), ldw)
	for first := 0; first < dotNR; first += vectors {
		for _, a := range acc {
			zero(c, a)
		}
		at, from, left := reg.R8, reg.R9, reg.R10
		c.MOVQ(w, at)
		c.LEAQ(Mem{Base: x, Disp: 64 * first}, from)
		c.MOVQ(n, left)
		label := fmt.Sprintf("block%d", first)
		c.Label(label)
		for r := range dotMR {
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
		c.ADDQ(U32(64*dotNR), from)
		c.DECQ(left)
		c.JNZ(LabelRef(label))
		for i := 0; i < len(acc); i += 4 {
			addLanes(c, isa, acc[i:i+4], vw[0], vx)
			c.VMOVUPS(acc[i].AsX(), Mem{Base: sums, Disp: 4 * (i/vectors*dotNR + first + i%vectors)})
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
