package winograd

import (
	"context"
	"math"
	"sync"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/parallel"
)

// Weights returns the filters from which NewFilter made f, [k][c][3][3], or those from which
// NewInputGradFilter made it, [c][k][3][3]. U = G·g·Gᵀ has more elements than g; Weights
// computes g from all of them by least squares in float64. Each result is within 12·2⁻²⁴ of
// the largest of its nine; the largest error seen is 2·2⁻²⁴. In fixed point, the elements
// of U were rounded to some 10 bits, and so are the results. The workers of team, which may
// be nil, share the work.
func (f *Filter) Weights(team *parallel.Team) []float32 {
	oihw := make([]float32, f.k*f.c*9)
	inverse := inverses()[f.m]
	// The error is a context's, and this one never ends.
	_ = team.Run(context.Background(), f.panels()*f.cBlocks, func(_, item int) {
		f.unpack(item/f.cBlocks, item%f.cBlocks, oihw, inverse)
	})
	return oihw
}

// unpack is the inverse of pack.
func (f *Filter) unpack(panel, cBlock int, oihw []float32, inverse [][]float64) {
	width := f.width(panel)
	element := f.element(panel)
	c0 := cBlock * 16
	for b := 0; b < width; b++ {
		k := panel*f.nr + b
		if k >= f.k {
			return
		}
		for c := c0; c < min(c0+16, f.c); c++ {
			taps := untransform(inverse, f.alpha, func(xi int) float64 { return element(xi, c, b) })
			for t, v := range taps {
				if f.rotated {
					oihw[(c*f.k+k)*9+8-t] = v
				} else {
					oihw[(k*f.c+c)*9+t] = v
				}
			}
		}
	}
}

// element returns a function that returns U of an input channel and an output of a panel.
func (f *Filter) element(panel int) func(xi, c, out int) float64 {
	first, width := f.panel(panel, 0), f.width(panel)
	if x := f.fixed; x != nil {
		u, kb := x.u[first.first:], panel*f.nr/16
		return func(xi, c, out int) float64 {
			return float64(u[xi*first.n+x.index(width, c, out)]) * x.step(kb+out/16, xi, out%16)
		}
	}
	u := f.u[first.first:]
	return func(xi, c, out int) float64 { return float64(u[xi*first.n+c*width+out]) }
}

// untransform returns the filter whose elements are those of u.
func untransform(inverse [][]float64, alpha int, u func(xi int) float64) (taps [9]float32) {
	var rows [3][maxAlpha]float64 // inverse · U
	for i := range alpha {
		for j := range alpha {
			v := u(i*alpha + j)
			for r := range rows {
				rows[r][j] += inverse[r][i] * v
			}
		}
	}
	for t := range taps {
		sum := 0.0
		for j, v := range rows[t/3][:alpha] {
			sum += v * inverse[t%3][j]
		}
		taps[t] = float32(sum)
	}
	return taps
}

// inverses returns for each m the 3×alpha matrix whose product with G is the identity.
// Rows of G count by the inverse of their size, as their errors do.
var inverses = sync.OnceValue(func() map[int][][]float64 {
	all := map[int][][]float64{}
	for _, m := range []int{2, 4} {
		all[m] = leftInverse(bilinear.New(m).G.Float64())
	}
	return all
})

// leftInverse returns (ĜᵀĜ)⁻¹·Ĝᵀ·D of a matrix with 3 columns, where Ĝ = D·G has rows
// of size 1.
func leftInverse(g [][]float64) [][]float64 {
	var normal [3][3]float64 // ĜᵀĜ = Gᵀ·D²·G
	weight := make([]float64, len(g))
	for i, row := range g {
		sum := math.Abs(row[0]) + math.Abs(row[1]) + math.Abs(row[2])
		weight[i] = 1 / (sum * sum)
		for a := range 3 {
			for b := range 3 {
				normal[a][b] += weight[i] * row[a] * row[b]
			}
		}
	}
	inverse := invert3(normal)
	p := make([][]float64, 3)
	for a := range p {
		p[a] = make([]float64, len(g))
		for i, row := range g {
			for b := range 3 {
				p[a][i] += inverse[a][b] * row[b] * weight[i]
			}
		}
	}
	return p
}

// invert3 returns the inverse of a matrix by Cramer's rule.
func invert3(m [3][3]float64) (inverse [3][3]float64) {
	minor := func(r, c int) float64 {
		r1, r2, c1, c2 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
		return m[r1][c1]*m[r2][c2] - m[r1][c2]*m[r2][c1]
	}
	det := m[0][0]*minor(0, 0) + m[0][1]*minor(0, 1) + m[0][2]*minor(0, 2)
	for r := range 3 {
		for c := range 3 {
			inverse[c][r] = minor(r, c) / det
		}
	}
	return inverse
}
