package conv3x3

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// GradPlan computes the three gradients of a convolution of one shape, for activations in
// NCHW:
//
//	dX[n][c][y][x] = Σ_{k,i,j} W[k][c][i][j] · dY[n][k][(y−i+pad)/s][(x−j+pad)/s]
//	dW[k][c][i][j] = Σ_{n,y,x} dY[n][k][y][x] · X[n][c][s·y+i−pad][s·x+j−pad]
//	db[k]          = Σ_{n,y,x} dY[n][k][y][x]
//
// dY is the gradient of the sum before any ReLU. If Y has a ReLU, take dY through it first,
// by ReLUGrad. A GradPlan has packed filters and memory of its own. One goroutine at a time
// may use it. Nothing but NewGradPlan allocates. Results are the same bits for any number of
// workers.
type GradPlan struct {
	s         Shape
	nx, ny    int // elements of X and of Y
	team      *parallel.Team
	filter    *Filter
	input     *Exec
	weights   *WeightGradExec
	x, y      []float32 // blocked
	dst, src  []float32 // of the step under way
	channels  int
	plane     int
	load      func(worker, item int)
	store     func(worker, item int)
	sumPlanes func(worker, item int)
}

// NewGradPlan packs filters [K][C][3][3], which are not kept. Of the options,
// Direct and Winograd choose the algorithm of InputGrad, and Workers counts. Its
// errors wrap ErrShape.
func NewGradPlan(s Shape, weights []float32, opts ...Option) (*GradPlan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o := collect(opts)
	if o.workers < 1 || o.workers > parallel.MaxWorkers {
		return nil, shape.Errorf("conv3x3: %d workers, want 1 to %d", o.workers, parallel.MaxWorkers)
	}
	p := &GradPlan{s: s, nx: s.N * s.C * s.H * s.W, ny: s.N * s.K * s.OH() * s.OW(), team: parallel.NewTeam(o.workers)}
	p.team.Begin()
	defer p.team.End()
	var err error
	if p.filter, err = NewInputGradFilter(s.C, s.K, weights, p.team, slices.Concat(opts, []Option{Stride(s.stride()), Map(s.H, s.W)})...); err != nil {
		return nil, err
	}
	spec := s.inputGrad()
	n, err := p.filter.ScratchLen(spec, o.workers)
	if err != nil {
		return nil, err
	}
	g, err := NewWeightGrad(s)
	if err != nil {
		return nil, err
	}
	n = max(n, g.ScratchLen(o.workers)) // they run in turn
	if !shape.Fits(n) {
		return nil, shape.Errorf("conv3x3: scratch for %d workers", o.workers)
	}
	scratch := layout.Alloc(n)
	if p.input, err = p.filter.NewExec(spec, scratch, p.team); err != nil {
		return nil, err
	}
	if p.weights, err = g.NewExec(scratch, p.team); err != nil {
		return nil, err
	}
	p.x = layout.Alloc(s.N * layout.Len(s.C, s.H, s.W))
	p.y = layout.Alloc(s.N * layout.Len(s.K, s.OH(), s.OW()))
	p.load, p.store, p.sumPlanes = p.loadBlock, p.storeBlock, p.sumPlane
	return p, nil
}

// SetWeights replaces the filters; training does so after each step. Errors wrap ErrShape.
func (p *GradPlan) SetWeights(weights []float32) error {
	p.team.Begin()
	defer p.team.End()
	return p.filter.Repack(weights, p.team)
}

// InputGrad sets dx [N][C][H][W] to the gradient with respect to the input, from
// dy [N][K][OH][OW]. They must not overlap. Errors wrap ErrShape. The errors are
// those of Plan.Forward.
func (p *GradPlan) InputGrad(dx, dy []float32) error {
	if err := p.check(dx, dy); err != nil {
		return err
	}
	p.team.Begin()
	defer p.team.End()
	if err := p.convert(p.load, p.y, dy, p.s.K, p.s.OH()*p.s.OW()); err != nil {
		return err
	}
	if err := p.input.Run(context.Background(), p.x, p.y); err != nil {
		return err
	}
	return p.convert(p.store, dx, p.x, p.s.C, p.s.H*p.s.W)
}

// WeightGrad sets dw [K][C][3][3] to the gradient with respect to the filters, from
// the input x [N][C][H][W] and dy [N][K][OH][OW]. See WeightGradExec.Run for its
// accuracy. Errors wrap ErrShape.
func (p *GradPlan) WeightGrad(dw, x, dy []float32) error {
	if err := p.check(x, dy); err != nil {
		return err
	}
	if len(dw) != p.s.K*p.s.C*9 {
		return shape.Errorf("conv3x3: filter gradient of %d floats, want %d×%d×3×3", len(dw), p.s.K, p.s.C)
	}
	p.team.Begin()
	defer p.team.End()
	if err := p.convert(p.load, p.x, x, p.s.C, p.s.H*p.s.W); err != nil {
		return err
	}
	if err := p.convert(p.load, p.y, dy, p.s.K, p.s.OH()*p.s.OW()); err != nil {
		return err
	}
	return p.weights.Run(context.Background(), dw, nil, p.x, p.y)
}

// BiasGrad sets db [K] to the gradient with respect to the biases, from
// dy [N][K][OH][OW]. It sums in float64. Errors wrap ErrShape.
func (p *GradPlan) BiasGrad(db, dy []float32) error {
	if len(dy) != p.ny || len(db) != p.s.K {
		return shape.Errorf("conv3x3: bias gradient of %d floats from %d, want %d from %d", len(db), len(dy), p.s.K, p.ny)
	}
	p.team.Begin()
	defer p.team.End()
	p.dst, p.src = db, dy
	err := p.team.Run(context.Background(), p.s.K, p.sumPlanes)
	p.dst, p.src = nil, nil
	return err
}

// ReLUGrad sets dy[i] to 0 where y[i] ≤ 0: the gradient of the ReLU that made y. A NaN in y
// lets the gradient pass, as in PyTorch. ReLUGrad panics if the lengths differ, and does not
// allocate.
func ReLUGrad(dy, y []float32) {
	if len(dy) != len(y) {
		panic("conv3x3: lengths of dy and y differ")
	}
	whole := len(dy) &^ 15
	activation.ReLUGrad(dy[:whole], y[:whole])
	for i := whole; i < len(y); i++ {
		if y[i] <= 0 {
			dy[i] = 0
		}
	}
}

func (p *GradPlan) check(x, dy []float32) error {
	if len(x) != p.nx || len(dy) != p.ny {
		return shape.Errorf("conv3x3: operands of %d and %d floats, want %d and %d", len(x), len(dy), p.nx, p.ny)
	}
	return nil
}

// convert runs load or store over the blocks of all pictures.
func (p *GradPlan) convert(item func(worker, item int), dst, src []float32, channels, plane int) error {
	p.dst, p.src, p.channels, p.plane = dst, src, channels, plane
	err := p.team.Run(context.Background(), p.s.N*layout.Blocks(channels), item)
	p.dst, p.src = nil, nil
	return err
}

func (p *GradPlan) loadBlock(_, item int) {
	layout.LoadBlock(p.channels, p.plane, item, p.dst, p.src)
}

func (p *GradPlan) storeBlock(_, item int) {
	layout.StoreBlock(p.channels, p.plane, item, p.dst, p.src)
}

func (p *GradPlan) sumPlane(_, k int) {
	plane, sum := p.s.OH()*p.s.OW(), 0.0
	for n := range p.s.N {
		for _, v := range p.src[(n*p.s.K+k)*plane:][:plane] {
			sum += float64(v)
		}
	}
	p.dst[k] = float32(sum)
}
