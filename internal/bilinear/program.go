package bilinear

import (
	"fmt"
	"math/big"
)

// Kind is what an Op computes.
type Kind uint8

const (
	Add Kind = iota // X + Y
	Sub             // X − Y
	Mul             // C·X
	FMA             // C·X + Y, rounded once or twice: the program does not depend on it
)

// Op is one step of a Program. X and Y are values: 0 … Inputs−1 are the inputs,
// and the n-th op makes value Inputs+n.
type Op struct {
	Kind Kind
	X, Y int
	C    float32
}

// Program applies a constant matrix to a vector: Ops in order, then the result
// is the values Outputs.
type Program struct {
	Inputs  int
	Ops     []Op
	Outputs []int
}

// Compile turns a matrix into a Program. It uses the two symmetries that the
// points p and −p bring, and nothing else:
//
//   - two columns that agree up to signs are replaced by their sum and
//     difference (Aᵀ, Gᵀ);
//   - two rows that agree up to signs are E+O and E−O with a common E and O
//     (Bᵀ, A, G).
//
// It panics if an entry is not exact in float32, since the program would then
// not compute the matrix.
func Compile(m Matrix) Program {
	c := &compiler{p: Program{Inputs: len(m[0])}}
	for j := range m[0] {
		c.cols = append(c.cols, j)
	}
	c.m = make(Matrix, len(m))
	for i := range m {
		c.m[i] = append([]*big.Rat(nil), m[i]...)
	}
	c.pairColumns()
	c.p.Outputs = make([]int, len(m))
	done := make([]bool, len(m))
	for i := range c.m {
		if done[i] {
			continue
		}
		if k := c.partner(i); k > i {
			c.p.Outputs[i], c.p.Outputs[k] = c.rowPair(i, k)
			done[k] = true
			continue
		}
		c.p.Outputs[i] = c.sum(c.terms(i, func(int) bool { return true }))
	}
	return c.p
}

type compiler struct {
	p    Program
	m    Matrix
	cols []int // the value that each column of m multiplies
}

func (c *compiler) emit(op Op) int {
	c.p.Ops = append(c.p.Ops, op)
	return c.p.Inputs + len(c.p.Ops) - 1
}

// pairColumns replaces columns j, k with m[i][k] = ±m[i][j] in every row by
// x_j + x_k and x_j − x_k, if both signs occur.
func (c *compiler) pairColumns() {
	for j := range c.cols {
		for k := j + 1; k < len(c.cols); k++ {
			plus, minus, ok := 0, 0, true
			for _, row := range c.m {
				switch {
				case row[j].Sign() == 0 && row[k].Sign() == 0:
				case row[j].Cmp(row[k]) == 0:
					plus++
				case row[j].Cmp(new(big.Rat).Neg(row[k])) == 0:
					minus++
				default:
					ok = false
				}
			}
			if !ok || plus == 0 || minus == 0 {
				continue
			}
			x, y := c.cols[j], c.cols[k]
			c.cols[j], c.cols[k] = c.emit(Op{Kind: Add, X: x, Y: y}), c.emit(Op{Kind: Sub, X: x, Y: y})
			for _, row := range c.m {
				// Equal signs use the sum, opposite ones the difference.
				if row[j].Cmp(row[k]) == 0 {
					row[k] = new(big.Rat)
				} else {
					row[j], row[k] = new(big.Rat), row[j]
				}
			}
		}
	}
}

// partner finds a row that equals row i up to signs, with at least one term of
// each kind, or returns −1.
func (c *compiler) partner(i int) int {
	for k := i + 1; k < len(c.m); k++ {
		same, opposite, ok := 0, 0, true
		for j, v := range c.m[i] {
			w := c.m[k][j]
			switch {
			case v.Sign() == 0 && w.Sign() == 0:
			case v.Cmp(w) == 0:
				same++
			case v.Cmp(new(big.Rat).Neg(w)) == 0:
				opposite++
			default:
				ok = false
			}
		}
		if ok && same > 0 && opposite > 0 {
			return k
		}
	}
	return -1
}

// rowPair computes rows i and k as E ± c·O, where O has a coefficient of 1.
func (c *compiler) rowPair(i, k int) (int, int) {
	even := c.sum(c.terms(i, func(j int) bool { return c.m[i][j].Cmp(c.m[k][j]) == 0 }))
	terms := c.terms(i, func(j int) bool { return c.m[i][j].Cmp(c.m[k][j]) != 0 })
	scale := commonFactor(terms)
	for t := range terms {
		terms[t].c = new(big.Rat).Quo(terms[t].c, scale)
	}
	odd := c.sum(terms)
	if s := exact(scale); s != 1 {
		return c.emit(Op{Kind: FMA, X: odd, Y: even, C: s}), c.emit(Op{Kind: FMA, X: odd, Y: even, C: -s})
	}
	return c.emit(Op{Kind: Add, X: even, Y: odd}), c.emit(Op{Kind: Sub, X: even, Y: odd})
}

// commonFactor returns a coefficient of ts that leaves only exact ones when the
// terms are divided by it, or 1.
func commonFactor(ts []term) *big.Rat {
search:
	for t := len(ts) - 1; t >= 0; t-- {
		for _, u := range ts {
			if _, ok := new(big.Rat).Quo(u.c, ts[t].c).Float32(); !ok {
				continue search
			}
		}
		return ts[t].c
	}
	return rat(1, 1)
}

type term struct {
	c     *big.Rat
	value int
}

func (c *compiler) terms(i int, use func(j int) bool) (ts []term) {
	for j, v := range c.m[i] {
		if v.Sign() != 0 && use(j) {
			ts = append(ts, term{v, c.cols[j]})
		}
	}
	return ts
}

// sum adds terms, starting with one whose coefficient is 1 if there is one, so
// that every other term is a single addition or fused multiply-add.
func (c *compiler) sum(ts []term) int {
	first := len(ts) - 1
	for t := range ts {
		if ts[t].c.Cmp(rat(1, 1)) == 0 {
			first = t
		}
	}
	acc := ts[first].value
	if s := exact(ts[first].c); s != 1 {
		acc = c.emit(Op{Kind: Mul, X: acc, C: s})
	}
	for t := len(ts) - 1; t >= 0; t-- {
		if t == first {
			continue
		}
		switch s := exact(ts[t].c); s {
		case 1:
			acc = c.emit(Op{Kind: Add, X: acc, Y: ts[t].value})
		case -1:
			acc = c.emit(Op{Kind: Sub, X: acc, Y: ts[t].value})
		default:
			acc = c.emit(Op{Kind: FMA, X: ts[t].value, Y: acc, C: s})
		}
	}
	return acc
}

func exact(v *big.Rat) float32 {
	f, ok := v.Float32()
	if !ok {
		panic(fmt.Sprintf("bilinear: %v is not exact in float32", v))
	}
	return f
}

// Constants lists the distinct multipliers of p, in order of first use.
func (p Program) Constants() []float32 {
	var list []float32
	seen := map[float32]bool{}
	for _, op := range p.Ops {
		if (op.Kind == Mul || op.Kind == FMA) && !seen[op.C] {
			seen[op.C] = true
			list = append(list, op.C)
		}
	}
	return list
}

// LastUse returns, for each value of p, the index of the last op that reads it;
// len(Ops) for outputs, −1 for values that nothing reads.
func (p Program) LastUse() []int {
	last := make([]int, p.Inputs+len(p.Ops))
	for v := range last {
		last[v] = -1
	}
	for i, op := range p.Ops {
		last[op.X] = i
		if op.Kind != Mul {
			last[op.Y] = i
		}
	}
	for _, v := range p.Outputs {
		last[v] = len(p.Ops)
	}
	return last
}
