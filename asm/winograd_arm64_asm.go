package main

import (
	"fmt"
	"math"

	"github.com/nonet-go/nonet/asm/neon"
	"github.com/nonet-go/nonet/internal/bilinear"
)

// winogradNEON emits the transforms of F(2×2,3×3) and F(4×4,3×3) on four
// channels at a time, from the same programs as on amd64.
func winogradNEON(c *neon.Context) {
	for _, m := range []int{2, 4} {
		t := &transformNEON{c: c, alg: bilinear.New(m)}
		a := t.alg.Alpha
		t.expand(fmt.Sprintf("input%dx%dNEON", m, m), fmt.Sprintf("sets V = Bᵀ·d·B for tiles of %d×%d pixels and 16 channels; see transforms.input.", a, a), t.alg.BT)
		t.filter()
		if m == 4 {
			t.expand("gradient4x4NEON", "sets D = A·dY·Aᵀ for tiles of 4×4 outputs and 16 channels; see transforms.gradient.", t.alg.AT.Transpose())
			t.filterGradient()
		}
		for _, e := range []epilogue{{"", false, false}, {"ReLU", true, false}, {"Pool", true, true}} {
			t.output(e)
		}
	}
}

type transformNEON struct {
	c      *neon.Context
	alg    bilinear.Algorithm
	factor map[float32]neonLane // constant → where it is
}

// neonLane is one float32 of a vector register.
type neonLane struct {
	v    neon.V
	lane int
}

// constants loads the absolute values of a program's multipliers.
func (t *transformNEON) constants(p bilinear.Program) {
	var list []float32
	for _, k := range p.Constants() {
		list = append(list, float32(math.Abs(float64(k))))
	}
	t.load(list)
}

// load loads constants, four to a register, each once.
func (t *transformNEON) load(list []float32) {
	c := t.c
	t.factor = map[float32]neonLane{}
	tmp := c.R()
	var v neon.V
	for _, k := range list {
		if _, ok := t.factor[k]; ok {
			continue
		}
		lane := len(t.factor) % 4
		c.MOVD(neon.Imm(bits(k)), tmp)
		if lane == 0 {
			v = c.V()
			c.VDUPR(tmp, v)
		} else {
			c.VINS(tmp, v, lane)
		}
		t.factor[k] = neonLane{v, lane}
	}
	c.FreeR(tmp)
}

// emit prints a program. It owns the registers of in, and the caller owns those
// that it returns.
func (t *transformNEON) emit(p bilinear.Program, in []neon.V) []neon.V {
	c := t.c
	val := append([]neon.V(nil), in...)
	last := p.LastUse()
	for i, op := range p.Ops {
		x, y := val[op.X], val[op.Y]
		xDies, yDies := last[op.X] == i, op.Kind != bilinear.Mul && last[op.Y] == i
		d := c.V()
		switch op.Kind {
		case bilinear.Add:
			c.VFADD(y, x, d)
		case bilinear.Sub:
			c.VFSUB(y, x, d)
		case bilinear.Mul:
			k := t.lane(op.C)
			c.VFMULElem(k.v, k.lane, x, d)
			if op.C < 0 {
				c.VFNEG(d, d)
			}
		case bilinear.FMA: // FMLA overwrites its addend
			k := t.lane(op.C)
			if yDies && y != x {
				c.FreeV(d)
				d, yDies = y, false
			} else {
				c.VMOV(y, d)
			}
			if op.C > 0 {
				c.VFMLAElem(k.v, k.lane, x, d)
			} else {
				c.VFMLSElem(k.v, k.lane, x, d)
			}
		}
		if xDies {
			c.FreeV(x)
		}
		if yDies && y != x {
			c.FreeV(y)
		}
		val = append(val, d)
	}
	for v, l := range last {
		if l < 0 {
			c.FreeV(val[v])
		}
	}
	out := make([]neon.V, len(p.Outputs))
	for i, v := range p.Outputs {
		out[i] = val[v]
	}
	return out
}

func (t *transformNEON) lane(k float32) neonLane { return t.factor[float32(math.Abs(float64(k)))] }

// expand emits V = X·d·Xᵀ, see transform.expand for the operands. The rows wait
// where their results will stand.
func (t *transformNEON) expand(name, doc string, x bilinear.Matrix) {
	c, a, n := t.c, t.alg.Alpha, len(x[0])
	c.Function(name)
	c.Doc(name + " " + doc)
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, xi, step int, src *float32, row int)")
	tiles, dst, xi, step, src, row := c.R(), c.R(), c.R(), c.R(), c.R(), c.R()
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"tiles", tiles}, {"dst", dst}, {"xi", xi}, {"step", step}, {"src", src}, {"row", row}} {
		c.Load(p.name, p.r)
	}
	c.LSL(2, xi, xi)
	c.LSL(2, step, step)
	c.LSL(2, row, row)
	whole, at, to, base := c.R(), c.R(), c.R(), c.R() // whole: from row to row of V
	c.MOVD(neon.Imm(a), whole)
	c.MUL(xi, whole, whole)
	prog := bilinear.Compile(x)
	t.constants(prog)
	c.Label("tile")
	for quarter := range 4 {
		c.Comment("Rows: t[i] = X·d[i]")
		c.MOVD(src, at)
		c.ADD(neon.Imm(16*quarter), dst, base)
		c.MOVD(base, to)
		for i := range n {
			in := c.Vs(n)
			for j, v := range in {
				c.FMOVQ(neon.Mem{Base: at, Off: 64*j + 16*quarter}, v)
			}
			if quarter == 0 {
				for j := range t.alg.M {
					c.PRFM(neon.Mem{Base: at, Off: 64 * (2*t.alg.M + j)}, "PLDL1KEEP")
				}
			}
			if i < n-1 {
				c.ADD(row, at, at)
			}
			out := t.emit(prog, in)
			for j, v := range out {
				c.FMOVQStore(v, neon.Mem{Base: to})
				if i < n-1 || j < a-1 {
					c.ADD(xi, to, to)
				}
			}
			free(c, out)
		}
		c.Comment("Columns: V[.][j] = X·t[.][j]")
		for j := range a {
			in := c.Vs(n)
			c.MOVD(base, to)
			for i, v := range in {
				c.FMOVQ(neon.Mem{Base: to}, v)
				if i < n-1 {
					c.ADD(whole, to, to)
				}
			}
			out := t.emit(prog, in)
			c.MOVD(base, to)
			for i, v := range out {
				c.FMOVQStore(v, neon.Mem{Base: to})
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
	c.ADD(step, dst, dst)
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}

// filterGradient emits dW = Gᵀ·M·G for 16 output channels, see
// transform.filterGradient.
func (t *transformNEON) filterGradient() {
	c, a := t.c, t.alg.Alpha
	name := "filterGradient4x4NEON"
	c.Function(name)
	c.Doc(name + " sets dW = Gᵀ·M·G for 16 filters of 3×3; see transforms.filterGradient.")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst, src *float32, xi int)")
	dst, src, xi, whole, from, at := c.R(), c.R(), c.R(), c.R(), c.R(), c.R()
	c.Load("dst", dst)
	c.Load("src", src)
	c.Load("xi", xi)
	c.LSL(2, xi, xi)
	c.MOVD(neon.Imm(a), whole)
	c.MUL(xi, whole, whole)
	g := t.alg.G.Float64()
	var factors []float32
	for _, row := range g {
		for _, k := range row {
			if k != 0 {
				factors = append(factors, float32(k))
			}
		}
	}
	t.load(factors)
	// sums reads six vectors, stride apart, and leaves Σ_i G[i][r]·in[i]. Each sum
	// begins with a product, so that it waits for nothing before it.
	sums := func(stride neon.R) []neon.V {
		acc := c.Vs(3)
		x := c.V()
		begun := make([]bool, len(acc))
		for i := range a {
			c.FMOVQ(neon.Mem{Base: at}, x)
			if i < a-1 {
				c.ADD(stride, at, at)
			}
			for r, d := range acc {
				k := t.factor[float32(g[i][r])]
				switch {
				case g[i][r] == 0:
				case begun[r]:
					c.VFMLAElem(k.v, k.lane, x, d)
				default:
					c.VFMULElem(k.v, k.lane, x, d)
					begun[r] = true
				}
			}
		}
		c.FreeV(x)
		return acc
	}
	for quarter := range 4 {
		c.Comment("Columns: t = Gᵀ·M, into the first three rows of M")
		c.ADD(neon.Imm(16*quarter), src, from)
		for range a {
			c.MOVD(from, at)
			out := sums(whole)
			c.MOVD(from, at)
			for r, d := range out {
				c.FMOVQStore(d, neon.Mem{Base: at})
				if r < 2 {
					c.ADD(whole, at, at)
				}
			}
			c.FreeV(out...)
			c.ADD(xi, from, from)
		}
		c.Comment("Rows: dW = t·G")
		c.ADD(neon.Imm(16*quarter), src, from)
		for row := range 3 {
			c.MOVD(from, at)
			out := sums(xi)
			for r, d := range out {
				c.FMOVQStore(d, neon.Mem{Base: dst, Off: 64*(3*row+r) + 16*quarter})
			}
			c.FreeV(out...)
			c.ADD(whole, from, from)
		}
	}
	c.RET()
}

// filter emits U = G·w·Gᵀ for 16 filters, in float64, see transform.filter: two
// registers hold four filters.
func (t *transformNEON) filter() {
	c, a := t.c, t.alg.Alpha
	name := fmt.Sprintf("filter%dx%dNEON", t.alg.M, t.alg.M)
	c.Function(name)
	c.Doc(name + " sets U = G·w·Gᵀ for 16 filters of 3×3; see transforms.filter.")
	c.Pragma("noescape")
	c.SignatureExpr("func(dst *float32, xi int, src *float32)")
	dst, xi, src, to := c.R(), c.R(), c.R(), c.R()
	c.Load("dst", dst)
	c.Load("xi", xi)
	c.Load("src", src)
	c.LSL(2, xi, xi)
	g := t.alg.G.Float64()
	factor := map[float64]neon.V{} // constant → both lanes of a register
	tmp := c.R()
	for _, row := range g {
		for _, k := range row {
			if _, ok := factor[k]; ok || k == 0 {
				continue
			}
			v := c.V()
			c.MOVD(neon.Imm(math.Float64bits(k)), tmp)
			c.VDUPRD(tmp, v)
			factor[k] = v
		}
	}
	w := c.V()
	// dot sets sum = Σ_r k[r]·x_r for four float64, where load(r) returns x_r. It
	// begins with a product, so that it waits for nothing before it.
	dot := func(k []float64, sum [2]neon.V, load func(r int) [2]neon.V) {
		begun := false
		for r, v := range k {
			if v == 0 {
				continue
			}
			x := load(r)
			for half, d := range sum {
				if begun {
					c.VFMLAD(factor[v], x[half], d)
				} else {
					c.VFMULD(factor[v], x[half], d)
				}
			}
			begun = true
		}
	}
	pair := func() [2]neon.V { return [2]neon.V{c.V(), c.V()} }
	for i := range a {
		c.Comment(fmt.Sprintf("Row %d: t = G[%d]·w, U[%d] = t·Gᵀ", i, i, i))
		for quarter := range 4 {
			var row [bilinear.R][2]neon.V
			x := pair()
			for j := range row {
				row[j] = pair()
				dot(g[i], row[j], func(r int) [2]neon.V {
					c.FMOVQ(neon.Mem{Base: src, Off: 64*(3*r+j) + 16*quarter}, w)
					c.VFCVTLS(w, x[0])
					c.VFCVTL2S(w, x[1])
					return x
				})
			}
			c.FreeV(x[:]...)
			c.ADD(neon.Imm(16*quarter), dst, to)
			for j := range a {
				sum := pair()
				dot(g[j], sum, func(r int) [2]neon.V { return row[r] })
				c.VFCVTND(sum[0], w)
				c.VFCVTN2D(sum[1], w)
				c.FMOVQStore(w, neon.Mem{Base: to})
				if j < a-1 {
					c.ADD(xi, to, to)
				}
				c.FreeV(sum[:]...)
			}
			for _, v := range row {
				c.FreeV(v[:]...)
			}
		}
		if i < a-1 {
			c.Comment("to stands on the last quarter of the row's last element")
			c.ADD(xi, to, dst)
			c.SUB(neon.Imm(48), dst, dst)
		}
	}
	c.RET()
}

// free gives registers back, each once: a program may return an input twice.
func free(c *neon.Context, vs []neon.V) {
	seen := map[neon.V]bool{}
	for _, v := range vs {
		if !seen[v] {
			c.FreeV(v)
		}
		seen[v] = true
	}
}

// output emits Y = Aᵀ·M·A and the epilogue, see transform.output for the
// operands. The rows wait in M.
func (t *transformNEON) output(e epilogue) {
	c, a, m := t.c, t.alg.Alpha, t.alg.M
	name := fmt.Sprintf("output%dx%d%sNEON", m, m, e.name)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s sets Y = Aᵀ·M·A + bias for tiles of %d×%d outputs and 16 channels; see transforms.output.", name, m, m))
	c.Pragma("noescape")
	c.SignatureExpr("func(tiles int, dst *float32, row int, src *float32, xi int, step int, bias *float32)")
	tiles, dst, row, src, xi, step, bias := c.R(), c.R(), c.R(), c.R(), c.R(), c.R(), c.R()
	for _, p := range []struct {
		name string
		r    neon.R
	}{{"tiles", tiles}, {"dst", dst}, {"row", row}, {"src", src}, {"xi", xi}, {"step", step}, {"bias", bias}} {
		c.Load(p.name, p.r)
	}
	c.LSL(2, row, row)
	c.LSL(2, xi, xi)
	c.LSL(2, step, step)
	whole, at, base, to := c.R(), c.R(), c.R(), c.R()
	c.MOVD(neon.Imm(a), whole)
	c.MUL(xi, whole, whole)
	prog := bilinear.Compile(t.alg.AT)
	t.constants(prog)
	bv, zero := c.V(), c.V()
	c.Zero(zero)
	c.Label("tile")
	for quarter := range 4 {
		c.FMOVQ(neon.Mem{Base: bias, Off: 16 * quarter}, bv)
		c.Comment("Rows: t[i] = Aᵀ·M[i]")
		c.ADD(neon.Imm(16*quarter), src, base)
		c.MOVD(base, at)
		for i := range a {
			in := c.Vs(a)
			c.MOVD(at, to)
			for j, v := range in {
				c.FMOVQ(neon.Mem{Base: at}, v)
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
		c.Comment("Columns: Y[.][j] = Aᵀ·t[.][j]")
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
			left = t.finishColumn(e, out, left, j, quarter, [2]neon.V{bv, zero}, [3]neon.R{dst, row, to})
		}
	}
	c.ADD(neon.Imm(64*t.side(e)), dst, dst)
	c.ADD(step, src, src)
	c.SUBS(neon.Imm(1), tiles, tiles)
	c.Branch("BNE", "tile")
	c.RET()
}

// side returns the side of a tile of the result.
func (t *transformNEON) side(e epilogue) int {
	if e.pool {
		return t.alg.M / 2
	}
	return t.alg.M
}

// finishColumn adds the bias to column j of a quarter of a tile's outputs, applies the
// epilogue and stores what is complete. It returns the column if a pool waits for the one
// after it. operands are the bias and zero; at are dst, row and a register for addresses.
func (t *transformNEON) finishColumn(e epilogue, out, left []neon.V, j, quarter int, operands [2]neon.V, at [3]neon.R) []neon.V {
	c, side, column := t.c, t.side(e), j
	for _, v := range out {
		c.VFADD(operands[0], v, v)
		if e.relu {
			c.VFMAX(operands[1], v, v)
		}
	}
	if e.pool {
		if j%2 == 0 {
			return out
		}
		for i := range out {
			c.VFMAX(left[i], out[i], out[i])
		}
		for i := range side {
			c.VFMAX(out[2*i+1], out[2*i], out[2*i])
		}
		column = j / 2
	}
	dst, row, to := at[0], at[1], at[2]
	c.ADD(neon.Imm(64*column+16*quarter), dst, to)
	for i := range side {
		v := out[i]
		if e.pool {
			v = out[2*i]
		}
		c.FMOVQStore(v, neon.Mem{Base: to})
		if i < side-1 {
			c.ADD(row, to, to)
		}
	}
	free(c, out)
	free(c, left)
	return nil
}
