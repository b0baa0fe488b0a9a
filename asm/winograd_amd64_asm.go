package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/nonet-go/nonet/internal/bilinear"
)

// winogradTransforms emits the input and output transforms of F(2×2,3×3) and
// F(4×4,3×3). Each two-dimensional transform is the one-dimensional program of
// package bilinear applied to the rows of a tile and then to its columns, on 16
// channels at a time.
func winogradTransforms(c *build.Context) {
	for _, isa := range vecISAs {
		for _, m := range []int{2, 4} {
			alg := bilinear.New(m)
			t := &transform{c: c, isa: isa, alg: alg}
			t.input()
			t.filter()
			if m == 4 {
				t.gradient()
				t.filterGradient()
			}
			for _, e := range []epilogue{{"", false, false}, {"ReLU", true, false}, {"Pool", true, true}} {
				t.output(e)
			}
		}
	}
}

type epilogue struct {
	name       string
	relu, pool bool
}

type transform struct {
	c    *build.Context
	isa  vecISA
	alg  bilinear.Algorithm
	free []reg.VecPhysical // registers that hold nothing
}

func (t *transform) take() reg.VecPhysical {
	if len(t.free) == 0 {
		panic("winograd: out of vector registers")
	}
	r := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	return r
}

func (t *transform) put(r reg.VecPhysical) { t.free = append(t.free, r) }

// input emits the transform V = Bᵀ·d·B of a run of tiles in one row.
func (t *transform) input() {
	a := t.alg.Alpha
	name := fmt.Sprintf("input%dx%d%s", t.alg.M, t.alg.M, t.isa.suffix)
	t.c.Function(name)
	t.c.Doc(fmt.Sprintf("%s sets V = Bᵀ·d·B for tiles of %d×%d pixels and 16 channels; see transforms.input.", name, a, a))
	t.expand(t.alg.BT)
}

// gradient emits the transform D = A·dY·Aᵀ of a run of tiles in one row.
func (t *transform) gradient() {
	m := t.alg.M
	name := fmt.Sprintf("gradient%dx%d%s", m, m, t.isa.suffix)
	t.c.Function(name)
	t.c.Doc(fmt.Sprintf("%s sets D = A·dY·Aᵀ for tiles of %d×%d outputs and 16 channels; see transforms.gradient.", name, m, m))
	t.expand(t.alg.AT.Transpose())
}

// filterGradient emits dW = Gᵀ·M·G for 16 output channels. G is rounded to
// float32: its entries are no short binary fractions.
func (t *transform) filterGradient() {
	c, a := t.c, t.alg.Alpha
	name := fmt.Sprintf("filterGradient%dx%d%s", t.alg.M, t.alg.M, t.isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets dW = Gᵀ·M·G for 16 filters of 3×3; see transforms.filterGradient.", name))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src *float32, xi int)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	src := c.Load(c.Param("src"), reg.RSI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	c.SHLQ(Imm(2), xi)
	v := t.strides(xi, a, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12)
	g := t.alg.G.Float64()
	from, to := reg.RAX, reg.R13
	for half := 0; half < 16/t.isa.lanes; half++ {
		off := 4 * t.isa.lanes * half
		t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
		// sums sets out[r] = Σ_i G[i][r]·in[i].
		sums := func(in func(i int) Mem, out func(r int, v reg.VecPhysical)) {
			acc := []reg.VecPhysical{t.take(), t.take(), t.take()}
			x := t.take()
			for _, r := range acc {
				zero(c, r)
			}
			for i := range a {
				c.VMOVUPS(in(i), x)
				for r, d := range acc {
					if k := float32(g[i][r]); k != 0 {
						t.fma(k, x, d, d)
					}
				}
			}
			for r, d := range acc {
				out(r, d)
				t.put(d)
			}
			t.put(x)
		}
		c.Comment("Columns: t = Gᵀ·M, into the first three rows of M")
		c.MOVQ(src, from)
		for j := range a {
			sums(func(i int) Mem { return v.column(from, i, off) }, func(r int, d reg.VecPhysical) { c.VMOVUPS(d, v.column(from, r, off)) })
			if j < a-1 {
				c.ADDQ(xi, from)
			}
		}
		c.Comment("Rows: dW = t·G")
		c.MOVQ(src, from)
		c.MOVQ(dst, to)
		for row := range 3 {
			sums(func(i int) Mem { return v.row(from, i, off) }, func(r int, d reg.VecPhysical) { c.VMOVUPS(d, Mem{Base: to, Disp: 64*(3*row+r) + off}) })
			if row < 2 {
				c.ADDQ(v.whole, from)
			}
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// filter emits U = G·w·Gᵀ for 16 filters, in float64: each element is rounded
// once. The elements of one row of U are written side by side in time, whole
// lines of them: rows lie far apart, and in the same sets of the cache.
func (t *transform) filter() {
	c, a := t.c, t.alg.Alpha
	name := fmt.Sprintf("filter%dx%d%s", t.alg.M, t.alg.M, t.isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets U = G·w·Gᵀ for 16 filters of 3×3; see transforms.filter.", name))
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, xi int, src *float32)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	src := c.Load(c.Param("src"), reg.RSI)
	c.SHLQ(Imm(2), xi)
	lanes := t.isa.lanes / 2 // of float64
	g := t.alg.G.Float64()
	to := reg.RAX
	t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
	convert := func(tap, part int, x reg.VecPhysical) reg.VecPhysical {
		c.VCVTPS2PD(Mem{Base: src, Disp: 64*tap + 4*lanes*part}, x)
		return x
	}
	// tap returns w in float64: where there are registers for all of it, they hold it.
	var held [2][9]reg.VecPhysical
	tap := func(tap, part int, x reg.VecPhysical) reg.VecPhysical { return convert(tap, part, x) }
	if lanes == 8 {
		for part := range held {
			for i := range held[part] {
				held[part][i] = convert(i, part, t.take())
			}
		}
		tap = func(tap, part int, _ reg.VecPhysical) reg.VecPhysical { return held[part][tap] }
	}
	// multiply emits rows i of U for the parts from first to last, which fill a store.
	multiply := func(i, first, last int) {
		x, sums := t.take(), []reg.VecPhysical{t.take()}
		var rows [][]reg.VecPhysical
		for part := first; part <= last; part++ {
			var row []reg.VecPhysical
			for j := range bilinear.R {
				sum := t.take()
				t.dot(g[i], sum, func(r int) reg.VecPhysical { return tap(3*r+j, part, x) })
				row = append(row, sum)
			}
			rows = append(rows, row)
		}
		if last > first {
			sums = append(sums, x)
		}
		c.MOVQ(dst, to)
		for j := range a {
			for p, row := range rows {
				t.dot(g[j], sums[p], func(r int) reg.VecPhysical { return row[r] })
			}
			if lanes == 8 {
				// Past the caches: other lines are packed before this one is read. What
				// publishes U to another core is a locked instruction, and waits for it.
				c.VCVTPD2PS(sums[0], sums[0].AsY())
				c.VCVTPD2PS(sums[1], sums[1].AsY())
				c.VINSERTF64X4(Imm(1), sums[1].AsY(), sums[0], sums[0])
				c.VMOVNTPS(sums[0], Mem{Base: to})
			} else {
				c.VCVTPD2PSY(sums[0], sums[0].AsX())
				c.VMOVUPS(sums[0].AsX(), Mem{Base: to, Disp: 4 * lanes * first})
			}
			if j < a-1 {
				c.ADDQ(xi, to)
			}
		}
		for _, row := range rows {
			for _, r := range row {
				t.put(r)
			}
		}
		t.put(x)
		t.put(sums[0])
	}
	for i := range a {
		c.Comment(fmt.Sprintf("Row %d: t = G[%d]·w, U[%d] = t·Gᵀ", i, i, i))
		if lanes == 8 {
			multiply(i, 0, 1)
		} else {
			for part := range 16 / lanes {
				multiply(i, part, part)
			}
		}
		if i < a-1 {
			c.LEAQ(Mem{Base: to, Index: xi, Scale: 1}, dst)
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// dot sets sum = Σ_r k[r]·x(r) in float64.
func (t *transform) dot(k []float64, sum reg.VecPhysical, x func(r int) reg.VecPhysical) {
	c, first := t.c, true
	for r, v := range k {
		if v == 0 {
			continue
		}
		from := x(r)
		m := static64(c, v, t.isa.lanes/2)
		switch {
		case first:
			c.VMULPD(m, from, sum)
		default:
			c.VFMADD231PD(m, from, sum)
		}
		first = false
	}
}

// expand emits V = X·d·Xᵀ, where X has alpha rows.
//
//	tiles   number of tiles, at least 1
//	dst     V of the first tile
//	xi      floats between V's elements of one tile
//	step    floats between tiles of V
//	src     the first tile's pixel (0, 0); the next tile's is m pixels on
//	row     floats between rows of pixels
func (t *transform) expand(x bilinear.Matrix) {
	c, a, n := t.c, t.alg.Alpha, len(x[0])
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, xi, step int, src *float32, row int)")
	tiles := c.Load(c.Param("tiles"), reg.RCX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	step := c.Load(c.Param("step"), reg.R14)
	src := c.Load(c.Param("src"), reg.RSI)
	row := c.Load(c.Param("row"), reg.RBX)
	c.SHLQ(Imm(2), xi)
	c.SHLQ(Imm(2), step)
	c.SHLQ(Imm(2), row)
	v := t.strides(xi, a, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12)

	c.Label("tile")
	at := reg.RAX // walks over the rows of pixels
	to := reg.R13 // walks over the rows of V
	for half := 0; half < 16/t.isa.lanes; half++ {
		off := 4 * t.isa.lanes * half
		t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
		// The rows that fit stay in registers between the two passes, the
		// others wait where their results will stand.
		held := max(0, min(n, (len(t.free)-2*a)/a))
		tile := make([][]reg.VecPhysical, n)
		c.Comment("Rows: t[i] = X·d[i]")
		c.MOVQ(src, at)
		c.MOVQ(dst, to)
		prog := bilinear.Compile(x)
		for i := range n {
			in := make([]reg.VecPhysical, n)
			for j := range in {
				in[j] = t.take()
				c.VMOVUPS(Mem{Base: at, Disp: 64*j + off}, in[j])
			}
			if half == 0 {
				// The tile after the next: input lines come from far away.
				for j := range t.alg.M {
					c.PREFETCHT0(Mem{Base: at, Disp: 64 * (2*t.alg.M + j)})
				}
			}
			out := t.emit(prog, in)
			if i >= n-held {
				tile[i] = out
			} else {
				for j, r := range out {
					c.VMOVUPS(r, v.row(to, j, off))
					t.put(r)
				}
			}
			if i < n-1 {
				c.ADDQ(row, at)
				c.ADDQ(v.whole, to)
			}
		}
		c.Comment("Columns: V[.][j] = X·t[.][j]")
		c.MOVQ(dst, to)
		for j := range a {
			in := make([]reg.VecPhysical, n)
			for i := range in {
				if tile[i] != nil {
					in[i] = tile[i][j]
					continue
				}
				in[i] = t.take()
				c.VMOVUPS(v.column(to, i, off), in[i])
			}
			for i, r := range t.emit(prog, in) {
				c.VMOVUPS(r, v.column(to, i, off))
				t.put(r)
			}
			if j < a-1 {
				c.ADDQ(xi, to)
			}
		}
	}
	c.ADDQ(U32(uint32(64*t.alg.M)), src)
	c.ADDQ(step, dst)
	c.DECQ(tiles)
	c.JNZ(LabelRef("tile"))
	c.VZEROUPPER()
	c.RET()
}

// strides holds the registers that address the elements of a transformed tile,
// which lie a constant number of bytes apart: unit, and whole = alpha·unit
// between rows.
type strides struct {
	unit, unit3, unit5    reg.Register
	whole, whole3, whole5 reg.Register
}

func (t *transform) strides(unit reg.Register, alpha int, unit3, unit5, whole, whole3, whole5 reg.GPPhysical) strides {
	c := t.c
	c.LEAQ(Mem{Base: unit, Index: unit, Scale: 2}, unit3)
	c.LEAQ(Mem{Base: unit, Index: unit, Scale: 4}, unit5)
	c.LEAQ(Mem{Base: unit3, Index: unit3, Scale: 1}, whole) // 6
	if alpha == 4 {
		c.MOVQ(unit, whole)
		c.SHLQ(Imm(2), whole)
	}
	c.LEAQ(Mem{Base: whole, Index: whole, Scale: 2}, whole3)
	c.LEAQ(Mem{Base: whole, Index: whole, Scale: 4}, whole5)
	return strides{unit, unit3, unit5, whole, whole3, whole5}
}

// row addresses element j of the row at base.
func (s strides) row(base reg.Register, j, disp int) Mem {
	return scaled(base, s.unit, s.unit3, s.unit5, j, disp)
}

// column addresses element i of the column at base.
func (s strides) column(base reg.Register, i, disp int) Mem {
	return scaled(base, s.whole, s.whole3, s.whole5, i, disp)
}

// output emits Y = Aᵀ·M·A and the epilogue for a run of tiles in one row.
//
//	tiles   number of tiles, at least 1
//	dst     the first tile's output pixel (0, 0); the next tile's follows
//	row     floats between rows of output pixels
//	src     M of the first tile; overwritten
//	xi      floats between M's elements of one tile
//	step    floats between tiles of M
//	bias    16 floats, none of them −0
func (t *transform) output(e epilogue) {
	c, a, m := t.c, t.alg.Alpha, t.alg.M
	name := fmt.Sprintf("output%dx%d%s%s", m, m, e.name, t.isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets Y = Aᵀ·M·A + bias for tiles of %d×%d outputs and 16 channels; see transforms.output.", name, m, m))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, row int, src *float32, xi int, step int, bias *float32)")
	tiles := c.Load(c.Param("tiles"), reg.RCX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	row := c.Load(c.Param("row"), reg.RBX)
	src := c.Load(c.Param("src"), reg.RSI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	c.SHLQ(Imm(2), xi)
	c.SHLQ(Imm(2), row)
	v := t.strides(xi, a, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12)
	prog := bilinear.Compile(t.alg.AT)

	c.Label("tile")
	from := reg.R13
	bias := reg.RAX
	for half := 0; half < 16/t.isa.lanes; half++ {
		off := 4 * t.isa.lanes * half
		t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
		held := max(0, min(a, (len(t.free)-a-2)/m))
		if t.isa.lanes == 8 {
			held = 0
		}
		tile := make([][]reg.VecPhysical, a)
		c.Comment("Rows: t[i] = Aᵀ·M[i]")
		c.MOVQ(src, from)
		for i := range a {
			in := make([]reg.VecPhysical, a)
			for j := range in {
				in[j] = t.take()
				c.VMOVUPS(v.row(from, j, off), in[j])
			}
			out := t.emit(prog, in)
			if i < held {
				tile[i] = out
			} else {
				for j, r := range out {
					c.VMOVUPS(r, v.row(from, j, off))
					t.put(r)
				}
			}
			if i < a-1 {
				c.ADDQ(v.whole, from)
			}
		}
		c.Comment("Columns: Y[.][j] = Aᵀ·t[.][j]")
		c.MOVQ(src, from)
		c.Load(c.Param("bias"), bias)
		var left []reg.VecPhysical // maxima of the pool's left column
		for j := range m {
			in := make([]reg.VecPhysical, a)
			for i := range in {
				if tile[i] != nil {
					in[i] = tile[i][j]
					continue
				}
				in[i] = t.take()
				c.VMOVUPS(v.column(from, i, off), in[i])
			}
			out := t.emit(prog, in)
			left = t.finishColumn(e, out, left, j, Mem{Base: bias, Disp: off}, func(r reg.VecPhysical, i, column int) {
				t.store(r, dst, row, i, 64*column+off)
			})
			if j < m-1 {
				c.ADDQ(xi, from)
			}
		}
	}
	side := m
	if e.pool {
		side = m / 2
	}
	c.ADDQ(U32(uint32(64*side)), dst)
	c.Load(c.Param("step"), bias)
	c.LEAQ(Mem{Base: src, Index: bias, Scale: 4}, src)
	c.DECQ(tiles)
	c.JNZ(LabelRef("tile"))
	c.VZEROUPPER()
	c.RET()
}

// finishColumn adds the bias to column j of a tile's outputs, applies the epilogue and stores
// what is complete. It returns the maxima of a pool's left column, which are left for the
// column after it.
func (t *transform) finishColumn(e epilogue, out, left []reg.VecPhysical, j int, bias Mem, store func(r reg.VecPhysical, i, column int)) []reg.VecPhysical {
	for _, r := range out {
		t.c.VADDPS(bias, r, r)
		if e.relu {
			t.relu(r)
		}
	}
	switch {
	case !e.pool:
		for i, r := range out {
			store(r, i, j)
		}
	case j%2 == 0:
		return t.rowMaxima(out)
	default:
		for i, r := range t.rowMaxima(out) {
			t.c.VPMAXUD(left[i], r, r)
			t.put(left[i])
			store(r, i, j/2)
		}
	}
	return nil
}

// relu sets r = max(r, 0) and keeps a NaN: MAXPS returns its last source when
// either is one.
func (t *transform) relu(r reg.VecPhysical) {
	z := t.take()
	zero(t.c, z)
	t.c.VMAXPS(r, z, r)
	t.put(z)
}

// rowMaxima replaces each two outputs of a column by their maximum. After the
// ReLU no value is negative or −0, so floats are ordered as unsigned integers,
// with a NaN above everything: the maximum of integers lets a NaN through from
// either side, which MAXPS does not.
func (t *transform) rowMaxima(y []reg.VecPhysical) []reg.VecPhysical {
	for i := 0; i < len(y); i += 2 {
		t.c.VPMAXUD(y[i+1], y[i], y[i])
		t.put(y[i+1])
		y[i/2] = y[i]
	}
	return y[:len(y)/2]
}

// store writes r to row i of the output tile and frees it.
func (t *transform) store(r reg.VecPhysical, dst, row reg.Register, i, disp int) {
	at := Mem{Base: dst, Disp: disp}
	switch i {
	case 1, 2:
		at.Index, at.Scale = row, uint8(i)
	case 3:
		t.c.LEAQ(Mem{Base: row, Index: row, Scale: 2}, reg.R14)
		at.Index, at.Scale = reg.R14, 1
	}
	t.c.VMOVUPS(r, at)
	t.put(r)
}

// emit prints a program. It owns the registers of in, and the caller owns those
// that it returns.
func (t *transform) emit(p bilinear.Program, in []reg.VecPhysical) []reg.VecPhysical {
	c := t.c
	val := append([]reg.VecPhysical(nil), in...)
	last := p.LastUse()
	for i, op := range p.Ops {
		x, y := val[op.X], val[op.Y]
		xDies, yDies := last[op.X] == i, last[op.Y] == i
		var d reg.VecPhysical
		switch {
		case xDies:
			d = x
		case op.Kind != bilinear.Mul && yDies:
			d = y
		default:
			d = t.take()
		}
		switch op.Kind {
		case bilinear.Add:
			c.VADDPS(y, x, d)
		case bilinear.Sub:
			c.VSUBPS(y, x, d)
		case bilinear.Mul:
			t.constant(op.C, func(k Op, bcst bool) {
				if bcst {
					c.VMULPS_BCST(k, x, d)
				} else {
					c.VMULPS(k, x, d)
				}
			})
		case bilinear.FMA:
			t.fma(op.C, x, y, d)
		}
		if op.Kind != bilinear.Mul && xDies && yDies && y != x {
			t.put(y)
		}
		val = append(val, d)
	}
	for v, l := range last {
		if l < 0 {
			t.put(val[v])
		}
	}
	out := make([]reg.VecPhysical, len(p.Outputs))
	for i, v := range p.Outputs {
		out[i] = val[v]
	}
	return out
}

// fma sets d = k·x + y, where d is x, y or neither.
func (t *transform) fma(k float32, x, y, d reg.VecPhysical) {
	c := t.c
	if d != x && d != y {
		c.VMOVAPS(y, d)
	}
	abs := max(k, -k)
	t.constant(abs, func(m Op, bcst bool) {
		switch {
		case d == x && k > 0 && bcst: // d = d·m + y
			c.VFMADD132PS_BCST(m, y, d)
		case d == x && k > 0:
			c.VFMADD132PS(m, y, d)
		case d == x && bcst:
			c.VFNMADD132PS_BCST(m, y, d)
		case d == x:
			c.VFNMADD132PS(m, y, d)
		case k > 0 && bcst: // d += x·m
			c.VFMADD231PS_BCST(m, x, d)
		case k > 0:
			c.VFMADD231PS(m, x, d)
		case bcst:
			c.VFNMADD231PS_BCST(m, x, d)
		default:
			c.VFNMADD231PS(m, x, d)
		}
	})
}

// constant gives use an operand for the multiplier k: one float to broadcast on
// AVX-512, a whole vector on AVX2.
func (t *transform) constant(k float32, use func(m Op, broadcast bool)) {
	n := 1
	if t.isa.lanes == 8 {
		n = 8
	}
	name := fmt.Sprintf("k%dx%08x", n, bits(k))
	use(static(t.c, name, k, n), n == 1)
}
