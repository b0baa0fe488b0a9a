package perceptual

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/vgg"
)

// Gradient computes distances and their gradients with respect to the first picture, for
// pictures of one size, and owns the memory for it. One goroutine at a time may use it.
type Gradient struct {
	h, w  int
	first backward // the network for the first picture
	other forward  // and for the second
	pass  pass
	parts []float64
	input []float32      // a picture, normalised; then its gradient
	acts  [2][][]float32 // of the two pictures
	grads [][]float32    // of the distance, with respect to acts[0]
}

// NewGradient plans gradients for pictures of h×w. Of the options vgg.Workers counts.
// Errors wrap ErrShape or vgg.ErrConfig.
func (m *Metric) NewGradient(h, w int, opts ...vgg.SessionOption) (*Gradient, error) {
	other, err := m.net.forward(h, w, opts)
	if err != nil {
		return nil, err
	}
	first, err := m.net.backward(h, w, opts)
	if err != nil {
		return nil, err
	}
	g := &Gradient{h: h, w: w, first: first, other: other, input: layout.Alloc(3 * h * w), parts: make([]float64, len(other.shapes()))}
	for i := range g.acts {
		g.acts[i] = activations(other.shapes())
	}
	g.grads = activations(other.shapes())
	g.pass = m.head.newPass(other.shapes(), other.team())
	return g, nil
}

// Run returns the distance of a and b, and sets grad to its gradient with respect to a,
// all three [3][H][W], red, green and blue from 0 to 1. grad may be a or b. Errors wrap
// ErrShape for wrong lengths, or are ctx's when ctx ends; grad is then undefined. It does
// not allocate.
func (g *Gradient) Run(ctx context.Context, grad, a, b []float32) (float64, error) {
	if err := checkPictures(g.h, g.w, a, b); err != nil {
		return 0, err
	}
	if len(grad) != len(a) {
		return 0, shape.Errorf("perceptual: a gradient of %d values, want 3×%d×%d", len(grad), g.h, g.w)
	}
	if err := compute(ctx, g.other, g.acts[1], g.input, b); err != nil {
		return 0, err
	}
	if err := compute(ctx, g.first, g.acts[0], g.input, a); err != nil {
		return 0, err
	}
	if err := g.pass.parts(ctx, g.parts, g.acts[0], g.acts[1]); err != nil {
		return 0, err
	}
	if err := g.pass.gradient(ctx, g.grads, g.acts[0], g.acts[1]); err != nil {
		return 0, err
	}
	if err := g.first.back(ctx, g.input, g.grads); err != nil {
		return 0, err
	}
	normaliseGrad(grad, g.input)
	if g.other.shapes()[0].C == 3 { // the picture itself is a stage
		for i, v := range g.grads[0] {
			grad[i] += v
		}
	}
	return sum(g.parts), nil
}
