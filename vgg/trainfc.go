package vgg

import (
	"context"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/optimiser"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
)

// trainFC is a fully connected layer: Y = X·Wᵀ + b, ReLU, dropout.
//
// The gradient of its weights is a product of two small matrices, dYᵀ·X, and the
// largest of all gradients. It is not written to memory unless someone asks for
// it: update multiplies and takes the step a vector at a time.
type trainFC struct {
	*trainLayer
	rows    int // the batch
	mult    *gemm.Multiplier
	hwc     bool // the columns of the weights of a first one are in HWC order
	mask    *elementwiseOp
	flat    []float32
	dflat   []float32
	packed  []float32 // flat as Dots takes it
	yt, dyt []float32 // [out][batch]
	pending bool      // the gradient of the weights is dYᵀ·X, and not yet computed
}

// newTrainFC makes room for the activation in the order of the weights, CHW or HWC.
func newTrainFC(l *trainLayer, t *Trainer, mult *gemm.Multiplier) *trainFC {
	n := t.batch
	f := &trainFC{trainLayer: l, rows: n, mult: mult, hwc: t.cfg.HWC, mask: newElementwiseOp(activation.ReLUGrad, t.team), flat: l.x, dflat: l.dx}
	f.yt, f.dyt = make([]float32, l.Out*n), make([]float32, l.Out*n)
	f.packed = layout.Alloc(level1f.DotsLen(n, l.in.Len()))
	if f.first() {
		f.flat = layout.Alloc(n * l.in.Len())
		f.dflat = layout.Alloc(n * l.in.Len())
	}
	return f
}

// first reports whether the layer is the first fully connected one, whose x is blocked.
func (f *trainFC) first() bool { return !f.rowsIn }

func (f *trainFC) runForward(ctx context.Context, t *Trainer) error {
	in := f.in.Len()
	if f.first() {
		t.eachPicture(f.fromBlocks, f.flat, f.x)
	}
	level1f.PackDots(f.packed, f.flat, f.rows, in, in)
	return t.team.Run(ctx, (f.Out+forwardRows-1)/forwardRows, func(_, item int) {
		j0, j1 := item*forwardRows, min((item+1)*forwardRows, f.Out)
		yt := f.yt[j0*f.rows : j1*f.rows]
		clear(yt)
		level1f.Dots(yt, j1-j0, f.rows, in, t.weights[f.param][j0*in:], in, f.packed)
		for j, b := range t.weights[f.param+1][j0:j1] {
			for r, v := range yt[j*f.rows:][:f.rows] {
				if v += b; f.ReLU {
					v = max(v, 0)
				}
				f.y[r*f.Out+j0+j] = v
			}
		}
	})
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
func (f *trainLayer) drop(t *Trainer) {
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

// runWeightGrad leaves the gradient of the weights to update or settle, if it can.
func (f *trainFC) runWeightGrad(_ context.Context, t *Trainer) error {
	f.pending = true
	if t.batches > 0 || f.rows > longestUpdate { // to be added to what is there
		f.settle(t, float32(min(t.batches, 1)))
	}
	f.biasGrad(t)
	return nil
}

func (f *trainFC) runInputGrad(ctx context.Context, t *Trainer) error {
	in := f.in.Len()
	if err := f.mult.SGEMM(ctx, false, false, f.rows, in, f.Out, 1, f.dy, f.Out, t.weights[f.param], in, 0, f.dflat, in); err != nil {
		return err
	}
	if !f.first() {
		f.maskRows()
		return nil
	}
	t.eachPicture(f.toBlocks, f.dx, f.dflat)
	if f.relu {
		return f.mask.run(ctx, f.dx, f.x)
	}
	return nil
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
			g := f.dy[r*f.Out+j]
			f.dyt[j*f.rows+r] = g
			sum += float64(g)
		}
		bias[j] = float32(sum)
	}
}

// settle computes a pending gradient of the weights, and adds beta times the earlier
// gradient to it.
func (f *trainFC) settle(t *Trainer, beta float32) {
	if !f.pending {
		return
	}
	f.pending = false
	in := f.in.Len()
	g := t.gradMemory(f.param)
	_ = f.mult.SGEMM(context.Background(), true, false, f.Out, in, f.rows, 1, f.dy, f.Out, f.flat, in, beta, g, in) // the context never ends
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
	rows := (f.Out + updateRows - 1) / updateRows
	_ = t.team.Run(context.Background(), (in+width-1)/width*rows, func(_, item int) { // the context never ends
		r0, c0 := item%rows*updateRows, item/rows*width
		m, n := min(updateRows, f.Out-r0), min(width, in-c0)
		at := r0*in + c0
		optimiser.SGDProduct(optimiser.Product{
			Rows: m, N: n, Taps: f.rows,
			W: t.weights[f.param][at:], V: t.momentum[f.param][at:], LD: in,
			A: f.dyt[r0*f.rows:],
			X: f.flat[c0:], LDX: in,
		}, rule.float32())
	})
}
