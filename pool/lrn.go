package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// The constants of VGG's local response normalisation.
const (
	lrnAlpha = 1e-4
	lrnK     = 2
)

// LRNExec computes the local response normalisation on a team. One goroutine at
// a time may use it.
type LRNExec struct {
	kern     *kernel
	team     *parallel.Team
	n        int
	blocks   int // of a picture
	pixels   int
	item     func(worker, item int)
	dst, src []float32
}

// zeros stands for the blocks before the first and after the last.
var zeros [16]float32

// NewLRN plans the normalisation of n pictures of c×h×w on a team, which may be
// nil. Errors wrap ErrShape.
func NewLRN(n, c, h, w int, team *parallel.Team) (*LRNExec, error) {
	if n < 1 || c < 1 || h < 1 || w < 1 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: normalisation of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &LRNExec{kern: best, team: team, n: n, blocks: layout.Blocks(c), pixels: h * w}
	e.item = e.run
	return e, nil
}

// lrnRun bounds the pixels of a kernel call.
const lrnRun = 2048

func (e *LRNExec) runs() int { return (e.pixels + lrnRun - 1) / lrnRun }

// Run computes dst from src, both blocked, see package layout. They must not
// overlap. Each result is within 9 units of the last place of the exact value, for
// inputs of up to 8e18 in magnitude. The squares of larger ones leave the range of
// float32, and the results that they have a part in are 0.
// It returns an error if a length is wrong or when ctx ends. It does not
// allocate.
func (e *LRNExec) Run(ctx context.Context, dst, src []float32) error {
	if n := e.n * e.blocks * 16 * e.pixels; len(dst) != n || len(src) != n {
		return shape.Errorf("pool: operands of %d and %d floats, want %d", len(dst), len(src), n)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.n*e.blocks*e.runs(), e.item)
	e.dst, e.src = nil, nil
	return err
}

func (e *LRNExec) run(_, item int) {
	plane, at := item/e.runs(), item%e.runs()*lrnRun
	start := (plane*e.pixels + at) * 16
	below, above, belowStep, aboveStep := &zeros[0], &zeros[0], 0, 0
	if plane%e.blocks > 0 {
		below, belowStep = &e.src[start-e.pixels*16], 16
	}
	if plane%e.blocks < e.blocks-1 {
		above, aboveStep = &e.src[start+e.pixels*16], 16
	}
	n := min(lrnRun, e.pixels-at)
	e.kern.lrn(n, &e.dst[start], &e.src[start], below, above, belowStep, aboveStep, lrnAlpha, lrnK)
}
