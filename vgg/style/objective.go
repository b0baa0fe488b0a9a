package style

import (
	"context"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// Losses are the parts of the loss, weighted.
type Losses struct {
	Content        float64 `json:"content"`
	Style          float64 `json:"style"`
	TotalVariation float64 `json:"total_variation"`
}

// Total is their sum.
func (l Losses) Total() float64 { return l.Content + l.Style + l.TotalVariation }

// objective computes the loss of a picture and its gradient.
//
// A picture is [3][h][w] in the network's order of channels: what the network takes, but in
// units of the range of a pixel; its means are the network's. units are how many of the
// network's make one of these.
type objective struct {
	h, w     int
	tv       float64
	units    [3]float32
	gradient *vgg.Gradient
	layers   []layerTerms
	acts     [][]float32 // of each layer
	cot      [][]float32 // the loss's gradient with respect to them
	input    []float32   // what the network takes; then its gradient
	grads    [1][]float32
	team     *parallel.Team
	products *gemm.Multiplier
}

// layerTerms are a layer's terms of the loss. A weight of 0 is none.
type layerTerms struct {
	shape         vgg.Shape
	content       float64
	wanted        []float32 // activation
	wantedSquares float64
	style         float64
	gram          []float32 // wanted
	gramSquares   float64
	diff          []float32 // of the Gram matrices
}

// gramLen is the length of a layer's Gram matrix.
func (t *layerTerms) gramLen() int { return t.shape.C * t.shape.C }

// newObjective plans the loss of pictures of h×w.
func newObjective(m *vgg.Model, r Recipe, h, w int, opts []vgg.SessionOption) (*objective, error) {
	names := r.layers()
	g, err := m.NewGradient(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(h, w), vgg.Outputs(names...))...)
	if err != nil {
		return nil, err
	}
	o := &objective{h: h, w: w, tv: r.TotalVariation, units: units(m), gradient: g, input: layout.Alloc(3 * h * w), team: parallel.NewTeam(g.Workers())}
	o.products = gemm.NewMultiplier(o.team)
	for i, s := range g.OutputShapes() {
		t := layerTerms{shape: s, content: weightOf(r.Content, names[i]), style: weightOf(r.Style, names[i])}
		if t.style > 0 {
			if !shape.Fits(s.C, s.C) {
				return nil, shape.Errorf("style: the Gram matrix of %s has %d×%d elements, which no memory holds", names[i], s.C, s.C)
			}
			t.diff = make([]float32, t.gramLen())
		}
		o.layers = append(o.layers, t)
		o.acts, o.cot = append(o.acts, layout.Alloc(s.Len())), append(o.cot, layout.Alloc(s.Len()))
	}
	return o, nil
}

// layers lists those of the recipe, each once.
func (r Recipe) layers() (names []string) {
	for _, t := range append(r.Content[:len(r.Content):len(r.Content)], r.Style...) {
		if !slices.Contains(names, t.Layer) {
			names = append(names, t.Layer)
		}
	}
	return names
}

func weightOf(terms []Term, layer string) (w float64) {
	for _, t := range terms {
		if t.Layer == layer {
			w += t.Weight
		}
	}
	return w
}

// units returns how many of the network's units are the range of a pixel, by channel.
func units(m *vgg.Model) (u [3]float32) {
	p := m.Picture().Preset
	for c := range u {
		u[c] = 255
		if p.Unit {
			u[c] = 1
		}
		if p.Std[c] != 0 {
			u[c] /= p.Std[c]
		}
	}
	return u
}

// setContent takes the activations of a picture as those that are wanted.
func (o *objective) setContent(ctx context.Context, x []float32) error {
	if err := o.forward(ctx, x); err != nil {
		return err
	}
	for i := range o.layers {
		t := &o.layers[i]
		if t.content == 0 {
			continue
		}
		t.wanted = slices.Clone(o.acts[i])
		if t.wantedSquares = squares(t.wanted); t.wantedSquares == 0 {
			return fmt.Errorf("style: the content picture's activation number %d is 0 everywhere: %w", i, vgg.ErrNotFinite)
		}
	}
	return nil
}

// setStyle takes Gram matrices of a picture, whose size may be another, as those that are
// wanted.
func (o *objective) setStyle(ctx context.Context, m *vgg.Model, r Recipe, x []float32, h, w int, opts []vgg.SessionOption) error {
	names := r.layers()
	s, err := m.NewSession(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(h, w), vgg.Outputs(names...))...)
	if err != nil {
		return err
	}
	var acts [][]float32
	for _, shape := range s.OutputShapes() {
		acts = append(acts, layout.Alloc(shape.Len()))
	}
	input := make([]float32, len(x))
	o.toNetwork(input, x)
	if err := s.RunOutputs(ctx, acts, input); err != nil {
		return err
	}
	for i, shape := range s.OutputShapes() {
		t := &o.layers[i]
		if t.style == 0 {
			continue
		}
		t.gram = make([]float32, t.gramLen())
		if err := o.gram(ctx, t.gram, acts[i], shape); err != nil {
			return err
		}
		if t.gramSquares = squares(t.gram); t.gramSquares == 0 {
			return fmt.Errorf("style: the style picture's activation of %s is 0 everywhere: %w", names[i], vgg.ErrNotFinite)
		}
	}
	return nil
}

// toNetwork sets dst to what the network takes for the picture x.
func (o *objective) toNetwork(dst, x []float32) {
	plane := len(x) / 3
	for i, v := range x {
		dst[i] = v * o.units[i/plane]
	}
}

func (o *objective) forward(ctx context.Context, x []float32) error {
	o.toNetwork(o.input, x)
	return o.gradient.Forward(ctx, o.acts, o.input)
}

// gram sets dst to F·Fᵀ/(H·W).
func (o *objective) gram(ctx context.Context, dst, f []float32, s vgg.Shape) error {
	plane := s.H * s.W
	o.team.Begin()
	defer o.team.End()
	return o.products.SGEMM(ctx, false, true, s.C, s.C, plane, float32(1/float64(plane)), f, plane, f, plane, 0, dst, s.C)
}

func squares(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// evaluate returns the loss of the picture x and sets dx to its gradient.
func (o *objective) evaluate(ctx context.Context, dx, x []float32) (l Losses, err error) {
	if err := o.forward(ctx, x); err != nil {
		return l, err
	}
	for i := range o.layers {
		if err := o.layer(ctx, &l, i); err != nil {
			return l, err
		}
	}
	o.grads[0] = o.input
	if err := o.gradient.Backward(ctx, o.grads[:], o.cot); err != nil {
		return l, err
	}
	o.toNetwork(dx, o.input) // the adjoint of a diagonal matrix
	l.TotalVariation = o.variation(dx, x)
	return l, nil
}

// layer adds the terms of layer i to the loss and sets the loss's gradient with respect
// to its activation.
func (o *objective) layer(ctx context.Context, l *Losses, i int) error {
	t, f, cot := &o.layers[i], o.acts[i], o.cot[i]
	plane := t.shape.H * t.shape.W
	if t.style > 0 {
		if err := o.gram(ctx, t.diff, f, t.shape); err != nil {
			return err
		}
		for j, v := range t.gram {
			t.diff[j] -= v
		}
		l.Style += t.style * squares(t.diff) / t.gramSquares
		scale := float32(4 * t.style / (float64(plane) * t.gramSquares))
		o.team.Begin()
		err := o.products.SGEMM(ctx, false, false, t.shape.C, plane, t.shape.C, scale, t.diff, t.shape.C, f, plane, 0, cot, plane)
		o.team.End()
		if err != nil {
			return err
		}
	} else {
		clear(cot)
	}
	if t.content > 0 {
		sum, scale := 0.0, float32(2*t.content/t.wantedSquares)
		for j, v := range t.wanted {
			d := f[j] - v
			sum += float64(d) * float64(d)
			cot[j] += scale * d
		}
		l.Content += t.content * sum / t.wantedSquares
	}
	return nil
}

// variation returns the weighted total variation of x and adds its gradient to dx.
func (o *objective) variation(dx, x []float32) float64 {
	if o.tv == 0 {
		return 0
	}
	scale, sum := o.tv/float64(len(x)), 0.0
	add := func(i, j int) { // neighbours
		d := float64(x[j]) - float64(x[i])
		sum += d * d
		g := float32(2 * scale * d)
		dx[j] += g
		dx[i] -= g
	}
	for i := range x {
		if i%o.w+1 < o.w {
			add(i, i+1)
		}
		if i/o.w%o.h+1 < o.h {
			add(i, i+o.w)
		}
	}
	return scale * sum
}
