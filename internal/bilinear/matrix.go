// Package bilinear derives Winograd's minimal filtering algorithms F(m, 3) from
// their interpolation points, in exact rational arithmetic, and turns each of
// their matrices into a short straight-line program. The assembly generators
// print these programs, and the portable kernels interpret them, so the
// mathematics stands here alone.
//
// An algorithm computes m outputs of a correlation with a filter of 3 taps,
//
//	y[i] = Σ_j d[i+j]·g[j],  i < m, j < 3,
//
// from alpha = m+2 inputs with alpha multiplications:
//
//	y = Aᵀ · ((G·g) ⊙ (Bᵀ·d))
//
// In two dimensions each matrix is applied to columns and then to rows:
// Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A. Sources: Winograd, Arithmetic Complexity of
// Computations (1980); Lavin & Gray, Fast Algorithms for Convolutional Neural
// Networks (arXiv:1509.09308); the role of the points in the rounding errors is
// from Barabasz et al. (arXiv:1803.10986).
package bilinear

import (
	"fmt"
	"math/big"
)

// R is the number of taps of the filter.
const R = 3

// Matrix is a matrix of rational numbers, row by row.
type Matrix [][]*big.Rat

// Algorithm is F(m, 3): Points are the finite interpolation points; the point
// at infinity is always the last one.
type Algorithm struct {
	M, Alpha  int
	Points    []*big.Rat
	BT, G, AT Matrix
}

// points of the algorithms that nonet uses. Those of F(4,3) make its rounding
// errors less than half of those of 0, ±1, ±2, and every entry of Bᵀ and Aᵀ is
// exact in float32.
var points = map[int][]*big.Rat{
	2: {rat(0, 1), rat(1, 1), rat(-1, 1)},
	4: {rat(0, 1), rat(5, 8), rat(-5, 8), rat(3, 2), rat(-3, 2)},
}

func rat(a, b int64) *big.Rat { return big.NewRat(a, b) }

// New returns F(m, 3) for m = 2 or 4 and panics for another m.
func New(m int) Algorithm {
	p, ok := points[m]
	if !ok {
		panic(fmt.Sprintf("bilinear: no points for F(%d, 3)", m))
	}
	return FromPoints(m, p)
}

// FromPoints builds F(m, 3) from m+1 distinct points by the rule of Toom and
// Cook, transposed. With M(x) = Π(x−p):
//
//	Bᵀ, row of p:    the coefficients of M(x)/(x−p);  last row: those of M(x)
//	G,  row of p:    (1, p, p²) / Π_{q≠p}(p−q);       last row: (0, 0, 1)
//	Aᵀ, column of p: (1, p, …, p^(m−1));              last column: (0, …, 0, 1)
func FromPoints(m int, points []*big.Rat) Algorithm {
	alpha := m + R - 1
	if len(points) != alpha-1 {
		panic("bilinear: F(m, 3) needs m+1 finite points")
	}
	a := Algorithm{M: m, Alpha: alpha, Points: points}
	a.BT, a.G, a.AT = zeros(alpha, alpha), zeros(alpha, R), zeros(m, alpha)
	for i, p := range points {
		others := poly{rat(1, 1)}
		scale := rat(1, 1)
		for j, q := range points {
			if j != i {
				others = others.timesRoot(q)
				scale.Mul(scale, new(big.Rat).Sub(p, q))
			}
		}
		copy(a.BT[i], others)
		power := rat(1, 1)
		for k := range max(m, R) {
			if k < R {
				a.G[i][k].Quo(power, scale)
			}
			if k < m {
				a.AT[k][i].Set(power)
			}
			power = new(big.Rat).Mul(power, p)
		}
	}
	all := poly{rat(1, 1)}
	for _, p := range points {
		all = all.timesRoot(p)
	}
	copy(a.BT[alpha-1], all)
	a.G[alpha-1][R-1].SetInt64(1)
	a.AT[m-1][alpha-1].SetInt64(1)
	return a
}

// poly is a polynomial, the constant term first.
type poly []*big.Rat

// timesRoot returns f·(x−p).
func (f poly) timesRoot(p *big.Rat) poly {
	out := make(poly, len(f)+1)
	for i := range out {
		out[i] = new(big.Rat)
		if i > 0 {
			out[i].Set(f[i-1])
		}
		if i < len(f) {
			out[i].Sub(out[i], new(big.Rat).Mul(p, f[i]))
		}
	}
	return out
}

func zeros(rows, cols int) Matrix {
	m := make(Matrix, rows)
	for i := range m {
		m[i] = make([]*big.Rat, cols)
		for j := range m[i] {
			m[i][j] = new(big.Rat)
		}
	}
	return m
}

// Transpose returns mᵀ.
func (m Matrix) Transpose() Matrix {
	t := zeros(len(m[0]), len(m))
	for i, row := range m {
		for j, v := range row {
			t[j][i].Set(v)
		}
	}
	return t
}

// Float64 returns m rounded to float64.
func (m Matrix) Float64() [][]float64 {
	out := make([][]float64, len(m))
	for i, row := range m {
		out[i] = make([]float64, len(row))
		for j, v := range row {
			out[i][j], _ = v.Float64()
		}
	}
	return out
}
