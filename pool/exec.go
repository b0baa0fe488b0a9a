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

// Exec computes one activation from another on a team: what the constructor says that
// made it. One goroutine at a time may use it.
type Exec struct {
	team           *parallel.Team
	items          int
	dstLen, srcLen int
	item           func(worker, item int)
	dst, src       []float32 // of the run under way
}

// Run computes dst from src, both blocked, see package layout, or NCHW with that option.
// They must not overlap, but those of a Scale may be the same. It returns an error that wraps ErrShape if a
// length is wrong, and ctx's error when ctx ends. It does not allocate.
func (e *Exec) Run(ctx context.Context, dst, src []float32) error {
	if len(dst) != e.dstLen || len(src) != e.srcLen {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), e.dstLen, e.srcLen)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.items, e.item)
	e.dst, e.src = nil, nil
	return err
}

// newExec makes an Exec of items, each of which compute does.
func newExec(items, dstLen, srcLen int, compute func(worker, item int, dst, src []float32), team *parallel.Team) *Exec {
	e := &Exec{team: team, items: items, dstLen: dstLen, srcLen: srcLen}
	e.item = func(worker, item int) { compute(worker, item, e.dst, e.src) }
	return e
}

// newPlanes makes an Exec whose items are planes, a block of 16 channels of one picture
// each. A plane of the result is computed from one plane of the source. compute gets both,
// and counts planes over all pictures.
func newPlanes(planes, dstPixels, srcPixels int, compute func(plane int, dst, src []float32), team *parallel.Team) *Exec {
	out, in := 16*dstPixels, 16*srcPixels
	return newExec(planes, planes*out, planes*in, func(_, plane int, dst, src []float32) {
		compute(plane, dst[plane*out:][:out], src[plane*in:][:in])
	}, team)
}

// checkSize returns an error unless n pictures of c×h×w, with sides of least pixels at
// least, are something that memory holds.
func checkSize(what string, n, c, h, w, least int) error {
	if n < 1 || c < 1 || h < least || w < least || layout.BatchLen(n, c, h, w) == shape.TooMany {
		return shape.Errorf("pool: %s of %d pictures of %d×%d×%d", what, n, c, h, w)
	}
	return nil
}
