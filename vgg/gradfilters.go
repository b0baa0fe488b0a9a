package vgg

import (
	"fmt"
	"sync"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/parallel"
)

// gradFilters are the forms of a Model's filters that gradients of inputs need. Plain
// inference does not: they are packed when the first Gradient wants them, from the packed
// filters, and all later ones share them.
type gradFilters struct {
	mu     sync.Mutex
	layers map[int]packedGrad // by layer
	bytes  int64
}

// size returns the memory that they take.
func (f *gradFilters) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// packedGrad returns what the gradient of an op's input needs.
func (m *Model) packedGrad(o op, team *parallel.Team) (packedGrad, error) {
	m.grads.mu.Lock()
	defer m.grads.mu.Unlock()
	if g, ok := m.grads.layers[o.index]; ok {
		return g, nil
	}
	g, bytes, err := m.packGrad(o, team)
	if err != nil {
		return g, fmt.Errorf("vgg: %s: %w", o.Name, err)
	}
	if m.grads.layers == nil {
		m.grads.layers = map[int]packedGrad{}
	}
	m.grads.layers[o.index] = g
	m.grads.bytes += bytes
	return g, nil
}

// packGrad makes what the gradient of an op's input needs, and says what memory it takes.
func (m *Model) packGrad(o op, team *parallel.Team) (g packedGrad, bytes int64, err error) {
	p := m.layers[o.index]
	switch {
	case p.conv != nil:
		in, shapes, _ := m.cfg.nominal() // the configuration has been validated
		if o.index > 0 {
			in = shapes[o.index-1]
		}
		if g.conv, err = conv3x3.NewInputGradFilter(o.in.C, o.Out, p.conv.Weights(team), team, m.opts.algorithm.options(o.Layer, o.Out, in)...); err == nil {
			bytes = g.conv.Bytes()
		}
	case p.pointwise != nil:
		weights := p.pointwise.Weights()
		if g.pointwise, err = gemm.NewPointwise(o.Out, o.in.C, weights, nil); err == nil {
			g.pointwise.Repack(true, weights, nil)
			bytes = g.pointwise.Bytes()
		}
	case p.linear != nil:
		g.linear = p.linear
	case p.scale != nil:
		g.scale = p.scale.Weights()
	}
	return g, bytes, err
}
