package gemm

import (
	"context"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Pointwise holds the filters and biases of a 1×1 convolution on blocked
// activations, packed for the kernels of this machine. It is immutable and may
// be shared.
type Pointwise struct {
	c, k   int
	kernel *ukernel.Indirect
	u      []float32 // [panel][c][width]
	bias   []float32
}

// NewPointwise packs filters [k][c] and k biases, which may be nil. Neither is
// kept. Errors wrap ErrShape.
func NewPointwise(c, k int, weights, bias []float32) (*Pointwise, error) {
	return newPointwise(ukernel.BestIndirect().ForK(c), c, k, weights, bias)
}

func newPointwise(kern *ukernel.Indirect, c, k int, weights, bias []float32) (*Pointwise, error) {
	if c < 1 || k < 1 || len(weights) != shape.Product(k, c) || bias != nil && len(bias) != k {
		return nil, shape.Errorf("gemm: %d weights and %d biases, want %d×%d and %d", len(weights), len(bias), k, c, k)
	}
	if layout.Len(k, c, 1) == shape.TooMany {
		return nil, shape.Errorf("gemm: %d×%d weights", k, c)
	}
	p := &Pointwise{c: c, k: k, kernel: kern}
	p.u = layout.Alloc(c * p.outputs())
	p.bias = make([]float32, p.outputs())
	p.Repack(false, weights, bias)
	return p, nil
}

// Repack replaces filters and biases by others of the same shape; filters
// [c][k], if transposed. Only the owner of a Pointwise that no one else uses may
// do that: training, after each step.
func (p *Pointwise) Repack(transposed bool, weights, bias []float32) {
	for out := range p.k {
		panel := out / p.kernel.NR
		u, width := p.panel(panel), p.width(panel)
		for in := range p.c {
			w := weights[out*p.c+in]
			if transposed {
				w = weights[in*p.k+out]
			}
			u[in*width+out%p.kernel.NR] = w
		}
	}
	copy(p.bias, bias)
}

// Weights returns the filters, [k][c].
func (p *Pointwise) Weights() []float32 {
	weights := make([]float32, p.k*p.c)
	for out := range p.k {
		panel := out / p.kernel.NR
		u, width := p.panel(panel), p.width(panel)
		for in := range p.c {
			weights[out*p.c+in] = u[in*width+out%p.kernel.NR]
		}
	}
	return weights
}

// Bytes returns the memory that the packed filters take.
func (p *Pointwise) Bytes() int64 { return 4 * int64(len(p.u)) }

// outputs returns the number of output channels, padded to blocks.
func (p *Pointwise) outputs() int { return layout.Blocks(p.k) * 16 }

func (p *Pointwise) panels() int { return ceilDiv(p.outputs(), p.kernel.NR) }

func (p *Pointwise) width(panel int) int { return min(p.kernel.NR, p.outputs()-panel*p.kernel.NR) }

func (p *Pointwise) panel(i int) []float32 { return p.u[i*p.kernel.NR*p.c:][:p.c*p.width(i)] }

// PointwiseExec computes a Pointwise for n pictures on a team. One goroutine at
// a time may use it.
type PointwiseExec struct {
	p        *Pointwise
	team     *parallel.Team
	n, plane int
	after    fuse.Epilogue
	runs     int   // of a picture
	run      int   // pixels
	offsets  []int // of the input channels of a pixel
	item     func(worker, item int)
	dst, src []float32
	residual []float32 // nil: none
}

// runPixels is the most pixels of one item: their 512 channels, 448 KiB, stay in
// the second-level cache while all panels meet them.
const runPixels = 224

// pointwiseRun returns the pixels of an item, in whole tiles of mr.
func pointwiseRun(plane, mr int) int { return roundUp(evenly(plane, runPixels), mr) }

// NewExec plans p for n pictures of h×w on a team, which may be nil. The epilogue may be a
// residual and a ReLU. Errors wrap ErrShape.
func (p *Pointwise) NewExec(n, h, w int, after fuse.Epilogue, team *parallel.Team) (*PointwiseExec, error) {
	if after.Pool {
		return nil, shape.Errorf("gemm: a 1×1 convolution has no pool")
	}
	if n < 1 || h < 1 || w < 1 || layout.BatchLen(n, p.c, h, w) == shape.TooMany || layout.BatchLen(n, p.k, h, w) == shape.TooMany {
		return nil, shape.Errorf("gemm: %d pictures of %d×%d", n, h, w)
	}
	e := &PointwiseExec{p: p, team: team, n: n, plane: h * w, after: after}
	e.run = pointwiseRun(e.plane, p.kernel.MR)
	e.runs = ceilDiv(e.plane, e.run)
	e.offsets = make([]int, p.c)
	for c := range e.offsets {
		e.offsets[c] = c/layout.Block*e.plane*layout.Block + c%layout.Block
	}
	e.item = e.pixels
	return e, nil
}

// Run computes dst from src, both blocked, see package layout. They must not
// overlap. It returns an error if a length is wrong, if the epilogue adds a residual, or
// when ctx ends. It does not allocate.
func (e *PointwiseExec) Run(ctx context.Context, dst, src []float32) error {
	if e.after.Add {
		return shape.Errorf("gemm: the epilogue adds a residual, and Run has none: use RunAdd")
	}
	return e.runAll(ctx, dst, src, nil)
}

// RunAdd is Run for an epilogue that adds a residual, before the ReLU if there is one. The
// residual has the length and layout of dst and does not overlap it. The sum without it is
// rounded before.
func (e *PointwiseExec) RunAdd(ctx context.Context, dst, src, residual []float32) error {
	if !e.after.Add || len(residual) != len(dst) {
		return shape.Errorf("gemm: a residual of %d floats for a result of %d (Add is %v)", len(residual), len(dst), e.after.Add)
	}
	return e.runAll(ctx, dst, src, residual)
}

func (e *PointwiseExec) runAll(ctx context.Context, dst, src, residual []float32) error {
	in, out := e.n*layout.Blocks(e.p.c)*16*e.plane, e.n*e.p.outputs()*e.plane
	if len(dst) != out || len(src) != in {
		return shape.Errorf("gemm: operands of %d and %d floats, want %d and %d", len(dst), len(src), out, in)
	}
	e.dst, e.src, e.residual = dst, src, residual
	err := e.team.Run(ctx, e.n*e.runs, e.item)
	e.dst, e.src, e.residual = nil, nil, nil
	return err
}

// pixels computes all channels of one run of pixels.
func (e *PointwiseExec) pixels(_, item int) {
	p := e.p
	picture, at := item/e.runs, item%e.runs*e.run
	pixels := min(e.run, e.plane-at)
	first := picture*p.outputs()*e.plane + at*16
	src := e.src[picture*layout.Blocks(p.c)*16*e.plane+at*16:]
	o := ukernel.IndirectArgs{Offsets: e.offsets, Contiguous: true, A: src, AStep: layout.Block, LDC: 16, CBlock: e.plane * 16}
	if e.after.ReLU {
		o.Mode = ukernel.ModeReLU
	}
	if e.residual != nil {
		o.Mode |= ukernel.ModeAddC
	}
	for panel := range p.panels() {
		to := first + panel*p.kernel.NR*e.plane
		o.B, o.Bias, o.C = p.panel(panel), p.bias[panel*p.kernel.NR:], e.dst[to:]
		if e.residual != nil {
			for b := range p.width(panel) / 16 {
				copy(o.C[b*o.CBlock:][:pixels*16], e.residual[to+b*o.CBlock:])
			}
		}
		p.kernel.RunM(pixels, p.width(panel), &o)
	}
}
