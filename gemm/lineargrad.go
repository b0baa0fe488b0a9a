package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// LinearInputGrad computes the gradient of a Linear's input on a team, for up to batch
// inputs at a time, from the packed weights of the Linear itself. One goroutine at a
// time may use it.
type LinearInputGrad struct {
	l       *Linear
	team    *parallel.Team
	batch   int
	columns int // of an item
	workers []linearGradScratch
	item    func(worker, item int)
	n       int
	dx, dy  []float32
}

type linearGradScratch struct {
	edge level1f.Edge
	wide []float32 // weights of a panel that are stored in fewer bits, as float32
}

// An item has so many columns of the weights that those of a panel take 64 KiB: they are
// read in one stream, and stay in the second-level cache while all inputs meet them. It
// has fewer where there are many workers, but not less than gradColumns.
const (
	gradFloats  = 1 << 14
	gradColumns = 128
)

// NewInputGrad plans the gradient of l's input for up to batch inputs at a time on a
// team, which may be nil. Errors wrap ErrShape.
func (l *Linear) NewInputGrad(batch int, team *parallel.Team) (*LinearInputGrad, error) {
	if batch < 1 || !shape.Fits(batch, l.blocks, 16) || !shape.Fits(batch, l.outputs()) {
		return nil, shape.Errorf("gemm: gradient of a batch of %d inputs of %d and %d outputs", batch, l.in, l.out)
	}
	g := &LinearInputGrad{l: l, team: team, batch: batch, workers: make([]linearGradScratch, team.Workers())}
	g.columns = max(gradColumns, min(gradFloats/l.nr(), l.in/(2*team.Workers())/16*16))
	if l.u == nil {
		for i := range g.workers {
			g.workers[i].wide = layout.Alloc(g.columns * l.nr())
		}
	}
	g.item = g.some
	return g, nil
}

// Run sets dx [n][in] to dy·W, where dy [n][out] is the gradient of the result before
// its ReLU and n is at most the batch. in counts the elements of an input, of which those
// that meet no column of the weights get 0, see Columns. They must not overlap. Each
// result is one chain of fused multiply-adds in the order of the outputs: the same bits
// for any n and any number of workers. Run returns an error if a length is wrong or when
// ctx ends. It does not allocate.
func (g *LinearInputGrad) Run(ctx context.Context, n int, dx, dy []float32) error {
	l := g.l
	if n < 1 || n > g.batch || len(dx) != n*l.in || len(dy) != n*l.out {
		return shape.Errorf("gemm: gradients of %d and %d floats for %d inputs, want %d×%d and %d×%d, up to %d inputs",
			len(dx), len(dy), n, n, l.in, n, l.out, g.batch)
	}
	g.n, g.dx, g.dy = n, dx, dy
	err := g.team.Run(ctx, ceilDiv(l.in, g.columns), g.item)
	g.dx, g.dy = nil, nil
	return err
}

// some computes some elements of dx for all inputs.
func (g *LinearInputGrad) some(worker, item int) {
	l, w := g.l, &g.workers[worker]
	first := item * g.columns
	columns := min(g.columns, l.in-first)
	for i := range g.n {
		clear(g.dx[i*l.in+first:][:columns])
	}
	for p := range l.panels() {
		width, out := l.width(p), p*l.nr()
		outputs := min(width, l.out-out)
		u := g.weights(w, p, first, columns)
		for i := range g.n {
			level1f.Dotxf(g.dx[i*l.in+first:][:columns], g.dy[i*l.out+out:][:outputs], u, width, &w.edge)
		}
	}
}

// weights returns the packed weights of some columns of a panel.
func (g *LinearInputGrad) weights(w *linearGradScratch, panel, first, columns int) []float32 {
	l := g.l
	width := l.width(panel)
	at, n := l.at(panel)+first*width, columns*width
	switch {
	case l.fixed != nil:
		l.fixed.widen(w.wide, l.at(panel), first, columns, panel)
	case l.h != nil:
		for i, h := range l.h[at:][:n] {
			w.wide[i] = half.ToFloat32(h)
		}
	default:
		return l.u[at:][:n]
	}
	return w.wide[:n]
}
