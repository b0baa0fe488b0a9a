package act

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/parallel"
)

// SoftmaxExec computes the softmax over channels on a team. One goroutine at a time may
// use it.
type SoftmaxExec struct {
	n, c, plane int
	runs        int // of a picture
	team        *parallel.Team
	item        func(worker, item int)
	dst, src    []float32
}

// softmaxRun is the most pixels of an item: neighbours share cache lines in each plane.
const softmaxRun = 64

// NewSoftmax plans the softmax of n pictures of c×h×w over their channels, at each pixel
// alone, on a team, which may be nil. Logits of a classifier are 1×1. Errors wrap
// ErrShape.
func NewSoftmax(n, c, h, w int, team *parallel.Team) (*SoftmaxExec, error) {
	if n < 1 || c < 1 || h < 1 || w < 1 || !shape.Fits(n, c, h, w) {
		return nil, shape.Errorf("act: softmax of %d pictures of %d×%d×%d", n, c, h, w)
	}
	e := &SoftmaxExec{n: n, c: c, plane: h * w, team: team}
	e.runs = (e.plane + softmaxRun - 1) / softmaxRun
	e.item = e.pixels
	return e, nil
}

// Run computes dst [n][c][h][w] from src, which are the same or apart. Exponentials and
// sums are taken in float64 and each result is rounded twice: it is within Gamma(3) of the
// exact value, relative, or what underflows is lost. A NaN makes all results of its pixel
// NaN; so do +Inf, and −Inf in all channels. It returns an error if a length is wrong or
// when ctx ends. It does not allocate.
func (e *SoftmaxExec) Run(ctx context.Context, dst, src []float32) error {
	if want := e.n * e.c * e.plane; len(dst) != want || len(src) != want {
		return shape.Errorf("act: operands of %d and %d floats, want %d", len(dst), len(src), want)
	}
	e.dst, e.src = dst, src
	err := e.team.Run(ctx, e.n*e.runs, e.item)
	e.dst, e.src = nil, nil
	return err
}

// pixels computes all channels of one run of pixels.
func (e *SoftmaxExec) pixels(_, item int) {
	var largest, sum [softmaxRun]float64
	at := item / e.runs * e.c * e.plane
	first := item % e.runs * softmaxRun
	n := min(softmaxRun, e.plane-first)
	for p := range n {
		largest[p] = math.Inf(-1)
	}
	for c := range e.c {
		for p, v := range e.src[at+c*e.plane+first:][:n] {
			largest[p] = max(largest[p], float64(v))
		}
	}
	for c := range e.c {
		to := e.dst[at+c*e.plane+first:][:n]
		for p, v := range e.src[at+c*e.plane+first:][:n] {
			x := math.Exp(float64(v) - largest[p])
			sum[p] += x
			to[p] = float32(x)
		}
	}
	for c := range e.c {
		for p, x := range e.dst[at+c*e.plane+first:][:n] {
			e.dst[at+c*e.plane+first+p] = float32(float64(x) / sum[p])
		}
	}
}
