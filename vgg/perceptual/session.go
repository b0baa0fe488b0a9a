package perceptual

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// A head makes a distance of activations.
type head interface {
	// newPass plans a pass over activations of the shapes.
	newPass(shapes []vgg.Shape, team *parallel.Team) pass
}

// A pass computes a head on a team. f[l] and g[l] are stage l of the first and of the
// second picture, [C][H][W]. One goroutine at a time may use it.
type pass interface {
	// parts sets dst[l] to the part of the distance that is due to stage l.
	parts(ctx context.Context, dst []float64, f, g [][]float32) error
	// gradient sets df[l] to the gradient of the distance with respect to f[l].
	gradient(ctx context.Context, df, f, g [][]float32) error
}

// Session computes distances of pictures of one size and owns the memory for it: some
// two kilobytes a pixel. One goroutine at a time may use it.
type Session struct {
	h, w  int
	net   forward
	pass  pass
	parts []float64
	input []float32      // a picture, normalised
	acts  [2][][]float32 // of the two pictures
}

// NewSession plans distances of pictures of h×w. Of the options vgg.Workers counts.
// Errors wrap ErrShape or vgg.ErrConfig.
func (m *Metric) NewSession(h, w int, opts ...vgg.SessionOption) (*Session, error) {
	net, err := m.net.forward(h, w, opts)
	if err != nil {
		return nil, err
	}
	s := &Session{h: h, w: w, net: net, input: layout.Alloc(3 * h * w), parts: make([]float64, len(net.shapes()))}
	for i := range s.acts {
		s.acts[i] = activations(net.shapes())
	}
	s.pass = m.head.newPass(net.shapes(), net.team())
	return s, nil
}

func activations(shapes []vgg.Shape) (list [][]float32) {
	for _, s := range shapes {
		list = append(list, layout.Alloc(s.Len()))
	}
	return list
}

// Stages returns how many parts a distance has: the five activations of LPIPS, or the
// picture and five activations of DISTS.
func (s *Session) Stages() int { return len(s.parts) }

// Distance returns the distance of two pictures, each [3][H][W], red, green and blue from
// 0 to 1. It returns an error that wraps ErrShape for other lengths, or ctx's when ctx
// ends. It does not allocate.
func (s *Session) Distance(ctx context.Context, a, b []float32) (float64, error) {
	if err := s.Parts(ctx, s.parts, a, b); err != nil {
		return 0, err
	}
	return sum(s.parts), nil
}

// Parts sets dst to what each of the Stages contributes to the distance, which is
// their sum. All else is as for Distance.
func (s *Session) Parts(ctx context.Context, dst []float64, a, b []float32) error {
	if err := checkPictures(s.h, s.w, a, b); err != nil {
		return err
	}
	if len(dst) != len(s.parts) {
		return shape.Errorf("perceptual: %d parts of a distance, want %d", len(dst), len(s.parts))
	}
	// One picture after the other: their activations would not fit the caches together.
	for i, picture := range [...][]float32{a, b} {
		if err := compute(ctx, s.net, s.acts[i], s.input, picture); err != nil {
			return err
		}
	}
	return s.pass.parts(ctx, dst, s.acts[0], s.acts[1])
}

// compute sets acts to the activations of a picture, by way of input.
func compute(ctx context.Context, net forward, acts [][]float32, input, picture []float32) error {
	if net.shapes()[0].C == 3 {
		copy(acts[0], picture)
	}
	normalise(input, picture)
	return net.run(ctx, acts, input)
}

// share runs the items of a piece of work on a team.
func share(ctx context.Context, team *parallel.Team, n int, item func(worker, item int)) error {
	team.Begin()
	defer team.End()
	return team.Run(ctx, n, item)
}

func sum(parts []float64) (total float64) {
	for _, v := range parts {
		total += v
	}
	return total
}

func checkPictures(h, w int, pictures ...[]float32) error {
	for _, p := range pictures {
		if len(p) != 3*h*w {
			return shape.Errorf("perceptual: a picture of %d values, want 3×%d×%d", len(p), h, w)
		}
	}
	return nil
}
