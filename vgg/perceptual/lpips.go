package perceptual

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// lpipsEpsilon is added to the length of a pixel's vector.
const lpipsEpsilon = 1e-10

// lpipsHead holds a weight for each channel of each stage.
type lpipsHead struct{ weights [][]float64 }

// An item is a span of pixels of a stage: as many as let spanFloats of each picture stay in
// the second-level cache from the lengths of their vectors to the differences, but not less
// than 64 nor more than span.
const (
	span       = 512
	spanFloats = 1 << 15
)

// lpipsItem is a span of pixels of a stage.
type lpipsItem struct{ stage, first, n int }

// lpipsScratch is a worker's memory for an item: of each pixel 1/(|f|+ε) and 1/(|g|+ε), and
// for gradients sums over the channels.
type lpipsScratch struct {
	u, v     [span]float32
	lanes    [16]float32
	ff, gg   [span]float64 // Σf², Σg²
	wff, wfg [span]float64 // Σw·f², Σw·f·g
}

// lpipsPass computes a lpipsHead.
type lpipsPass struct {
	head     *lpipsHead
	shapes   []vgg.Shape
	team     *parallel.Team
	items    []lpipsItem
	each     []float64      // of each item: its part of the distance
	scratch  []lpipsScratch // of each worker
	f, g, df [][]float32    // operands of the run under way
	forward  func(worker, item int)
	backward func(worker, item int)
}

func (h *lpipsHead) newPass(shapes []vgg.Shape, team *parallel.Team) pass {
	p := &lpipsPass{head: h, shapes: shapes, team: team, scratch: make([]lpipsScratch, team.Workers())}
	for l, s := range shapes {
		plane, n := s.H*s.W, min(max(spanFloats/s.C&^15, 64), span)
		for at := 0; at < plane; at += n {
			p.items = append(p.items, lpipsItem{l, at, min(n, plane-at)})
		}
	}
	p.each = make([]float64, len(p.items))
	p.forward = func(worker, i int) { p.each[i] = p.distance(&p.scratch[worker], p.items[i]) }
	p.backward = func(worker, i int) { p.gradients(&p.scratch[worker], p.items[i]) }
	return p
}

func (p *lpipsPass) parts(ctx context.Context, dst []float64, f, g [][]float32) error {
	p.f, p.g = f, g
	err := share(ctx, p.team, len(p.items), p.forward)
	clear(dst)
	for i, it := range p.items {
		dst[it.stage] += p.each[i]
	}
	for l, s := range p.shapes {
		dst[l] /= float64(s.H * s.W)
	}
	return err
}

func (p *lpipsPass) gradient(ctx context.Context, df, f, g [][]float32) error {
	p.df, p.f, p.g = df, f, g
	return share(ctx, p.team, len(p.items), p.backward)
}

// distance returns Σ_p Σ_c w·(û − v̂)² over the pixels of an item.
func (p *lpipsPass) distance(s *lpipsScratch, it lpipsItem) float64 {
	f, g, plane := p.f[it.stage], p.g[it.stage], p.shapes[it.stage].H*p.shapes[it.stage].W
	weights := p.head.weights[it.stage]
	u, v := s.u[:it.n], s.v[:it.n]
	inverseLengths(u, f, len(weights), plane, it.first)
	inverseLengths(v, g, len(weights), plane, it.first)
	total := 0.0
	for c, w := range weights {
		at := c*plane + it.first
		total += w * activation.SquaredDistance(f[at:][:it.n], u, g[at:][:it.n], v, &s.lanes)
	}
	return total
}

// inverseLengths sets u to 1/(|f|+ε) of pixels from first on.
func inverseLengths(u, f []float32, channels, plane, first int) {
	clear(u)
	for c := range channels {
		activation.AddSquares(u, f[c*plane+first:][:len(u)])
	}
	for i, v := range u {
		u[i] = float32(1 / (math.Sqrt(float64(v)) + lpipsEpsilon))
	}
}

// add computes the sums of an item for gradients, two channels in a pass over its pixels.
func (s *lpipsScratch) add(f, g []float32, w []float64, plane, first, n int) {
	clear(s.ff[:n])
	clear(s.gg[:n])
	clear(s.wff[:n])
	clear(s.wfg[:n])
	for c := 0; c < len(w); c += 2 { // the stages have even numbers
		s.addTwo(f[c*plane+first:], g[c*plane+first:], w[c], w[c+1], plane, n)
	}
}

// addTwo adds two channels, which are plane elements apart.
func (s *lpipsScratch) addTwo(f, g []float32, w0, w1 float64, plane, n int) {
	f0, f1, g0, g1 := f[:n], f[plane:][:n], g[:n], g[plane:][:n]
	ff, gg, wff, wfg := s.ff[:n], s.gg[:n], s.wff[:n], s.wfg[:n]
	for i := range ff {
		a, b := float64(f0[i]), float64(g0[i])
		c, d := float64(f1[i]), float64(g1[i])
		aa, cc := a*a, c*c
		ff[i] += aa + cc
		gg[i] += b*b + d*d
		wff[i] += w0*aa + w1*cc
		wfg[i] += w0*a*b + w1*c*d
	}
}

// gradients sets df of an item's pixels:
//
//	∂d/∂f_c = 2/(H·W) · (w_c·(û_c − v̂_c)·u − û_c·u·Σ_k w_k·(û_k − v̂_k)·û_k·(|f|+ε)/|f|),   u = 1/(|f|+ε)
//
// It is 0 where f is, behind a closed ReLU.
func (p *lpipsPass) gradients(s *lpipsScratch, it lpipsItem) {
	l := it.stage
	f, g, df, w := p.f[l], p.g[l], p.df[l], p.head.weights[l]
	plane := p.shapes[l].H * p.shapes[l].W
	s.add(f, g, w, plane, it.first, it.n)
	u, v, along := &s.ff, &s.gg, &s.wff // of each pixel: 1/(|f|+ε), 1/(|g|+ε), what is taken away along f
	for i := range it.n {
		norm := math.Sqrt(s.ff[i])
		u[i], v[i] = 1/(norm+lpipsEpsilon), 1/(math.Sqrt(s.gg[i])+lpipsEpsilon)
		along[i] = (s.wff[i]*u[i] - s.wfg[i]*v[i]) * u[i] * u[i]
		if norm > 0 {
			along[i] /= norm
		}
	}
	scale := 2 / float64(plane)
	for c, wc := range w {
		at := c*plane + it.first
		for i := range it.n {
			a := float64(f[at+i])
			d := scale * (wc*(a*u[i]-float64(g[at+i])*v[i])*u[i] - a*along[i])
			if a == 0 {
				d = 0
			}
			df[at+i] = float32(d)
		}
	}
}
