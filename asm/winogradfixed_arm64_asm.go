package main

import (
	"fmt"

	"github.com/nonet-go/nonet/asm/neon"
	"github.com/nonet-go/nonet/internal/bilinear"
)

// winogradFixedNEON emits the transforms of F(4×4,3×3) in fixed point on four channels at a
// time, from the same programs as on amd64.
func winogradFixedNEON(c *neon.Context) {
	t := &transformNEON{c: c, alg: bilinear.New(4)}
	t.magnitudes()
	t.extremes()
	t.fixedInput()
	for _, e := range []epilogue{{"", false, false}, {"ReLU", true, false}, {"Pool", true, true}} {
		t.fixedOutput(e)
	}
}

// params loads parameters into new registers.
func (t *transformNEON) params(names ...string) []neon.R {
	var list []neon.R
	for _, name := range names {
		r := t.c.R()
		t.c.Load(name, r)
		list = append(list, r)
	}
	return list
}

// magnitudes emits the sums of magnitudes of stored filters.
func (t *transformNEON) magnitudes() {
	c := t.c
	c.Function("magnitudesNEON")
	c.Doc("magnitudesNEON sums the magnitudes of pairs; see fixedTransforms.magnitudes.")
	c.Pragma("noescape")
	c.SignatureExpr("func(lines int, u *int16, sums *uint32)")
	p := t.params("lines", "u", "sums")
	lines, u, out := p[0], p[1], p[2]
	sums, x := c.Vs(4), c.Vs(4)
	for _, v := range sums {
		c.Zero(v)
	}
	c.Label("line")
	for v := 0; v < 4; v += 2 {
		c.FLDPQ(neon.Mem{Base: u, Off: 16 * v}, x[v], x[v+1])
	}
	for v := range 4 {
		c.VABSH(x[v], x[v])
		c.VUADALP(x[v], sums[v])
	}
	c.ADD(neon.Imm(64), u, u)
	c.SUBS(neon.Imm(1), lines, lines)
	c.Branch("BNE", "line")
	for v := range 4 {
		c.FMOVQStore(sums[v], neon.Mem{Base: out, Off: 16 * v})
	}
	c.RET()
}

// extremes emits the extremes of the bits of pixels.
func (t *transformNEON) extremes() {
	c := t.c
	c.Function("extremesNEON")
	c.Doc("extremesNEON finds the extremes of the bits of pixels; see fixedTransforms.extremes.")
	c.Pragma("noescape")
	c.SignatureExpr("func(blocks, rows, cols int, src *float32, plane, row int, extremes *uint32)")
	p := t.params("blocks", "rows", "cols", "src", "plane", "row", "extremes")
	blocks, rows, cols, src, plane, row, out := p[0], p[1], p[2], p[3], p[4], p[5], p[6]
	c.LSL(2, plane, plane)
	c.LSL(2, row, row)
	signed, unsigned, x := c.Vs(4), c.Vs(4), c.Vs(4)
	for v := range 4 {
		c.FMOVQ(neon.Mem{Base: src, Off: 16 * v}, signed[v])
		c.Zero(unsigned[v])
	}
	line, pixel, y, left := c.R(), c.R(), c.R(), c.R()
	c.Label("block")
	c.MOVD(src, line)
	c.MOVD(rows, y)
	c.Label("line")
	c.MOVD(line, pixel)
	c.MOVD(cols, left)
	c.Label("pixel")
	for v := 0; v < 4; v += 2 {
		c.FLDPQ(neon.Mem{Base: pixel, Off: 16 * v}, x[v], x[v+1])
	}
	for v := range 4 {
		c.VSMAX(x[v], signed[v], signed[v])
		c.VUMAX(x[v], unsigned[v], unsigned[v])
	}
	c.ADD(neon.Imm(64), pixel, pixel)
	c.SUBS(neon.Imm(1), left, left)
	c.Branch("BNE", "pixel")
	c.ADD(row, line, line)
	c.SUBS(neon.Imm(1), y, y)
	c.Branch("BNE", "line")
	c.ADD(plane, src, src)
	c.SUBS(neon.Imm(1), blocks, blocks)
	c.Branch("BNE", "block")
	for v := range 4 {
		c.FMOVQStore(signed[v], neon.Mem{Base: out, Off: 16 * v})
		c.FMOVQStore(unsigned[v], neon.Mem{Base: out, Off: 64 + 16*v})
	}
	c.RET()
}

// fixedInput emits V = round(s⊙(Bᵀ·d·B)), see transform.fixedInput. The rows wait on the
// stack.
func (t *transformNEON) fixedInput() {
	c, a := t.c, t.alg.Alpha
	c.Function("fixedInputNEON")
	c.Doc(fmt.Sprintf("fixedInputNEON sets V = round(s⊙(Bᵀ·d·B)) for tiles of %d×%d pixels and 16 channels; see fixedTransforms.input.", a, a))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *int16, xi, step int, src *float32, row int, scale *float32)")
	p := t.params("tiles", "dst", "xi", "step", "src", "row", "scale")
	tiles, dst, xi, step, src, row, scale := p[0], p[1], p[2], p[3], p[4], p[5], p[6]
	c.LSL(1, xi, xi)
	c.LSL(1, step, step)
	c.LSL(2, row, row)
	whole, at, to, base, waiting := c.R(), c.R(), c.R(), c.R(), c.R() // whole: from row to row of V
	c.MOVD(neon.Imm(a), whole)
	c.MUL(xi, whole, whole)
	c.Local(16*a*a, waiting)
	prog := bilinear.Compile(t.alg.BT)
	t.constants(prog)
	c.Label("tile")
	for quarter := range 4 {
		c.Comment("Rows: t[i] = Bᵀ·d[i]")
		c.MOVD(src, at)
		for i := range a {
			in := c.Vs(a)
			for j, v := range in {
				c.FMOVQ(neon.Mem{Base: at, Off: 64*j + 16*quarter}, v)
			}
			if quarter == 0 {
				for j := range t.alg.M {
					c.PRFM(neon.Mem{Base: at, Off: 64 * (2*t.alg.M + j)}, "PLDL1KEEP")
				}
			}
			if i < a-1 {
				c.ADD(row, at, at)
			}
			out := t.emit(prog, in)
			for j, v := range out {
				c.FMOVQStore(v, neon.Mem{Base: waiting, Off: 16 * (a*i + j)})
			}
			free(c, out)
		}
		c.Comment("Columns: V[.][j] = round(s[.][j]⊙(Bᵀ·t[.][j]))")
		c.ADD(neon.Imm(8*quarter), dst, base)
		for j := range a {
			in := c.Vs(a)
			for i, v := range in {
				c.FMOVQ(neon.Mem{Base: waiting, Off: 16 * (a*i + j)}, v)
			}
			out := t.emit(prog, in)
			c.MOVD(base, to)
			for i, v := range out {
				s := c.V()
				c.FMOVS(neon.Mem{Base: scale, Off: 4 * (a*i + j)}, s)
				c.VFMULElem(s, 0, v, v)
				c.FreeV(s)
				c.VFCVTNS(v, v)
				c.VSQXTN(v, v)
				c.FMOVDStore(v, neon.Mem{Base: to})
				if i < a-1 {
					c.ADD(whole, to, to)
				}
			}
			free(c, out)
			if j < a-1 {
				c.ADD(xi, base, base)
			}
		}
	}
	c.ADD(neon.Imm(64*t.alg.M), src, src)
	c.ADD(neon.Imm(4*a*a), scale, scale)
	c.ADD(step, dst, dst)
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}

// fixedOutput emits Y = (Aᵀ·(s⊙M)·A)·τ and the epilogue, see transform.fixedOutput. The rows
// wait in M.
func (t *transformNEON) fixedOutput(e epilogue) {
	c, a, m := t.c, t.alg.Alpha, t.alg.M
	name := fmt.Sprintf("fixedOutput%sNEON", e.name)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets Y = (Aᵀ·(s⊙M)·A)·τ + bias for tiles of %d×%d outputs and 16 channels; see fixedTransforms.output.", name, m, m))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, row int, src *int32, xi int, step int, bias, scale, tile *float32)")
	p := t.params("tiles", "dst", "row", "src", "xi", "step", "bias", "scale", "tile")
	tiles, dst, row, src, xi, step, bias, scale, tile := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]
	c.LSL(2, row, row)
	c.LSL(2, xi, xi)
	c.LSL(2, step, step)
	whole, at, base, to := c.R(), c.R(), c.R(), c.R()
	c.MOVD(neon.Imm(a), whole)
	c.MUL(xi, whole, whole)
	prog := bilinear.Compile(t.alg.AT)
	t.constants(prog)
	bv, zero, tau := c.V(), c.V(), c.V()
	c.Zero(zero)
	c.Label("tile")
	c.FMOVS(neon.Mem{Base: tile}, tau)
	for quarter := range 4 {
		c.FMOVQ(neon.Mem{Base: bias, Off: 16 * quarter}, bv)
		c.Comment("Rows: t[i] = Aᵀ·(s⊙M)[i]")
		c.ADD(neon.Imm(16*quarter), src, base)
		c.MOVD(base, at)
		for i := range a {
			in := c.Vs(a)
			c.MOVD(at, to)
			for j, v := range in {
				c.FMOVQ(neon.Mem{Base: at}, v)
				s := c.V()
				c.FMOVQ(neon.Mem{Base: scale, Off: 64*(a*i+j) + 16*quarter}, s)
				c.VSCVTF(v, v)
				c.VFMUL(s, v, v)
				c.FreeV(s)
				if i < a-1 || j < a-1 {
					c.ADD(xi, at, at)
				}
			}
			out := t.emit(prog, in)
			for j, v := range out {
				c.FMOVQStore(v, neon.Mem{Base: to})
				if j < m-1 {
					c.ADD(xi, to, to)
				}
			}
			free(c, out)
		}
		c.Comment("Columns: Y[.][j] = (Aᵀ·t[.][j])·τ")
		var left []neon.V // the column before, of a pool
		for j := range m {
			in := c.Vs(a)
			c.MOVD(base, at)
			for i, v := range in {
				c.FMOVQ(neon.Mem{Base: at}, v)
				if i < a-1 {
					c.ADD(whole, at, at)
				}
			}
			if j < m-1 {
				c.ADD(xi, base, base)
			}
			out := t.emit(prog, in)
			for _, v := range out {
				c.VFMULElem(tau, 0, v, v)
			}
			left = t.finishColumn(e, out, left, j, quarter, [2]neon.V{bv, zero}, [3]neon.R{dst, row, to})
		}
	}
	c.ADD(neon.Imm(64*t.side(e)), dst, dst)
	c.ADD(step, src, src)
	c.ADD(neon.Imm(4), tile, tile)
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}
