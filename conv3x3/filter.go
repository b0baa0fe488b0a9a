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

// fewChannels is the most input channels for which a direct convolution is chosen. Winograd's
// transforms take as long for 1 channel as for 16: docs/tuning.md, table 12.
const fewChannels = 6

// These choose F(2×2,3×3): for maps of up to smallMap×smallMap, and for maps of one pixel
// more if the filters of F(4×4,3×3) take more than largeFilter bytes. F(4×4,3×3) has more than
// twice as many filter elements to read, for a few tiles that reach over the edge:
// docs/tuning.md, table 13.
const (
	smallMap    = 6
	largeFilter = 12 << 20
)

// An Option changes how a convolution is computed, or what follows it.
type Option func(*options)

type options struct {
	tile     int // m of F(m×m,3×3); 0 is direct, -1 by the shape
	fixed    bool
	h, w     int // of the maps that the filters are chosen for; 0: unknown
	stride   int
	epilogue fuse.Epilogue
	workers  int
}

func collect(opts []Option) options {
	o := options{tile: -1, stride: 1, workers: 1}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// Direct computes the sum of the definition, without Winograd's transforms.
func Direct() Option { return func(o *options) { o.tile = 0 } }

// Winograd computes convolutions by F(m×m,3×3), m = 2 or 4, whatever their size. Those with
// stride 2 stay direct.
func Winograd(m int) Option { return func(o *options) { o.tile = m } }

// Fixed computes what it can in fixed point, with integers of 16 bits and half the memory for
// filters: convolutions of 16 and more input channels, with stride 1 by F(4×4,3×3), see
// package winograd, and with stride 2 directly. Others, and input gradients, stay float32. It
// excludes Direct and Winograd(2). See the package's documentation.
func Fixed() Option { return func(o *options) { o.fixed = true } }

// Map says how large the results are that filters are chosen for. Up to 6×6, and for 7×7 with
// many channels, they are packed for F(2×2,3×3), unless Direct or Winograd ask for another
// algorithm. They compute maps of any size all the same. A Plan takes the size of its Shape.
func Map(h, w int) Option { return func(o *options) { o.h, o.w = h, w } }

// Stride sets the stride that filters are packed for, 1 or 2; 1 if not given. A Plan takes
// that of its Shape.
func Stride(n int) Option { return func(o *options) { o.stride = n } }

// ReLU replaces negative results by 0. NaN stays NaN.
func ReLU() Option { return func(o *options) { o.epilogue.ReLU = true } }

// Pool takes the maximum of each 2×2 results, with stride 2. An odd last row or column is
// dropped. Pool implies ReLU.
func Pool() Option {
	return func(o *options) { o.epilogue = fuse.Epilogue{ReLU: true, Pool: true} }
}

// Workers sets the number of goroutines that a Plan computes with; 1 if not
// given. Results are the same bits for any number.
func Workers(n int) Option { return func(o *options) { o.workers = n } }

// Filter holds the filters and biases of one convolution, packed for the
// kernels of this machine. It is immutable and may be shared.
type Filter struct {
	c, k    int
	stride  int
	bias    []float32
	direct  *directFilter // one of these four
	strided *stridedFilter
	fixed   *stridedFixedFilter
	wino    *winograd.Filter
	tile    int
	turned  bool // for the gradient with respect to the input
}

// NewFilter packs filters [k][c][3][3] and k biases; bias may be nil. Neither is
// kept. The workers of team, which may be nil, share the work. Of the options,
// Direct, Winograd, Fixed, Map and Stride count. Errors wrap ErrShape.
func NewFilter(c, k int, oihw, bias []float32, team *parallel.Team, opts ...Option) (*Filter, error) {
	return (&Filter{c: c, k: k}).init(oihw, bias, team, opts)
}

// NewInputGradFilter packs the filters [k][c][3][3] of a convolution of c to k channels for
// the gradient with respect to its input. That gradient is itself a convolution, of k to c
// channels, with the filters turned by 180° and padding 2−p for a padding of p. With
// Stride(2), OH and OW of Spec are the size of the input. Of the options, Direct,
// Winograd, Map and Stride count; Map is the size of the gradient. Errors wrap ErrShape.
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
	case o.fixed && o.tile != -1 && o.tile != 4:
		return nil, shape.Errorf("conv3x3: fixed point is for F(4×4,3×3) alone")
	case o.stride != 1 && o.stride != 2:
		return nil, shape.Errorf("conv3x3: stride %d, want 1 or 2", o.stride)
	}
	f.stride = o.stride
	f.bias = make([]float32, f.k)
	copy(f.bias, bias)
	o.fixed = o.fixed && !f.turned
	f.tile = o.choose(f.c, f.k)
	var err error
	switch {
	case o.fixed && f.stride == 2 && f.c >= layout.Block && f.c <= mostFixedChannels:
		f.fixed = newStridedFixedFilter(ukernel.BestBlockedInt16(), f.c, f.k)
		err = f.fixed.pack(oihw, team)
	case f.tile == 0:
		f.packDirect(ukernel.BestIndirect().ForK(9*f.c), oihw)
	case f.turned:
		f.wino, err = winograd.NewInputGradFilter(f.tile, f.k, f.c, oihw, team)
	case o.fixed && f.c >= layout.Block:
		f.wino, err = winograd.NewFixedFilter(f.c, f.k, oihw, team)
	default:
		f.wino, err = winograd.NewFilter(f.tile, f.c, f.k, oihw, team)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// packDirect packs filters for a direct algorithm.
func (f *Filter) packDirect(kern *ukernel.Indirect, oihw []float32) {
	if f.stride == 2 && (f.turned || f.c >= layout.Block) {
		f.strided = newStridedFilter(kern, f.c, f.k, f.turned)
		f.strided.pack(oihw)
		return
	}
	f.direct = newDirectFilter(kern, f.c, f.k)
	f.direct.pack(oihw, f.turned)
}

// Repack replaces the filters by others of the same shape. Only the sole owner of a filter
// may do that: training, after each step. Execs keep their biases, see Exec.SetBias. Errors
// wrap ErrShape.
func (f *Filter) Repack(oihw []float32, team *parallel.Team) error {
	if len(oihw) != f.k*f.c*9 {
		return shape.Errorf("conv3x3: %d filter elements, want %d×%d×3×3", len(oihw), f.k, f.c)
	}
	switch {
	case f.direct != nil:
		f.direct.pack(oihw, f.turned)
	case f.strided != nil:
		f.strided.pack(oihw)
	case f.fixed != nil:
		return f.fixed.pack(oihw, team)
	default:
		return f.wino.Repack(oihw, team)
	}
	return nil
}

// Weights returns the filters as they were given to NewFilter or NewInputGradFilter,
// [k][c][3][3] of the convolution whose gradient that is: the same bits if they are
// packed for the direct algorithm, else within 12·2⁻²⁴ of the largest of the nine, and
// within some 2⁻¹⁰ in fixed point, see winograd.Filter.Weights. The workers of team, which may be nil, share the work.
func (f *Filter) Weights(team *parallel.Team) []float32 {
	if f.wino != nil {
		return f.wino.Weights(team)
	}
	oihw := make([]float32, f.k*f.c*9)
	switch {
	case f.strided != nil:
		f.strided.unpack(oihw)
	case f.fixed != nil:
		f.fixed.unpack(oihw)
	default:
		f.direct.unpack(oihw, f.turned)
	}
	return oihw
}

// choose returns m of F(m×m,3×3) for c to k channels, or 0 for the direct algorithm.
func (o options) choose(c, k int) int {
	switch {
	case o.stride != 1:
		return 0
	case o.fixed && c >= layout.Block:
		return 4
	case o.tile != -1:
		return o.tile
	case c <= fewChannels:
		return 0
	}
	side := max(o.h, o.w)
	if side > 0 && side <= smallMap || side == smallMap+1 && int64(c)*int64(k) > largeFilter/(4*36) {
		return 2
	}
	return 4
}

// Algorithm names the algorithm that NewFilter chooses for c to k channels: "direct",
// "F(2×2,3×3)" or "F(4×4,3×3)". Of the options, Direct, Winograd, Map and Stride count.
func Algorithm(c, k int, opts ...Option) string { return algorithmName(collect(opts).choose(c, k)) }

func algorithmName(tile int) string {
	if tile == 0 {
		return "direct"
	}
	return fmt.Sprintf("F(%d×%d,3×3)", tile, tile)
}

// Algorithm names the algorithm that the filter is packed for: "direct", "F(2×2,3×3)",
// "F(4×4,3×3)", "direct int16" or "F(4×4,3×3) int16".
func (f *Filter) Algorithm() string {
	if f.InFixedPoint() {
		return algorithmName(f.tile) + " int16"
	}
	return algorithmName(f.tile)
}

// Bytes returns the memory that the packed filters take.
func (f *Filter) Bytes() int64 {
	switch {
	case f.direct != nil:
		return 4 * int64(len(f.direct.u))
	case f.strided != nil:
		return f.strided.bytes()
	case f.fixed != nil:
		return f.fixed.bytes()
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
	OH, OW        int  // of an input gradient with stride 2: the size of its result; else 0
	Planar        bool // the source is NCHW, if the filter ReadsPlanes; else blocked
	fuse.Epilogue      // a pool needs a ReLU before it, no residual, and a filter that Fuses
}

// Exec is one convolution of n pictures on a team, with scratch memory. One
// goroutine at a time may use it.
type Exec struct {
	conv
	add            bool
	dstLen, srcLen int
}

// conv is a convolution by any algorithm.
type conv interface {
	run(ctx context.Context, o operands) error
	setBias(bias []float32) error
}

// operands are those of one run. mask and residual are nil where there is none.
type operands struct{ dst, src, mask, residual []float32 }

// setBias copies biases of k channels.
func setBias(dst, bias []float32, k int) error {
	if len(bias) != k {
		return shape.Errorf("conv3x3: %d biases for %d outputs", len(bias), k)
	}
	copy(dst, bias)
	return nil
}

// winogradConv is a conv by Winograd.
type winogradConv struct{ *winograd.Exec }

func (c winogradConv) setBias(bias []float32) error { return c.SetBias(bias) }

func (c winogradConv) run(ctx context.Context, o operands) error {
	switch {
	case o.mask != nil:
		return c.RunMasked(ctx, o.dst, o.src, o.mask)
	case o.residual != nil:
		return c.RunAdd(ctx, o.dst, o.src, o.residual)
	}
	return c.Run(ctx, o.dst, o.src)
}

// check returns the size of the result without a pool.
func (f *Filter) check(s Spec) (oh, ow int, err error) {
	side := func(n int) int { return (n+2*s.Pad-3)/f.stride + 1 }
	if oh, ow = side(s.H), side(s.W); f.stride == 2 && f.turned {
		oh, ow = s.OH, s.OW
	}
	switch {
	case s.N < 1 || s.H < 1 || s.W < 1 || s.Pad < 0 || s.Pad > 2 || s.H > shape.Max || s.W > shape.Max || s.H+2*s.Pad < 3 || s.W+2*s.Pad < 3,
		layout.BatchLen(s.N, max(f.c, f.k), f.stride*s.H+4, f.stride*s.W+4) == shape.TooMany:
		err = shape.Errorf("conv3x3: %d pictures of %d×%d, padding %d", s.N, s.H, s.W, s.Pad)
	case f.stride == 2 && f.turned && (!leaves(oh, s.H, s.Pad) || !leaves(ow, s.W, s.Pad)):
		err = shape.Errorf("conv3x3: a gradient of %d×%d for an input of %d×%d, padding %d", s.H, s.W, s.OH, s.OW, 2-s.Pad)
	case (f.stride == 1 || !f.turned) && (s.OH != 0 || s.OW != 0):
		err = shape.Errorf("conv3x3: the size %d×%d of a result that has %d×%d", s.OH, s.OW, oh, ow)
	case s.Pool && (!f.Fuses() || s.Add), s.Planar && !f.ReadsPlanes():
		err = shape.Errorf("conv3x3: %s neither pools nor reads planes that way", f.Algorithm())
	}
	return oh, ow, err
}

// leaves reports whether a convolution with stride 2 makes out elements of in elements; pad
// is the gradient's.
func leaves(in, out, pad int) bool {
	in += 2*(2-pad) - 3
	return pad >= 1 && in >= 0 && in/2+1 == out
}

func (f *Filter) directConv(s Spec, oh, ow int) *directConv {
	d := &directConv{f: f.direct, n: s.N, h: s.H, w: s.W, pad: s.Pad, oh: oh, ow: ow, stride: f.stride, planar: s.Planar, relu: s.ReLU}
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
	switch {
	case f.direct != nil:
		n = f.directConv(s, oh, ow).scratchLen(workers)
	case f.strided != nil:
		n = newStridedConv(f.strided, s, oh, ow).scratchLen(workers)
	case f.fixed != nil:
		n = newStridedFixedConv(f.fixed, s, oh, ow).scratchLen(workers)
	default:
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
	e := &Exec{add: s.Add, srcLen: s.N * layout.Len(f.c, s.H, s.W), dstLen: s.N * layout.Len(f.k, oh, ow)}
	switch {
	case f.direct != nil:
		d := f.directConv(s, oh, ow)
		e.conv, e.srcLen, err = d, d.srcLen(), d.bind(team, scratch, f.bias)
	case f.strided != nil:
		d := newStridedConv(f.strided, s, oh, ow)
		e.conv, err = d, d.bind(team, scratch, f.bias)
	case f.fixed != nil:
		d := newStridedFixedConv(f.fixed, s, oh, ow)
		e.conv, err = d, d.bind(team, scratch, f.bias)
	default:
		if s.Pool {
			e.dstLen = s.N * layout.Len(f.k, oh/2, ow/2)
		}
		e.conv, err = f.winogradExec(s, scratch, team)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (f *Filter) winogradExec(s Spec, scratch []float32, team *parallel.Team) (winogradConv, error) {
	c, err := f.wino.NewConv(s.N, s.H, s.W, s.Pad, f.bias, s.Epilogue)
	if err != nil {
		return winogradConv{}, err
	}
	e, err := c.NewExec(scratch, team)
	return winogradConv{e}, err
}

// SetBias replaces the biases, one for each output channel: training does so after
// each step. Errors wrap ErrShape.
func (e *Exec) SetBias(bias []float32) error { return e.setBias(bias) }

// Run computes dst, blocked, from src, which is blocked or NCHW as the Spec says; see
// package layout. They must not overlap. Run returns an error if a length is wrong, if the
// Spec adds a residual, or when ctx ends. It does not allocate.
func (e *Exec) Run(ctx context.Context, dst, src []float32) error {
	if e.add {
		return shape.Errorf("conv3x3: the Spec adds a residual, and Run has none: use RunAdd")
	}
	return e.runOn(ctx, operands{dst: dst, src: src})
}

// RunAdd is Run for a Spec that adds a residual: dst = sum + bias + residual, and then the
// ReLU if there is one. residual has the length and layout of dst and does not overlap it.
// sum + bias is rounded before the residual is added.
func (e *Exec) RunAdd(ctx context.Context, dst, src, residual []float32) error {
	if !e.add || len(residual) != e.dstLen {
		return shape.Errorf("conv3x3: a residual of %d floats for a Spec with %d (Add is %v)", len(residual), e.dstLen, e.add)
	}
	return e.runOn(ctx, operands{dst: dst, src: src, residual: residual})
}

// RunMasked is Run, and then sets dst to 0 where mask is at most 0. mask is as long as dst.
// It takes an input gradient through the ReLU that made the input. A NaN in mask lets the
// gradient pass.
func (e *Exec) RunMasked(ctx context.Context, dst, src, mask []float32) error {
	if e.add || len(mask) != e.dstLen {
		return shape.Errorf("conv3x3: a mask of %d floats, want %d and no residual", len(mask), e.dstLen)
	}
	return e.runOn(ctx, operands{dst: dst, src: src, mask: mask})
}

func (e *Exec) runOn(ctx context.Context, o operands) error {
	if len(o.dst) != e.dstLen || len(o.src) != e.srcLen {
		return shape.Errorf("conv3x3: operands of %d and %d floats, want %d and %d", len(o.dst), len(o.src), e.dstLen, e.srcLen)
	}
	return e.run(ctx, o)
}
