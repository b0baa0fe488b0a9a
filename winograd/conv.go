package winograd

import (
	"context"
	"slices"
	"unsafe"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// outputIndex returns which of the output transforms ends with e.
func outputIndex(e fuse.Epilogue) int {
	switch {
	case e.Add: // and what comes after it, in finishRun
		return outputLinear
	case e.Pool:
		return outputPool
	case e.ReLU:
		return outputReLU
	}
	return outputLinear
}

// Conv is a convolution of n pictures of one size. It is immutable.
type Conv struct {
	f        *Filter
	n, h, w  int
	pad      int
	side     int // of the patch of a tile, pixels
	oh, ow   int // of the convolution
	ph, pw   int // of the result: after the pool, if there is one
	epilogue fuse.Epilogue
	bias     []float32 // padded to blocks
	tiling
}

// tiling is the tiles of the pictures.
type tiling struct {
	rows, cols int // of one picture
	tiles      int // of all pictures
}

// NewConv describes the convolution of n pictures of c×h×w, zero padded by pad on each side:
// 0 or 1, and 2 for an input gradient. bias has one element for each output channel, or is
// nil. A pool needs a ReLU before it. Errors wrap ErrShape.
func (f *Filter) NewConv(n, h, w, pad int, bias []float32, e fuse.Epilogue) (*Conv, error) {
	c := &Conv{f: f, n: n, h: h, w: w, pad: pad, side: f.alpha, epilogue: e, oh: h + 2*pad - 2, ow: w + 2*pad - 2}
	switch {
	case n < 1 || h < 1 || w < 1 || pad < 0 || pad > 2 || h > shape.Max || w > shape.Max || c.oh < 1 || c.ow < 1,
		layout.BatchLen(n, f.c, h, w) == shape.TooMany, layout.BatchLen(n, f.k, c.oh, c.ow) == shape.TooMany:
		return nil, shape.Errorf("winograd: %d pictures of %d×%d, padding %d", n, h, w, pad)
	case bias != nil && len(bias) != f.k:
		return nil, shape.Errorf("winograd: %d biases for %d outputs", len(bias), f.k)
	case e.Pool && (!e.ReLU || c.oh < 2 || c.ow < 2):
		return nil, shape.Errorf("winograd: a pool needs a ReLU and at least 2×2 outputs, have %d×%d", c.oh, c.ow)
	case e.Pool && e.Add:
		return nil, shape.Errorf("winograd: a residual with a pool behind it")
	}
	c.ph, c.pw = c.oh, c.ow
	if e.Pool {
		c.ph, c.pw = c.oh/2, c.ow/2
	}
	c.bias = make([]float32, f.outputs())
	copyBias(c.bias, bias)
	c.rows, c.cols = (c.oh+f.m-1)/f.m, (c.ow+f.m-1)/f.m
	c.tiles = n * c.rows * c.cols
	return c, nil
}

// copyBias copies biases. None becomes −0: the pool orders floats as integers.
func copyBias(dst, src []float32) {
	for i, b := range src {
		dst[i] = b + 0
	}
}

// Sizes of the operands, in floats.
func (c *Conv) srcLen() int { return c.n * layout.Len(c.f.c, c.h, c.w) }
func (c *Conv) dstLen() int { return c.n * layout.Len(c.f.k, c.ph, c.pw) }

// ScratchLen returns the number of floats of scratch that an Exec of that many workers
// needs, or math.MaxInt if no memory holds them.
func (c *Conv) ScratchLen(workers int) int {
	l := c.loops(max(workers, 1))
	return shape.Product(workers, c.vLen(l)+c.mLen(l)+c.scaleLen(l))
}

// vLen returns the floats of V of a block.
func (c *Conv) vLen(l loops) int {
	if c.f.fixed != nil {
		return c.vTile() * l.block / 2
	}
	return c.vTile() * l.block
}

// scaleLen returns the floats of the scales of a block's tiles in fixed point.
func (c *Conv) scaleLen(l loops) int {
	if c.f.fixed == nil {
		return 0
	}
	return (tileScales*l.block + 15) / 16 * 16
}

// mLen returns the floats of M of a panel and a block.
func (c *Conv) mLen(l loops) int { return c.f.alpha * c.f.alpha * c.mStride(l) }

// mStride returns the floats between elements ξ of M: a line more than they need, so that
// they do not share a cache set.
func (c *Conv) mStride(l loops) int { return (l.block*c.f.nr+15)/16*16 + 16 }

// Exec runs a Conv on a team with scratch memory. One goroutine at a time may
// use it.
type Exec struct {
	c        *Conv
	loops    loops
	mStride  int // floats between elements ξ of M
	team     *parallel.Team
	workers  []worker
	bias     []float32 // padded to blocks
	item     func(worker, item int)
	dst, src []float32
	mask     []float32 // nil: none
	residual []float32 // nil: none
}

// worker is the scratch of one worker.
type worker struct {
	v, m []float32
	fixedWorker
	block int                                                    // that v holds in this run; -1: none
	strip [maxAlpha * ((stripTiles-1)*4 + maxAlpha) * 16]float32 // pixels of tiles at an edge
	_     [64]byte
}

// NewExec binds c to scratch of at least ScratchLen floats, which others may use
// between runs, and to a team, which may be nil. Errors wrap ErrShape.
func (c *Conv) NewExec(scratch []float32, team *parallel.Team) (*Exec, error) {
	n := team.Workers()
	if len(scratch) < c.ScratchLen(n) {
		return nil, shape.Errorf("winograd: %d floats of scratch, want %d", len(scratch), c.ScratchLen(n))
	}
	l := c.loops(n)
	e := &Exec{c: c, loops: l, mStride: c.mStride(l), team: team, workers: make([]worker, n), bias: slices.Clone(c.bias)}
	vLen, mLen, scaleLen := c.vLen(l), c.mLen(l), c.scaleLen(l)
	for i := range e.workers {
		w := &e.workers[i]
		w.v, scratch = scratch[:vLen], scratch[vLen:]
		w.m, scratch = scratch[:mLen], scratch[mLen:]
		w.scales, scratch = scratch[:scaleLen], scratch[scaleLen:]
	}
	e.item = e.runItem
	return e, nil
}

// String tells how e's team shares the work, in BLIS's words: M is the number of tiles, N of
// outputs, K of input channels.
func (e *Exec) String() string { return e.c.Loops(e.team.Workers()) }

// Run computes dst from src, both blocked, see package layout. They must not
// overlap. It returns an error if a length is wrong, if the epilogue adds a residual, or
// when ctx ends. It does not allocate.
func (e *Exec) Run(ctx context.Context, dst, src []float32) error {
	return e.run(ctx, dst, src, nil, nil)
}

// RunAdd is Run for an epilogue that adds a residual. The residual has the length and layout
// of dst and does not overlap it. The sum with it is rounded once more.
func (e *Exec) RunAdd(ctx context.Context, dst, src, residual []float32) error {
	if len(residual) != e.c.dstLen() {
		return shape.Errorf("winograd: residual of %d floats, want %d", len(residual), e.c.dstLen())
	}
	return e.run(ctx, dst, src, nil, residual)
}

// RunMasked is Run, and then sets dst to 0 where mask is at most 0. mask is as long as dst.
// It takes an input gradient through the ReLU that made the input. A NaN in mask lets the
// gradient pass.
func (e *Exec) RunMasked(ctx context.Context, dst, src, mask []float32) error {
	if len(mask) != e.c.dstLen() {
		return shape.Errorf("winograd: mask of %d floats, want %d", len(mask), e.c.dstLen())
	}
	return e.run(ctx, dst, src, mask, nil)
}

func (e *Exec) run(ctx context.Context, dst, src, mask, residual []float32) error {
	c := e.c
	if len(dst) != c.dstLen() || len(src) != c.srcLen() {
		return shape.Errorf("winograd: operands of %d and %d floats, want %d and %d", len(dst), len(src), c.dstLen(), c.srcLen())
	}
	if c.epilogue.Add != (residual != nil) {
		return shape.Errorf("winograd: a residual with an epilogue that adds none, or none where it does")
	}
	e.dst, e.src, e.mask, e.residual = dst, src, mask, residual
	for i := range e.workers {
		e.workers[i].block = -1
	}
	err := e.team.Run(ctx, e.loops.items(), e.item)
	e.dst, e.src, e.mask, e.residual = nil, nil, nil, nil
	return err
}

// SetBias replaces the biases, one for each output channel: training does so after
// each step. Errors wrap ErrShape.
func (e *Exec) SetBias(bias []float32) error {
	if len(bias) != e.c.f.k {
		return shape.Errorf("winograd: %d biases for %d outputs", len(bias), e.c.f.k)
	}
	copyBias(e.bias, bias)
	return nil
}

// runItem does a group of panels for a block of tiles. Each worker has a V of its own:
// computing it twice is cheaper than sharing it between cores.
func (e *Exec) runItem(wi, item int) {
	c, w, l := e.c, &e.workers[wi], e.loops
	block, group := item/l.groups, item%l.groups
	t0 := block * l.block
	t1 := min(t0+l.block, c.tiles)
	if w.block != block {
		e.transformInput(w, t0, t1)
		w.block = block
	}
	for panel := group * c.f.panels() / l.groups; panel < (group+1)*c.f.panels()/l.groups; panel++ {
		e.multiply(w, panel, t1-t0)
		e.transformOutput(w, panel, t0, t1)
	}
}

// vTile returns the floats of V of one tile.
func (c *Conv) vTile() int { return c.f.alpha * c.f.alpha * c.f.cBlocks * 16 }

// multiply sets M = V·U for one panel and the n tiles in V.
func (e *Exec) multiply(w *worker, panel, n int) {
	c, f := e.c, e.c.f
	aa, width := f.alpha*f.alpha, f.width(panel)
	for xi := range aa {
		u := f.panel(panel, xi)
		next := u
		switch {
		case xi+1 < aa:
			next = f.panel(panel, xi+1)
		case panel+1 < f.panels():
			next = f.panel(panel+1, 0)
		}
		m, v, done := xi*e.mStride, 0, 0
		for _, g := range split(n, f.mr) {
			if g.n == 0 {
				continue
			}
			ahead := next
			switch { // each group fetches half of it
			case done == 1:
				ahead = span{next.first + next.n/2, next.n - next.n/2}
			case done > 1:
				ahead = u // already there
			}
			e.product(w, width, product{groups: g, v: v + xi*g.tiles*16, m: m, u: u, ahead: ahead})
			done += g.n
			v, m = v+g.n*g.tiles*c.vTile(), m+g.n*g.tiles*width
		}
	}
}

// A product is where its operands begin in V, M and U.
type product struct {
	groups
	v, m     int
	u, ahead span // ahead is fetched meanwhile
}

// product sets M = V·U for one panel, one ξ and some groups of tiles.
func (e *Exec) product(w *worker, width int, p product) {
	c, f := e.c, e.c.f
	aBlock, aTile := f.alpha*f.alpha*p.tiles*16, p.tiles*c.vTile()
	if x := f.fixed; x != nil {
		x.kern.Run(p.n, p.tiles, width, &ukernel.BlockedInt16Args{
			Channels: channelSteps(f.c, ukernel.Int16ChannelStep), A: ukernel.Int16s(w.v)[p.v:], ABlock: aBlock, ATile: aTile,
			B: x.u[p.u.first:][:p.u.n], C: ukernel.Int32s(w.m)[p.m:], NextB: x.u[p.ahead.first:][:p.ahead.n],
		})
		return
	}
	f.kern.Run(p.n, p.tiles, width, &ukernel.BlockedArgs{
		Channels: f.rows, A: w.v[p.v:], ABlock: aBlock, ATile: aTile,
		B: f.u[p.u.first:][:p.u.n], C: w.m[p.m:], NextB: f.u[p.ahead.first:][:p.ahead.n],
	})
}

// groups are n groups of equally many tiles, whose V lie together.
type groups struct{ n, tiles int }

// split divides n tiles into groups of at most limit, as equal as possible: small groups run
// below the peak.
func split(n, limit int) [2]groups {
	all := (n + limit - 1) / limit
	size := (n + all - 1) / all
	smaller := all*size - n
	return [2]groups{{all - smaller, size}, {smaller, size - 1}}
}

// run is a maximal run of adjacent tiles in one row of tiles.
type run struct {
	tile    int // of the first tile, over all pictures
	n       int
	picture int
	ty, tx  int
}

// nextRun returns the run that begins at tile t and ends before end.
func (c *Conv) nextRun(t, end int) run {
	tx := t % c.cols
	ty := t / c.cols % c.rows
	return run{t, min(c.cols-tx, end-t), t / (c.cols * c.rows), ty, tx}
}

// transformInput writes V of the tiles t0 … t1−1, group by group.
func (e *Exec) transformInput(w *worker, t0, t1 int) {
	c, at := e.c, 0
	for _, g := range split(t1-t0, c.f.mr) {
		for range g.n {
			for i := 0; i < g.tiles; {
				r := c.nextRun(t0+at+i, t0+at+g.tiles)
				e.inputRun(w, at+i, at*c.vTile()+i*16, g.tiles*16, r)
				i += r.n
			}
			at += g.tiles
		}
	}
}

// inputRun transforms one run for all channels. at is its first tile in the item, v is where
// that tile's V begins, and xi the elements from ξ to ξ.
func (e *Exec) inputRun(w *worker, at, v, xi int, r run) {
	f := e.c.f
	x := expansion{xi: xi, step: 16}
	if f.fixed != nil {
		x.fixed, x.scale = f.fixed.tr.input, e.scaleTiles(w, at, r)
	} else {
		x.fn = f.tr.input
	}
	for cb := range f.cBlocks {
		x.dst = (*float32)(unsafe.Add(unsafe.Pointer(&w.v[0]), f.elementSize()*(v+cb*f.alpha*f.alpha*xi)))
		w.expandRun(e.c, &x, e.src, cb, r)
	}
}

// An expansion says how tiles are transformed, and to where.
type expansion struct {
	fn       expandFunc
	fixed    fixedInputFunc // instead of fn; dst then points to int16
	scale    *float32       // for fixed: tileElements of each tile
	dst      *float32
	xi, step int
}

// run transforms n tiles from the first on.
func (x *expansion) run(first, n int, src *float32, row int) {
	if x.fixed != nil {
		dst, scale := (*int16)(unsafe.Add(unsafe.Pointer(x.dst), 2*first*x.step)), unsafe.Add(unsafe.Pointer(x.scale), 4*first*tileElements)
		x.fixed(n, dst, x.xi, x.step, src, row, (*float32)(scale))
		return
	}
	x.fn(n, (*float32)(unsafe.Add(unsafe.Pointer(x.dst), 4*first*x.step)), x.xi, x.step, src, row)
}

// stripTiles is how many tiles at an edge of the picture are copied at once.
const stripTiles = 8

// expandRun transforms one run of tiles of block cb of src, whose patches are c.side pixels
// wide. Tiles that reach over the edge are copied first.
func (w *worker) expandRun(c *Conv, e *expansion, src []float32, cb int, r run) {
	m := c.f.m
	plane := src[(r.picture*c.f.cBlocks+cb)*c.h*c.w*16:][:c.h*c.w*16]
	y := r.ty*m - c.pad
	inRows := y >= 0 && y+c.side <= c.h
	for i := 0; i < r.n; {
		x := (r.tx+i)*m - c.pad
		if inRows && x >= 0 && x+c.side <= c.w { // and some more
			n := min(r.n-i, (c.w-c.side-x)/m+1)
			e.run(i, n, &plane[(y*c.w+x)*16], c.w*16)
			i += n
			continue
		}
		n := min(r.n-i, stripTiles)
		if inRows && x < 0 && x+m+c.side <= c.w { // the next one lies inside
			n = 1
		}
		cols := (n-1)*m + c.side
		w.fillStrip(plane, c, cols, y, x)
		e.run(i, n, &w.strip[0], cols*16)
		i += n
	}
}

// fillStrip copies c.side rows of cols pixels at (y, x) of a plane, with zeros
// outside of it.
func (w *worker) fillStrip(plane []float32, c *Conv, cols, y, x int) {
	left, right := min(max(-x, 0), cols), max(min(c.w-x, cols), 0)
	for i := range c.side {
		row := w.strip[i*cols*16:][:cols*16]
		if y+i < 0 || y+i >= c.h || left >= right {
			clear(row)
			continue
		}
		clear(row[:left*16])
		copy(row[left*16:right*16], plane[((y+i)*c.w+x+left)*16:])
		clear(row[right*16:])
	}
}

// transformOutput writes the outputs of one panel for the tiles t0 … t1−1.
func (e *Exec) transformOutput(w *worker, panel, t0, t1 int) {
	c := e.c
	for t := t0; t < t1; {
		r := c.nextRun(t, t1)
		for b := range c.f.width(panel) / 16 {
			e.outputRun(w, panel, b, t-t0, r)
		}
		t += r.n
	}
}

// outputRun transforms one run for one block of output channels. at is its first tile in
// the item.
func (e *Exec) outputRun(w *worker, panel, b, at int, r run) {
	c, f := e.c, e.c.f
	side := f.m // of a tile of the result
	if c.epilogue.Pool {
		side = f.m / 2
	}
	kb := panel*f.nr/16 + b
	plane := e.dst[(r.picture*layout.Blocks(f.k)+kb)*c.ph*c.pw*16:][:c.ph*c.pw*16]
	y, x := r.ty*side, r.tx*side
	full := 0 // tiles that lie wholly inside the result
	if y+side <= c.ph {
		full = min(r.n, (c.pw-x)/side)
	}
	if full > 0 {
		e.output(w, panel, b, at, full, &plane[(y*c.pw+x)*16], c.pw*16)
	}
	for i := full; i < r.n; i++ {
		e.output(w, panel, b, at+i, 1, &w.strip[0], side*16)
		x := x + i*side
		cols := min(side, c.pw-x)
		for row := range min(side, c.ph-y) {
			if cols > 0 {
				copy(plane[((y+row)*c.pw+x)*16:][:cols*16], w.strip[row*side*16:])
			}
		}
	}
	if e.mask != nil || e.residual != nil {
		e.finishRun(kb, r, y, x, side)
	}
}

// output transforms n tiles of an item from the one at on, for one block of outputs.
func (e *Exec) output(w *worker, panel, b, at, n int, dst *float32, row int) {
	c, f := e.c, e.c.f
	width, kb := f.width(panel), panel*f.nr/16+b
	m, bias, i := &w.m[at*width+b*16], &e.bias[kb*16], outputIndex(c.epilogue)
	if x := f.fixed; x != nil {
		x.tr.output[i](n, dst, row, (*int32)(unsafe.Pointer(m)), e.mStride, width, bias, &x.scale[kb*tileElements*16], &w.tileScales(e.loops)[at])
		return
	}
	f.tr.output[i](n, dst, row, m, e.mStride, width, bias)
}

// finishRun adds the residual to what outputRun has just written, or masks it, while it is
// in the cache.
func (e *Exec) finishRun(kb int, r run, y, x, side int) {
	c := e.c
	plane := (r.picture*layout.Blocks(c.f.k) + kb) * c.ph * c.pw
	for row := y; row < min(y+side, c.ph); row++ {
		begin, end := (plane+row*c.pw+x)*16, (plane+row*c.pw+min(x+r.n*side, c.pw))*16
		if begin >= end {
			continue
		}
		dst := e.dst[begin:end]
		if e.residual != nil {
			activation.Add(dst, e.residual[begin:end])
			if c.epilogue.ReLU {
				activation.ReLU(dst)
			}
		}
		if e.mask != nil {
			activation.ReLUGrad(dst, e.mask[begin:end])
		}
	}
}
