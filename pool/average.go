package pool

import (
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// NewAvgPool plans the 2×2 mean with stride 2 of n pictures of c×h×w on a team, which may
// be nil. An odd last row or column is dropped. Each result is within Gamma(3) of the mean
// of the absolute values from the exact mean. Of the options, NCHW counts. Errors wrap
// ErrShape.
func NewAvgPool(n, c, h, w int, team *parallel.Team, opts ...Option) (*Exec, error) {
	if err := checkSize("2×2 mean", n, c, h, w, 2); err != nil {
		return nil, err
	}
	if isNCHW(opts) {
		return newNCHW(n*c, (h/2)*(w/2), h*w, func(dst, src []float32) { eachWindow(h, w, dst, src, mean) }, team), nil
	}
	oh, ow := h/2, w/2
	return newPlanes(n*layout.Blocks(c), oh*ow, h*w, func(_ int, dst, src []float32) {
		for y := range oh {
			for x := range ow {
				at := (2*y*w + 2*x) * 16
				a, b := (*[32]float32)(src[at:]), (*[32]float32)(src[at+w*16:])
				to := (*[16]float32)(dst[(y*ow+x)*16:])
				for l := range to {
					to[l] = 0.25 * (a[l] + a[l+16] + b[l] + b[l+16])
				}
			}
		}
	}, team), nil
}

// NewAvgPoolGrad plans the gradient of the 2×2 mean of n pictures of c×h×w on a team,
// which may be nil. Run sets dx from dy: a quarter of each element goes to each of its
// four inputs, exactly but for underflow. Errors wrap ErrShape.
func NewAvgPoolGrad(n, c, h, w int, team *parallel.Team) (*Exec, error) {
	if err := checkSize("gradient of the 2×2 mean", n, c, h, w, 2); err != nil {
		return nil, err
	}
	oh, ow := h/2, w/2
	return newPlanes(n*layout.Blocks(c), h*w, oh*ow, func(_ int, dx, dy []float32) {
		for y := range h {
			for x := range w {
				to := (*[16]float32)(dx[(y*w+x)*16:])
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
	}, team), nil
}
