package conv3x3

import (
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
)

// Shape is the size of a convolution: N pictures of C×H×W to K channels, with
// Pad (0 or 1) rows and columns of zeros on each side. Its filters move by Stride pixels,
// 1 or 2; 0 is 1.
type Shape struct{ N, C, H, W, K, Pad, Stride int }

// OH and OW are the height and width of the result, without a pool.
func (s Shape) OH() int { return (s.H+2*s.Pad-3)/s.stride() + 1 }
func (s Shape) OW() int { return (s.W+2*s.Pad-3)/s.stride() + 1 }

func (s Shape) stride() int { return max(s.Stride, 1) }

// inputGrad describes the gradient with respect to the input.
func (s Shape) inputGrad() Spec {
	g := Spec{N: s.N, H: s.OH(), W: s.OW(), Pad: 2 - s.Pad}
	if s.stride() == 2 {
		g.OH, g.OW = s.H, s.W
	}
	return g
}

func (s Shape) check() error {
	if s.N < 1 || s.C < 1 || s.K < 1 || s.H < 1 || s.W < 1 || s.Pad < 0 || s.Pad > 1 || s.Stride < 0 || s.Stride > 2 ||
		s.H > shape.Max || s.W > shape.Max || s.H+2*s.Pad < 3 || s.W+2*s.Pad < 3 ||
		layout.BatchLen(s.N, max(s.C, s.K), s.H+2, s.W+2) == shape.TooMany || layout.BatchLen(36, s.K, layout.Blocks(s.C), 16) == shape.TooMany {
		return shape.Errorf("conv3x3: shape %+v", s)
	}
	return nil
}
