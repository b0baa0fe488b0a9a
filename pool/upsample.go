package pool

import (
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// NewNearest plans the nearest-neighbour interpolation of n pictures of c×h×w to c×oh×ow on
// a team, which may be nil. Pixel (y, x) of the result is pixel (⌊y·h/oh⌋, ⌊x·w/ow⌋) of the
// source: 2h×2w repeats each pixel 2×2 times. Any size up to 2²⁰×2²⁰ is allowed, also a
// smaller one. Errors wrap ErrShape.
func NewNearest(n, c, h, w, oh, ow int, team *parallel.Team) (*Exec, error) {
	if err := checkResize("nearest", n, c, h, w, oh, ow); err != nil {
		return nil, err
	}
	columns := make([]int, ow) // of the source, for each of the result
	for x := range columns {
		columns[x] = x * w / ow
	}
	planes := n * layout.Blocks(c)
	return newExec(planes*oh, planes*16*oh*ow, planes*16*h*w, func(_, row int, dst, src []float32) {
		src = src[(row/oh*h+row%oh*h/oh)*w*16:][:w*16]
		dst = dst[row*ow*16:][:ow*16]
		for x, from := range columns {
			*(*[16]float32)(dst[x*16:]) = [16]float32(src[from*16:])
		}
	}, team), nil
}

// mostSide bounds the sides of an interpolation, for each pixel of which it keeps a place.
const mostSide = 1 << 20

func checkResize(what string, n, c, h, w, oh, ow int) error {
	if n < 1 || c < 1 || h < 1 || w < 1 || oh < 1 || ow < 1 || oh > mostSide || ow > mostSide || layout.BatchLen(n, c, h, w) == shape.TooMany ||
		layout.BatchLen(n, c, oh, ow) == shape.TooMany || !shape.Fits(h, oh, 2) || !shape.Fits(w, ow, 2) {
		return shape.Errorf("pool: %s interpolation of %d pictures of %d×%d×%d to %d×%d", what, n, c, h, w, oh, ow)
	}
	return nil
}

// A tap is the place of an element of the result in the source: between two elements.
type tap struct {
	first, second int
	a, b          float32 // their weights
}

// taps lists those of n elements for a source of in elements. The centres of pixels are half
// a pixel from their edges.
func taps(in, n int) []tap {
	t := make([]tap, n)
	for i := range t {
		at := max((2*i+1)*in-n, 0) // in units of 1/(2n)
		first, second := at/(2*n), float64(at%(2*n))/float64(2*n)
		t[i] = tap{first, min(first+1, in-1), float32(1 - second), float32(second)}
	}
	return t
}

// BilinearScratchLen returns the floats of scratch that NewBilinear needs for pictures of
// width w and that many workers.
func BilinearScratchLen(w, workers int) int { return shape.Product(workers, w, 16) }

// NewBilinear plans the bilinear interpolation of n pictures of c×h×w to c×oh×ow. scratch has
// at least BilinearScratchLen floats, which others may use between runs; the team may be
// nil. The centres of pixels are half a pixel from their edges, as with PyTorch's
// align_corners=False: row y of the result lies at (y + ½)·h/oh − ½ of the source, but not
// above 0. Any size up to 2²⁰×2²⁰ is allowed; a smaller one is not smoothed.
//
// Each result is within Gamma(6) of the same mean of the absolute values from the exact one,
// and the same bits on every machine. A NaN or an infinity makes NaN of results beside it,
// also where its weight is 0. Errors wrap ErrShape.
func NewBilinear(n, c, h, w, oh, ow int, scratch []float32, team *parallel.Team) (*Exec, error) {
	if err := checkResize("bilinear", n, c, h, w, oh, ow); err != nil {
		return nil, err
	}
	if need := BilinearScratchLen(w, team.Workers()); len(scratch) < need {
		return nil, shape.Errorf("pool: %d floats of scratch, want %d", len(scratch), need)
	}
	rows, columns, planes, lineLen := taps(h, oh), taps(w, ow), n*layout.Blocks(c), w*16
	return newExec(planes*oh, planes*16*oh*ow, planes*h*lineLen, func(worker, row int, dst, src []float32) {
		// Between two rows of the source first, then between the columns of that.
		r, plane := rows[row%oh], src[row/oh*h*lineLen:][:h*lineLen]
		line := scratch[worker*lineLen:][:lineLen]
		between(line, plane[r.first*lineLen:][:lineLen], plane[r.second*lineLen:][:lineLen], r)
		dst = dst[row*ow*16:][:ow*16]
		for x, c := range columns {
			between(dst[x*16:][:16], line[c.first*16:][:16], line[c.second*16:][:16], c)
		}
	}, team), nil
}

// between sets dst to the weighted sums of x and y, whose lengths are the same multiple of
// 16. Nothing is fused, so that the bits are the same on every machine.
func between(dst, x, y []float32, t tap) {
	for at := 0; at < len(dst); at += 16 {
		to, p, q := (*[16]float32)(dst[at:]), (*[16]float32)(x[at:]), (*[16]float32)(y[at:])
		for l := range to {
			to[l] = float32(t.a*p[l]) + float32(t.b*q[l])
		}
	}
}
