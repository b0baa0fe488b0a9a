package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// PointwiseWeightGrad computes the gradient of a 1×1 convolution with respect to
// its filters, dW[k][c] = Σ dY[n][k][p]·X[n][c][p], on a team. One goroutine at a
// time may use it.
type PointwiseWeightGrad struct {
	kernel  *ukernel.Indirect
	team    *parallel.Team
	n, c, k int
	plane   int
	offsets []int // of the pixels of a run
	sums    []gradScratch
	item    func(worker, item int)
	dw, db  []float32
	src, dy []float32
}

// gradScratch is a worker's sums of one block: [c][k], and of the bias over a run
// of pixels.
type gradScratch struct {
	sum  [16 * 16]float32
	part [16]float32 // of the bias
	_    [64]byte
}

// NewPointwiseWeightGrad plans the gradient for n pictures of c×h×w and k
// outputs on a team, which may be nil. Errors wrap ErrShape.
func NewPointwiseWeightGrad(n, c, h, w, k int, team *parallel.Team) (*PointwiseWeightGrad, error) {
	if n < 1 || c < 1 || h < 1 || w < 1 || k < 1 || !shape.Fits(k, c) ||
		layout.BatchLen(n, c, h, w) == shape.TooMany || layout.BatchLen(n, k, h, w) == shape.TooMany {
		return nil, shape.Errorf("gemm: gradient of a 1×1 convolution of %d pictures of %d×%d×%d to %d channels", n, c, h, w, k)
	}
	g := &PointwiseWeightGrad{kernel: ukernel.BestIndirect(), team: team, n: n, c: c, k: k, plane: h * w}
	g.offsets = make([]int, min(g.plane, runPixels))
	for i := range g.offsets {
		g.offsets[i] = i * layout.Block
	}
	g.sums, g.item = make([]gradScratch, team.Workers()), g.block
	return g, nil
}

// Run sets dw [k][c] and db [k], which may be nil, from the convolution's input and
// the gradient of its result, both blocked, see package layout. The bits do not depend on the number
// of workers. It returns an error if a length is wrong or when ctx ends. It does
// not allocate.
func (g *PointwiseWeightGrad) Run(ctx context.Context, dw, db, src, dy []float32) error {
	in, out := g.n*layout.Len(g.c, 1, g.plane), g.n*layout.Len(g.k, 1, g.plane)
	if len(dw) != g.k*g.c || db != nil && len(db) != g.k || len(src) != in || len(dy) != out {
		return shape.Errorf("gemm: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d",
			len(dw), len(db), len(src), len(dy), g.k*g.c, g.k, in, out)
	}
	g.dw, g.db, g.src, g.dy = dw, db, src, dy
	err := g.team.Run(ctx, layout.Blocks(g.c)*layout.Blocks(g.k), g.item)
	g.dw, g.db, g.src, g.dy = nil, nil, nil, nil
	return err
}

// block computes 16 inputs of 16 outputs.
func (g *PointwiseWeightGrad) block(worker, item int) {
	cb, kb := layout.Blocks(g.c), layout.Blocks(g.k)
	c0, k0 := item/kb, item%kb
	sum := &g.sums[worker].sum
	clear(sum[:])
	var bias [16]float64
	o := ukernel.IndirectArgs{AStep: 1, C: sum[:], LDC: 16, Mode: ukernel.ModeFromC}
	for n := range g.n {
		x, y := g.src[(n*cb+c0)*g.plane*16:], g.dy[(n*kb+k0)*g.plane*16:]
		for p := 0; p < g.plane; p += len(g.offsets) {
			o.Offsets = g.offsets[:min(len(g.offsets), g.plane-p)]
			o.A, o.B = x[p*16:], y[p*16:]
			g.kernel.RunM(16, 16, &o)
			if g.db != nil && c0 == 0 {
				part := &g.sums[worker].part
				activation.SumPixels(part, o.B[:len(o.Offsets)*16])
				for l, v := range part {
					bias[l] += float64(v)
				}
			}
		}
	}
	if g.db != nil && c0 == 0 {
		for k := range min(16, g.k-k0*16) {
			g.db[k0*16+k] = float32(bias[k])
		}
	}
	for c := range min(16, g.c-c0*16) {
		for k := range min(16, g.k-k0*16) {
			g.dw[(k0*16+k)*g.c+c0*16+c] = sum[c*16+k]
		}
	}
}
