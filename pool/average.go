package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// AvgPoolExec computes the 2×2 mean with stride 2 on a team. An odd last row or
// column is dropped. One goroutine at a time may use it.
type AvgPoolExec struct {
	team     *parallel.Team
	planes   int // blocks of all pictures
	h, w     int
	item     func(worker, item int)
	dst, src []float32
}

// NewAvgPool plans the pool of n pictures of c×h×w on a team, which may be nil.
// Errors wrap ErrShape.
func NewAvgPool(n, c, h, w int, team *parallel.Team) (*AvgPoolExec, error) {
	if n < 1 || c < 1 || h < 2 || w < 2 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: 2×2 mean of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &AvgPoolExec{team: team, planes: n * layout.Blocks(c), h: h, w: w}
	e.item = e.plane
	return e, nil
}

// Run computes dst from src, both blocked, see package layout. They must not
// overlap. Each result is within Gamma(3) of the mean of the absolute values from
// the exact mean. It returns an error if a length is wrong or when ctx ends. It
// does not allocate.
func (e *AvgPoolExec) Run(ctx context.Context, dst, src []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*(e.h/2)*(e.w/2)
	if len(dst) != out || len(src) != in {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), out, in)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.planes, e.item)
	e.dst, e.src = nil, nil
	return err
}

func (e *AvgPoolExec) plane(_, item int) {
	oh, ow := e.h/2, e.w/2
	src, dst := e.src[item*16*e.h*e.w:][:16*e.h*e.w], e.dst[item*16*oh*ow:][:16*oh*ow]
	for y := range oh {
		for x := range ow {
			at := (2*y*e.w + 2*x) * 16
			a, b := (*[32]float32)(src[at:]), (*[32]float32)(src[at+e.w*16:])
			to := (*[16]float32)(dst[(y*ow+x)*16:])
			for l := range to {
				to[l] = 0.25 * (a[l] + a[l+16] + b[l] + b[l+16])
			}
		}
	}
}

// AvgPoolGradExec computes the gradient of the 2×2 mean on a team. One goroutine at
// a time may use it.
type AvgPoolGradExec struct {
	team   *parallel.Team
	planes int
	h, w   int
	item   func(worker, item int)
	dx, dy []float32
}

// NewAvgPoolGrad plans the gradient of the pool of n pictures of c×h×w. Errors wrap
// ErrShape.
func NewAvgPoolGrad(n, c, h, w int, team *parallel.Team) (*AvgPoolGradExec, error) {
	if n < 1 || c < 1 || h < 2 || w < 2 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: gradient of the 2×2 mean of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &AvgPoolGradExec{team: team, planes: n * layout.Blocks(c), h: h, w: w}
	e.item = e.plane
	return e, nil
}

// Run sets dx from the gradient dy of the result, both blocked: a quarter of each
// element to each of its four inputs, exactly but for underflow. It returns an error
// if a length is wrong or when ctx ends. It does not allocate.
func (e *AvgPoolGradExec) Run(ctx context.Context, dx, dy []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*(e.h/2)*(e.w/2)
	if len(dx) != in || len(dy) != out {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dx), len(dy), in, out)
	}
	e.dx, e.dy = dx, dy
	err := e.team.Run(ctx, e.planes, e.item)
	e.dx, e.dy = nil, nil
	return err
}

func (e *AvgPoolGradExec) plane(_, item int) {
	oh, ow := e.h/2, e.w/2
	dx, dy := e.dx[item*16*e.h*e.w:][:16*e.h*e.w], e.dy[item*16*oh*ow:][:16*oh*ow]
	for y := range e.h {
		for x := range e.w {
			to := (*[16]float32)(dx[(y*e.w+x)*16:])
			if y/2 >= oh || x/2 >= ow {
				clear(to[:])
				continue
			}
			from := (*[16]float32)(dy[(y/2*ow+x/2)*16:])
			for l := range to {
				to[l] = 0.25 * from[l]
			}
		}
	}
}
