package conv3x3

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
)

// Plan is a convolution of one shape with packed filters and its own scratch
// memory, for activations in NCHW. One goroutine at a time may use it.
type Plan struct {
	srcLen, dstLen int
	s              Shape
	oh, ow         int
	team           *parallel.Team
	exec           *Exec
	pool           *pool.Exec // after a direct convolution
	planar         bool
	in, mid, out   []float32 // blocked
	load, store    func(worker, item int)
	dst, src       []float32 // of the call under way
}

// NewPlan packs filters [K][C][3][3] and K biases (nil for none); neither is
// kept. Its errors wrap ErrShape.
func NewPlan(s Shape, weights, bias []float32, opts ...Option) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o := collect(opts)
	if o.workers < 1 || o.workers > parallel.MaxWorkers {
		return nil, shape.Errorf("conv3x3: %d workers, want 1 to %d", o.workers, parallel.MaxWorkers)
	}
	team := parallel.NewTeam(o.workers)
	team.Begin()
	defer team.End()
	f, err := NewFilter(s.C, s.K, weights, bias, team, slices.Concat(opts, []Option{Stride(s.stride()), Map(s.OH(), s.OW())})...)
	if err != nil {
		return nil, err
	}
	p := &Plan{s: s, oh: s.OH(), ow: s.OW(), team: team, planar: f.ReadsPlanes()}
	spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Planar: p.planar, Epilogue: o.epilogue}
	after := o.epilogue.Pool && !f.Fuses() // a pool of its own
	spec.Pool = o.epilogue.Pool && !after
	n, err := f.ScratchLen(spec, o.workers)
	if err != nil {
		return nil, err
	}
	if p.exec, err = f.NewExec(spec, layout.Alloc(n), team); err != nil {
		return nil, err
	}
	if !p.planar {
		p.in = layout.Alloc(s.N * layout.Len(s.C, s.H, s.W))
	}
	if after {
		p.mid = layout.Alloc(s.N * layout.Len(s.K, p.oh, p.ow))
		if p.pool, err = pool.NewMaxPool(s.N, s.K, p.oh, p.ow, team); err != nil {
			return nil, shape.Errorf("conv3x3: pool of %d×%d", p.oh, p.ow)
		}
	}
	if o.epilogue.Pool {
		p.oh, p.ow = p.oh/2, p.ow/2
	}
	p.out = layout.Alloc(s.N * layout.Len(s.K, p.oh, p.ow))
	p.srcLen, p.dstLen = s.N*s.C*s.H*s.W, s.N*s.K*p.oh*p.ow
	p.load, p.store = p.loadBlock, p.storeBlock
	return p, nil
}

func (p *Plan) loadBlock(_, item int) {
	layout.LoadBlock(p.s.C, p.s.H*p.s.W, item, p.in, p.src)
}

func (p *Plan) storeBlock(_, item int) {
	layout.StoreBlock(p.s.K, p.oh*p.ow, item, p.dst, p.out)
}

// OutputShape returns the size of the result: Shape's OH and OW, or half of
// them with Pool.
func (p *Plan) OutputShape() (n, k, oh, ow int) { return p.s.N, p.s.K, p.oh, p.ow }

// Forward computes dst [N][K][OH][OW] from src [N][C][H][W]. They must not
// overlap. It returns an error that wraps ErrShape if a length is wrong. It does
// not allocate.
//
// Each result is within 3e-5 of the root mean square of all results for
// Winograd, and within Gamma(9·C+1)·Σ|w||x| of the exact value for Direct.
func (p *Plan) Forward(dst, src []float32) error {
	if len(dst) != p.dstLen || len(src) != p.srcLen {
		return shape.Errorf("conv3x3: operands of %d and %d floats, want %d and %d", len(dst), len(src), p.dstLen, p.srcLen)
	}
	p.team.Begin()
	defer p.team.End()
	p.dst, p.src = dst, src
	defer func() { p.dst, p.src = nil, nil }()
	ctx := context.Background()
	if !p.planar {
		if err := p.team.Run(ctx, p.s.N*layout.Blocks(p.s.C), p.load); err != nil {
			return err
		}
		src = p.in
	}
	to := p.out
	if p.pool != nil {
		to = p.mid
	}
	if err := p.exec.Run(ctx, to, src); err != nil {
		return err
	}
	if p.pool != nil {
		if err := p.pool.Run(ctx, p.out, p.mid); err != nil {
			return err
		}
	}
	return p.team.Run(ctx, p.s.N*layout.Blocks(p.s.K), p.store)
}
