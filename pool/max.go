package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// ErrShape is wrapped by errors about sizes that do not fit. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err

// MaxPoolExec computes the 2×2 maximum with stride 2 on a team. An odd last row
// or column is dropped. One goroutine at a time may use it.
type MaxPoolExec struct {
	kern     *kernel
	team     *parallel.Team
	planes   int // blocks of all pictures
	h, w     int
	item     func(worker, item int)
	dst, src []float32
}

// NewMaxPool plans the pool of n pictures of c×h×w on a team, which may be nil.
// Errors wrap ErrShape.
func NewMaxPool(n, c, h, w int, team *parallel.Team) (*MaxPoolExec, error) {
	if n < 1 || c < 1 || h < 2 || w < 2 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: 2×2 maximum of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &MaxPoolExec{kern: best, team: team, planes: n * layout.Blocks(c), h: h, w: w}
	e.item = e.plane
	return e, nil
}

// Run computes dst from src, both blocked, see package layout. They must not
// overlap. A NaN among the four is the result. It returns an error if a length
// is wrong or when ctx ends. It does not allocate.
func (e *MaxPoolExec) Run(ctx context.Context, dst, src []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*(e.h/2)*(e.w/2)
	if len(dst) != out || len(src) != in {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), out, in)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.planes, e.item)
	e.dst, e.src = nil, nil
	return err
}

func (e *MaxPoolExec) plane(_, item int) {
	oh, ow := e.h/2, e.w/2
	src, dst := e.src[item*16*e.h*e.w:][:16*e.h*e.w], e.dst[item*16*oh*ow:][:16*oh*ow]
	for y := range oh {
		e.kern.maxRow(ow, &dst[y*ow*16], &src[2*y*e.w*16], e.w*16)
	}
}
