package pool

import (
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// NewMaxPool plans the 2×2 maximum with stride 2 of n pictures of c×h×w on a team, which
// may be nil. An odd last row or column is dropped. A NaN among the four is the result.
// Of the options, NCHW counts. Errors wrap ErrShape.
func NewMaxPool(n, c, h, w int, team *parallel.Team, opts ...Option) (*Exec, error) {
	if !isNCHW(opts) {
		return newMaxPool(best, n, c, h, w, team)
	}
	if err := checkSize("2×2 maximum", n, c, h, w, 2); err != nil {
		return nil, err
	}
	return newNCHW(n*c, (h/2)*(w/2), h*w, func(dst, src []float32) { eachWindow(h, w, dst, src, largest) }, team), nil
}

func newMaxPool(kern *kernel, n, c, h, w int, team *parallel.Team) (*Exec, error) {
	if err := checkSize("2×2 maximum", n, c, h, w, 2); err != nil {
		return nil, err
	}
	oh, ow := h/2, w/2
	return newPlanes(n*layout.Blocks(c), oh*ow, h*w, func(_ int, dst, src []float32) {
		for y := range oh {
			kern.maxRow(ow, &dst[y*ow*16], &src[2*y*w*16], w*16)
		}
	}, team), nil
}
