package conv3x3

import "fmt"

// Shape is the size of a convolution: N pictures of C×H×W to K channels, with
// Pad (0 or 1) rows and columns of zeros on each side.
type Shape struct{ N, C, H, W, K, Pad int }

// OH and OW are the height and width of the result, without a pool.
func (s Shape) OH() int { return s.H + 2*s.Pad - 2 }
func (s Shape) OW() int { return s.W + 2*s.Pad - 2 }

// maxElements bounds the size of an operand, so that products of the fields do
// not overflow.
const maxElements = 1 << 40

func (s Shape) check() error {
	c, k := float64(s.C)+16, float64(s.K)+16
	area := float64(s.N) * (float64(s.H) + 2) * (float64(s.W) + 2)
	if s.N < 1 || s.C < 1 || s.K < 1 || s.H < 1 || s.W < 1 || s.Pad < 0 || s.Pad > 1 || s.OH() < 1 || s.OW() < 1 ||
		area*max(c, k) > maxElements || 36*c*k > maxElements {
		return fmt.Errorf("conv3x3: shape %+v: %w", s, ErrShape)
	}
	return nil
}
