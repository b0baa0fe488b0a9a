package vgg

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
)

// A forwardFunc sets the activations y of an op from its input x. Behind a fully
// connected layer it does so for as many pictures as x holds, up to those that it was
// bound for; else for exactly these. It does not allocate.
type forwardFunc func(ctx context.Context, y, x []float32) error

// A backwardFunc sets the gradient dx of an op's input from the gradient dy of its
// result, at the input x and the result y. If the op says relu, the gradient is taken
// through the ReLU that made x: it is 0 where x is at most 0. That of the op's own ReLU
// has been taken from dy. It does not allocate.
type backwardFunc func(ctx context.Context, dx, dy, x, y []float32) error

// A weightGradFunc sets the gradients dw and db of an op's weight and bias, summed over
// the pictures. It does not allocate.
type weightGradFunc func(ctx context.Context, dw, db, x, dy []float32) error

// packedLayer holds the one of its fields that its layer's kind needs.
type packedLayer struct {
	conv      *conv3x3.Filter
	pointwise *gemm.Pointwise
	linear    *gemm.Linear
	scale     *pool.Scale
}

// bytes returns the memory of the packed weights.
func (p packedLayer) bytes() int64 {
	switch {
	case p.conv != nil:
		return p.conv.Bytes()
	case p.pointwise != nil:
		return p.pointwise.Bytes()
	case p.linear != nil:
		return p.linear.Bytes()
	case p.scale != nil:
		return p.scale.Bytes()
	}
	return 0
}

// packedGrad holds what the gradient of a layer's input needs.
type packedGrad struct {
	conv      *conv3x3.Filter // turned
	pointwise *gemm.Pointwise // transposed
	scale     []float32       // the factors of the channels
	linear    *gemm.Linear    // the layer's own
}

// workspace is what ops are bound to: a team, and memory that all of them use in turn.
// It grows, and outlives a plan.
type workspace struct {
	team    *parallel.Team
	scratch []float32          // of one convolution at a time
	linear  []*gemm.LinearExec // by layer
}

// room returns n floats of r, which grows if it must.
func room(r *[]float32, n int) []float32 {
	if cap(*r) < n {
		*r = layout.Alloc(n)
	}
	return (*r)[:n]
}

// reserve makes the scratch at least n floats long. Ops that are bound before keep
// the smaller one.
func (w *workspace) reserve(n int) { w.scratch = room(&w.scratch, max(n, len(w.scratch))) }

// spec describes a 3×3 convolution for n pictures.
func (o op) spec(n int) conv3x3.Spec {
	return conv3x3.Spec{N: n, H: o.in.H, W: o.in.W, Pad: o.pad, Planar: o.planar, Epilogue: fuse.Epilogue{ReLU: o.ReLU, Pool: o.fused()}}
}

// gradSpec describes the convolution that gives the gradient of the input.
func (o op) gradSpec(n int) conv3x3.Spec {
	s := conv3x3.Spec{N: n, H: o.out.H, W: o.out.W, Pad: 2 - o.pad}
	if o.Stride == 2 {
		s.OH, s.OW = o.in.H, o.in.W
	}
	return s
}

// need reserves the scratch of a convolution, which may be nil.
func (w *workspace) need(f *conv3x3.Filter, s conv3x3.Spec) error {
	if f == nil {
		return nil
	}
	n, err := f.ScratchLen(s, w.team.Workers())
	if err == nil {
		w.reserve(n)
	}
	return err
}

// named says which layer an error is about.
func (o op) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("vgg: %s: %w", o.Name, err)
}

// forward binds an op for n pictures, or for up to n behind a fully connected layer.
func (w *workspace) forward(o op, p packedLayer, n int) (forwardFunc, error) {
	f, err := w.bindForward(o, p, n)
	return f, o.named(err)
}

func (w *workspace) bindForward(o op, p packedLayer, n int) (forwardFunc, error) {
	switch {
	case o.Kind == FC:
		e, err := w.linearExec(o, p.linear, n)
		in := o.inLen()
		return func(ctx context.Context, y, x []float32) error { return e.Run(ctx, len(x)/in, y, x) }, err
	case o.Kind == Scale && o.rows:
		return func(ctx context.Context, y, x []float32) error {
			if err := p.scale.Rows(len(x)/o.in.C, y, x); err != nil {
				return err
			}
			return ctx.Err()
		}, nil
	case o.Kind == Conv && o.Kernel == 3:
		e, err := w.conv(o, p.conv, n)
		return e.Run, err
	case o.Kind == Conv:
		e, err := p.pointwise.NewExec(n, o.in.H, o.in.W, fuse.Epilogue{ReLU: o.ReLU}, w.team)
		return e.Run, err
	case o.Kind == Scale:
		e, err := p.scale.NewExec(n, o.in.H, o.in.W, w.team)
		return e.Run, err
	case o.Kind == Pool:
		e, err := pool.NewMaxPool(n, o.in.C, o.in.H, o.in.W, w.team)
		return e.Run, err
	case o.Kind == AvgPool:
		e, err := pool.NewAvgPool(n, o.in.C, o.in.H, o.in.W, w.team)
		return e.Run, err
	case o.Kind == GlobalPool:
		e, err := pool.NewGlobalPool(n, o.in.C, o.in.H, o.in.W, w.team)
		return e.Run, err
	}
	e, err := pool.NewLRN(n, o.in.C, o.in.H, o.in.W, w.team)
	return e.Run, err
}

// conv binds a 3×3 convolution for n pictures.
func (w *workspace) conv(o op, f *conv3x3.Filter, n int) (*conv3x3.Exec, error) {
	return f.NewExec(o.spec(n), w.scratch, w.team)
}

// linearExec returns what computes a fully connected layer for up to n inputs, which may
// be one from before.
func (w *workspace) linearExec(o op, l *gemm.Linear, n int) (*gemm.LinearExec, error) {
	for len(w.linear) <= o.index {
		w.linear = append(w.linear, nil)
	}
	if e := w.linear[o.index]; e != nil && e.Batch() >= n {
		return e, nil
	}
	e, err := l.NewExec(n, w.team)
	if err == nil {
		w.linear[o.index] = e
	}
	return e, err
}

// backward binds the gradient of an op's input for n pictures.
func (w *workspace) backward(o op, g packedGrad, n int) (backwardFunc, error) {
	f, err := w.bindBackward(o, g, n)
	return f, o.named(err)
}

func (w *workspace) bindBackward(o op, g packedGrad, n int) (backwardFunc, error) {
	in := o.in
	switch {
	case o.Kind == Conv && o.Kernel == 3:
		e, err := g.conv.NewExec(o.gradSpec(n), w.scratch, w.team)
		if o.relu {
			return func(ctx context.Context, dx, dy, x, _ []float32) error { return e.RunMasked(ctx, dx, dy, x) }, err
		}
		return func(ctx context.Context, dx, dy, _, _ []float32) error { return e.Run(ctx, dx, dy) }, err
	case o.Kind == Conv:
		e, err := g.pointwise.NewExec(n, in.H, in.W, fuse.Epilogue{}, w.team)
		return w.masked(o, func(ctx context.Context, dx, dy, _, _ []float32) error { return e.Run(ctx, dx, dy) }), err
	case o.Kind == FC:
		e, err := g.linear.NewInputGrad(n, w.team)
		return w.masked(o, func(ctx context.Context, dx, dy, _, _ []float32) error { return e.Run(ctx, n, dx, dy) }), err
	case o.Kind == Scale && o.rows:
		return w.masked(o, func(ctx context.Context, dx, dy, _, _ []float32) error {
			for i, v := range dy {
				dx[i] = g.scale[i%len(g.scale)] * v
			}
			return ctx.Err()
		}), nil
	case o.Kind == Scale:
		e, err := pool.NewScaleGrad(n, in.C, in.H, in.W, w.team)
		return w.masked(o, func(ctx context.Context, dx, dy, x, _ []float32) error {
			return e.Run(ctx, dx, nil, nil, g.scale, x, dy)
		}), err
	case o.Kind == Pool:
		e, err := pool.NewMaxPoolGrad(n, in.C, in.H, in.W, fuse.Epilogue{ReLU: o.relu}, w.team)
		return func(ctx context.Context, dx, dy, x, y []float32) error { return e.Run(ctx, dx, x, y, dy) }, err
	case o.Kind == AvgPool:
		e, err := pool.NewAvgPoolGrad(n, in.C, in.H, in.W, w.team)
		return w.masked(o, func(ctx context.Context, dx, dy, _, _ []float32) error { return e.Run(ctx, dx, dy) }), err
	case o.Kind == GlobalPool:
		e, err := pool.NewGlobalPoolGrad(n, in.C, in.H, in.W, w.team)
		return w.masked(o, func(ctx context.Context, dx, dy, _, _ []float32) error { return e.Run(ctx, dx, dy) }), err
	}
	e, err := pool.NewLRNGrad(n, in.C, in.H, in.W, w.team)
	return w.masked(o, func(ctx context.Context, dx, dy, x, _ []float32) error { return e.Run(ctx, dx, x, dy) }), err
}

// masked takes what run computes through the ReLU that made the op's input.
func (w *workspace) masked(o op, run backwardFunc) backwardFunc {
	if !o.relu {
		return run
	}
	m := newElementwiseOp(activation.ReLUGrad, w.team)
	return func(ctx context.Context, dx, dy, x, y []float32) error {
		if err := run(ctx, dx, dy, x, y); err != nil {
			return err
		}
		return m.run(ctx, dx, x)
	}
}

// weightGrad binds the gradients of the weights of an op, a convolution or a scale on
// blocked activations, for n pictures.
func (w *workspace) weightGrad(o op, g packedGrad, n int) (weightGradFunc, error) {
	f, err := w.bindWeightGrad(o, g, n)
	return f, o.named(err)
}

func (w *workspace) bindWeightGrad(o op, g packedGrad, n int) (weightGradFunc, error) {
	in := o.in
	switch {
	case o.Kind == Scale:
		e, err := pool.NewScaleGrad(n, in.C, in.H, in.W, w.team)
		return func(ctx context.Context, dw, db, x, dy []float32) error {
			return e.Run(ctx, nil, dw, db, g.scale, x, dy)
		}, err
	case o.Kernel == 1:
		e, err := gemm.NewPointwiseWeightGrad(n, in.C, in.H, in.W, o.Out, w.team)
		return e.Run, err
	}
	plan, err := conv3x3.NewWeightGrad(conv3x3.Shape{N: n, C: in.C, H: in.H, W: in.W, K: o.Out, Pad: o.pad, Stride: o.Stride})
	if err != nil {
		return nil, err
	}
	need := plan.ScratchLen(w.team.Workers())
	if !shape.Fits(need) {
		return nil, shape.Errorf("%d workers for %d pictures of %v, whose scratch no memory holds", w.team.Workers(), n, in)
	}
	w.reserve(need)
	e, err := plan.NewExec(w.scratch, w.team)
	return e.Run, err
}
