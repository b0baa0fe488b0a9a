package vgg

import (
	"context"
	"time"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
)

// trainFC is a fully connected layer: Y = X·Wᵀ + b, ReLU, dropout.
type trainFC struct {
	trainBase
	in      Shape
	out     int
	rows    int // the batch
	mult    *gemm.Multiplier
	index   int // among the layers, for dropout
	dropout float32
	scale   float32 // that x was multiplied by after its ReLU
	first   bool    // x is blocked
	flat    []float32
	dflat   []float32
	yt      []float32 // [out][batch]
}

// flatten makes room for the activation in CHW order, which the weights have.
func (f *trainFC) flatten(n int) {
	f.yt = make([]float32, f.out*n)
	if f.first {
		f.flat = layout.Alloc(n * f.in.Len())
		f.dflat = layout.Alloc(n * f.in.Len())
		return
	}
	f.flat, f.dflat = f.x, f.dx
}

func (f *trainFC) forward(ctx context.Context, t *Trainer) error {
	in := f.in.Len()
	if f.first {
		f.each(func(flat, blocked []float32) { layout.ToNCHW(flat, blocked, f.in.C, f.in.H, f.in.W) }, f.flat, f.x)
	}
	// Yᵀ = W·Xᵀ: a product reads its left operand where it is, and packs the
	// right one, which should be the smaller.
	err := f.mult.SGEMM(ctx, false, true, f.out, f.rows, in, 1, t.weights[f.param], in, f.flat, in, 0, f.yt, f.rows)
	for j, b := range t.weights[f.param+1] {
		for r, v := range f.yt[j*f.rows:][:f.rows] {
			if v += b; f.relu {
				v = max(v, 0)
			}
			f.y[r*f.out+j] = v
		}
	}
	if f.dropout > 0 && t.training {
		f.drop(t)
	}
	return err
}

// each calls convert for every picture's part of two activations.
func (f *trainFC) each(convert func(a, b []float32), a, b []float32) {
	for i := range f.rows {
		convert(a[i*len(a)/f.rows:][:len(a)/f.rows], b[i*len(b)/f.rows:][:len(b)/f.rows])
	}
}

// drop zeroes a fraction of the outputs and scales the others.
func (f *trainFC) drop(t *Trainer) {
	keep := 1 / (1 - f.dropout)
	stream := seeded.NewStream(t.opts.seed, t.step<<8|uint64(f.index))
	for i, v := range f.y {
		if float32(stream.Uniform()) < f.dropout {
			f.y[i] = 0
		} else {
			f.y[i] = v * keep
		}
	}
}

func (f *trainFC) backward(ctx context.Context, t *Trainer) error {
	start := time.Now()
	in := f.in.Len()
	beta := float32(0)
	if t.batches > 0 {
		beta = 1
	}
	if err := f.mult.SGEMM(ctx, true, false, f.out, in, f.rows, 1, f.dy, f.out, f.flat, in, beta, t.grads[f.param], in); err != nil {
		return err
	}
	bias := t.grads[f.param+1]
	for j := range bias {
		sum := float64(beta * bias[j])
		for r := range f.rows {
			sum += float64(f.dy[r*f.out+j])
		}
		bias[j] = float32(sum)
	}
	f.times.BackwardWeights += time.Since(start)
	if f.dx == nil {
		return nil
	}
	start = time.Now()
	err := f.mult.SGEMM(ctx, false, false, f.rows, in, f.out, 1, f.dy, f.out, t.weights[f.param], in, 0, f.dflat, in)
	if f.first {
		f.each(func(blocked, flat []float32) { layout.FromNCHW(blocked, flat, f.in.C, f.in.H, f.in.W) }, f.dx, f.dflat)
		f.maskInput(t)
	} else {
		f.maskRows()
	}
	f.times.BackwardData += time.Since(start)
	return err
}

// maskRows takes dx through the ReLU and the dropout that made x: what either
// has zeroed is 0 in x.
func (f *trainFC) maskRows() {
	if !f.mask {
		return
	}
	for i, v := range f.x {
		if !(v > 0) {
			f.dx[i] = 0
		} else {
			f.dx[i] *= f.scale
		}
	}
}
