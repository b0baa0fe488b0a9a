package pool

import (
	"context"
	"math"
	"unsafe"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// MaxPoolGradExec computes the gradient of the 2×2 maximum on a team. One
// goroutine at a time may use it.
type MaxPoolGradExec struct {
	kern         *kernel
	team         *parallel.Team
	planes       int
	h, w         int
	floor        float32
	item         func(worker, item int)
	dx, x, y, dy []float32
}

// NewMaxPoolGrad plans the gradient of the pool of n pictures of c×h×w. before is the
// epilogue of the operation that made the pool's input. The gradient of its ReLU is
// taken as well: nothing passes where the maximum is not positive. A pool in it is an
// error. Errors wrap ErrShape.
func NewMaxPoolGrad(n, c, h, w int, before fuse.Epilogue, team *parallel.Team) (*MaxPoolGradExec, error) {
	if before.Pool || before.Add {
		return nil, shape.Errorf("pool: a pool or a residual in an epilogue has no gradient of its own")
	}
	if err := checkSize("gradient of the 2×2 maximum", n, c, h, w, 2); err != nil {
		return nil, err
	}
	e := &MaxPoolGradExec{kern: best, team: team, planes: n * layout.Blocks(c), h: h, w: w, floor: float32(math.Inf(-1))}
	if before.ReLU {
		e.floor = 0
	}
	e.item = e.plane
	return e, nil
}

// Run sets dx from the pool's input x, its result y and the gradient dy of the
// result, all blocked. Each element of dy goes to the first of the four inputs
// that equals the maximum, in the order of rows; none if the maximum is NaN. It
// returns an error if a length is wrong or when ctx ends. It does not allocate.
func (e *MaxPoolGradExec) Run(ctx context.Context, dx, x, y, dy []float32) error {
	in, out := e.planes*16*e.h*e.w, e.planes*16*(e.h/2)*(e.w/2)
	if len(dx) != in || len(x) != in || len(y) != out || len(dy) != out {
		return shape.Errorf("pool: operands of %d, %d, %d and %d floats, want %d, %d, %d and %d",
			len(dx), len(x), len(y), len(dy), in, in, out, out)
	}
	e.dx, e.x, e.y, e.dy = dx, x, y, dy
	err := e.team.Run(ctx, e.planes, e.item)
	e.dx, e.x, e.y, e.dy = nil, nil, nil, nil
	return err
}

func (e *MaxPoolGradExec) plane(_, item int) {
	oh, ow := e.h/2, e.w/2
	at, to := item*16*e.h*e.w, item*16*oh*ow
	dx := e.dx[at:][:16*e.h*e.w]
	stream := 0
	if len(e.dx) >= streamLen && uintptr(unsafe.Pointer(&dx[0]))%64 == 0 {
		stream = 1
	}
	for y := range oh {
		row, out := 2*y*e.w*16, to+y*ow*16
		e.kern.maxGradRow(ow, &dx[row], &e.x[at+row], &e.y[out], &e.dy[out], e.w*16, e.floor, stream)
		if e.w%2 == 1 { // a last column that no maximum sees
			clear(dx[row+(e.w-1)*16:][:16])
			clear(dx[row+(2*e.w-1)*16:][:16])
		}
	}
	clear(dx[2*oh*e.w*16:])
}

// streamLen is the length from which dX is written around the caches: they could
// not keep it until it is read, and would read it before it is written.
const streamLen = 1 << 20

// LRNGradExec computes the gradient of the local response normalisation on a
// team. One goroutine at a time may use it.
type LRNGradExec struct {
	team      *parallel.Team
	n, c      int
	pixels    int
	item      func(worker, item int)
	dx, x, dy []float32
}

// NewLRNGrad plans the gradient for n pictures of c×h×w. Errors wrap ErrShape.
func NewLRNGrad(n, c, h, w int, team *parallel.Team) (*LRNGradExec, error) {
	if err := checkSize("gradient of the normalisation", n, c, h, w, 1); err != nil {
		return nil, err
	}
	e := &LRNGradExec{team: team, n: n, c: c, pixels: h * w}
	e.item = e.run
	return e, nil
}

// Run sets dx from the input x and the gradient dy of the result, all blocked.
// It returns an error if a length is wrong or when ctx ends. It does not
// allocate.
//
//	dx[c] = dy[c]·s[c]^−β − 2αβ·x[c]·Σ_j dy[j]·x[j]·s[j]^(−β−1)
func (e *LRNGradExec) Run(ctx context.Context, dx, x, dy []float32) error {
	if n := e.n * layout.Len(e.c, 1, e.pixels); len(dx) != n || len(x) != n || len(dy) != n {
		return shape.Errorf("pool: operands of %d, %d and %d floats, want %d", len(dx), len(x), len(dy), n)
	}
	e.dx, e.x, e.dy = dx, x, dy
	err := e.team.Run(ctx, e.n*((e.pixels+gradRun-1)/gradRun), e.item)
	e.dx, e.x, e.dy = nil, nil, nil
	return err
}

// gradRun is how many pixels an item has.
const gradRun = 64

func (e *LRNGradExec) run(_, item int) {
	runs := (e.pixels + gradRun - 1) / gradRun
	first := item % runs * gradRun
	blocks := layout.Blocks(e.c)
	plane := e.pixels * 16
	for b := range blocks {
		for p := first; p < min(first+gradRun, e.pixels); p++ {
			e.pixel(b, blocks, item/runs*blocks*plane+p*16, plane)
		}
	}
}

// pixel computes the 16 channels of block b at the pixel whose first block begins
// at start; the others follow plane floats apart.
func (e *LRNGradExec) pixel(b, blocks, start, plane int) {
	var x, dy [24]float32 // channels 16b−4 … 16b+19
	at := start + b*plane
	copy(x[4:], e.x[at:][:16])
	copy(dy[4:], e.dy[at:][:16])
	if b > 0 {
		copy(x[:4], e.x[at-plane+12:][:4])
		copy(dy[:4], e.dy[at-plane+12:][:4])
	}
	if b < blocks-1 {
		copy(x[20:], e.x[at+plane:][:4])
		copy(dy[20:], e.dy[at+plane:][:4])
	}
	var q, scale [24]float32
	for i := 2; i < 22; i++ {
		s := lrnK + lrnAlpha*(x[i-2]*x[i-2]+x[i-1]*x[i-1]+x[i]*x[i]+x[i+1]*x[i+1]+x[i+2]*x[i+2])
		root := float32(math.Sqrt(float64(s)))
		scale[i] = 1 / (root * float32(math.Sqrt(float64(root))))
		q[i] = dy[i] * x[i] * scale[i] / s
	}
	out := e.dx[at:][:16]
	for l := range out {
		i := l + 4
		sum := q[i-2] + q[i-1] + q[i] + q[i+1] + q[i+2]
		out[l] = dy[i]*scale[i] - 2*lrnAlpha*0.75*x[i]*sum
	}
}
