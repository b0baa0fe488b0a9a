package vgg

import (
	"context"

	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// elementwiseOp changes vectors by others of the same length, piece by piece on a team.
type elementwiseOp struct {
	f      func(dst, x []float32)
	team   *parallel.Team
	item   func(worker, item int)
	dst, x []float32
}

func newElementwiseOp(f func(dst, x []float32), team *parallel.Team) *elementwiseOp {
	e := &elementwiseOp{f: f, team: team}
	e.item = e.piece
	return e
}

// elementwiseRun is how many elements an item has.
const elementwiseRun = 1 << 14

// run applies f. It does not allocate.
func (e *elementwiseOp) run(ctx context.Context, dst, x []float32) error {
	e.dst, e.x = dst, x
	err := e.team.Run(ctx, (len(dst)+elementwiseRun-1)/elementwiseRun, e.item)
	e.dst, e.x = nil, nil
	return err
}

func (e *elementwiseOp) piece(_, item int) {
	at, end := item*elementwiseRun, min((item+1)*elementwiseRun, len(e.dst))
	e.f(e.dst[at:end], e.x[at:end])
}

// transfer converts pictures between [n][C][H][W] and blocks on a team.
type transfer struct {
	team          *parallel.Team
	c, plane      int
	blocks, nchw  []float32
	toNCHW, fromN func(worker, item int)
}

func newTransfer(team *parallel.Team) *transfer {
	t := &transfer{team: team}
	t.toNCHW = func(_, item int) { layout.StoreBlock(t.c, t.plane, item, t.nchw, t.blocks) }
	t.fromN = func(_, item int) { layout.LoadBlock(t.c, t.plane, item, t.blocks, t.nchw) }
	return t
}

// store sets dst to the n pictures of s in src, blocked.
func (t *transfer) store(ctx context.Context, n int, s Shape, dst, src []float32) error {
	return t.run(ctx, n, s, dst, src, t.toNCHW)
}

// load sets dst, blocked, to the n pictures of s in src.
func (t *transfer) load(ctx context.Context, n int, s Shape, dst, src []float32) error {
	return t.run(ctx, n, s, src, dst, t.fromN)
}

func (t *transfer) run(ctx context.Context, n int, s Shape, nchw, blocks []float32, item func(worker, item int)) error {
	t.c, t.plane, t.nchw, t.blocks = s.C, s.H*s.W, nchw, blocks
	err := t.team.Run(ctx, n*layout.Blocks(s.C), item)
	t.nchw, t.blocks = nil, nil
	return err
}
