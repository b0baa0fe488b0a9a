package conv3x3

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// stridedFilter holds the filters of a convolution with stride 2 of 16 and more channels, or
// of its gradient with respect to the input. The gradient is four convolutions with stride
// 1, one for each parity of row and column: outputs of one parity see taps of one parity
// only.
type stridedFilter struct {
	kern *ukernel.Indirect
	c, k int
	grad bool
	u    [][]float32 // of each part: [panel][c/16][taps][16][width], where the last block may have fewer than 16
}

// A phase says which taps of a filter, along one axis, make the outputs of a part, and which
// sources they read: output r reads from + r·stride + shift. Shifts ascend modulo the stride
// first. The rows of stridedConv's images have the same order, because the kernel requires
// that the largest offset is the last.
type phase struct {
	taps   []int // of the filter
	shifts []int // of the source, for each tap, at least 0
	stride int
}

var (
	forwardPhases = []phase{{[]int{0, 2, 1}, []int{0, 2, 1}, 2}}
	gradPhases    = []phase{{[]int{2, 0}, []int{0, 1}, 1}, {[]int{1}, []int{0}, 1}}
)

func newStridedFilter(kern *ukernel.Indirect, c, k int, grad bool) *stridedFilter {
	f := &stridedFilter{kern: kern, c: c, k: k, grad: grad}
	for part := range f.parts() {
		rows, cols := f.phases(part)
		f.u = append(f.u, layout.Alloc(f.taps(rows, cols)*f.outputs()))
	}
	return f
}

// parts returns how many convolutions there are.
func (f *stridedFilter) parts() int { return len(f.axisPhases()) * len(f.axisPhases()) }

func (f *stridedFilter) axisPhases() []phase {
	if f.grad {
		return gradPhases
	}
	return forwardPhases
}

// phases returns those of the rows and columns of a part.
func (f *stridedFilter) phases(part int) (rows, cols *phase) {
	p := f.axisPhases()
	return &p[part/len(p)], &p[part%len(p)]
}

// taps returns the length of the sums of a part.
func (f *stridedFilter) taps(rows, cols *phase) int {
	return f.channels() * len(rows.taps) * len(cols.taps)
}

// mostLanes is the most channels of a last block that are multiplied alone: a whole block
// has contiguous offsets and is faster than 13.
const mostLanes = 12

// channels returns c, padded with zeros to a whole block unless the last one is small.
func (f *stridedFilter) channels() int {
	if f.c%16 <= mostLanes {
		return f.c
	}
	return layout.Blocks(f.c) * 16
}

// lanes returns the channels of a block.
func (f *stridedFilter) lanes(block int) int { return min(16, f.channels()-16*block) }

func (f *stridedFilter) outputs() int { return layout.Blocks(f.k) * 16 }

func (f *stridedFilter) panels() int { return (f.outputs() + f.kern.NR - 1) / f.kern.NR }

func (f *stridedFilter) width(panel int) int {
	return min(f.kern.NR, f.outputs()-panel*f.kern.NR)
}

// panel returns the filters of a panel, for sums of so many taps.
func (f *stridedFilter) panel(part, panel, taps int) []float32 {
	return f.u[part][panel*f.kern.NR*taps:][:taps*f.width(panel)]
}

// bytes returns the memory that the filters take.
func (f *stridedFilter) bytes() (n int64) {
	for _, u := range f.u {
		n += 4 * int64(len(u))
	}
	return n
}

// pack copies filters [k][c][3][3] or, for the gradient, [c][k][3][3].
func (f *stridedFilter) pack(oihw []float32) {
	f.eachTap(func(u *float32, w int) { *u = oihw[w] })
}

// unpack is the inverse of pack.
func (f *stridedFilter) unpack(oihw []float32) {
	f.eachTap(func(u *float32, w int) { oihw[w] = *u })
}

// eachTap calls visit with every element of the filters and its index in the form that
// pack takes.
func (f *stridedFilter) eachTap(visit func(u *float32, w int)) {
	for part := range f.u {
		rows, cols := f.phases(part)
		taps := f.taps(rows, cols)
		for out := range f.k {
			p := out / f.kern.NR
			u, width := f.panel(part, p, taps)[out%f.kern.NR:], f.width(p)
			for c := range f.c {
				filter := (out*f.c + c) * 9
				if f.grad {
					filter = (c*f.k + out) * 9
				}
				t := c/16*16*len(rows.taps)*len(cols.taps) + c%16
				for _, j := range cols.taps {
					for _, i := range rows.taps {
						visit(&u[t*width], filter+i*3+j)
						t += f.lanes(c / 16)
					}
				}
			}
		}
	}
}

// A grid is the outputs of a phase along one axis: first, first+step, … n of them. Output r
// reads from + r·stride + shift.
type grid struct {
	*phase
	n, first, step, from int
}

// grids returns the grids of the phases for in elements of a source and out of the result.
func (f *stridedFilter) grids(pad, out int) []grid {
	if !f.grad {
		return []grid{{&forwardPhases[0], out, 0, 1, -pad}}
	}
	// Output Y of phase p is met by source (Y + pad − i)/2 for i = p and p + 2.
	var g []grid
	for p := range gradPhases {
		skip := (pad - p + 1) / 2
		first := 2*skip + p - pad
		g = append(g, grid{&gradPhases[p], max(out-first+1, 0) / 2, first, 2, skip - (1 - p)})
	}
	return g
}

// stridedConv computes runs of rows of one picture, for some panels, an item. It copies the
// source that a run reads to images, with rows and columns of one parity side by side, so
// that the kernel sees neither edges nor strides. The items of a run follow each other, and a
// worker copies the images once for those that it does.
type stridedConv struct {
	f        *stridedFilter
	n, h, w  int // of the source
	oh, ow   int // of the result
	parts    []stridedPart
	groups   int // of panels
	panels   int // of a group
	items    int
	imageLen int // of a worker's scratch: images,
	outLen   int // and the outputs of a run
	relu     bool
	bias     []float32
	team     *parallel.Team
	scratch  []float32
	held     []heldRun // of each worker
	item     func(worker, item int)
	operands
}

// heldRun is the run whose images a worker's scratch holds; -1: none.
type heldRun struct {
	run int
	_   [56]byte
}

// stridedPart is one part of a stridedConv.
type stridedPart struct {
	rows, cols grid
	run        int   // rows of an item
	runs       int   // of a picture
	rowClasses []int // where the source rows of each parity begin in an image
	imageRows  int
	images     []int // the first shift of the columns of each image
	pitch      int   // pixels of a row of an image
	wide       bool  // the kernel computes row by row; else a run at once
	offsets    []int // of the taps in the images
	ends       []int // of the offsets of each call
	whole      int   // offsets of blocks of 16 channels
	firstRun   int
}

// The sizes of an item. A run has about stridedPixels pixels if its images fit stridedImages
// bytes. From wideRow pixels on, each row is one call of the kernel, and taps that are a
// stride apart share an image. Narrower rows of a run are one call together, and each tap
// has an image of its own. There are about stridedItems items for each worker, so that none
// waits long for the last one. The filters of a call stay in the first-level cache while all
// pixels use them.
const (
	stridedPixels  = 112
	stridedImages  = 384 << 10
	wideRow        = 24
	stridedItems   = 16
	stridedFilters = 24 << 10
)

func newStridedConv(f *stridedFilter, s Spec, oh, ow int) *stridedConv {
	d := &stridedConv{f: f, n: s.N, h: s.H, w: s.W, oh: oh, ow: ow, relu: s.ReLU}
	pad := s.Pad
	if f.grad {
		pad = 2 - pad
	}
	for _, rows := range f.grids(pad, oh) {
		for _, cols := range f.grids(pad, ow) {
			d.parts = append(d.parts, d.part(rows, cols))
		}
	}
	return d
}

// part plans one part and makes room for its runs.
func (d *stridedConv) part(rows, cols grid) stridedPart {
	p := stridedPart{rows: rows, cols: cols}
	if rows.n == 0 || cols.n == 0 {
		return p
	}
	blocks := layout.Blocks(d.f.c)
	p.columns()
	p.run = min(max(stridedPixels/cols.n, 1), rows.n)
	for p.run > 1 && 4*blocks*p.blockLen() > stridedImages {
		p.run--
	}
	p.runs = (rows.n + p.run - 1) / p.run
	p.run = (rows.n + p.runs - 1) / p.runs
	p.runs = (rows.n + p.run - 1) / p.run
	p.layOut(d.f)
	p.cutSums(d.f)
	d.imageLen = max(d.imageLen, blocks*p.blockLen())
	d.outLen = max(d.outLen, p.run*cols.n*d.f.kern.NR)
	return p
}

// columns chooses the images.
func (p *stridedPart) columns() {
	p.wide, p.pitch = p.cols.n >= wideRow, p.cols.n
	if !p.wide {
		p.images = p.cols.shifts
		return
	}
	for class := range p.cols.stride {
		p.images = append(p.images, class)
	}
	for _, shift := range p.cols.shifts {
		p.pitch = max(p.pitch, p.cols.n+shift/p.cols.stride)
	}
}

// blockLen returns the floats of the images of one block of channels.
func (p *stridedPart) blockLen() int {
	rows := 0
	for class := range p.rows.stride {
		rows += p.classRows(class)
	}
	return len(p.images) * rows * p.pitch * 16
}

// classRows returns how many rows of an image are those of shifts of one class, modulo
// the stride.
func (p *stridedPart) classRows(class int) int {
	n := 0
	for _, shift := range p.rows.shifts {
		if shift%p.rows.stride == class {
			n = max(n, p.run+shift/p.rows.stride)
		}
	}
	return n
}

// layOut places rows and taps in the images: [c/16][image][row][pixel][16], the rows of
// one parity together.
func (p *stridedPart) layOut(f *stridedFilter) {
	for class := range p.rows.stride {
		p.rowClasses = append(p.rowClasses, p.imageRows)
		p.imageRows += p.classRows(class)
	}
	for b := range layout.Blocks(f.c) {
		for j, shift := range p.cols.shifts {
			image, pixel := j, 0
			if p.wide {
				image, pixel = shift%p.cols.stride, shift/p.cols.stride
			}
			for _, shift := range p.rows.shifts {
				row := p.rowClasses[shift%p.rows.stride] + shift/p.rows.stride
				at := b*p.blockLen() + ((image*p.imageRows+row)*p.pitch+pixel)*16
				for lane := range f.lanes(b) {
					p.offsets = append(p.offsets, at+lane)
				}
			}
		}
	}
}

// cutSums divides the offsets into calls, whose filters stay in the first-level cache. Each
// ends with a column of taps: its last offset is larger than all before. A call of the last
// block has 16 channels or fewer.
func (p *stridedPart) cutSums(f *stridedFilter) {
	columns := max(stridedFilters/(4*f.kern.NR)/(16*len(p.rows.taps)), 1)
	p.whole = f.channels() / 16 * 16 * len(p.rows.taps) * len(p.cols.taps)
	for at := 0; at < len(p.offsets); {
		end, lanes := p.whole, 16
		if at == p.whole {
			end, lanes = len(p.offsets), f.channels()%16
		}
		at = min(at+columns*lanes*len(p.rows.taps), end)
		p.ends = append(p.ends, at)
	}
}

func (d *stridedConv) scratchLen(workers int) int {
	return shape.Product(workers, d.imageLen+2*d.outLen)
}

// bind prepares d for its runs.
func (d *stridedConv) bind(team *parallel.Team, scratch, bias []float32) error {
	if need := d.scratchLen(team.Workers()); len(scratch) < need {
		return shape.Errorf("conv3x3: %d floats of scratch, want %d", len(scratch), need)
	}
	d.team, d.scratch, d.item = team, scratch, d.compute
	d.held = make([]heldRun, team.Workers())
	d.bias = make([]float32, d.f.outputs())
	copy(d.bias, bias)
	d.divide(team.Workers())
	return nil
}

// divide makes items for some workers. No result depends on it.
func (d *stridedConv) divide(workers int) {
	runs := 0
	for i := range d.parts {
		d.parts[i].firstRun = runs
		runs += d.n * d.parts[i].runs
	}
	d.groups, d.panels = stridedGroups(runs, d.f.panels(), workers)
	d.items = d.groups * runs
}

// stridedGroups returns the groups of panels that make enough items of some runs for the
// workers, and the panels of a group.
func stridedGroups(runs, panels, workers int) (groups, each int) {
	groups = min((stridedItems*workers+runs-1)/runs, panels)
	each = (panels + groups - 1) / groups
	return (panels + each - 1) / each, each
}

func (d *stridedConv) setBias(bias []float32) error { return setBias(d.bias, bias, d.f.k) }

func (d *stridedConv) run(ctx context.Context, o operands) error {
	d.operands = o
	for i := range d.held {
		d.held[i].run = -1
	}
	err := d.team.Run(ctx, d.items, d.item)
	d.operands = operands{}
	return err
}

// compute does one item: a group of panels for a run of one picture.
func (d *stridedConv) compute(worker, item int) {
	part := len(d.parts) - 1
	for d.parts[part].firstRun > item/d.groups {
		part--
	}
	p := &d.parts[part]
	run, group := item/d.groups, item%d.groups
	picture, first := (run-p.firstRun)/p.runs, (run-p.firstRun)%p.runs*p.run
	rows := min(p.run, p.rows.n-first)
	scratch := d.scratch[worker*(d.imageLen+2*d.outLen):][:d.imageLen+2*d.outLen]
	images, out, operand := scratch[:d.imageLen], scratch[d.imageLen:][:d.outLen], scratch[d.imageLen+d.outLen:]
	if held := &d.held[worker]; held.run != run {
		d.fillImages(p, images, picture, first, rows)
		held.run = run
	}
	for panel := group * d.panels; panel < min((group+1)*d.panels, d.f.panels()); panel++ {
		block := picture*layout.Blocks(d.f.k) + panel*d.f.kern.NR/16
		c, cBlock := out, rows*p.cols.n*16
		if p.rows.step == 1 { // the run is one in the result
			c, cBlock = d.dst[d.place(p, block, first):], d.oh*d.ow*16
		}
		d.sum(part, panel, rows, images, c, cBlock)
		for b := range d.f.width(panel) / 16 {
			y := c[b*cBlock:][:rows*p.cols.n*16]
			d.finish(p, y, operand[:len(y)], block+b, first)
		}
	}
}

// sum sets c [block][row][column][16] to the sums of one panel for a run of rows.
func (d *stridedConv) sum(part, panel, rows int, images, c []float32, cBlock int) {
	p, width := &d.parts[part], d.f.width(panel)
	pixels, calls := rows*p.cols.n, 1
	if p.wide {
		pixels, calls = p.cols.n, rows
	}
	u := d.f.panel(part, panel, len(p.offsets))
	o := ukernel.IndirectArgs{AStep: 16, Bias: d.bias[panel*d.f.kern.NR:], LDC: 16, CBlock: cBlock}
	t := 0
	for _, end := range p.ends {
		o.Offsets, o.B, o.Mode = p.offsets[t:end], u[t*width:end*width], 0
		o.Contiguous = end <= p.whole
		if t > 0 {
			o.Mode = ukernel.ModeFromC
		}
		if end == len(p.offsets) && d.relu && d.residual == nil {
			o.Mode |= ukernel.ModeReLU
		}
		for r := range calls {
			o.A, o.C = images[r*p.pitch*16:], c[r*p.cols.n*16:]
			d.f.kern.RunM(pixels, width, &o)
		}
		t = end
	}
}

// fillImages copies the rows of the source that a run reads.
func (d *stridedConv) fillImages(p *stridedPart, images []float32, picture, first, rows int) {
	blocks := layout.Blocks(d.f.c)
	line := p.pitch * 16
	for b := range blocks {
		plane := d.src[(picture*blocks+b)*d.h*d.w*16:][:d.h*d.w*16]
		for class, at := range p.rowClasses {
			for r := range p.classRows(class) - p.run + rows {
				y := p.rows.from + (first+r)*p.rows.stride + class
				for i, shift := range p.images {
					to := images[b*p.blockLen()+(i*p.imageRows+at+r)*line:][:line]
					if y < 0 || y >= d.h {
						clear(to)
						continue
					}
					copyColumns(to, plane[y*d.w*16:][:d.w*16], p.cols.from+shift, p.cols.stride)
				}
			}
		}
	}
}

// copyColumns sets the pixels of dst to those of the row src at x, x+stride, …, or to zero
// beyond the row.
func copyColumns(dst, src []float32, x, stride int) {
	n, w := len(dst)/16, len(src)/16
	left := 0
	if x < 0 {
		left = min((-x+stride-1)/stride, n)
	}
	inside := max(min((w-x+stride-1)/stride, n), left)
	clear(dst[:left*16])
	if inside > left {
		pack.Rows(inside-left, 16, dst[left*16:], 16, src[(x+left*stride)*16:], 16*stride)
	}
	clear(dst[inside*16:])
}

// finish adds the residual to y or masks it, and stores it unless it lies in the result. y
// is a run of one block from row first on. operand has the same length and is overwritten.
func (d *stridedConv) finish(p *stridedPart, y, operand []float32, block, first int) {
	if d.residual != nil {
		activation.Add(y, d.ofRun(p, operand, d.residual, block, first))
		if d.relu {
			activation.ReLU(y)
		}
	}
	if d.mask != nil {
		activation.ReLUGrad(y, d.ofRun(p, operand, d.mask, block, first))
	}
	if p.rows.step == 1 {
		return
	}
	line := p.cols.n * 16
	for r := range len(y) / line {
		pack.Rows(p.cols.n, 16, d.dst[d.place(p, block, first+r):], 16*p.cols.step, y[r*line:], 16)
	}
}

// ofRun returns the part of an operand of the size of the result that belongs to a run, or a
// copy of it in room.
func (d *stridedConv) ofRun(p *stridedPart, room, operand []float32, block, first int) []float32 {
	if p.rows.step == 1 {
		return operand[d.place(p, block, first):][:len(room)]
	}
	line := p.cols.n * 16
	for r := range len(room) / line {
		pack.Rows(p.cols.n, 16, room[r*line:], 16, operand[d.place(p, block, first+r):], 16*p.cols.step)
	}
	return room
}

// place returns the place of the first pixel of a row of a part in the result.
func (d *stridedConv) place(p *stridedPart, block, row int) int {
	return ((block*d.oh+p.rows.first+row*p.rows.step)*d.ow + p.cols.first) * 16
}
