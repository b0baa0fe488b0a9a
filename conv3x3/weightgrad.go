package conv3x3

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/internal/direct"
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
	run func(ctx context.Context, dw, src, dy []float32) error
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

// Run sets dw [k][c][3][3] to the gradient for src and dy, both blocked, see
// package layout: the convolution's input, and the gradient of its output without
// bias. It returns an error if a length is wrong or when ctx ends. It does not
// allocate, and the result is the same bits for any number of workers. The
// largest error is some 1e-5 of the gradient's root mean square.
func (e *WeightGradExec) Run(ctx context.Context, dw, src, dy []float32) error {
	return e.run(ctx, dw, src, dy)
}

// directGrad sums over pixels, by package internal/direct: what its kernel calls
// a tap is a pixel of dY, and the three columns of a filter's row are its pixels.
//
//	dW[k][c][i][0:3] = Σ_pixels x[c][pixel + i·row + (0:3)] · dY[pixel][k]
//
// An item sums over a band of rows of one picture, a chunk of them at a time. The
// sums of the bands are added in their order.
type directGrad struct {
	kern                   *direct.Kernel
	n, c, h, w, k, pad     int
	oh, ow                 int
	outputs                int // k, padded to blocks
	chunk                  int // rows whose dY stays in the first or second-level cache
	band                   int // rows of an item
	bands                  int // of a picture
	offsets                []int
	planeLen, planes, uLen int // of a worker's scratch
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
	g.planeLen = (g.chunk + 2) * (g.ow + 2)
	g.planes = (c*g.planeLen + 15) / 16 * 16
	g.uLen = g.chunk * g.ow * min(kern.KB, g.outputs)
	for y := range g.chunk {
		for x := range g.ow {
			g.offsets = append(g.offsets, y*(g.ow+2)+x)
		}
	}
	return g
}

func (g *directGrad) sumLen() int { return 9 * g.c * g.outputs }

func (g *directGrad) scratchLen(workers int) int {
	return workers*(g.planes+g.uLen) + g.n*g.bands*g.sumLen()
}

// directGradExec is a directGrad on a team.
type directGradExec struct {
	*directGrad
	team        *parallel.Team
	scratch     []float32 // of the workers: the padded input of a chunk, and its dY
	sums        []float32 // [picture][band][panel][c][3·3][width]
	zero        []float32
	item        func(worker, item int)
	finish      func(worker, k int)
	dw, src, dy []float32
}

func (g *directGrad) bind(team *parallel.Team, scratch []float32) *directGradExec {
	own := team.Workers() * (g.planes + g.uLen)
	e := &directGradExec{directGrad: g, team: team, scratch: scratch[:own], sums: scratch[own:g.scratchLen(team.Workers())], zero: make([]float32, g.kern.KB)}
	e.item, e.finish = e.sumBand, e.addBands
	return e
}

func (e *directGradExec) run(ctx context.Context, dw, src, dy []float32) error {
	nx, ny := e.n*layout.Len(e.c, e.h, e.w), e.n*layout.Len(e.k, e.oh, e.ow)
	if len(dw) != e.k*e.c*9 || len(src) != nx || len(dy) != ny {
		return fmt.Errorf("conv3x3: operands of %d, %d and %d floats, want %d, %d and %d: %w", len(dw), len(src), len(dy), e.k*e.c*9, nx, ny, ErrShape)
	}
	e.dw, e.src, e.dy = dw, src, dy
	err := e.team.Run(ctx, e.n*e.bands, e.item)
	if err == nil {
		err = e.team.Run(ctx, e.k, e.finish)
	}
	e.dw, e.src, e.dy = nil, nil, nil
	return err
}

func (e *directGradExec) sumBand(worker, item int) {
	picture, y0 := item/e.bands, item%e.bands*e.band
	planes := e.scratch[worker*(e.planes+e.uLen):][:e.planes]
	u := e.scratch[worker*(e.planes+e.uLen)+e.planes:][:e.uLen]
	sums := e.sums[item*e.sumLen():][:e.sumLen()]
	o := direct.Operands{Step: 1, Bias: e.zero, Plane: 16}
	y1 := min(y0+e.band, e.oh)
	for y := y0; y < y1; y += e.chunk {
		rows := min(e.chunk, y1-y)
		e.fillPlanes(planes, picture, y, rows)
		o.Offsets = e.offsets[:rows*e.ow]
		for k := 0; k < e.outputs; k += e.kern.KB {
			width := min(e.kern.KB, e.outputs-k)
			o.U, o.Pixel = e.fillU(u, picture, y*e.ow, rows*e.ow, k, width), width
			for ci := range e.c * 3 {
				o.X = planes[ci/3*e.planeLen+ci%3*(e.ow+2):]
				o.Out = sums[k*9*e.c+ci*3*width:]
				e.kern.Row(3, width, &o)
			}
		}
		o.Mode = direct.ModeAccumulate
	}
}

// fillPlanes copies the input of some rows of dY to one plane a channel, with the
// padding in place.
func (e *directGradExec) fillPlanes(planes []float32, picture, y, rows int) {
	clear(planes)
	src := e.src[picture*e.h*e.w*16:][:e.h*e.w*16]
	x0 := e.pad // where column 0 stands
	for r := range rows + 2 {
		from := y + r - e.pad
		if from < 0 || from >= e.h {
			continue
		}
		line := src[from*e.w*16:][:e.w*16]
		for c := range e.c {
			to := planes[c*e.planeLen+r*(e.ow+2):][:e.ow+2]
			for x := range e.w {
				to[x0+x] = line[x*16+c]
			}
		}
	}
}

// fillU copies n pixels of dY from pixel p on to [pixel][width], outputs k ….
func (e *directGradExec) fillU(u []float32, picture, p, n, k, width int) []float32 {
	plane := e.oh * e.ow * 16
	for b := 0; b < width; b += 16 {
		from := e.dy[(picture*e.outputs/16+(k+b)/16)*plane+p*16:][:n*16]
		for i := range n {
			*(*[16]float32)(u[i*width+b:]) = *(*[16]float32)(from[i*16:])
		}
	}
	return u[:n*width]
}

// addBands adds up the gradient of output k's filters, in float64.
func (e *directGradExec) addBands(_, k int) {
	panel := k / e.kern.KB * e.kern.KB
	width := min(e.kern.KB, e.outputs-panel)
	for t := range 9 * e.c {
		sum, at := 0.0, panel*9*e.c+t*width+k-panel
		for item := range e.n * e.bands {
			sum += float64(e.sums[item*e.sumLen()+at])
		}
		e.dw[k*9*e.c+t] = float32(sum)
	}
}
