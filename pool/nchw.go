package pool

import "github.com/nonet-go/nonet/parallel"

// An Option changes the operands of a pool.
type Option func(*options)

type options struct{ nchw bool }

// NCHW makes the operands of a pool [n][c][h][w] instead of blocked: for networks whose
// other layers hold them so. It is slower than the blocked form, except for few channels.
func NCHW() Option { return func(o *options) { o.nchw = true } }

func isNCHW(opts []Option) bool {
	var o options
	for _, f := range opts {
		f(&o)
	}
	return o.nchw
}

// newNCHW makes an Exec whose items are planes of one channel each.
func newNCHW(planes, dstPixels, srcPixels int, compute func(dst, src []float32), team *parallel.Team) *Exec {
	return newExec(planes, planes*dstPixels, planes*srcPixels, func(_, plane int, dst, src []float32) {
		compute(dst[plane*dstPixels:][:dstPixels], src[plane*srcPixels:][:srcPixels])
	}, team)
}

// eachWindow sets each pixel of dst to what f makes of a window of 2×2 pixels of src.
func eachWindow(h, w int, dst, src []float32, f func(a, b, c, d float32) float32) {
	oh, ow := h/2, w/2
	for y := range oh {
		top, bottom, to := src[2*y*w:][:2*ow], src[(2*y+1)*w:][:2*ow], dst[y*ow:][:ow]
		for x := range to {
			to[x] = f(top[2*x], top[2*x+1], bottom[2*x], bottom[2*x+1])
		}
	}
}

func largest(a, b, c, d float32) float32 { return max(a, b, c, d) }

func mean(a, b, c, d float32) float32 { return 0.25 * (a + b + c + d) }

// meanOf returns the mean of a plane, summed in float64.
func meanOf(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return float32(sum / float64(len(x)))
}
