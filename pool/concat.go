package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// ConcatExec puts the channels of two activations behind each other on a team. One
// goroutine at a time may use it.
type ConcatExec struct {
	n, ca, cb int
	pixels    int
	team      *parallel.Team
	item      func(worker, item int)
	dst, a, b []float32
}

// NewConcat plans n pictures of (ca+cb)×h×w from ca×h×w and cb×h×w on a team, which may be
// nil. Where ca is a multiple of 16 blocks are copied as they are; else channels move
// within their pixels, which is slower. Errors wrap ErrShape.
func NewConcat(n, ca, cb, h, w int, team *parallel.Team) (*ConcatExec, error) {
	if n < 1 || ca < 1 || cb < 1 || h < 1 || w < 1 || !shape.Fits(ca) || !shape.Fits(cb) || layout.BatchLen(n, ca+cb, h, w) == shape.TooMany {
		return nil, shape.Errorf("pool: %d pictures of %d+%d channels of %d×%d", n, ca, cb, h, w)
	}
	e := &ConcatExec{n: n, ca: ca, cb: cb, pixels: h * w, team: team}
	e.item = e.block
	return e, nil
}

// Run sets dst to the channels of a and behind them those of b, all blocked, see package
// layout. dst must not overlap the others. It returns an error if a length is wrong or when
// ctx ends. It does not allocate.
func (e *ConcatExec) Run(ctx context.Context, dst, a, b []float32) error {
	pixels := e.n * 16 * e.pixels
	out, inA, inB := layout.Blocks(e.ca+e.cb)*pixels, layout.Blocks(e.ca)*pixels, layout.Blocks(e.cb)*pixels
	if len(dst) != out || len(a) != inA || len(b) != inB {
		return shape.Errorf("pool: operands of %d, %d and %d floats, want %d, %d and %d", len(dst), len(a), len(b), out, inA, inB)
	}
	e.dst, e.a, e.b = dst, a, b
	err := e.team.Run(ctx, e.n*layout.Blocks(e.ca+e.cb), e.item)
	e.dst, e.a, e.b = nil, nil, nil
	return err
}

// block computes one block of one picture.
func (e *ConcatExec) block(_, item int) {
	blocks := layout.Blocks(e.ca + e.cb)
	picture, block := item/blocks, item%blocks
	dst := e.dst[item*16*e.pixels:][:16*e.pixels]
	a := e.a[picture*layout.Blocks(e.ca)*16*e.pixels:]
	b := e.b[picture*layout.Blocks(e.cb)*16*e.pixels:]
	whole, rest := e.ca/16, e.ca%16
	switch {
	case block < whole:
		copy(dst, a[block*16*e.pixels:])
	case rest == 0:
		copy(dst, b[(block-whole)*16*e.pixels:])
	default:
		clear(dst)
		if block == whole {
			copyLanes(dst, a[block*16*e.pixels:], 0, 0, rest)
		}
		for c := max(block*16-e.ca, 0); c < e.cb && c+e.ca < (block+1)*16; { // of b: they lie in one or two of its blocks
			to, from := c+e.ca-block*16, c%16
			n := min(16-to, 16-from, e.cb-c)
			copyLanes(dst, b[c/16*16*e.pixels:], to, from, n)
			c += n
		}
	}
}

// copyLanes copies n lanes of each pixel.
func copyLanes(dst, src []float32, to, from, n int) {
	for at := 0; at < len(dst); at += 16 {
		copy(dst[at+to:][:n], src[at+from:][:n])
	}
}
