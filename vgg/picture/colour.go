package picture

import (
	"math"
	"math/rand/v2"
)

// ColourStats accumulates the mean and covariance of the colours of pictures. The zero value
// is empty. All sums are integers and so exact: the result depends neither on the order of
// the pictures nor on the division of work. It holds up to 2⁶⁴/255² ≈ 2.8·10¹⁴ pixels.
type ColourStats struct {
	N        uint64       // pixels
	Sum      [3]uint64    // of R, G, B
	Products [3][3]uint64 // sums of products of two channels
}

// Add counts every pixel of p.
func (s *ColourStats) Add(p *RGB) {
	p.check()
	var r1, g1, b1, rr, rg, rb, gg, gb, bb uint64
	for pix := p.Pix; len(pix) >= 3; pix = pix[3:] {
		r, g, b := uint64(pix[0]), uint64(pix[1]), uint64(pix[2])
		r1, g1, b1 = r1+r, g1+g, b1+b
		rr, rg, rb = rr+r*r, rg+r*g, rb+r*b
		gg, gb, bb = gg+g*g, gb+g*b, bb+b*b
	}
	s.Merge(&ColourStats{
		N:        uint64(p.W * p.H),
		Sum:      [3]uint64{r1, g1, b1},
		Products: [3][3]uint64{{rr, rg, rb}, {rg, gg, gb}, {rb, gb, bb}},
	})
}

// Merge adds the counts of o.
func (s *ColourStats) Merge(o *ColourStats) {
	s.N += o.N
	for i := range 3 {
		s.Sum[i] += o.Sum[i]
		for j := range 3 {
			s.Products[i][j] += o.Products[i][j]
		}
	}
}

// Mean returns the mean of R, G and B in units of the full range 255, or zeros if
// there are no pixels.
func (s *ColourStats) Mean() (m [3]float64) {
	if s.N == 0 {
		return m
	}
	for i := range m {
		m[i] = float64(s.Sum[i]) / float64(s.N) / 255
	}
	return m
}

// Covariance returns the covariance of R, G and B (dividing by N) in units of the
// full range squared, or zeros if there are no pixels.
func (s *ColourStats) Covariance() (c [3][3]float64) {
	if s.N == 0 {
		return c
	}
	n := float64(s.N)
	for i := range 3 {
		for j := range 3 {
			c[i][j] = (float64(s.Products[i][j])/n - float64(s.Sum[i])/n*(float64(s.Sum[j])/n)) / (255 * 255)
		}
	}
	return c
}

// Std returns the standard deviation of R, G and B in units of the full range.
func (s *ColourStats) Std() (d [3]float64) {
	c := s.Covariance()
	for i := range d {
		d[i] = math.Sqrt(max(c[i][i], 0))
	}
	return d
}

// ColourPCA holds the principal components of colour: the eigenvalues of the
// covariance, descending, and in row i of Vectors the unit eigenvector to
// Values[i], with its largest component positive.
type ColourPCA struct {
	Values  [3]float64
	Vectors [3][3]float64
}

// PCA returns the principal components of the counted colours, in units of the full range
// 255 (ImageNet has eigenvalues of about 0.22, 0.019 and 0.0045).
func (s *ColourStats) PCA() ColourPCA { return eigen3(s.Covariance()) }

// Sample draws a colour shift: Σ αᵢ·λᵢ·pᵢ with αᵢ from N(0, sigma²), in units of the full
// range, for [Preset.TensorShift]. With sigma 0.1 it is the augmentation of Krizhevsky et
// al. (2012, section 4.1), which the VGG paper uses too. The factor is λ, not its root, so
// the unit matters.
func (p ColourPCA) Sample(rng *rand.Rand, sigma float64) (shift [3]float32) {
	var sum [3]float64
	for i, l := range p.Values {
		a := rng.NormFloat64() * sigma * l
		for c := range sum {
			sum[c] += a * p.Vectors[i][c]
		}
	}
	for c := range shift {
		shift[c] = float32(sum[c])
	}
	return shift
}

// eigen3 solves the symmetric eigenproblem by Jacobi rotations, which converge
// quadratically: a few sweeps reach rounding.
func eigen3(a [3][3]float64) ColourPCA {
	v := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} // rows: eigenvectors
	for range 20 {
		for p := range 2 {
			for q := p + 1; q < 3; q++ {
				rotate(&a, &v, p, q)
			}
		}
	}
	out := ColourPCA{Values: [3]float64{a[0][0], a[1][1], a[2][2]}, Vectors: v}
	for i := range 3 {
		for j := i + 1; j < 3; j++ {
			if out.Values[j] > out.Values[i] {
				out.Values[i], out.Values[j] = out.Values[j], out.Values[i]
				out.Vectors[i], out.Vectors[j] = out.Vectors[j], out.Vectors[i]
			}
		}
		out.Vectors[i] = largestPositive(out.Vectors[i])
	}
	return out
}

// rotate makes a[p][q] zero by a rotation in the plane of p and q, and applies it to the rows of v.
func rotate(a, v *[3][3]float64, p, q int) {
	if a[p][q] == 0 {
		return
	}
	// The smaller root of t² + 2θt − 1 = 0 is the tangent of the angle.
	theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
	t := math.Copysign(1, theta) / (math.Abs(theta) + math.Hypot(theta, 1))
	c := 1 / math.Hypot(t, 1)
	s := t * c
	for k := range 3 {
		a[k][p], a[k][q] = c*a[k][p]-s*a[k][q], s*a[k][p]+c*a[k][q]
	}
	for k := range 3 {
		a[p][k], a[q][k] = c*a[p][k]-s*a[q][k], s*a[p][k]+c*a[q][k]
		v[p][k], v[q][k] = c*v[p][k]-s*v[q][k], s*v[p][k]+c*v[q][k]
	}
	a[p][q], a[q][p] = 0, 0
}

func largestPositive(v [3]float64) [3]float64 {
	best := v[0]
	for _, x := range v[1:] {
		if math.Abs(x) > math.Abs(best) {
			best = x
		}
	}
	if best < 0 {
		return [3]float64{-v[0], -v[1], -v[2]}
	}
	return v
}
