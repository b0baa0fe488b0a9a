package vgg

import (
	"context"
	"time"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/elementwise"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
)

// trainFC is a fully connected layer: Y = X·Wᵀ + b, ReLU, dropout.
//
// The gradient of its weights is a product of two small matrices, dYᵀ·X, and the
// largest of all gradients. It is not written to memory unless someone asks for
// it: update multiplies and takes the step a vector at a time.
type trainFC struct {
	trainBase
	in      Shape
	out     int
	rows    int // the batch
	mult    *gemm.Multiplier
	first   bool // x is blocked
	hwc     bool // the columns of the weights of a first one are in HWC order
	flat    []float32
	dflat   []float32
	packed  []float32 // flat as Dots takes it
	yt, dyt []float32 // [out][batch]
	pending bool      // the gradient of the weights is dYᵀ·X, and not yet computed
}

// flatten makes room for the activation in the order of the weights, CHW or HWC.
func (f *trainFC) flatten(n int) {
	f.yt, f.dyt = make([]float32, f.out*n), make([]float32, f.out*n)
	f.packed = layout.Alloc(elementwise.DotsLen(n, f.in.Len()))
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
		t.eachPicture(f.fromBlocks, f.flat, f.x)
	}
	elementwise.PackDots(f.packed, f.flat, f.rows, in, in)
	err := t.team.Run(ctx, (f.out+forwardRows-1)/forwardRows, func(_, item int) {
		j0, j1 := item*forwardRows, min((item+1)*forwardRows, f.out)
		yt := f.yt[j0*f.rows : j1*f.rows]
		clear(yt)
		elementwise.Dots(yt, j1-j0, f.rows, in, t.weights[f.param][j0*in:], in, f.packed)
		for j, b := range t.weights[f.param+1][j0:j1] {
			for r, v := range yt[j*f.rows:][:f.rows] {
				if v += b; f.relu {
					v = max(v, 0)
				}
				f.y[r*f.out+j0+j] = v
			}
		}
	})
	f.drop(t)
	return err
}

// forwardRows is how many rows of the weights an item of forward reads.
const forwardRows = 48

// fromBlocks brings a picture's activation into the order of the weights.
func (f *trainFC) fromBlocks(flat, blocked []float32) {
	if !f.hwc {
		layout.ToNCHW(f.in.C, f.in.H, f.in.W, flat, blocked)
		return
	}
	for p := range f.in.H * f.in.W {
		for c := 0; c < f.in.C; c += 16 {
			copy(flat[p*f.in.C:][:f.in.C][c:], blocked[(c/16*f.in.H*f.in.W+p)*16:][:16])
		}
	}
}

// toBlocks is the inverse of fromBlocks.
func (f *trainFC) toBlocks(blocked, flat []float32) {
	if !f.hwc {
		layout.FromNCHW(f.in.C, f.in.H, f.in.W, blocked, flat)
		return
	}
	for p := range f.in.H * f.in.W {
		for c := 0; c < f.in.C; c += 16 {
			to := blocked[(c/16*f.in.H*f.in.W+p)*16:][:16]
			clear(to[copy(to, flat[p*f.in.C:][:f.in.C][c:]):])
		}
	}
}

// drop zeroes a fraction of the outputs in training, and scales the others.
func (f *trainBase) drop(t *Trainer) {
	if f.dropout == 0 || !t.training {
		return
	}
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
	if !f.frozen {
		f.pending = true
		if t.batches > 0 || f.rows > longestUpdate { // to be added to what is there
			f.settle(t, float32(min(t.batches, 1)))
		}
		f.biasGrad(t)
	}
	f.times.BackwardWeights += time.Since(start)
	if f.dx == nil {
		return nil
	}
	start = time.Now()
	in := f.in.Len()
	err := f.mult.SGEMM(ctx, false, false, f.rows, in, f.out, 1, f.dy, f.out, t.weights[f.param], in, 0, f.dflat, in)
	if f.first {
		t.eachPicture(f.toBlocks, f.dx, f.dflat)
		f.maskInput(t)
	} else {
		f.maskRows()
	}
	f.times.BackwardData += time.Since(start)
	return err
}

// biasGrad sums dY over the batch, and transposes it for the update.
func (f *trainFC) biasGrad(t *Trainer) {
	bias := t.grads[f.param+1]
	for j := range bias {
		sum := 0.0
		if t.batches > 0 {
			sum = float64(bias[j])
		}
		for r := range f.rows {
			g := f.dy[r*f.out+j]
			f.dyt[j*f.rows+r] = g
			sum += float64(g)
		}
		bias[j] = float32(sum)
	}
}

// settle computes a pending gradient of the weights: beta times what is there is
// added to it.
func (f *trainFC) settle(t *Trainer, beta float32) {
	if !f.pending {
		return
	}
	f.pending = false
	in := f.in.Len()
	g := t.gradMemory(f.param)
	_ = f.mult.SGEMM(context.Background(), true, false, f.out, in, f.rows, 1, f.dy, f.out, f.flat, in, beta, g, in) // the context never ends
}

// An item of an update changes updateRows rows, of as many columns as meet a part
// of X of updateInput floats, which stays in the second-level cache: for a small
// batch whole rows, so that memory is read and written in order.
const (
	updateRows  = 4
	updateInput = 1 << 18
)

// longestUpdate is the largest batch whose gradient is summed without a split,
// which would round it on the portable path.
const longestUpdate = 512

// update takes the step of the weights whose gradient is pending.
func (f *trainFC) update(t *Trainer, rule SGD) {
	f.pending = false
	in := f.in.Len()
	width := min(in, updateInput/f.rows)
	rows := (f.out + updateRows - 1) / updateRows
	_ = t.team.Run(context.Background(), (in+width-1)/width*rows, func(_, item int) { // the context never ends
		r0, c0 := item%rows*updateRows, item/rows*width
		m, n := min(updateRows, f.out-r0), min(width, in-c0)
		at := r0*in + c0
		elementwise.SGDProduct(t.weights[f.param][at:], t.moments[f.param][at:], in, m, n, f.dyt[r0*f.rows:], f.rows, f.flat[c0:], in,
			float32(rule.Rate), float32(rule.Momentum), float32(rule.Decay))
	})
}

// maskRows takes dx through the ReLU and the dropout that made x: what either
// has zeroed is 0 in x.
func (f *trainBase) maskRows() {
	if !f.mask || f.dx == nil {
		return
	}
	for i, v := range f.x {
		if v <= 0 { // not NaN
			f.dx[i] = 0
		} else {
			f.dx[i] *= f.scale
		}
	}
}
