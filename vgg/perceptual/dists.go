package perceptual

import (
	"context"

	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// distsC keeps the quotients of DISTS finite: the authors' c1 and c2.
const distsC = 1e-6

// distsHead holds the weights of means and of covariances for each channel of each stage.
// Their sum is 1.
type distsHead struct{ alpha, beta [][]float64 }

func newDISTSHead(file weights.Source, channels []int) (*distsHead, error) {
	n := 0
	for _, c := range channels {
		n += c
	}
	alpha, err := readFloats(file, "alpha", 1, n, 1, 1)
	if err != nil {
		return nil, err
	}
	beta, err := readFloats(file, "beta", 1, n, 1, 1)
	if err != nil {
		return nil, err
	}
	total := sum(alpha) + sum(beta)
	for i := range alpha {
		alpha[i] /= total
		beta[i] /= total
	}
	h := &distsHead{}
	for _, c := range channels {
		h.alpha, h.beta = append(h.alpha, alpha[:c]), append(h.beta, beta[:c])
		alpha, beta = alpha[c:], beta[c:]
	}
	return h, nil
}

// moments are the means of f, g, f², g² and f·g over a plane.
type moments struct{ f, g, ff, gg, fg float64 }

func momentsOf(f, g []float32) (m moments) {
	for i, v := range f {
		a, b := float64(v), float64(g[i])
		m.f += a
		m.g += b
		m.ff += a * a
		m.gg += b * b
		m.fg += a * b
	}
	n := float64(len(f))
	return moments{m.f / n, m.g / n, m.ff / n, m.gg / n, m.fg / n}
}

// similarities returns s1 and s2 of the package's comment, and their denominators.
func (m moments) similarities() (s1, s2, d1, d2 float64) {
	d1 = m.f*m.f + m.g*m.g + distsC
	d2 = (m.ff - m.f*m.f) + (m.gg - m.g*m.g) + distsC
	return (2*m.f*m.g + distsC) / d1, (2*(m.fg-m.f*m.g) + distsC) / d2, d1, d2
}

// distsItem is a channel of a stage.
type distsItem struct{ stage, channel int }

// distsPass computes a distsHead.
type distsPass struct {
	head     *distsHead
	shapes   []vgg.Shape
	team     *parallel.Team
	items    []distsItem
	each     []float64   // of each item: its part of the distance
	f, g, df [][]float32 // operands of the run under way
	forward  func(worker, item int)
	backward func(worker, item int)
}

func (h *distsHead) newPass(shapes []vgg.Shape, team *parallel.Team) pass {
	p := &distsPass{head: h, shapes: shapes, team: team}
	for l, s := range shapes {
		for c := range s.C {
			p.items = append(p.items, distsItem{l, c})
		}
	}
	p.each = make([]float64, len(p.items))
	p.forward = func(_, i int) { p.each[i] = p.distance(p.items[i]) }
	p.backward = func(_, i int) { p.gradients(p.items[i]) }
	return p
}

func (p *distsPass) parts(ctx context.Context, dst []float64, f, g [][]float32) error {
	p.f, p.g = f, g
	err := share(ctx, p.team, len(p.items), p.forward)
	clear(dst)
	for i, it := range p.items {
		dst[it.stage] += p.each[i]
	}
	return err
}

func (p *distsPass) gradient(ctx context.Context, df, f, g [][]float32) error {
	p.df, p.f, p.g = df, f, g
	return share(ctx, p.team, len(p.items), p.backward)
}

// plane returns a channel's part of a stage.
func (p *distsPass) plane(acts [][]float32, it distsItem) []float32 {
	n := p.shapes[it.stage].H * p.shapes[it.stage].W
	return acts[it.stage][it.channel*n:][:n]
}

// distance returns α·(1 − s1) + β·(1 − s2), whose sum over all channels is the distance.
func (p *distsPass) distance(it distsItem) float64 {
	s1, s2, _, _ := momentsOf(p.plane(p.f, it), p.plane(p.g, it)).similarities()
	return p.head.alpha[it.stage][it.channel]*(1-s1) + p.head.beta[it.stage][it.channel]*(1-s2)
}

// gradients sets df of a channel of n elements:
//
//	∂s1/∂f_i = 2·(µ_g − s1·µ_f) / (n·d1)
//	∂s2/∂f_i = 2·((g_i − µ_g) − s2·(f_i − µ_f)) / (n·d2)
func (p *distsPass) gradients(it distsItem) {
	f, g, df := p.plane(p.f, it), p.plane(p.g, it), p.plane(p.df, it)
	m := momentsOf(f, g)
	s1, s2, d1, d2 := m.similarities()
	n := float64(len(f))
	mean := -p.head.alpha[it.stage][it.channel] * 2 * (m.g - s1*m.f) / (n * d1)
	scale := -p.head.beta[it.stage][it.channel] * 2 / (n * d2)
	for i, v := range f {
		df[i] = float32(mean + scale*((float64(g[i])-m.g)-s2*(float64(v)-m.f)))
	}
}
