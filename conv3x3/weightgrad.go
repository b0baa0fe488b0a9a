package conv3x3

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/internal/direct"
	"github.com/nonet-go/nonet/internal/elementwise"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/winograd"
)

// WeightGrad computes the gradient of a convolution with respect to its filters:
// by Winograd, or from the definition for few input channels. It is immutable.
type WeightGrad struct {
	wino   *winograd.WeightGrad
	direct *directGrad
}

// NewWeightGrad describes the gradient for n pictures of c×h×w, convolved to k
// channels with padding pad, 0 or 1. Errors wrap ErrShape.
func NewWeightGrad(n, c, h, w, k, pad int) (*WeightGrad, error) {
	if err := (Shape{n, c, h, w, k, pad}).check(); err != nil {
		return nil, err
	}
	if choose(c, -1) == 0 {
		return &WeightGrad{direct: newDirectGrad(direct.Best(), n, c, h, w, k, pad)}, nil
	}
	g, err := winograd.NewWeightGrad(n, c, h, w, k, pad)
	return &WeightGrad{wino: g}, err
}

// ScratchLen returns the floats of scratch that an exec of that many workers needs.
func (g *WeightGrad) ScratchLen(workers int) int {
	if g.direct != nil {
		return g.direct.scratchLen(workers)
	}
	return g.wino.ScratchLen()
}

// WeightGradExec runs a WeightGrad on a team. One goroutine at a time may use it.
type WeightGradExec struct {
	run func(ctx context.Context, dw, db, src, dy []float32) error
}

// NewExec binds g to a team, which may be nil, and to at least ScratchLen floats
// of scratch, which others may use between runs.
func (g *WeightGrad) NewExec(team *parallel.Team, scratch []float32) (*WeightGradExec, error) {
	if g.direct != nil {
		if need := g.ScratchLen(team.Workers()); len(scratch) < need {
			return nil, fmt.Errorf("conv3x3: %d floats of scratch, want %d: %w", len(scratch), need, ErrShape)
		}
		return &WeightGradExec{g.direct.bind(team, scratch).run}, nil
	}
	e, err := g.wino.NewExec(team, scratch)
	if err != nil {
		return nil, err
	}
	return &WeightGradExec{e.Run}, nil
}

// Run sets dw [k][c][3][3] and db [k], which may be nil, to the gradients for src
// and dy, both blocked, see package layout: the convolution's input, and the
// gradient of its output. It returns an error if a length is wrong or when ctx
// ends. It does not allocate, and the result is the same bits for any number of
// workers. The largest error is some 1e-5 of the gradient's root mean square.
func (e *WeightGradExec) Run(ctx context.Context, dw, db, src, dy []float32) error {
	return e.run(ctx, dw, db, src, dy)
}

// directGrad sums over pixels, by package internal/direct: what its kernel calls
// a tap is a pixel of dY, and what it calls pixels are all taps of a filter:
//
//	dW[k][c][i][j] = Σ_pixels x[c][pixel + (i, j)] · dY[pixel][k]
//
// An item sums over a band of rows of one picture, a chunk of them at a time. The
// sums of the bands are added in their order.
type directGrad struct {
	kern               *direct.Kernel
	n, c, h, w, k, pad int
	oh, ow             int
	outputs            int // k, padded to blocks
	chunk              int // rows whose dY stays in the first or second-level cache
	band               int // rows of an item
	bands              int // of a picture
	offsets            []int
	linesLen, uLen     int // of a worker's scratch
}

// The rows of a chunk have about this many pixels, and a band has this many chunks.
const (
	gradPixels = 224
	gradChunks = 8
)

func newDirectGrad(kern *direct.Kernel, n, c, h, w, k, pad int) *directGrad {
	g := &directGrad{kern: kern, n: n, c: c, h: h, w: w, k: k, pad: pad, oh: h + 2*pad - 2, ow: w + 2*pad - 2, outputs: layout.Blocks(k) * 16}
	g.chunk = min(g.oh, (gradPixels+g.ow-1)/g.ow)
	g.band = min(g.oh, g.chunk*gradChunks)
	g.bands = (g.oh + g.band - 1) / g.band
	g.linesLen = (g.chunk*(g.ow+2)*3*c + 15) / 16 * 16
	g.uLen = (g.chunk*g.ow + 1) * min(kern.KB, g.outputs)
	for y := range g.chunk {
		for x := range g.ow {
			g.offsets = append(g.offsets, (y*(g.ow+2)+x)*3*c)
		}
	}
	return g
}

// sumLen is the size of a band's sums, of which the last row is the bias's.
func (g *directGrad) sumLen() int { return (9*g.c + 1) * g.outputs }

func (g *directGrad) scratchLen(workers int) int {
	return workers*(g.linesLen+g.uLen) + g.n*g.bands*g.sumLen()
}

// directGradExec is a directGrad on a team.
type directGradExec struct {
	*directGrad
	team    *parallel.Team
	scratch []float32 // of the workers: the padded input of a chunk, and its dY
	sums    []float32 // [picture][band][panel][j][i][c][width], [k]
	zero    []float32
	item    func(worker, item int)
	finish  func(worker, k int)
	dw, db  []float32
	src, dy []float32
}

func (g *directGrad) bind(team *parallel.Team, scratch []float32) *directGradExec {
	own := team.Workers() * (g.linesLen + g.uLen)
	e := &directGradExec{directGrad: g, team: team, scratch: scratch[:own], sums: scratch[own:g.scratchLen(team.Workers())], zero: make([]float32, g.kern.KB)}
	e.item, e.finish = e.sumBand, e.addBands
	return e
}

func (e *directGradExec) run(ctx context.Context, dw, db, src, dy []float32) error {
	nx, ny := e.n*layout.Len(e.c, e.h, e.w), e.n*layout.Len(e.k, e.oh, e.ow)
	if len(dw) != e.k*e.c*9 || db != nil && len(db) != e.k || len(src) != nx || len(dy) != ny {
		return fmt.Errorf("conv3x3: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d: %w",
			len(dw), len(db), len(src), len(dy), e.k*e.c*9, e.k, nx, ny, ErrShape)
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
	lines := e.scratch[worker*(e.linesLen+e.uLen):][:e.linesLen]
	u := e.scratch[worker*(e.linesLen+e.uLen)+e.linesLen:][:e.uLen]
	sums := e.sums[item*e.sumLen():][:e.sumLen()]
	bias := sums[9*e.c*e.outputs:]
	clear(bias)
	o := direct.Operands{Step: 1, Bias: e.zero, Plane: 16, X: lines}
	y1 := min(y0+e.band, e.oh)
	for y := y0; y < y1; y += e.chunk {
		rows := min(e.chunk, y1-y)
		e.fillLines(lines, picture, y, rows)
		o.Offsets = e.offsets[:rows*e.ow]
		for k := 0; k < e.outputs; k += e.kern.KB {
			width := min(e.kern.KB, e.outputs-k)
			o.U, o.Pixel = e.fillU(u, bias, picture, y*e.ow, rows*e.ow, k, width), width
			o.Out = sums[k*9*e.c:]
			e.kern.Row(9*e.c, width, &o)
		}
		o.Mode = direct.ModeAccumulate
	}
}

// fillLines copies the input of some rows of dY, with the padding in place: each
// position of a line has the c channels of three rows, so that the taps of the
// filters at a pixel lie together.
func (e *directGradExec) fillLines(lines []float32, picture, y, rows int) {
	clear(lines)
	src := e.src[picture*e.h*e.w*16:][:e.h*e.w*16]
	position := 3 * e.c
	for r := range rows * 3 {
		row, i := r/3, r%3
		from := y + row + i - e.pad
		if from < 0 || from >= e.h {
			continue
		}
		line := src[from*e.w*16:][:e.w*16]
		to := lines[(row*(e.ow+2)+e.pad)*position+i*e.c:]
		for x := range e.w {
			copyFew(to[x*position:][:e.c], line[x*16:])
		}
	}
}

// copyFew is copy for so few elements that a call would take longer.
func copyFew(to, from []float32) {
	from = from[:len(to)]
	for i := range to {
		to[i] = from[i]
	}
}

// fillU copies n pixels of dY from pixel p on to [pixel][width], outputs k …, and
// adds them to the sums of the bias.
func (e *directGradExec) fillU(u, bias []float32, picture, p, n, k, width int) []float32 {
	plane := e.oh * e.ow * 16
	sum := (*[16]float32)(u[n*width:]) // behind the pixels
	for b := 0; b < width; b += 16 {
		from := e.dy[(picture*e.outputs/16+(k+b)/16)*plane+p*16:][:n*16]
		for i := range n {
			*(*[16]float32)(u[i*width+b:]) = *(*[16]float32)(from[i*16:])
		}
		elementwise.SumPixels(sum, from)
		for l, v := range sum {
			bias[k+b+l] += v
		}
	}
	return u[:n*width]
}

// addBands adds up the gradients of output k's filters and bias, in float64.
func (e *directGradExec) addBands(_, k int) {
	panel := k / e.kern.KB * e.kern.KB
	width := min(e.kern.KB, e.outputs-panel)
	for t := range 9 * e.c {
		j, i, c := t/(3*e.c), t/e.c%3, t%e.c
		e.dw[(k*e.c+c)*9+3*i+j] = e.addUp(panel*9*e.c + t*width + k - panel)
	}
	if e.db != nil {
		e.db[k] = e.addUp(9*e.c*e.outputs + k)
	}
}

// addUp adds element at of all bands' sums.
func (e *directGradExec) addUp(at int) float32 {
	sum := 0.0
	for item := range e.n * e.bands {
		sum += float64(e.sums[item*e.sumLen()+at])
	}
	return float32(sum)
}
