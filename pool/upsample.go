package pool

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// NearestExec repeats pixels to another size on a team. One goroutine at a time may use
// it.
type NearestExec struct {
	planes, h, w, oh int
	columns          []int // of the source, for each of the result
	team             *parallel.Team
	item             func(worker, item int)
	dst, src         []float32
}

// NewNearest plans the nearest-neighbour interpolation of n pictures of c×h×w to c×oh×ow on
// a team, which may be nil: pixel (y, x) becomes that at (⌊y·h/oh⌋, ⌊x·w/ow⌋), which
// repeats each pixel 2×2 times where oh = 2h and ow = 2w. Any size is allowed, also a
// smaller one. Errors wrap ErrShape.
func NewNearest(n, c, h, w, oh, ow int, team *parallel.Team) (*NearestExec, error) {
	if err := checkResize("nearest", n, c, h, w, oh, ow); err != nil {
		return nil, err
	}
	e := &NearestExec{planes: n * layout.Blocks(c), h: h, w: w, oh: oh, columns: make([]int, ow), team: team}
	for x := range e.columns {
		e.columns[x] = x * w / ow
	}
	e.item = e.row
	return e, nil
}

func checkResize(what string, n, c, h, w, oh, ow int) error {
	if n < 1 || c < 1 || h < 1 || w < 1 || oh < 1 || ow < 1 || layout.BatchLen(n, c, h, w) == shape.TooMany ||
		layout.BatchLen(n, c, oh, ow) == shape.TooMany || !shape.Fits(h, oh, 2) || !shape.Fits(w, ow, 2) {
		return shape.Errorf("pool: %s interpolation of %d pictures of %d×%d×%d to %d×%d", what, n, c, h, w, oh, ow)
	}
	return nil
}

// Run computes dst from src, both blocked, see package layout. They must not overlap. The
// results are elements of src. It returns an error if a length is wrong or when ctx ends.
// It does not allocate.
func (e *NearestExec) Run(ctx context.Context, dst, src []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*e.oh*len(e.columns)
	if len(dst) != out || len(src) != in {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), out, in)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.planes*e.oh, e.item)
	e.dst, e.src = nil, nil
	return err
}

// row computes one row of one block.
func (e *NearestExec) row(_, item int) {
	y := item % e.oh
	src := e.src[(item/e.oh*e.h+y*e.h/e.oh)*e.w*16:][:e.w*16]
	dst := e.dst[item*len(e.columns)*16:]
	for x, from := range e.columns {
		*(*[16]float32)(dst[x*16:]) = [16]float32(src[from*16:])
	}
}

// BilinearExec interpolates pictures to another size on a team. One goroutine at a time
// may use it.
type BilinearExec struct {
	planes, h, w  int
	rows, columns []tap // of the result
	lineLen       int
	team          *parallel.Team
	lines         []float32 // of each worker: a row of the source's width
	item          func(worker, item int)
	dst, src      []float32
}

// A tap is where an element of the result lies in the source: between two elements.
type tap struct {
	first, second int
	a, b          float32 // their weights
}

// taps lists those of n elements of a source of in: the centres of pixels are half a pixel
// from their edges.
func taps(in, n int) []tap {
	t := make([]tap, n)
	for i := range t {
		at := max((2*i+1)*in-n, 0) // in units of 1/(2n)
		first, second := at/(2*n), float64(at%(2*n))/float64(2*n)
		t[i] = tap{first, min(first+1, in-1), float32(1 - second), float32(second)}
	}
	return t
}

// BilinearScratchLen returns the floats of scratch that a BilinearExec needs for pictures of
// width w and that many workers.
func BilinearScratchLen(w, workers int) int { return shape.Product(workers, w, 16) }

// NewBilinear plans the bilinear interpolation of n pictures of c×h×w to c×oh×ow with at
// least BilinearScratchLen floats of scratch, which others may use between runs, on a team,
// which may be nil. The centres of pixels are half a pixel from their edges, as with
// PyTorch's align_corners=False: row y of the result lies at (y + ½)·h/oh − ½ of the
// source, but not above 0. Any size is allowed; a smaller one is not smoothed. Errors wrap
// ErrShape.
func NewBilinear(n, c, h, w, oh, ow int, scratch []float32, team *parallel.Team) (*BilinearExec, error) {
	if err := checkResize("bilinear", n, c, h, w, oh, ow); err != nil {
		return nil, err
	}
	if need := BilinearScratchLen(w, team.Workers()); len(scratch) < need {
		return nil, shape.Errorf("pool: %d floats of scratch, want %d", len(scratch), need)
	}
	e := &BilinearExec{planes: n * layout.Blocks(c), h: h, w: w, rows: taps(h, oh), columns: taps(w, ow), lineLen: w * 16, lines: scratch, team: team}
	e.item = e.row
	return e, nil
}

// Run computes dst from src, both blocked, see package layout. They must not overlap. Each
// result is within Gamma(6) of the same mean of the absolute values from the exact one. It
// is the same bits on every machine. A NaN or an infinity makes NaN of some of the results
// beside it, also where its weight is 0. It returns an error if a length is wrong or when
// ctx ends. It does not allocate.
func (e *BilinearExec) Run(ctx context.Context, dst, src []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*len(e.rows)*len(e.columns)
	if len(dst) != out || len(src) != in {
		return shape.Errorf("pool: operands of %d and %d floats, want %d and %d", len(dst), len(src), out, in)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.planes*len(e.rows), e.item)
	e.dst, e.src = nil, nil
	return err
}

// row computes one row of one block: first between two rows of the source, then between
// the columns of that.
func (e *BilinearExec) row(worker, item int) {
	oh := len(e.rows)
	r := e.rows[item%oh]
	plane := e.src[item/oh*e.h*e.lineLen:][:e.h*e.lineLen]
	line := e.lines[worker*e.lineLen:][:e.lineLen]
	between(line, plane[r.first*e.lineLen:][:e.lineLen], plane[r.second*e.lineLen:][:e.lineLen], r)
	dst := e.dst[item*len(e.columns)*16:][:len(e.columns)*16]
	for x, c := range e.columns {
		between(dst[x*16:][:16], line[c.first*16:][:16], line[c.second*16:][:16], c)
	}
}

// between sets dst to the weighed sums of x and y, whose lengths are the same multiple of
// 16. Nothing is fused, for the same bits anywhere.
func between(dst, x, y []float32, t tap) {
	for at := 0; at < len(dst); at += 16 {
		to, p, q := (*[16]float32)(dst[at:]), (*[16]float32)(x[at:]), (*[16]float32)(y[at:])
		for l := range to {
			to[l] = float32(t.a*p[l]) + float32(t.b*q[l])
		}
	}
}
