package vgg

import (
	"context"
	"time"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/elementwise"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/pool"
)

// trainBuilder makes the layers of a Trainer in their order.
type trainBuilder struct {
	t     *Trainer
	mult  *gemm.Multiplier
	d     [2][]float32 // gradients of activations, in turn
	turn  int
	y     []float32 // the activation before the next layer
	relu  bool      // which comes from a ReLU
	scale float32   // and has been multiplied by this, in training
	dy    []float32 // its gradient, nil if none is wanted
	param int       // the next tensor
	conv  []float32 // scratch of all convolutions
}

// reserve allocates what layers share, for the input and the shapes of a network.
func (b *trainBuilder) reserve(in Shape, shapes []Shape) {
	largest := layout.Len(in.C, in.H, in.W)
	for _, s := range shapes {
		largest = max(largest, layout.Len(s.C, s.H, s.W))
	}
	for i := range b.d {
		b.d[i] = layout.Alloc(b.t.batch * largest)
	}
}

// scratch returns n floats that all convolutions use in turn.
func (b *trainBuilder) scratch(n int) []float32 {
	if len(b.conv) < n {
		b.conv = layout.Alloc(n) // layers before keep the smaller one
	}
	return b.conv[:n]
}

// layer makes layer i, which turns in into out.
func (b *trainBuilder) layer(i int, l Layer, in, out Shape) (trainLayer, error) {
	n := b.t.batch
	cfg := b.t.cfg
	base := trainBase{frozen: i < b.t.frozen(), x: b.y, dx: b.dy, mask: b.relu, relu: l.ReLU || l.Kind == Pool && b.relu, param: b.param, scale: b.scale, index: i}
	flat := i >= cfg.firstFC()
	length := layout.Len(out.C, out.H, out.W)
	if flat {
		length = out.C
	}
	base.y = layout.Alloc(n * length)
	switch {
	case flat && i == len(cfg.Layers)-1:
		base.dy = b.t.prob
	case flat:
		base.dy = layout.Alloc(n * length) // its own: it is needed until the update
	default:
		base.dy = b.d[b.turn][:n*length]
		b.turn = 1 - b.turn
	}
	if behind := l.Kind == FC || flat && !cfg.Layers[i-1].ReLU && cfg.Layers[i-1].Kind == FC; behind && l.ReLU && i < cfg.lastFC() {
		base.dropout = b.t.opts.dropout
	}
	b.y, b.relu, b.scale = base.y, base.relu, 1/(1-base.dropout)
	b.dy = nil
	if i >= b.t.firstTrained() {
		b.dy = base.dy
	}
	if i == b.t.first && b.t.opts.inputGrad {
		base.dx = layout.Alloc(len(base.x))
	}
	switch {
	case l.Kind == FC:
		f := &trainFC{trainBase: base, in: in, out: l.Out, rows: n, mult: b.mult, first: i == cfg.firstFC(), hwc: cfg.HWC}
		f.flatten(n)
		b.param += 2
		return f, nil
	case l.Kind == Scale:
		b.param += 2
		return b.scaled(base, l, in, flat)
	case l.Kind == AvgPool, l.Kind == GlobalPool:
		return b.mean(base, l, in)
	case l.Kind == Pool:
		return b.pool(base, in)
	case l.Kind == LRN:
		f, err := pool.NewLRN(n, in.C, in.H, in.W, b.t.team)
		if err != nil {
			return nil, err
		}
		g, err := pool.NewLRNGrad(n, in.C, in.H, in.W, b.t.team)
		return &trainLRN{base, f, g}, err
	case l.Kernel == 1:
		b.param += 2
		return b.pointwise(base, l, in)
	}
	b.param += 2
	return b.conv3x3(base, l, in, out)
}

// trainBase is what all layers have.
type trainBase struct {
	x, y   []float32 // activations
	dx, dy []float32 // their gradients; dx is nil if it is not wanted
	mask   bool      // x comes from a ReLU, whose gradient this layer takes
	relu   bool
	param  int // the layer's weight, followed by its bias
	frozen bool
	times  StepTimes

	index   int     // among the layers, for dropout
	dropout float32 // of y; behind fully connected layers alone
	scale   float32 // that x was multiplied by after its ReLU
}

func (l *trainBase) base() *trainBase { return l }

func (l *trainBase) repack(*Trainer) error { return nil }

// maskInput takes dx through the ReLU that made x.
func (l *trainBase) maskInput(t *Trainer) {
	if !l.mask || l.dx == nil {
		return
	}
	const run = 1 << 14
	_ = t.team.Run(context.Background(), (len(l.dx)+run-1)/run, func(_, item int) { // the context never ends
		end := min((item+1)*run, len(l.dx))
		elementwise.ReLUGrad(l.dx[item*run:end], l.x[item*run:end])
	})
}

// weightGrads sets the gradients of a convolution's filters and bias by run,
// unless the layer is frozen.
func (l *trainBase) weightGrads(ctx context.Context, t *Trainer, run func(ctx context.Context, dw, db, x, dy []float32) error) error {
	if l.frozen {
		return nil
	}
	start := time.Now()
	if err := run(ctx, t.gradient(l.param), t.gradient(l.param+1), l.x, l.dy); err != nil {
		return err
	}
	t.add(l.param)
	t.add(l.param + 1)
	l.times.BackwardWeights += time.Since(start)
	return nil
}

// trainConv is a 3×3 convolution.
type trainConv struct {
	trainBase
	filter   *conv3x3.Filter
	turned   *conv3x3.Filter // for dx
	fwd, bwd *conv3x3.Exec
	weights  *conv3x3.WeightGradExec
}

func (b *trainBuilder) conv3x3(base trainBase, l Layer, in, out Shape) (trainLayer, error) {
	t, n := b.t, b.t.batch
	c := &trainConv{trainBase: base}
	w := t.weights[base.param]
	var err error
	exec := func(f *conv3x3.Filter, s conv3x3.Spec) (*conv3x3.Exec, error) {
		need, err := f.ScratchLen(s, t.team.Workers())
		if err != nil {
			return nil, err
		}
		return f.NewExec(s, b.scratch(need), t.team)
	}
	if c.filter, err = conv3x3.NewFilter(in.C, l.Out, w, nil, t.team); err != nil {
		return nil, err
	}
	if c.fwd, err = exec(c.filter, conv3x3.Spec{N: n, H: in.H, W: in.W, Pad: t.cfg.Pad, Epilogue: fuse.Epilogue{ReLU: l.ReLU}}); err != nil {
		return nil, err
	}
	if c.dx != nil {
		if c.turned, err = conv3x3.NewInputGradFilter(in.C, l.Out, w, t.team); err != nil {
			return nil, err
		}
		if c.bwd, err = exec(c.turned, conv3x3.Spec{N: n, H: out.H, W: out.W, Pad: 2 - t.cfg.Pad}); err != nil {
			return nil, err
		}
	}
	g, err := conv3x3.NewWeightGrad(conv3x3.Shape{N: n, C: in.C, H: in.H, W: in.W, K: l.Out, Pad: t.cfg.Pad})
	if err != nil {
		return nil, err
	}
	need := g.ScratchLen(t.team.Workers())
	if !shape.Fits(need) {
		return nil, shape.Errorf("vgg: %d workers for %d pictures of %v, whose scratch no memory holds", t.team.Workers(), n, in)
	}
	c.weights, err = g.NewExec(b.scratch(need), t.team)
	return c, err
}

func (c *trainConv) repack(t *Trainer) error {
	err := c.fwd.SetBias(t.weights[c.param+1])
	if err == nil {
		err = c.filter.Repack(t.weights[c.param], t.team)
	}
	if err == nil && c.turned != nil {
		err = c.turned.Repack(t.weights[c.param], t.team)
	}
	return err
}

func (c *trainConv) forward(ctx context.Context, _ *Trainer) error { return c.fwd.Run(ctx, c.y, c.x) }

func (c *trainConv) backward(ctx context.Context, t *Trainer) error {
	if err := c.weightGrads(ctx, t, c.weights.Run); err != nil || c.dx == nil {
		return err
	}
	start := time.Now()
	var err error
	if c.mask {
		err = c.bwd.RunMasked(ctx, c.dx, c.dy, c.x)
	} else {
		err = c.bwd.Run(ctx, c.dx, c.dy)
	}
	c.times.BackwardData += time.Since(start)
	return err
}

// trainPointwise is a 1×1 convolution.
type trainPointwise struct {
	trainBase
	filter   *gemm.Pointwise
	turned   *gemm.Pointwise
	fwd, bwd *gemm.PointwiseExec
	weights  *gemm.PointwiseWeightGrad
}

func (b *trainBuilder) pointwise(base trainBase, l Layer, in Shape) (trainLayer, error) {
	t, n := b.t, b.t.batch
	p := &trainPointwise{trainBase: base}
	w := t.weights[base.param]
	var err error
	if p.filter, err = gemm.NewPointwise(in.C, l.Out, w, nil); err != nil {
		return nil, err
	}
	if p.fwd, err = p.filter.NewExec(n, in.H, in.W, l.ReLU, t.team); err != nil {
		return nil, err
	}
	if p.turned, err = gemm.NewPointwise(l.Out, in.C, w, nil); err != nil {
		return nil, err
	}
	if p.bwd, err = p.turned.NewExec(n, in.H, in.W, false, t.team); err != nil {
		return nil, err
	}
	p.weights, err = gemm.NewPointwiseWeightGrad(n, in.C, in.H, in.W, l.Out, t.team)
	return p, err
}

func (p *trainPointwise) repack(t *Trainer) error {
	p.filter.Repack(t.weights[p.param], t.weights[p.param+1], false)
	p.turned.Repack(t.weights[p.param], nil, true)
	return nil
}

func (p *trainPointwise) forward(ctx context.Context, _ *Trainer) error {
	return p.fwd.Run(ctx, p.y, p.x)
}

func (p *trainPointwise) backward(ctx context.Context, t *Trainer) error {
	if err := p.weightGrads(ctx, t, p.weights.Run); err != nil || p.dx == nil {
		return err
	}
	start := time.Now()
	err := p.bwd.Run(ctx, p.dx, p.dy)
	p.maskInput(t)
	p.times.BackwardData += time.Since(start)
	return err
}

// trainPool is a 2×2 maximum. Its gradient takes the ReLU before it as well.
type trainPool struct {
	trainBase
	fwd *pool.MaxPoolExec
	bwd *pool.MaxPoolGradExec
}

func (b *trainBuilder) pool(base trainBase, in Shape) (trainLayer, error) {
	f, err := pool.NewMaxPool(b.t.batch, in.C, in.H, in.W, b.t.team)
	if err != nil {
		return nil, err
	}
	g, err := pool.NewMaxPoolGrad(b.t.batch, in.C, in.H, in.W, fuse.Epilogue{ReLU: base.mask}, b.t.team)
	b.relu = false // its gradient is taken here
	return &trainPool{base, f, g}, err
}

func (p *trainPool) forward(ctx context.Context, _ *Trainer) error { return p.fwd.Run(ctx, p.y, p.x) }

func (p *trainPool) backward(ctx context.Context, t *Trainer) error {
	if p.dx == nil {
		return nil
	}
	start := time.Now()
	err := p.bwd.Run(ctx, p.dx, p.x, p.y, p.dy)
	p.times.BackwardData += time.Since(start)
	return err
}

// trainLRN is a local response normalisation.
type trainLRN struct {
	trainBase
	fwd *pool.LRNExec
	bwd *pool.LRNGradExec
}

func (l *trainLRN) forward(ctx context.Context, _ *Trainer) error { return l.fwd.Run(ctx, l.y, l.x) }

func (l *trainLRN) backward(ctx context.Context, t *Trainer) error {
	if l.dx == nil {
		return nil
	}
	start := time.Now()
	err := l.bwd.Run(ctx, l.dx, l.x, l.dy)
	l.maskInput(t)
	l.times.BackwardData += time.Since(start)
	return err
}

// trainMean is a 2×2 mean or that of each channel.
type trainMean struct {
	trainBase
	fwd, bwd interface {
		Run(ctx context.Context, dst, src []float32) error
	}
}

func (b *trainBuilder) mean(base trainBase, l Layer, in Shape) (trainLayer, error) {
	n, team := b.t.batch, b.t.team
	m := &trainMean{trainBase: base}
	var err error
	if l.Kind == GlobalPool {
		if m.fwd, err = pool.NewGlobalPool(n, in.C, in.H, in.W, team); err == nil {
			m.bwd, err = pool.NewGlobalPoolGrad(n, in.C, in.H, in.W, team)
		}
		return m, err
	}
	if m.fwd, err = pool.NewAvgPool(n, in.C, in.H, in.W, team); err == nil {
		m.bwd, err = pool.NewAvgPoolGrad(n, in.C, in.H, in.W, team)
	}
	return m, err
}

func (m *trainMean) forward(ctx context.Context, _ *Trainer) error { return m.fwd.Run(ctx, m.y, m.x) }

func (m *trainMean) backward(ctx context.Context, t *Trainer) error {
	if m.dx == nil {
		return nil
	}
	start := time.Now()
	err := m.bwd.Run(ctx, m.dx, m.dy)
	m.maskInput(t)
	m.times.BackwardData += time.Since(start)
	return err
}

// trainScale is a scale and shift of each channel of a blocked activation.
type trainScale struct {
	trainBase
	scale *pool.Scale
	fwd   *pool.ScaleExec
	bwd   *pool.ScaleGradExec
}

func (b *trainBuilder) scaled(base trainBase, l Layer, in Shape, flat bool) (trainLayer, error) {
	n, t := b.t.batch, b.t
	s, err := pool.NewScale(in.C, t.weights[base.param], t.weights[base.param+1], fuse.Epilogue{ReLU: l.ReLU})
	if err != nil {
		return nil, err
	}
	if flat {
		return &trainScaleRows{base, s, n}, nil
	}
	f, err := s.NewExec(n, in.H, in.W, t.team)
	if err != nil {
		return nil, err
	}
	g, err := pool.NewScaleGrad(n, in.C, in.H, in.W, t.team)
	return &trainScale{base, s, f, g}, err
}

func (s *trainScale) repack(t *Trainer) error {
	s.scale.Set(t.weights[s.param], t.weights[s.param+1])
	return nil
}

func (s *trainScale) forward(ctx context.Context, _ *Trainer) error { return s.fwd.Run(ctx, s.y, s.x) }

func (s *trainScale) backward(ctx context.Context, t *Trainer) error {
	start := time.Now()
	var dw, db []float32
	if !s.frozen {
		dw, db = t.gradient(s.param), t.gradient(s.param+1)
	}
	if err := s.bwd.Run(ctx, s.dx, dw, db, t.weights[s.param], s.x, s.dy); err != nil {
		return err
	}
	if !s.frozen {
		t.add(s.param)
		t.add(s.param + 1)
	}
	s.maskInput(t)
	s.times.BackwardData += time.Since(start)
	return nil
}

// trainScaleRows is a scale and shift behind a fully connected layer.
type trainScaleRows struct {
	trainBase
	scale *pool.Scale
	rows  int
}

func (s *trainScaleRows) repack(t *Trainer) error {
	s.scale.Set(t.weights[s.param], t.weights[s.param+1])
	return nil
}

func (s *trainScaleRows) forward(ctx context.Context, t *Trainer) error {
	err := s.scale.Rows(s.rows, s.y, s.x)
	s.drop(t)
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (s *trainScaleRows) backward(_ context.Context, t *Trainer) error {
	start := time.Now()
	weight := t.weights[s.param]
	if !s.frozen {
		s.grads(t.gradient(s.param), t.gradient(s.param+1))
		t.add(s.param)
		t.add(s.param + 1)
	}
	for i := range s.dx {
		s.dx[i] = weight[i%len(weight)] * s.dy[i]
	}
	s.maskRows()
	s.times.BackwardData += time.Since(start)
	return nil
}

// grads sets dw and db to sums over the rows, in float64 and in their order.
func (s *trainScaleRows) grads(dw, db []float32) {
	for c := range dw {
		w, b := 0.0, 0.0
		for i := c; i < len(s.dy); i += len(dw) {
			w += float64(s.dy[i]) * float64(s.x[i])
			b += float64(s.dy[i])
		}
		dw[c], db[c] = float32(w), float32(b)
	}
}
