package conv3x3

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/quantise"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// stridedFixedFilter holds the filters of a convolution with stride 2 in fixed point. It
// stands for
//
//	W[k][c][tap] = u[k][c][tap] · scale[k]
type stridedFixedFilter struct {
	kern  *ukernel.BlockedInt16
	c, k  int
	limit int       // the largest magnitude of a number of the input
	u     []int16   // [panel][c/16][tap][16/Pair][width][Pair], zero for channels beyond c
	scale []float64 // of each output; NaN if one of its filters is NaN or infinite
}

// filterTaps are those of a filter: 3×3.
const filterTaps = 9

// mostFixedChannels bounds the input channels for which sums have room for a rounding of
// each filter element, see pack.
const mostFixedChannels = 1 << 20

func newStridedFixedFilter(kern *ukernel.BlockedInt16, c, k int) *stridedFixedFilter {
	f := &stridedFixedFilter{kern: kern, c: c, k: k, limit: stridedLimit(c)}
	f.u = layout.AllocOf[int16](f.terms() * f.outputs())
	f.scale = make([]float64, f.outputs())
	return f
}

// stridedLimit returns the largest magnitude of a number of the input. What it lacks, the
// filters have: limit·Σ|u| stays below 2³¹. With half the limit for four times as many
// channels the errors of both are about equal.
func stridedLimit(c int) int { return int(0x1p16 / math.Sqrt(float64(c))) }

// terms returns the length of a sum.
func (f *stridedFixedFilter) terms() int { return layout.Blocks(f.c) * filterTaps * layout.Block }

func (f *stridedFixedFilter) outputs() int { return layout.Blocks(f.k) * layout.Block }

func (f *stridedFixedFilter) panels() int { return (f.outputs() + f.kern.NR - 1) / f.kern.NR }

func (f *stridedFixedFilter) width(panel int) int {
	return min(f.kern.NR, f.outputs()-panel*f.kern.NR)
}

// panel returns the filters of a panel.
func (f *stridedFixedFilter) panel(panel int) []int16 {
	return f.u[panel*f.kern.NR*f.terms():][:f.width(panel)*f.terms()]
}

// bytes returns the memory that the filters take.
func (f *stridedFixedFilter) bytes() int64 { return 2*int64(len(f.u)) + 8*int64(len(f.scale)) }

// pack rounds filters [k][c][3][3].
func (f *stridedFixedFilter) pack(oihw []float32, team *parallel.Team) error {
	return team.Run(context.Background(), f.k, func(_, out int) {
		scale := f.chooseScale(oihw[out*f.c*filterTaps:][:f.c*filterTaps])
		inverse := 0.0
		if scale > 0 {
			inverse = 1 / scale
		}
		f.scale[out] = scale
		f.eachElement(out, func(u *int16, w int) {
			if *u = 0; inverse > 0 {
				*u = int16(math.RoundToEven(float64(oihw[w]) * inverse))
			}
		})
	})
}

// chooseScale returns the smallest scale of the filters of an output with which limit·Σ|u| is
// below 2³¹ and |u| below 2¹⁵: 0 of zeros.
func (f *stridedFixedFilter) chooseScale(w []float32) float64 {
	sum, most := 0.0, 0.0
	for _, v := range w {
		a := math.Abs(float64(v))
		sum, most = sum+a, max(most, a)
	}
	// The sum of the rounded elements is at most sum/scale + len(w)/2.
	room := math.MaxInt32/float64(f.limit) - float64(len(w))/2
	scale := max(sum/room, most/math.MaxInt16)
	if !(scale <= math.MaxFloat64) {
		return math.NaN()
	}
	return scale
}

// unpack is the inverse of pack, but for its roundings.
func (f *stridedFixedFilter) unpack(oihw []float32) {
	for out := range f.k {
		f.eachElement(out, func(u *int16, w int) { oihw[w] = float32(float64(*u) * f.scale[out]) })
	}
}

// eachElement calls visit with every element of the filters of an output and its index in
// the form that pack takes.
func (f *stridedFixedFilter) eachElement(out int, visit func(u *int16, w int)) {
	panel, pair := out/f.kern.NR, f.kern.Pair
	u, width, column := f.panel(panel), f.width(panel), out%f.kern.NR
	for c := range f.c {
		for tap := range filterTaps {
			t := (c/16*filterTaps+tap)*16 + c%16
			visit(&u[(t/pair*width+column)*pair+t%pair], (out*f.c+c)*filterTaps+tap)
		}
	}
}

// stridedFixedConv computes runs of rows of one picture, for some panels, an item. For each
// pixel of the result it writes the 9·C numbers that its sums are made of, so that the kernel
// sees neither edges nor strides. A row of the result has a scale of its own, which the
// largest magnitude of the three rows of the source decides. The items of a run follow each
// other, and a worker writes the numbers once for those that it does.
type stridedFixedConv struct {
	f       *stridedFixedFilter
	n, h, w int // of the source
	pad     int
	oh, ow  int // of the result
	rows    int // of a run
	runs    int // of a picture
	groups  int // of panels
	panels  int // of a group
	items   int
	relu    bool
	bias    []float32
	workers []fixedWorker
	team    *parallel.Team
	scratch []float32
	item    func(worker, item int)
	operands
}

// A fixedWorker is the run whose numbers a worker's scratch holds, -1 is none, what a number
// of each row of it stands for, and what the sums of a row and a block of outputs are
// multiplied by.
type fixedWorker struct {
	run    int
	steps  []float64
	factor [16]float32
	_      [32]byte
}

// The sizes of an item. A run has about stridedFixedPixels pixels if their numbers fit
// stridedFixedNumbers bytes. A call of the kernel takes the filters of fixedBlocks blocks of 16
// terms, which stay in the first-level cache while all pixels use them.
const (
	stridedFixedPixels  = 112
	stridedFixedNumbers = 512 << 10
	fixedBlocks         = 36
)

func newStridedFixedConv(f *stridedFixedFilter, s Spec, oh, ow int) *stridedFixedConv {
	d := &stridedFixedConv{f: f, n: s.N, h: s.H, w: s.W, pad: s.Pad, oh: oh, ow: ow, relu: s.ReLU}
	fit := min(stridedFixedPixels, stridedFixedNumbers/(2*f.terms()))
	run := min(max(fit/ow, 1), oh)
	d.runs = (oh + run - 1) / run
	d.rows = (oh + d.runs - 1) / d.runs
	d.runs = (oh + d.rows - 1) / d.rows
	return d
}

// numbersLen and sumsLen return the floats of scratch for the numbers and the sums of a run.
func (d *stridedFixedConv) numbersLen() int { return d.rows * d.ow * d.f.terms() / 2 }
func (d *stridedFixedConv) sumsLen() int    { return d.rows * d.ow * d.f.kern.NR }

func (d *stridedFixedConv) scratchLen(workers int) int {
	return shape.Product(workers, d.numbersLen()+d.sumsLen())
}

// bind prepares d for its runs.
func (d *stridedFixedConv) bind(team *parallel.Team, scratch, bias []float32) error {
	if need := d.scratchLen(team.Workers()); len(scratch) < need {
		return shape.Errorf("conv3x3: %d floats of scratch, want %d", len(scratch), need)
	}
	d.team, d.scratch, d.item = team, scratch, d.compute
	d.bias = make([]float32, d.f.outputs())
	copy(d.bias, bias)
	d.workers = make([]fixedWorker, team.Workers())
	for i := range d.workers {
		d.workers[i].steps = make([]float64, d.rows)
	}
	d.divide(team.Workers())
	return nil
}

// divide makes items for some workers. No result depends on it.
func (d *stridedFixedConv) divide(workers int) {
	runs := d.n * d.runs
	d.groups, d.panels = stridedGroups(runs, d.f.panels(), workers)
	d.items = d.groups * runs
}

func (d *stridedFixedConv) setBias(bias []float32) error { return setBias(d.bias, bias, d.f.k) }

func (d *stridedFixedConv) run(ctx context.Context, o operands) error {
	d.operands = o
	for i := range d.workers {
		d.workers[i].run = -1
	}
	err := d.team.Run(ctx, d.items, d.item)
	d.operands = operands{}
	return err
}

// compute does one item: a group of panels for a run of one picture.
func (d *stridedFixedConv) compute(worker, item int) {
	run, group := item/d.groups, item%d.groups
	picture, first := run/d.runs, run%d.runs*d.rows
	rows := min(d.rows, d.oh-first)
	scratch := d.scratch[worker*(d.numbersLen()+d.sumsLen()):]
	numbers, sums := ukernel.Int16s(scratch[:d.numbersLen()]), ukernel.Int32s(scratch[d.numbersLen():][:d.sumsLen()])
	w := &d.workers[worker]
	if w.run != run {
		d.round(numbers, w.steps[:rows], picture, first)
		w.run = run
	}
	for panel := group * d.panels; panel < min((group+1)*d.panels, d.f.panels()); panel++ {
		d.sum(panel, rows*d.ow, numbers, sums)
		width := d.f.width(panel)
		for b := range width / 16 {
			block := panel*d.f.kern.NR/16 + b
			at := ((picture*layout.Blocks(d.f.k)+block)*d.oh + first) * d.ow * 16
			d.finish(w, rows, at, block, sums[b*16:], width)
		}
	}
}

// sum sets sums [pixel][width] to those of one panel. The filters of a call stay in the
// first-level cache while all pixels use them.
func (d *stridedFixedConv) sum(panel, pixels int, numbers []int16, sums []int32) {
	u, width := d.f.panel(panel), d.f.width(panel)
	o := ukernel.BlockedInt16Args{ABlock: pixels * 16, C: sums}
	blocks := d.f.terms() / 16
	for first := 0; first < blocks; first += fixedBlocks {
		n := min(fixedBlocks, blocks-first)
		o.Channels = n * 16
		o.A, o.B, o.FromC = numbers[first*o.ABlock:], u[first*16*width:], first > 0
		o.NextB = o.B
		if after := (first + n) * 16 * width; after < len(u) {
			o.NextB = u[after:]
		} else if panel+1 < d.f.panels() {
			o.NextB = d.f.panel(panel + 1)
		}
		d.f.kern.RunM(pixels, width, &o)
	}
}

// round sets numbers [c/16][tap][pixel][16] for the rows of the result from first on, and
// steps to what they stand for.
func (d *stridedFixedConv) round(numbers []int16, steps []float64, picture, first int) {
	blocks := layout.Blocks(d.f.c)
	src := d.src[picture*blocks*d.h*d.w*16:][:blocks*d.h*d.w*16]
	pixels := len(steps) * d.ow
	next := d.rowMax(src, 2*first-d.pad)
	for r := range steps {
		y := 2*(first+r) - d.pad
		most := max(next, d.rowMax(src, y+1))
		next = d.rowMax(src, y+2)
		scale := quantise.NewScale(max(most, next), d.f.limit)
		steps[r] = scale.Step
		for b := range blocks {
			for tap := range filterTaps {
				to := numbers[((b*filterTaps+tap)*pixels+r*d.ow)*16:][:d.ow*16]
				if y := y + tap/3; y >= 0 && y < d.h {
					roundColumns(scale, to, src[(b*d.h+y)*d.w*16:][:d.w*16], tap%3-d.pad)
				} else {
					clear(to)
				}
			}
		}
	}
}

// rowMax returns the largest magnitude of a row of the source in all channels, as far as the
// sums reach: 0 of a row of the padding, and NaN if there is one.
func (d *stridedFixedConv) rowMax(src []float32, y int) (most float32) {
	if y < 0 || y >= d.h {
		return 0
	}
	reach := min(d.w, 2*d.ow+1-d.pad) * 16
	for at := y * d.w * 16; at < len(src); at += d.h * d.w * 16 {
		most = max(most, quantise.MaxAbs(src[at:][:reach]))
	}
	return most
}

// roundColumns sets the pixels of dst to the numbers of those of the row src at x, x+2, …, or
// to zero beyond the row.
func roundColumns(scale quantise.Scale, dst []int16, src []float32, x int) {
	n, w := len(dst)/16, len(src)/16
	left := min(max((1-x)/2, 0), n)
	inside := max(min((w-x+1)/2, n), left)
	clear(dst[:left*16])
	if inside > left {
		scale.ToInt16(inside-left, dst[left*16:], 16, src[(x+2*left)*16:], 32)
	}
	clear(dst[inside*16:])
}

// finish computes the results of one block of outputs, which begin at in dst, from its sums,
// a pixel of which is stride behind the one before.
func (d *stridedFixedConv) finish(w *fixedWorker, rows, at, block int, sums []int32, stride int) {
	y := d.dst[at:][:rows*d.ow*16]
	bias := (*[16]float32)(d.bias[block*16:])
	for r, step := range w.steps[:rows] {
		for l := range w.factor {
			w.factor[l] = float32(min(step*d.f.scale[block*16+l], math.MaxFloat32))
		}
		quantise.ToFloat32(y[r*d.ow*16:][:d.ow*16], sums[r*d.ow*stride:], stride, &w.factor, bias)
	}
	if d.residual != nil {
		activation.Add(y, d.residual[at:][:len(y)])
	}
	if d.relu {
		activation.ReLU(y)
	}
	if d.mask != nil {
		activation.ReLUGrad(y, d.mask[at:][:len(y)])
	}
}
