package samebits

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/pool"
	"github.com/nonet-go/nonet/winograd"
)

// algorithms of a convolution of 3×3.
var algorithms = []struct {
	name string
	opt  conv3x3.Option
}{{"direct", conv3x3.Direct()}, {"F(2×2,3×3)", conv3x3.Winograd(2)}, {"F(4×4,3×3)", conv3x3.Winograd(4)}}

func convolutions(h *hashes) {
	for _, s := range []conv3x3.Shape{
		{N: 1, C: 3, H: 12, W: 13, K: 20, Pad: 1}, // an image
		{N: 2, C: 17, H: 4, W: 4, K: 16, Pad: 0},
		{N: 2, C: 37, H: 13, W: 11, K: 70, Pad: 1},
		{N: 1, C: 64, H: 6, W: 29, K: 65, Pad: 0},
	} {
		x, w, b := data(1, s.N*s.C*s.H*s.W), data(2, s.K*s.C*9), data(3, s.K)
		dy := data(4, s.N*s.K*s.OH()*s.OW())
		for _, a := range algorithms {
			name := fmt.Sprintf("convolution by %s %d×%d×%d×%d to %d", a.name, s.N, s.C, s.H, s.W, s.K)
			for _, follow := range [][]conv3x3.Option{nil, {conv3x3.ReLU()}, {conv3x3.Pool()}} {
				p, err := conv3x3.NewPlan(s, w, b, append(follow, a.opt, conv3x3.Workers(h.workers))...)
				h.do(err)
				n, k, oh, ow := p.OutputShape()
				y := make([]float32, n*k*oh*ow)
				h.do(p.Forward(y, x))
				h.add(name, y)
			}
			g, err := conv3x3.NewGradPlan(s, w, a.opt, conv3x3.Workers(h.workers))
			h.do(err)
			dx, dw, db := make([]float32, len(x)), make([]float32, len(w)), make([]float32, s.K)
			h.do(g.InputGrad(dx, dy))
			h.add(name+", gradient of the input", dx)
			h.do(g.WeightGrad(dw, x, dy))
			h.do(g.BiasGrad(db, dy))
			h.add(name+", gradient of the weights", append(dw, db...))
		}
	}
}

// strided convolutions leave remainders of rows, columns and channels. Those of few channels
// have an algorithm of their own.
func strided(h *hashes) {
	for _, s := range []conv3x3.Shape{
		{N: 1, C: 3, H: 12, W: 13, K: 20, Pad: 1, Stride: 2}, // an image
		{N: 2, C: 17, H: 5, W: 4, K: 16, Pad: 0, Stride: 2},
		{N: 2, C: 37, H: 13, W: 12, K: 150, Pad: 1, Stride: 2},
		{N: 1, C: 400, H: 6, W: 5, K: 17, Pad: 1, Stride: 2}, // several calls for a sum
		{N: 1, C: 32, H: 9, W: 60, K: 65, Pad: 0, Stride: 2}, // wide rows
	} {
		x, w, b := data(1, s.N*s.C*s.H*s.W), data(2, s.K*s.C*9), data(3, s.K)
		dy := data(4, s.N*s.K*s.OH()*s.OW())
		name := fmt.Sprintf("stride 2 %d×%d×%d×%d to %d", s.N, s.C, s.H, s.W, s.K)
		for _, follow := range [][]conv3x3.Option{nil, {conv3x3.ReLU()}} {
			p, err := conv3x3.NewPlan(s, w, b, append(follow, conv3x3.Workers(h.workers))...)
			h.do(err)
			y := make([]float32, len(dy))
			h.do(p.Forward(y, x))
			h.add(name, y)
		}
		g, err := conv3x3.NewGradPlan(s, w, conv3x3.Workers(h.workers))
		h.do(err)
		dx, dw, db := make([]float32, len(x)), make([]float32, len(w)), make([]float32, s.K)
		h.do(g.InputGrad(dx, dy))
		h.add(name+", gradient of the input", dx)
		h.do(g.WeightGrad(dw, x, dy))
		h.do(g.BiasGrad(db, dy))
		h.add(name+", gradient of the weights", append(dw, db...))
	}
}

// residuals are added by convolutions of each algorithm.
func residuals(h *hashes) {
	ctx := context.Background()
	for _, s := range []conv3x3.Shape{{N: 2, C: 37, H: 13, W: 11, K: 70, Pad: 1, Stride: 1}, {N: 2, C: 37, H: 13, W: 12, K: 70, Pad: 1, Stride: 2}} {
		x, residual := blocked(h, 1, s.N, s.C, s.H*s.W), blocked(h, 2, s.N, s.K, s.OH()*s.OW())
		for _, a := range algorithms {
			if s.Stride == 2 && a.name != "direct" {
				continue
			}
			f, err := conv3x3.NewFilter(s.C, s.K, data(3, s.K*s.C*9), data(4, s.K), h.team, a.opt, conv3x3.Stride(s.Stride))
			h.do(err)
			for _, relu := range []bool{false, true} {
				spec := conv3x3.Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Epilogue: fuse.Epilogue{ReLU: relu, Add: true}}
				n, err := f.ScratchLen(spec, h.workers)
				h.do(err)
				e, err := f.NewExec(spec, layout.Alloc(n), h.team)
				h.do(err)
				y := make([]float32, len(residual))
				h.do(e.RunAdd(ctx, y, x, residual))
				h.add(fmt.Sprintf("sum with a residual by %s, stride %d", a.name, s.Stride), y)
			}
		}
	}
}

// winogradFilters run in both orders of the loops: blocks of tiles outside, and panels of
// outputs outside.
func winogradFilters(h *hashes) {
	for _, s := range []struct{ c, h, w, k int }{{128, 20, 23, 48}, {320, 9, 9, 320}} {
		for _, m := range []int{2, 4} {
			f, err := winograd.NewFilter(m, s.c, s.k, data(1, s.k*s.c*9), h.team)
			h.do(err)
			conv, err := f.NewConv(1, s.h, s.w, 1, data(2, s.k), fuse.Epilogue{ReLU: true})
			h.do(err)
			e, err := conv.NewExec(layout.Alloc(conv.ScratchLen(h.workers)), h.team)
			h.do(err)
			x := blocked(h, 3, 1, s.c, s.h*s.w)
			y := make([]float32, layout.Len(s.k, s.h, s.w))
			h.do(e.RunMasked(context.Background(), y, x, blocked(h, 4, 1, s.k, s.h*s.w)))
			h.add(fmt.Sprintf("F(%d×%d,3×3) %d×%d×%d to %d, masked", m, m, s.c, s.h, s.w, s.k), y)
		}
	}
}

// fixedConvolutions run in both orders of the loops, with inputs of either sign and with
// inputs behind a ReLU. All instruction sets have the same hashes of them, see TestFixedBits.
func fixedConvolutions(h *hashes) {
	for _, s := range []struct{ n, c, h, w, k int }{{2, 37, 13, 11, 70}, {1, 128, 20, 23, 48}, {1, 512, 5, 6, 512}} {
		f, err := winograd.NewFixedFilter(s.c, s.k, data(1, s.k*s.c*9), h.team)
		h.do(err)
		x := blocked(h, 3, s.n, s.c, s.h*s.w)
		for _, e := range []fuse.Epilogue{{}, {ReLU: true}, {ReLU: true, Pool: true}} {
			conv, err := f.NewConv(s.n, s.h, s.w, 1, data(2, s.k), e)
			h.do(err)
			exec, err := conv.NewExec(layout.Alloc(conv.ScratchLen(h.workers)), h.team)
			h.do(err)
			oh, ow := s.h, s.w
			if e.Pool {
				oh, ow = oh/2, ow/2
			}
			y := make([]float32, s.n*layout.Len(s.k, oh, ow))
			h.do(exec.Run(context.Background(), y, x))
			h.add(fmt.Sprintf("F(4×4,3×3) fixed %d×%d×%d×%d to %d", s.n, s.c, s.h, s.w, s.k), y)
			for i, v := range x {
				x[i] = max(v, 0) // from the second on
			}
		}
	}
	stridedFixed(h)
}

// stridedFixed adds convolutions with stride 2 in fixed point.
func stridedFixed(h *hashes) {
	for _, s := range []conv3x3.Shape{{N: 2, C: 37, H: 13, W: 11, K: 70, Pad: 1}, {N: 1, C: 128, H: 20, W: 64, K: 48}, {N: 1, C: 300, H: 7, W: 6, K: 200, Pad: 1}} {
		f, err := conv3x3.NewFilter(s.C, s.K, data(1, s.K*s.C*9), data(2, s.K), h.team, conv3x3.Stride(2), conv3x3.Fixed())
		h.do(err)
		spec := conv3x3.Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}
		n, err := f.ScratchLen(spec, h.workers)
		h.do(err)
		exec, err := f.NewExec(spec, layout.Alloc(n), h.team)
		h.do(err)
		s.Stride = 2
		y := make([]float32, s.N*layout.Len(s.K, s.OH(), s.OW()))
		h.do(exec.Run(context.Background(), y, blocked(h, 3, s.N, s.C, s.H*s.W)))
		h.add(fmt.Sprintf("stride 2 fixed %d×%d×%d×%d to %d", s.N, s.C, s.H, s.W, s.K), y)
	}
}

// pools run on pictures whose channels, rows and columns leave remainders.
func pools(h *hashes) {
	const n, c, height, width = 2, 37, 9, 11
	x, dy := blocked(h, 1, n, c, height*width), blocked(h, 2, n, c, (height/2)*(width/2))
	y, dx := make([]float32, len(dy)), make([]float32, len(x))
	ctx := context.Background()

	maximum, err := pool.NewMaxPool(n, c, height, width, h.team)
	h.do(err)
	h.do(maximum.Run(ctx, y, x))
	h.add("maximum 2×2", y)
	for _, relu := range []bool{false, true} {
		g, err := pool.NewMaxPoolGrad(n, c, height, width, fuse.Epilogue{ReLU: relu}, h.team)
		h.do(err)
		h.do(g.Run(ctx, dx, x, y, dy))
		h.add("maximum 2×2, gradient", dx)
	}

	mean, err := pool.NewAvgPool(n, c, height, width, h.team)
	h.do(err)
	h.do(mean.Run(ctx, y, x))
	h.add("mean 2×2", y)
	meanGrad, err := pool.NewAvgPoolGrad(n, c, height, width, h.team)
	h.do(err)
	h.do(meanGrad.Run(ctx, dx, dy))
	h.add("mean 2×2, gradient", dx)

	global, err := pool.NewGlobalPool(n, c, height, width, h.team)
	h.do(err)
	means := make([]float32, n*layout.Len(c, 1, 1))
	h.do(global.Run(ctx, means, x))
	h.add("mean of channels", means)
	globalGrad, err := pool.NewGlobalPoolGrad(n, c, height, width, h.team)
	h.do(err)
	h.do(globalGrad.Run(ctx, dx, means))
	h.add("mean of channels, gradient", dx)
}

func normalisations(h *hashes) {
	const n, c, height, width = 2, 37, 9, 11
	x, dy := blocked(h, 1, n, c, height*width), blocked(h, 2, n, c, height*width)
	y := make([]float32, len(x))
	ctx := context.Background()
	for i := range x {
		x[i] *= 100 // so that the sum of squares matters
	}
	l, err := pool.NewLRN(n, c, height, width, h.team)
	h.do(err)
	h.do(l.Run(ctx, y, x))
	h.add("local response normalisation", y)
	lg, err := pool.NewLRNGrad(n, c, height, width, h.team)
	h.do(err)
	h.do(lg.Run(ctx, y, x, dy))
	h.add("local response normalisation, gradient", y)

	s, err := pool.NewScale(c, data(3, c), data(4, c), fuse.Epilogue{ReLU: true})
	h.do(err)
	e, err := s.NewExec(n, height, width, h.team)
	h.do(err)
	h.do(e.Run(ctx, y, x))
	h.add("scale", y)
	sg, err := pool.NewScaleGrad(n, c, height, width, h.team)
	h.do(err)
	dw, db := make([]float32, c), make([]float32, c)
	h.do(sg.Run(ctx, y, dw, db, data(3, c), x, dy))
	h.add("scale, gradient", append(append(y, dw...), db...))
}
