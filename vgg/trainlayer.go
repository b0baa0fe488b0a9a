package vgg

import (
	"context"
	"time"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/pool"
)

// A trainLayer is an op with its memory, forward and backward. The gradient of a ReLU's
// result is taken through the ReLU by the layer after.
type trainLayer struct {
	op
	x, y    []float32 // activations
	dx, dy  []float32 // their gradients; dx is nil if it is not wanted
	frozen  bool
	dropout float32 // of y; behind fully connected layers alone
	scale   float32 // that x was multiplied by after its ReLU, in training
	times   StepTimes

	packed     packedLayer
	grad       packedGrad
	fc         *trainFC // of a fully connected layer
	forward    forwardFunc
	setBias    func([]float32) error // of a 3×3 convolution
	inputGrad  backwardFunc
	weightGrad func(ctx context.Context, t *Trainer) error // nil if there are no weights to be trained
}

// trainBuilder makes the layers of a Trainer in their order.
type trainBuilder struct {
	t     *Trainer
	mult  *gemm.Multiplier
	grads *inTurn
	y     []float32 // the activation before the next layer
	scale float32   // that it has been multiplied by, in training
	dy    []float32 // its gradient, nil if none is wanted
}

// layer makes the next layer.
func (b *trainBuilder) layer(o op) (*trainLayer, error) {
	t := b.t
	l := &trainLayer{op: o, frozen: o.index < t.frozen(), x: b.y, dx: b.dy, y: layout.Alloc(t.batch * o.outLen()), scale: b.scale}
	switch {
	case o.rows && o.index == len(t.cfg.Layers)-1:
		l.dy = t.prob
	case o.rows:
		l.dy = layout.Alloc(len(l.y)) // its own: it is needed until the update
	default:
		l.dy, _ = b.grads.next(len(l.y))
	}
	if o.index == t.first && t.opts.inputGrad {
		l.dx = layout.Alloc(len(l.x))
	}
	if t.drops(o) {
		l.dropout = t.opts.dropout
	}
	b.y, b.scale, b.dy = l.y, 1/(1-l.dropout), nil
	if o.index >= t.firstTrained() {
		b.dy = l.dy
	}
	return l, l.bind(b)
}

// drops reports whether dropout stands behind an op.
func (t *Trainer) drops(o op) bool {
	before := o.rowsIn && t.cfg.Layers[o.index-1].Kind == FC && !t.cfg.Layers[o.index-1].ReLU
	return (o.Kind == FC || before) && o.ReLU && o.index < t.cfg.lastFC()
}

// bind packs the weights for the kernels, and binds these.
func (l *trainLayer) bind(b *trainBuilder) error {
	t := b.t
	if l.Kind == FC {
		l.fc = newTrainFC(l, t, b.mult)
		l.forward = func(ctx context.Context, _, _ []float32) error { return l.fc.runForward(ctx, t) }
		l.inputGrad = func(ctx context.Context, _, _, _, _ []float32) error { return l.fc.runInputGrad(ctx, t) }
		if !l.frozen {
			l.weightGrad = l.fc.runWeightGrad
		}
		return nil
	}
	if err := l.bindForward(t); err != nil {
		return err
	}
	if l.rows {
		l.bindRows(t)
		return nil
	}
	return l.bindGrads(t)
}

// bindForward packs the weights of a layer that is not fully connected, and binds it.
func (l *trainLayer) bindForward(t *Trainer) error {
	err := l.pack(t)
	if err == nil {
		err = t.need(l.packed.conv, l.spec(t.batch))
	}
	if err == nil {
		err = t.need(l.grad.conv, l.gradSpec(t.batch))
	}
	if err != nil {
		return l.named(err)
	}
	if l.packed.conv == nil {
		l.forward, err = t.workspace.forward(l.op, l.packed, t.batch)
		return err
	}
	e, err := t.conv(l.op, l.packed.conv, t.batch)
	l.forward, l.setBias = e.Run, e.SetBias
	return l.named(err)
}

// bindGrads binds the gradients of a layer on blocked activations.
func (l *trainLayer) bindGrads(t *Trainer) (err error) {
	if l.dx != nil {
		if l.inputGrad, err = t.backward(l.op, l.grad, t.batch); err != nil {
			return err
		}
	}
	if !l.weighted() || l.frozen {
		return nil
	}
	run, err := t.workspace.weightGrad(l.op, l.grad, t.batch)
	l.weightGrad = func(ctx context.Context, t *Trainer) error {
		return run(ctx, t.gradient(l.param), t.gradient(l.param+1), l.x, l.dy)
	}
	return err
}

// bindRows binds the gradients of a scale behind a fully connected layer.
func (l *trainLayer) bindRows(t *Trainer) {
	l.inputGrad = func(_ context.Context, dx, dy, _, _ []float32) error {
		for i := range dx {
			dx[i] = l.grad.scale[i%len(l.grad.scale)] * dy[i]
		}
		l.maskRows()
		return nil
	}
	if !l.frozen {
		l.weightGrad = func(_ context.Context, t *Trainer) error {
			l.scaleGrad(t.gradient(l.param), t.gradient(l.param+1))
			return nil
		}
	}
}

// pack makes the forms of the weights that kernels read.
func (l *trainLayer) pack(t *Trainer) (err error) {
	if !l.weighted() {
		return nil
	}
	w, c := t.weights[l.param], l.in.C
	switch {
	case l.Kind == Scale:
		l.grad.scale = w
		l.packed.scale, err = pool.NewScale(c, w, t.weights[l.param+1], fuse.Epilogue{ReLU: l.ReLU})
	case l.Kernel == 1:
		if l.packed.pointwise, err = gemm.NewPointwise(c, l.Out, w, nil); err == nil && l.dx != nil {
			l.grad.pointwise, err = gemm.NewPointwise(l.Out, c, w, nil)
		}
	default:
		forward, back := algorithm{}.options(l.Layer, c, l.out), algorithm{}.options(l.Layer, l.Out, l.in)
		if l.packed.conv, err = conv3x3.NewFilter(c, l.Out, w, nil, t.team, forward...); err == nil && l.dx != nil {
			l.grad.conv, err = conv3x3.NewInputGradFilter(c, l.Out, w, t.team, back...)
		}
	}
	return err
}

// repack brings changed weights into the form of the kernels.
func (l *trainLayer) repack(t *Trainer) error {
	switch {
	case l.packed.scale != nil:
		l.packed.scale.Set(t.weights[l.param], t.weights[l.param+1])
	case l.packed.pointwise != nil:
		l.packed.pointwise.Repack(false, t.weights[l.param], t.weights[l.param+1])
		if l.grad.pointwise != nil {
			l.grad.pointwise.Repack(true, t.weights[l.param], nil)
		}
	case l.packed.conv != nil:
		if err := l.setBias(t.weights[l.param+1]); err != nil {
			return err
		}
		if err := l.packed.conv.Repack(t.weights[l.param], t.team); err != nil {
			return err
		}
		if l.grad.conv != nil {
			return l.grad.conv.Repack(t.weights[l.param], t.team)
		}
	}
	return nil
}

// backward sets the gradients of the layer's weights, unless they are frozen, and of the
// activation before, if it is wanted, from that of its own.
func (l *trainLayer) backward(ctx context.Context, t *Trainer) error {
	if l.weightGrad != nil {
		start := time.Now()
		if err := l.weightGrad(ctx, t); err != nil {
			return err
		}
		if l.fc == nil { // which adds its own
			t.add(l.param)
			t.add(l.param + 1)
		}
		l.times.BackwardWeights += time.Since(start)
	}
	if l.dx == nil {
		return nil
	}
	start := time.Now()
	err := l.inputGrad(ctx, l.dx, l.dy, l.x, l.y)
	l.times.BackwardData += time.Since(start)
	return err
}

// maskRows takes dx through the ReLU and the dropout that made x: what either
// has zeroed is 0 in x.
func (l *trainLayer) maskRows() {
	if !l.relu || l.dx == nil {
		return
	}
	for i, v := range l.x {
		if v <= 0 { // not NaN
			l.dx[i] = 0
		} else {
			l.dx[i] *= l.scale
		}
	}
}

// scaleGrad sets dw and db of a scale to sums over the rows, in float64 and in their
// order.
func (l *trainLayer) scaleGrad(dw, db []float32) {
	for c := range dw {
		w, b := 0.0, 0.0
		for i := c; i < len(l.dy); i += len(dw) {
			w += float64(l.dy[i]) * float64(l.x[i])
			b += float64(l.dy[i])
		}
		dw[c], db[c] = float32(w), float32(b)
	}
}
