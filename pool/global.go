package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// GlobalPoolExec computes the mean of each channel over all pixels on a team. One
// goroutine at a time may use it.
type GlobalPoolExec struct {
	team     *parallel.Team
	planes   int // blocks of all pictures
	pixels   int
	item     func(worker, item int)
	dst, src []float32
}

// NewGlobalPool plans the mean of n pictures of c×h×w on a team, which may be nil.
// Errors wrap ErrShape.
func NewGlobalPool(n, c, h, w int, team *parallel.Team) (*GlobalPoolExec, error) {
	if n < 1 || c < 1 || h < 1 || w < 1 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: means of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &GlobalPoolExec{team: team, planes: n * layout.Blocks(c), pixels: h * w}
	e.item = e.plane
	return e, nil
}

// Run sets dst, n blocked pictures of c×1×1, to the means of src, blocked, see
// package layout. Sums are taken in float64 and rounded once. It returns an error if
// a length is wrong or when ctx ends. It does not allocate.
func (e *GlobalPoolExec) Run(ctx context.Context, dst, src []float32) error {
	if len(dst) != e.planes*16 || len(src) != e.planes*16*e.pixels {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), e.planes*16, e.planes*16*e.pixels)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.planes, e.item)
	e.dst, e.src = nil, nil
	return err
}

func (e *GlobalPoolExec) plane(_, item int) {
	var sum [16]float64
	src := e.src[item*16*e.pixels:][:16*e.pixels]
	for at := 0; at < len(src); at += 16 {
		for l, v := range (*[16]float32)(src[at:]) {
			sum[l] += float64(v)
		}
	}
	to := (*[16]float32)(e.dst[item*16:])
	for l := range to {
		to[l] = float32(sum[l] / float64(e.pixels))
	}
}

// GlobalPoolGradExec computes the gradient of the mean of each channel on a team. One
// goroutine at a time may use it.
type GlobalPoolGradExec struct {
	team   *parallel.Team
	planes int
	pixels int
	item   func(worker, item int)
	dx, dy []float32
}

// NewGlobalPoolGrad plans the gradient for n pictures of c×h×w. Errors wrap ErrShape.
func NewGlobalPoolGrad(n, c, h, w int, team *parallel.Team) (*GlobalPoolGradExec, error) {
	if n < 1 || c < 1 || h < 1 || w < 1 || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: gradient of the means of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &GlobalPoolGradExec{team: team, planes: n * layout.Blocks(c), pixels: h * w}
	e.item = e.plane
	return e, nil
}

// Run sets dx from the gradient dy of the means, both blocked: each pixel gets dy
// divided by their number, rounded once. It returns an error if a length is wrong or
// when ctx ends. It does not allocate.
func (e *GlobalPoolGradExec) Run(ctx context.Context, dx, dy []float32) error {
	if len(dy) != e.planes*16 || len(dx) != e.planes*16*e.pixels {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dx), len(dy), e.planes*16*e.pixels, e.planes*16)
	}
	e.dx, e.dy = dx, dy
	err := e.team.Run(ctx, e.planes, e.item)
	e.dx, e.dy = nil, nil
	return err
}

func (e *GlobalPoolGradExec) plane(_, item int) {
	var part [16]float32
	for l, v := range (*[16]float32)(e.dy[item*16:]) {
		part[l] = v / float32(e.pixels)
	}
	dx := e.dx[item*16*e.pixels:][:16*e.pixels]
	for at := 0; at < len(dx); at += 16 {
		*(*[16]float32)(dx[at:]) = part
	}
}
