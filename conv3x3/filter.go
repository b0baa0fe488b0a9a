package conv3x3

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/winograd"
)

// ErrShape is wrapped by errors about sizes that do not fit. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err

// winogradMin is the number of input channels from which on Winograd is used:
// its products work on whole blocks of 16 channels.
const winogradMin = layout.Block

// An Option changes how a convolution is computed, or what follows it.
type Option func(*options)

type options struct {
	tile     int // m of F(m×m,3×3); 0 is direct, -1 by the shape
	epilogue fuse.Epilogue
	workers  int
}

func collect(opts []Option) options {
	o := options{tile: -1, workers: 1}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// Direct computes the sum of the definition, without Winograd's transforms.
func Direct() Option { return func(o *options) { o.tile = 0 } }

// Winograd computes convolutions of 16 and more input channels by
// F(m×m,3×3), m = 2 or 4. Those of fewer stay direct.
func Winograd(m int) Option { return func(o *options) { o.tile = m } }

// ReLU replaces negative results by 0. NaN stays NaN.
func ReLU() Option { return func(o *options) { o.epilogue.ReLU = true } }

// Pool takes the maximum of each 2×2 results, with stride 2; an odd last row or
// column is dropped. It implies ReLU.
func Pool() Option {
	return func(o *options) { o.epilogue = fuse.Epilogue{ReLU: true, Pool: true} }
}

// Workers sets the number of goroutines that a Plan computes with; 1 if not
// given. Results are the same bits for any number.
func Workers(n int) Option { return func(o *options) { o.workers = n } }

// Filter holds the filters and biases of one convolution, packed for the
// kernels of this machine. It is immutable and may be shared.
type Filter struct {
	c, k   int
	bias   []float32
	direct *directFilter
	wino   *winograd.Filter
	tile   int
	turned bool // for the gradient with respect to the input
}

// NewFilter packs filters [k][c][3][3] and k biases; bias may be nil. Neither is
// kept. The workers of team, which may be nil, share the work. Of the options,
// Direct and Winograd count. Errors wrap ErrShape.
func NewFilter(c, k int, oihw, bias []float32, team *parallel.Team, opts ...Option) (*Filter, error) {
	return (&Filter{c: c, k: k}).init(oihw, bias, team, opts)
}

// NewInputGradFilter packs the filters [k][c][3][3] of a convolution of c to k
// channels for the gradient with respect to its input, which is a convolution of
// k to c channels itself: with the filters turned by 180°, and padding 2−p for a
// padding of p. Of the options, Direct and Winograd count. Errors wrap ErrShape.
func NewInputGradFilter(c, k int, oihw []float32, team *parallel.Team, opts ...Option) (*Filter, error) {
	return (&Filter{c: k, k: c, turned: true}).init(oihw, nil, team, opts)
}

func (f *Filter) init(oihw, bias []float32, team *parallel.Team, opts []Option) (*Filter, error) {
	o := collect(opts)
	switch {
	case f.c < 1 || f.k < 1 || len(oihw) != shape.Product(f.k, f.c, 9), layout.BatchLen(9, f.k, f.c, 1) == shape.TooMany:
		return nil, shape.Errorf("conv3x3: %d filter elements, want %d×%d×3×3", len(oihw), f.k, f.c)
	case bias != nil && len(bias) != f.k:
		return nil, shape.Errorf("conv3x3: %d biases for %d outputs", len(bias), f.k)
	case o.tile != -1 && o.tile != 0 && o.tile != 2 && o.tile != 4:
		return nil, shape.Errorf("conv3x3: Winograd F(%d×%d,3×3), want 2 or 4", o.tile, o.tile)
	}
	f.bias = make([]float32, f.k)
	copy(f.bias, bias)
	f.tile = choose(f.c, o.tile)
	var err error
	switch {
	case f.tile == 0:
		f.direct = newDirectFilter(ukernel.BestIndirect().ForK(9*f.c), f.c, f.k)
		f.direct.pack(oihw, f.turned)
	case f.turned:
		f.wino, err = winograd.NewInputGradFilter(f.tile, f.k, f.c, oihw, team)
	default:
		f.wino, err = winograd.NewFilter(f.tile, f.c, f.k, oihw, team)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Repack replaces the filters by others of the same shape. Only the owner of a
// filter that no one else uses may do that: training, after each step. Execs
// keep the biases that they have, see Exec.SetBias. Errors wrap ErrShape.
func (f *Filter) Repack(oihw []float32, team *parallel.Team) error {
	if len(oihw) != f.k*f.c*9 {
		return shape.Errorf("conv3x3: %d filter elements, want %d×%d×3×3", len(oihw), f.k, f.c)
	}
	if f.direct != nil {
		f.direct.pack(oihw, f.turned)
		return nil
	}
	return f.wino.Repack(oihw, team)
}

// choose returns m of F(m×m,3×3), or 0 for the direct algorithm: what was asked
// for, or -1, and what the number of input channels allows.
func choose(c, asked int) int {
	switch {
	case c < winogradMin:
		return 0
	case asked == -1:
		return 4
	}
	return asked
}

// Algorithm names what a convolution of c input channels is computed by, unless
// options say otherwise: "direct", or "F(4×4,3×3)".
func Algorithm(c int) string { return algorithmName(choose(c, -1)) }

func algorithmName(tile int) string {
	if tile == 0 {
		return "direct"
	}
	return fmt.Sprintf("F(%d×%d,3×3)", tile, tile)
}

// Algorithm names what the filter is packed for: "direct", "F(2×2,3×3)" or
// "F(4×4,3×3)".
func (f *Filter) Algorithm() string { return algorithmName(f.tile) }

// Bytes returns the memory that the packed filters take.
func (f *Filter) Bytes() int64 {
	if f.direct != nil {
		return 4 * int64(len(f.direct.u))
	}
	return f.wino.Bytes()
}

// Fuses reports whether an Exec can take a 2×2 pool into its last step.
func (f *Filter) Fuses() bool { return f.wino != nil }

// ReadsPlanes reports whether an Exec can read its source as NCHW.
func (f *Filter) ReadsPlanes() bool { return f.direct != nil }

// Spec says what an Exec computes.
type Spec struct {
	N, H, W       int  // pictures and their size
	Pad           int  // zero padding on each side, 0 or 1; an input gradient has 2−p
	Planar        bool // the source is NCHW, if the filter ReadsPlanes; else blocked
	fuse.Epilogue      // a pool needs a ReLU before it, and a filter that Fuses
}

// Exec is one convolution of n pictures on a team, with scratch memory. One
// goroutine at a time may use it.
type Exec struct {
	run            func(ctx context.Context, dst, src, mask []float32) error
	setBias        func(bias []float32) error
	dstLen, srcLen int
}

func (f *Filter) check(s Spec) (oh, ow int, err error) {
	oh, ow = s.H+2*s.Pad-2, s.W+2*s.Pad-2
	switch {
	case s.N < 1 || s.H < 1 || s.W < 1 || s.Pad < 0 || s.Pad > 2 || s.H > shape.Max || s.W > shape.Max || oh < 1 || ow < 1,
		layout.BatchLen(s.N, max(f.c, f.k), s.H+4, s.W+4) == shape.TooMany:
		err = shape.Errorf("conv3x3: %d pictures of %d×%d, padding %d", s.N, s.H, s.W, s.Pad)
	case s.Pool && !f.Fuses(), s.Planar && !f.ReadsPlanes():
		err = shape.Errorf("conv3x3: %s neither pools nor reads planes that way", f.Algorithm())
	}
	return oh, ow, err
}

func (f *Filter) directConv(s Spec, oh, ow int) *directConv {
	d := &directConv{f: f.direct, n: s.N, h: s.H, w: s.W, pad: s.Pad, oh: oh, ow: ow, planar: s.Planar, relu: s.ReLU}
	d.patch()
	return d
}

// ScratchLen returns the floats of scratch that an Exec needs. Errors wrap ErrShape.
func (f *Filter) ScratchLen(s Spec, workers int) (int, error) {
	oh, ow, err := f.check(s)
	if err != nil {
		return 0, err
	}
	n := 0
	if f.direct != nil {
		n = f.directConv(s, oh, ow).scratchLen(workers)
	} else {
		c, err := f.wino.NewConv(s.N, s.H, s.W, s.Pad, f.bias, s.Epilogue)
		if err != nil {
			return 0, err
		}
		n = c.ScratchLen(workers)
	}
	if n == shape.TooMany {
		return 0, shape.Errorf("conv3x3: scratch for %d workers", workers)
	}
	return n, nil
}

// NewExec binds the convolution s to scratch of at least ScratchLen floats, which
// others may use between runs, and to a team, which may be nil. Errors wrap ErrShape.
func (f *Filter) NewExec(s Spec, scratch []float32, team *parallel.Team) (*Exec, error) {
	oh, ow, err := f.check(s)
	if err != nil {
		return nil, err
	}
	e := &Exec{srcLen: s.N * layout.Len(f.c, s.H, s.W), dstLen: s.N * layout.Len(f.k, oh, ow)}
	if f.direct != nil {
		d := f.directConv(s, oh, ow)
		if err := d.bind(team, scratch, f.bias); err != nil {
			return nil, err
		}
		e.run, e.srcLen, e.setBias = d.runMasked, d.srcLen(), d.setBias
		return e, nil
	}
	c, err := f.wino.NewConv(s.N, s.H, s.W, s.Pad, f.bias, s.Epilogue)
	if err != nil {
		return nil, err
	}
	if s.Pool {
		e.dstLen = s.N * layout.Len(f.k, oh/2, ow/2)
	}
	w, err := c.NewExec(scratch, team)
	if err != nil {
		return nil, err
	}
	e.run, e.setBias = w.RunMasked, w.SetBias
	return e, nil
}

// SetBias replaces the biases, one for each output channel: training does so after
// each step. Errors wrap ErrShape.
func (e *Exec) SetBias(bias []float32) error { return e.setBias(bias) }

// Run computes dst, blocked, from src, blocked or NCHW as the Spec says; see
// package layout. They must not overlap. It returns an error if a length is
// wrong or when ctx ends. It does not allocate.
func (e *Exec) Run(ctx context.Context, dst, src []float32) error {
	if len(dst) != e.dstLen || len(src) != e.srcLen {
		return shape.Errorf("conv3x3: operands of %d and %d floats, want %d and %d", len(dst), len(src), e.dstLen, e.srcLen)
	}
	return e.run(ctx, dst, src, nil)
}

// RunMasked is Run, and then sets dst to 0 where mask, which is as long, is at most 0:
// an input gradient is taken through the ReLU that made the input. A NaN lets it pass.
func (e *Exec) RunMasked(ctx context.Context, dst, src, mask []float32) error {
	if len(dst) != e.dstLen || len(src) != e.srcLen || len(mask) != e.dstLen {
		return shape.Errorf("conv3x3: operands of %d and %d floats and a mask of %d, want %d, %d and %d",
			len(dst), len(src), len(mask), e.dstLen, e.srcLen, e.dstLen)
	}
	return e.run(ctx, dst, src, mask)
}
