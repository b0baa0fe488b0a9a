package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
)

// Conv1x1 is the size of a 1×1 convolution of N pictures of C×H×W to K channels.
// Its methods take activations as NCHW and filters as [K][C]: for each picture it
// is the product of the filters with a C×(H·W) matrix.
type Conv1x1 struct{ N, C, H, W, K int }

func (s Conv1x1) check(x, w, y []float32) error {
	if s.N < 1 || s.C < 1 || s.H < 1 || s.W < 1 || s.K < 1 {
		return shape.Errorf("gemm: 1×1 convolution %+v", s)
	}
	if nx, nw, ny := shape.Product(s.N, s.C, s.H, s.W), shape.Product(s.K, s.C), shape.Product(s.N, s.K, s.H, s.W); len(x) != nx || len(w) != nw || len(y) != ny {
		return shape.Errorf("gemm: 1×1 convolution %+v of %d, %d and %d elements, want %d, %d and %d", s, len(x), len(w), len(y), nx, nw, ny)
	}
	return nil
}

// Forward sets y [N][K][H][W] to the convolution of x [N][C][H][W] with w [K][C],
// plus bias [K] or none if nil; with relu the maximum of that and 0, where NaN
// stays NaN. y must not overlap x or w. Errors wrap ErrShape, or are ctx's.
func (s Conv1x1) Forward(ctx context.Context, g *Multiplier, y, x, w, bias []float32, relu bool) error {
	if err := s.check(x, w, y); err != nil {
		return err
	}
	if bias != nil && len(bias) != s.K {
		return shape.Errorf("gemm: %d biases for %d outputs", len(bias), s.K)
	}
	g.bias, g.relu = bias, relu
	defer func() { g.bias, g.relu = nil, false }()
	p := s.H * s.W
	for n := range s.N {
		if err := g.SGEMM(ctx, false, false, s.K, p, s.C, 1, w, s.C, x[n*s.C*p:][:s.C*p], p, 0, y[n*s.K*p:][:s.K*p], p); err != nil {
			return err
		}
	}
	return nil
}

// InputGrad sets dx [N][C][H][W] to the gradient with respect to the input.
func (s Conv1x1) InputGrad(ctx context.Context, g *Multiplier, dx, w, dy []float32) error {
	if err := s.check(dx, w, dy); err != nil {
		return err
	}
	p := s.H * s.W
	for n := range s.N {
		if err := g.SGEMM(ctx, true, false, s.C, p, s.K, 1, w, s.C, dy[n*s.K*p:][:s.K*p], p, 0, dx[n*s.C*p:][:s.C*p], p); err != nil {
			return err
		}
	}
	return nil
}

// WeightGrad adds the gradient with respect to the filters to dw [K][C].
func (s Conv1x1) WeightGrad(ctx context.Context, g *Multiplier, dw, x, dy []float32) error {
	if err := s.check(x, dw, dy); err != nil {
		return err
	}
	p := s.H * s.W
	for n := range s.N {
		if err := g.SGEMM(ctx, false, true, s.K, s.C, p, 1, dy[n*s.K*p:][:s.K*p], p, x[n*s.C*p:][:s.C*p], p, 1, dw, s.C); err != nil {
			return err
		}
	}
	return nil
}
