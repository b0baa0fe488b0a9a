package perceptual

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/parallel"
)

// l2Epsilon keeps the root of L2 pooling, and its gradient, finite.
const l2Epsilon = 1e-12

// l2Pool computes L2 pooling and its gradient of planes h×w on a team: see the package's
// comment. Results are planes ⌈h/2⌉×⌈w/2⌉.
type l2Pool struct {
	planes, h, w, oh, ow int
	team                 *parallel.Team
	op                   struct{ dst, src, y, dy []float32 } // operands of the run under way
	forward, backward    func(worker, plane int)
}

func newL2Pool(planes, h, w int, team *parallel.Team) *l2Pool {
	p := &l2Pool{planes: planes, h: h, w: w, oh: (h + 1) / 2, ow: (w + 1) / 2, team: team}
	p.forward = func(_, i int) {
		o := &p.op
		l2Plane(o.dst[i*p.oh*p.ow:][:p.oh*p.ow], o.src[i*h*w:][:h*w], p.h, p.w)
	}
	p.backward = func(_, i int) {
		o := &p.op
		n, m := h*w, p.oh*p.ow
		l2PlaneGrad(o.dst[i*n:][:n], o.src[i*n:][:n], o.y[i*m:][:m], o.dy[i*m:][:m], p.h, p.w)
	}
	return p
}

// run sets dst to the pooled src.
func (p *l2Pool) run(ctx context.Context, dst, src []float32) error {
	p.op.dst, p.op.src = dst, src
	return share(ctx, p.team, p.planes, p.forward)
}

// addGrad adds to dx the gradient with respect to x of a loss whose gradient with respect
// to y, the pooled x, is dy.
func (p *l2Pool) addGrad(ctx context.Context, dx, x, y, dy []float32) error {
	p.op.dst, p.op.src, p.op.y, p.op.dy = dx, x, y, dy
	return share(ctx, p.team, p.planes, p.backward)
}

// tap is a coefficient of [1 2 1]ᵀ[1 2 1]/16, by the distance from the centre.
func tap(dy, dx int) float64 { return float64((2-dy*dy)*(2-dx*dx)) / 16 }

// l2Plane pools one plane.
func l2Plane(dst, src []float32, h, w int) {
	i := 0
	for y := 0; y < h; y += 2 {
		for x := 0; x < w; x += 2 {
			sum := l2Epsilon
			for r := max(0, y-1); r <= min(h-1, y+1); r++ {
				for c := max(0, x-1); c <= min(w-1, x+1); c++ {
					v := float64(src[r*w+c])
					sum += tap(r-y, c-x) * v * v
				}
			}
			dst[i] = float32(math.Sqrt(sum))
			i++
		}
	}
}

// l2PlaneGrad adds the gradient of one plane: of y = √(g∗x²+ε) it is g·x/y.
func l2PlaneGrad(dx, x, y, dy []float32, h, w int) {
	i := 0
	for r0 := 0; r0 < h; r0 += 2 {
		for c0 := 0; c0 < w; c0 += 2 {
			scale := float64(dy[i]) / float64(y[i])
			i++
			for r := max(0, r0-1); r <= min(h-1, r0+1); r++ {
				for c := max(0, c0-1); c <= min(w-1, c0+1); c++ {
					dx[r*w+c] += float32(scale * tap(r-r0, c-c0) * float64(x[r*w+c]))
				}
			}
		}
	}
}
