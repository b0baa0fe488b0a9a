package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/nonet-go/nonet/internal/bilinear"
)

// winogradFixed emits the transforms of F(4×4,3×3) in fixed point. Their programs are those of
// winogradTransforms.
func winogradFixed(c *build.Context) {
	for _, isa := range vecISAs {
		t := &transform{c: c, isa: isa, alg: bilinear.New(4)}
		t.magnitudes()
		t.extremes()
		t.fixedInput()
		for _, e := range []epilogue{{"", false, false}, {"ReLU", true, false}, {"Pool", true, true}} {
			t.fixedOutput(e)
		}
	}
}

// param returns where a parameter stands: what a function changes there, no register holds.
func param(c *build.Context, name string) Mem {
	p, err := c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// magnitudes emits the sums of magnitudes of stored filters. Without sign, −32768 has a
// magnitude as well.
func (t *transform) magnitudes() {
	c, vecs := t.c, 16/t.isa.lanes
	name := "magnitudes" + t.isa.suffix
	c.Function(name)
	c.Doc(name + " sums the magnitudes of pairs; see fixedTransforms.magnitudes.")
	c.Pragma("noescape")
	c.SignatureExpr("func(lines int, u *int16, sums *uint32)")
	lines, u := c.Load(c.Param("lines"), reg.RCX), c.Load(c.Param("u"), reg.RSI)
	sums, x, first := t.isa.regs[:vecs], t.isa.regs[vecs], t.isa.regs[vecs+1]
	for _, r := range sums {
		zero(c, r)
	}
	c.Label("line")
	for v, sum := range sums {
		c.VPABSW(Mem{Base: u, Disp: 4 * t.isa.lanes * v}, x)
		c.VPSLLD(Imm(16), x, first)
		c.VPSRLD(Imm(16), first, first)
		c.VPSRLD(Imm(16), x, x)
		c.VPADDD(first, sum, sum)
		c.VPADDD(x, sum, sum)
	}
	c.ADDQ(Imm(64), u)
	c.DECQ(lines)
	c.JNZ(LabelRef("line"))
	out := c.Load(c.Param("sums"), reg.RDI)
	for v, sum := range sums {
		c.VMOVUPS(sum, Mem{Base: out, Disp: 4 * t.isa.lanes * v})
	}
	c.VZEROUPPER()
	c.RET()
}

// extremes emits the extremes of the bits of pixels.
func (t *transform) extremes() {
	c, vecs := t.c, 16/t.isa.lanes
	name := "extremes" + t.isa.suffix
	c.Function(name)
	c.Doc(name + " finds the extremes of the bits of pixels; see fixedTransforms.extremes.")
	c.Pragma("noescape")
	c.SignatureExpr("func(blocks, rows, cols int, src *float32, plane, row int, extremes *uint32)")
	blocks, src := c.Load(c.Param("blocks"), reg.RCX), c.Load(c.Param("src"), reg.RSI)
	plane, row := c.Load(c.Param("plane"), reg.RDX), c.Load(c.Param("row"), reg.RBX)
	c.SHLQ(Imm(2), plane)
	c.SHLQ(Imm(2), row)
	signed, unsigned, x := t.isa.regs[:vecs], t.isa.regs[vecs:2*vecs], t.isa.regs[2*vecs:3*vecs]
	for v := range vecs {
		c.VMOVUPS(Mem{Base: src, Disp: 4 * t.isa.lanes * v}, signed[v])
		zero(c, unsigned[v])
	}
	line, pixel, rows, cols := reg.R8, reg.R9, reg.R10, reg.R11
	c.Label("block")
	c.MOVQ(src, line)
	c.Load(c.Param("rows"), rows)
	c.Label("line")
	c.MOVQ(line, pixel)
	c.Load(c.Param("cols"), cols)
	c.Label("pixel")
	for v := range vecs {
		c.VMOVUPS(Mem{Base: pixel, Disp: 4 * t.isa.lanes * v}, x[v])
		c.VPMAXSD(x[v], signed[v], signed[v])
		c.VPMAXUD(x[v], unsigned[v], unsigned[v])
	}
	c.ADDQ(Imm(64), pixel)
	c.DECQ(cols)
	c.JNZ(LabelRef("pixel"))
	c.ADDQ(row, line)
	c.DECQ(rows)
	c.JNZ(LabelRef("line"))
	c.ADDQ(plane, src)
	c.DECQ(blocks)
	c.JNZ(LabelRef("block"))
	out := c.Load(c.Param("extremes"), reg.RDI)
	for v := range vecs {
		c.VMOVUPS(signed[v], Mem{Base: out, Disp: 4 * t.isa.lanes * v})
		c.VMOVUPS(unsigned[v], Mem{Base: out, Disp: 64 + 4*t.isa.lanes*v})
	}
	c.VZEROUPPER()
	c.RET()
}

// spill is room on the stack for vectors, on whole cache lines.
func (t *transform) spill(vectors int, base reg.GPPhysical) func(i int) Mem {
	size := 4 * t.isa.lanes
	t.c.LEAQ(t.c.AllocLocal(size*vectors+64).Offset(63), base)
	t.c.ANDQ(I32(-64), base)
	return func(i int) Mem { return Mem{Base: base, Disp: size * i} }
}

// fixedInput emits the transform V = round(s⊙(Bᵀ·d·B)) of a run of tiles in one row. See
// expand for the parameters.
func (t *transform) fixedInput() {
	c, a := t.c, t.alg.Alpha
	name := "fixedInput" + t.isa.suffix
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets V = round(s⊙(Bᵀ·d·B)) for tiles of %d×%d pixels and 16 channels; see fixedTransforms.input.", name, a, a))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *int16, xi, step int, src *float32, row int, scale *float32)")
	dst := c.Load(c.Param("dst"), reg.RDI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	src := c.Load(c.Param("src"), reg.RSI)
	row := c.Load(c.Param("row"), reg.RBX)
	scale := c.Load(c.Param("scale"), reg.R15)
	tiles, step := param(c, "tiles"), param(c, "step")
	c.SHLQ(Imm(1), xi)
	c.SHLQ(Imm(1), step)
	c.SHLQ(Imm(2), row)
	v := t.strides(xi, a, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12)
	// The rows that fit stay in registers between the two passes, the others wait on the
	// stack.
	held := max(0, min(a, (len(t.isa.regs)-2*a)/a))
	waiting := t.spill((a-held)*a, reg.RCX)
	prog := bilinear.Compile(t.alg.BT)

	c.Label("tile")
	at := reg.RAX // walks over the rows of pixels
	to := reg.R13 // walks over the columns of V
	for half := 0; half < 16/t.isa.lanes; half++ {
		off := 4 * t.isa.lanes * half
		t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
		tile := make([][]reg.VecPhysical, a)
		c.Comment("Rows: t[i] = Bᵀ·d[i]")
		c.MOVQ(src, at)
		for i := range a {
			in := make([]reg.VecPhysical, a)
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
			if i >= a-held {
				tile[i] = out
			} else {
				for j, r := range out {
					c.VMOVUPS(r, waiting(a*i+j))
					t.put(r)
				}
			}
			if i < a-1 {
				c.ADDQ(row, at)
			}
		}
		c.Comment("Columns: V[.][j] = round(s[.][j]⊙(Bᵀ·t[.][j]))")
		c.MOVQ(dst, to)
		for j := range a {
			in := make([]reg.VecPhysical, a)
			for i := range in {
				if tile[i] != nil {
					in[i] = tile[i][j]
					continue
				}
				in[i] = t.take()
				c.VMOVUPS(waiting(a*i+j), in[i])
			}
			for i, r := range t.emit(prog, in) {
				t.round(r, Mem{Base: scale, Disp: 4 * (a*i + j)}, v.column(to, i, off/2))
				t.put(r)
			}
			if j < a-1 {
				c.ADDQ(xi, to)
			}
		}
	}
	c.ADDQ(U32(uint32(64*t.alg.M)), src)
	c.ADDQ(U32(uint32(4*a*a)), scale)
	c.ADDQ(step, dst)
	c.DECQ(tiles)
	c.JNZ(LabelRef("tile"))
	c.VZEROUPPER()
	c.RET()
}

// round stores r·scale as int16.
func (t *transform) round(r reg.VecPhysical, scale, to Mem) {
	c := t.c
	if t.isa.lanes == 16 {
		c.VMULPS_BCST(scale, r, r)
		c.VCVTPS2DQ(r, r)
		c.VPMOVSDW(r, to)
		return
	}
	s := t.take()
	c.VBROADCASTSS(scale, s)
	c.VMULPS(s, r, r)
	c.VCVTPS2DQ(r, r)
	c.VPACKSSDW(r, r, r)
	c.VPERMQ(Imm(0x08), r, r) // the first quarter and the third
	c.VMOVDQU(r.AsX(), to)
	t.put(s)
}

// fixedOutput emits Y = (Aᵀ·(s⊙M)·A)·τ and the epilogue for a run of tiles in one row. See
// output for the parameters.
func (t *transform) fixedOutput(e epilogue) {
	c, a, m := t.c, t.alg.Alpha, t.alg.M
	name := fmt.Sprintf("fixedOutput%s%s", e.name, t.isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets Y = (Aᵀ·(s⊙M)·A)·τ + bias for tiles of %d×%d outputs and 16 channels; see fixedTransforms.output.", name, m, m))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, row int, src *int32, xi int, step int, bias, scale, tile *float32)")
	tiles := c.Load(c.Param("tiles"), reg.RCX)
	dst := c.Load(c.Param("dst"), reg.RDI)
	row := c.Load(c.Param("row"), reg.RBX)
	src := c.Load(c.Param("src"), reg.RSI)
	xi := c.Load(c.Param("xi"), reg.RDX)
	scale := c.Load(c.Param("scale"), reg.R15)
	c.SHLQ(Imm(2), xi)
	c.SHLQ(Imm(2), row)
	v := t.strides(xi, a, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12)
	prog := bilinear.Compile(t.alg.AT)

	c.Label("tile")
	from, bias := reg.R13, reg.RAX
	for half := 0; half < 16/t.isa.lanes; half++ {
		off := 4 * t.isa.lanes * half
		t.free = append([]reg.VecPhysical(nil), t.isa.regs...)
		held := max(0, min(a, (len(t.free)-a-2)/m))
		if t.isa.lanes == 8 {
			held = 0
		}
		tile := make([][]reg.VecPhysical, a)
		c.Comment("Rows: t[i] = Aᵀ·(s⊙M)[i]")
		c.MOVQ(src, from)
		for i := range a {
			in := make([]reg.VecPhysical, a)
			for j := range in {
				in[j] = t.take()
				c.VCVTDQ2PS(v.row(from, j, off), in[j])
				c.VMULPS(Mem{Base: scale, Disp: 64*(a*i+j) + off}, in[j], in[j])
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
		c.Comment("Columns: Y[.][j] = (Aᵀ·t[.][j])·τ")
		c.MOVQ(src, from)
		tau := t.take()
		c.Load(c.Param("tile"), bias)
		c.VBROADCASTSS(Mem{Base: bias}, tau)
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
			for _, r := range out {
				c.VMULPS(tau, r, r)
			}
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
	c.ADDQ(Imm(4), param(c, "tile"))
	c.Load(c.Param("step"), bias)
	c.LEAQ(Mem{Base: src, Index: bias, Scale: 4}, src)
	c.DECQ(tiles)
	c.JNZ(LabelRef("tile"))
	c.VZEROUPPER()
	c.RET()
}
