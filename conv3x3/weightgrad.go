package conv3x3

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/winograd"
)

// WeightGrad computes the gradient of a convolution with respect to its filters: by
// Winograd, or from the definition for few input channels and for stride 2. It is immutable.
type WeightGrad struct {
	wino    *winograd.WeightGrad // one of these three
	direct  *directGrad
	strided *stridedGrad
}

// NewWeightGrad describes the gradient of a convolution of shape s. Errors wrap
// ErrShape.
func NewWeightGrad(s Shape) (*WeightGrad, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	switch {
	case s.C < layout.Block:
		return &WeightGrad{direct: newDirectGrad(ukernel.BestIndirect(), s)}, nil
	case s.stride() == 2:
		return &WeightGrad{strided: newStridedGrad(ukernel.BestIndirect(), s)}, nil
	}
	g, err := winograd.NewWeightGrad(s.N, s.C, s.H, s.W, s.K, s.Pad)
	if err != nil {
		return nil, err
	}
	return &WeightGrad{wino: g}, nil
}

// ScratchLen returns the floats of scratch that an exec of that many workers needs, or
// math.MaxInt if no memory holds them.
func (g *WeightGrad) ScratchLen(workers int) int {
	switch {
	case g.direct != nil:
		return g.direct.scratchLen(workers)
	case g.strided != nil:
		return g.strided.scratchLen(workers)
	}
	return g.wino.ScratchLen(workers)
}

// WeightGradExec runs a WeightGrad on a team. One goroutine at a time may use it.
type WeightGradExec struct {
	run func(ctx context.Context, dw, db, src, dy []float32) error
}

// NewExec binds g to scratch of at least ScratchLen floats, which others may use
// between runs, and to a team, which may be nil. Errors wrap ErrShape.
func (g *WeightGrad) NewExec(scratch []float32, team *parallel.Team) (*WeightGradExec, error) {
	if need := g.ScratchLen(team.Workers()); len(scratch) < need {
		return nil, shape.Errorf("conv3x3: %d floats of scratch, want %d", len(scratch), need)
	}
	switch {
	case g.direct != nil:
		return &WeightGradExec{g.direct.bind(team, scratch).run}, nil
	case g.strided != nil:
		return &WeightGradExec{g.strided.bind(team, scratch).run}, nil
	}
	e, err := g.wino.NewExec(scratch, team)
	if err != nil {
		return nil, err
	}
	return &WeightGradExec{e.Run}, nil
}

// Run sets dw [k][c][3][3] and db [k] to the gradients, from the convolution's input src and
// the gradient dy of its output. db may be nil. src and dy are blocked, see package layout.
// Run returns an error if a length is wrong or when ctx ends. It does not allocate, and the
// result is the same bits for any number of workers. The largest error is about 1e-5 of the
// gradient's root mean square.
func (e *WeightGradExec) Run(ctx context.Context, dw, db, src, dy []float32) error {
	return e.run(ctx, dw, db, src, dy)
}

// directGrad sums over pixels by ukernel.Indirect. The sum over k of the micro-kernel is
// over the pixels of dY, and its rows of A are the taps and channels of one row of a filter:
//
//	dW[k][c][i][j] = Σ_pixels x[c][pixel + (i, j)] · dY[pixel][k]
//
// An item sums over a band of rows of one picture, a chunk of rows at a time. The sums of
// the bands are added in their order.
type directGrad struct {
	kern                       *ukernel.Indirect
	n, c, h, w, k, pad, stride int
	oh, ow                     int
	blocks                     int // of k
	chunk                      int // rows whose dY, of one block, is read several times from the nearest caches
	band                       int // rows of an item
	bands                      int // of a picture
	offsets                    []int
	linesLen                   int // of a worker's scratch
}

// The rows of a chunk have about this many pixels, and a band has this many chunks.
const (
	gradPixels = 448
	gradChunks = 4
)

func newDirectGrad(kern *ukernel.Indirect, s Shape) *directGrad {
	g := &directGrad{kern: kern, n: s.N, c: s.C, h: s.H, w: s.W, k: s.K, pad: s.Pad, stride: s.stride(), oh: s.OH(), ow: s.OW(), blocks: layout.Blocks(s.K)}
	g.chunk = min(g.oh, (gradPixels+g.ow-1)/g.ow)
	g.band = min(g.oh, g.chunk*gradChunks)
	g.bands = (g.oh + g.band - 1) / g.band
	g.linesLen = ((g.band-1)*g.stride+3)*g.lineLen() + 16
	for y := range g.chunk {
		for x := range g.ow {
			g.offsets = append(g.offsets, g.stride*(y*g.lineLen()+x*g.c))
		}
	}
	return g
}

// lineLen is the size of a row of the padded input.
func (g *directGrad) lineLen() int { return ((g.ow-1)*g.stride + 3) * g.c }

// sumLen is the size of a band's sums: of a block's taps and of its bias.
func (g *directGrad) sumLen() int { return g.blocks * (9*g.c + 1) * 16 }

func (g *directGrad) scratchLen(workers int) int {
	lines, sums := shape.Product(workers, g.linesLen), shape.Product(g.n, g.bands, g.sumLen())
	if lines == shape.TooMany || sums == shape.TooMany {
		return shape.TooMany
	}
	return lines + sums
}

// directGradExec is a directGrad on a team.
type directGradExec struct {
	*directGrad
	team    *parallel.Team
	scratch []float32 // of the workers: the padded input of a band, [y][x][c]
	sums    []float32 // [picture][band][k/16][i][j][c][16], after each block's [16] of the bias
	item    func(worker, item int)
	finish  func(worker, k int)
	dw, db  []float32
	src, dy []float32
}

func (g *directGrad) bind(team *parallel.Team, scratch []float32) *directGradExec {
	own := team.Workers() * g.linesLen
	e := &directGradExec{directGrad: g, team: team, scratch: scratch[:own], sums: scratch[own:g.scratchLen(team.Workers())]}
	e.item, e.finish = e.sumBand, e.addBands
	return e
}

func (e *directGradExec) run(ctx context.Context, dw, db, src, dy []float32) error {
	nx, ny := e.n*layout.Len(e.c, e.h, e.w), e.n*layout.Len(e.k, e.oh, e.ow)
	if len(dw) != e.k*e.c*9 || db != nil && len(db) != e.k || len(src) != nx || len(dy) != ny {
		return shape.Errorf("conv3x3: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d",
			len(dw), len(db), len(src), len(dy), e.k*e.c*9, e.k, nx, ny)
	}
	e.dw, e.db, e.src, e.dy = dw, db, src, dy
	err := e.team.Run(ctx, e.n*e.bands, e.item)
	if err == nil {
		err = e.team.Run(ctx, e.k, e.finish)
	}
	e.dw, e.db, e.src, e.dy = nil, nil, nil, nil
	return err
}

func (e *directGradExec) sumBand(worker, item int) {
	picture, y0 := item/e.bands, item%e.bands*e.band
	lines := e.scratch[worker*e.linesLen:][:e.linesLen]
	part := (*[16]float32)(lines[e.linesLen-16:])
	sums := e.sums[item*e.sumLen():][:e.sumLen()]
	clear(sums)
	y1 := min(y0+e.band, e.oh)
	e.fillLines(lines, picture, y0, y1)
	o := ukernel.IndirectArgs{AStep: 1, LDC: 16, Mode: ukernel.ModeFromC}
	for y := y0; y < y1; y += e.chunk {
		o.Offsets = e.offsets[:min(e.chunk, y1-y)*e.ow]
		for b := range e.blocks {
			o.B = e.dy[((picture*e.blocks+b)*e.oh+y)*e.ow*16:][:len(o.Offsets)*16]
			// The rows that are read next are prefetched: the same rows of the next block,
			// or after the last block the next rows of the first.
			plane := e.oh * e.ow * 16
			o.PrefetchB[0] = plane
			if b == e.blocks-1 {
				o.PrefetchB[0] = e.chunk*e.ow*16 - b*plane
			}
			o.C = sums[b*(9*e.c+1)*16:]
			bias := o.C[9*e.c*16:][:16]
			activation.SumPixels(part, o.B)
			for l, v := range part {
				bias[l] += v
			}
			for i := range 3 {
				o.A = lines[((y-y0)*e.stride+i)*e.lineLen():]
				e.kern.RunM(3*e.c, 16, &o)
				o.PrefetchB[0] = 0
				o.C = o.C[3*e.c*16:]
			}
		}
	}
}

// fillLines copies the input of the rows y0 … y1−1 of dY, with the padding in place. The
// channels of a pixel are adjacent, and so are pixels.
func (e *directGradExec) fillLines(lines []float32, picture, y0, y1 int) {
	clear(lines)
	src := e.src[picture*e.h*e.w*16:][:e.h*e.w*16]
	top := y0*e.stride - e.pad
	inside := min(e.w*e.c, e.lineLen()-e.pad*e.c) // a last column may be read by no filter
	for y := max(top, 0); y < min(top+(y1-1-y0)*e.stride+3, e.h); y++ {
		line := src[y*e.w*16:][:e.w*16]
		to := lines[(y-top)*e.lineLen()+e.pad*e.c:][:inside]
		for x := range inside / e.c {
			from := line[x*16:][:e.c]
			for c, v := range from {
				to[x*e.c+c] = v
			}
		}
	}
}

// addBands adds up the gradients of output k's filters and bias, in float64.
func (e *directGradExec) addBands(_, k int) {
	at := k/16*(9*e.c+1)*16 + k%16
	for t := range 9 * e.c {
		e.dw[(k*e.c+t%e.c)*9+t/e.c] = e.addUp(at + t*16)
	}
	if e.db != nil {
		e.db[k] = e.addUp(at + 9*e.c*16)
	}
}

// addUp returns the sum of element at over all bands.
func (e *directGradExec) addUp(at int) float32 {
	sum := 0.0
	for item := range e.n * e.bands {
		sum += float64(e.sums[item*e.sumLen()+at])
	}
	return float32(sum)
}
