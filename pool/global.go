package pool

import (
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// NewGlobalPool plans the mean over all pixels of each channel of n pictures of c×h×w on a
// team, which may be nil. The result is n pictures of c×1×1. Sums are taken in float64 and
// rounded once. Of the options, NCHW counts. Errors wrap ErrShape.
func NewGlobalPool(n, c, h, w int, team *parallel.Team, opts ...Option) (*Exec, error) {
	if err := checkSize("means", n, c, h, w, 1); err != nil {
		return nil, err
	}
	if isNCHW(opts) {
		return newNCHW(n*c, 1, h*w, func(dst, src []float32) { dst[0] = meanOf(src) }, team), nil
	}
	pixels := h * w
	return newPlanes(n*layout.Blocks(c), 1, pixels, func(_ int, dst, src []float32) {
		var sum [16]float64
		for at := 0; at < len(src); at += 16 {
			for l, v := range (*[16]float32)(src[at:]) {
				sum[l] += float64(v)
			}
		}
		for l := range dst {
			dst[l] = float32(sum[l] / float64(pixels))
		}
	}, team), nil
}

// NewGlobalPoolGrad plans the gradient of the mean of each channel of n pictures of c×h×w
// on a team, which may be nil. Run sets dx from dy: each pixel gets dy divided by their
// number, rounded once. Errors wrap ErrShape.
func NewGlobalPoolGrad(n, c, h, w int, team *parallel.Team) (*Exec, error) {
	if err := checkSize("gradient of the means", n, c, h, w, 1); err != nil {
		return nil, err
	}
	pixels := h * w
	return newPlanes(n*layout.Blocks(c), pixels, 1, func(_ int, dx, dy []float32) {
		var part [16]float32
		for l, v := range dy {
			part[l] = v / float32(pixels)
		}
		for at := 0; at < len(dx); at += 16 {
			*(*[16]float32)(dx[at:]) = part
		}
	}, team), nil
}
