package check

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
	"github.com/nonet-go/nonet/winograd"
)

// kernels collects the rows of Kernels. Its methods stop at the first error.
type kernels struct {
	ctx  context.Context
	team *parallel.Team
	rows []Row
	err  error
}

// Kernels compares each family of kernels that this process has chosen with the
// reference, on small operands with every kind of remainder.
func Kernels(ctx context.Context) ([]Row, error) {
	k := &kernels{ctx: ctx, team: parallel.NewTeam(2)}
	k.team.Begin()
	defer k.team.End()
	for _, family := range []func(){k.convolutions, k.fixedConvolutions, k.strides, k.products, k.connected, k.pools, k.vectors} {
		if family(); k.err != nil {
			return nil, fmt.Errorf("check: kernels: %w", k.err)
		}
	}
	return k.rows, nil
}

// random returns n numbers in [−1, 1), different for each tensor.
func random(tensor uint64, n int) []float32 {
	x := make([]float32, n)
	seeded.Fill(x, 1, tensor, 1)
	return x
}

// row adds a comparison, unless the computation before it failed.
func (k *kernels) row(family, what string, err error, got []float32, want []float64) {
	if k.err == nil {
		k.err = err
	}
	r := newRow("kernels", family, what, got, want)
	r.RMSBound = maxBound // sums of gradients cancel
	r.OK = r.Max <= maxBound
	k.rows = append(k.rows, r)
}

// exact is row for results without rounding.
func (k *kernels) exact(family, what string, err error, got []float32, want []float64) {
	k.row(family, what, err, got, want)
	r := &k.rows[len(k.rows)-1]
	r.MaxBound, r.RMSBound, r.OK = 0, 0, r.Max == 0
}

func (k *kernels) convolutions() {
	s := conv3x3.Shape{N: 2, C: 37, H: 13, W: 11, K: 70, Pad: 1}
	shape := ref.ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, K: s.K, KH: 3, KW: 3, Pad: s.Pad}
	x, w, b, dy := random(1, shape.InputLen()), random(2, shape.WeightLen()), random(3, s.K), random(4, shape.OutputLen())
	want, _ := ref.Conv2D(shape, x, w, b)
	relu := ref.ReLU(want)
	pooled, _ := ref.MaxPool2x2(s.N*s.K, s.OH(), s.OW(), relu)
	wantX, _ := ref.Conv2DInputGrad(shape, dy, w)
	wantW, _ := ref.Conv2DWeightGrad(shape, x, dy)
	for _, a := range []struct {
		name string
		opt  conv3x3.Option
	}{{"direct", conv3x3.Direct()}, {"F(2×2,3×3)", conv3x3.Winograd(2)}, {"F(4×4,3×3)", conv3x3.Winograd(4)}} {
		forward := func(what string, want []float64, follow ...conv3x3.Option) {
			y := make([]float32, len(want))
			p, err := conv3x3.NewPlan(s, w, b, append(follow, a.opt, conv3x3.Workers(2))...)
			if err == nil {
				err = p.Forward(y, x)
			}
			k.row(a.name, what, err, y, want)
		}
		forward("convolution", want)
		forward("convolution, ReLU", relu, conv3x3.ReLU())
		forward("convolution, ReLU, pool", pooled, conv3x3.Pool())
		dx, dw := make([]float32, len(x)), make([]float32, len(w))
		g, err := conv3x3.NewGradPlan(s, w, a.opt, conv3x3.Workers(2))
		if err == nil {
			err = g.InputGrad(dx, dy)
		}
		k.row(a.name, "input gradient", err, dx, wantX)
		if a.name == "F(2×2,3×3)" {
			continue // it has no weight gradient of its own
		}
		if err == nil {
			err = g.WeightGrad(dw, x, dy)
		}
		k.row(a.name, "weight gradient", err, dw, wantW)
	}
}

// fixedBound is the largest error of a convolution in fixed point, as a part of the root
// mean square of its outputs. docs/numerics.md has the bound for each element; with random
// operands of this size the largest error is a fifth of this.
const fixedBound = 1e-2

// fixedConvolutions compares convolutions in fixed point.
func (k *kernels) fixedConvolutions() {
	s := conv3x3.Shape{N: 2, C: 37, H: 13, W: 11, K: 70, Pad: 1}
	x, w, b := random(1, s.N*s.C*s.H*s.W), random(2, s.K*s.C*9), random(3, s.K)
	conv := func(s conv3x3.Shape) []float64 {
		want, _ := ref.Conv2D(ref.ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, K: s.K, KH: 3, KW: 3, Pad: s.Pad, Stride: s.Stride}, x, w, b)
		return want
	}
	want, strided := conv(s), s
	relu := ref.ReLU(want)
	pooled, _ := ref.MaxPool2x2(s.N*s.K, s.OH(), s.OW(), relu)
	strided.Stride = 2
	for _, f := range []struct {
		family, what string
		s            conv3x3.Shape
		want         []float64
		opts         []conv3x3.Option
	}{
		{"F(4×4,3×3) int16", "convolution", s, want, nil},
		{"F(4×4,3×3) int16", "convolution, ReLU", s, relu, []conv3x3.Option{conv3x3.ReLU()}},
		{"F(4×4,3×3) int16", "convolution, ReLU, pool", s, pooled, []conv3x3.Option{conv3x3.Pool()}},
		{"stride 2, int16", "convolution, ReLU", strided, ref.ReLU(conv(strided)), []conv3x3.Option{conv3x3.ReLU()}},
	} {
		y := make([]float32, len(f.want))
		p, err := conv3x3.NewPlan(f.s, w, b, append(f.opts, conv3x3.Fixed(), conv3x3.Workers(2))...)
		if err == nil {
			err = p.Forward(y, x)
		}
		k.row(f.family, f.what, err, y, f.want)
		r := &k.rows[len(k.rows)-1]
		r.MaxBound, r.RMSBound, r.OK = fixedBound, fixedBound, r.Max <= fixedBound
	}
	k.storedFilters(s, w)
}

// storedFilters stores filters in fixed point and loads them, which loses nothing.
func (k *kernels) storedFilters(s conv3x3.Shape, w []float32) {
	f, err := conv3x3.NewFilter(s.C, s.K, w, nil, k.team, conv3x3.Fixed())
	if err != nil {
		k.row("F(4×4,3×3) int16", "stored filters", err, nil, nil)
		return
	}
	again, err := conv3x3.NewStoredFilter(s.C, s.K, func(kb int, b winograd.StoredBlock) error { f.StoreFixed(kb, b); return nil }, nil, k.team)
	if err != nil {
		k.row("F(4×4,3×3) int16", "stored filters", err, nil, nil)
		return
	}
	k.exact("F(4×4,3×3) int16", "stored filters", nil, again.Weights(nil), ref.Float64(f.Weights(nil)))
}

// strides compares convolutions with stride 2 and their gradients.
func (k *kernels) strides() {
	for _, c := range []int{5, 37} { // two algorithms
		s := conv3x3.Shape{N: 2, C: c, H: 13, W: 18, K: 70, Pad: 1, Stride: 2}
		shape := ref.ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, K: s.K, KH: 3, KW: 3, Pad: s.Pad, Stride: 2}
		x, w, b, dy := random(11, shape.InputLen()), random(12, shape.WeightLen()), random(13, s.K), random(14, shape.OutputLen())
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		family := fmt.Sprintf("stride 2, %d channels", c)

		want, _ := ref.Conv2D(shape, x, w, b)
		p, err := conv3x3.NewPlan(s, w, b, conv3x3.ReLU(), conv3x3.Workers(2))
		if err == nil {
			err = p.Forward(y, x)
		}
		k.row(family, "convolution, ReLU", err, y, ref.ReLU(want))

		g, err := conv3x3.NewGradPlan(s, w, conv3x3.Workers(2))
		if err == nil {
			err = g.InputGrad(dx, dy)
		}
		want, _ = ref.Conv2DInputGrad(shape, dy, w)
		k.row(family, "input gradient", err, dx, want)
		if err == nil {
			err = g.WeightGrad(dw, x, dy)
		}
		want, _ = ref.Conv2DWeightGrad(shape, x, dy)
		k.row(family, "weight gradient", err, dw, want)
	}
}

func (k *kernels) products() {
	const m, n, inner = 19, 133, 530
	a, b := random(5, m*inner), random(6, n*inner)
	y := make([]float32, m*n)
	want, _ := ref.Gemm(false, true, m, n, inner, 1, a, inner, b, inner, 0, y, n)
	g := gemm.NewMultiplier(k.team)
	err := g.SGEMM(k.ctx, false, true, m, n, inner, 1, a, inner, b, inner, 0, y, n)
	k.row("product", "SGEMM", err, y, want)

	s := ref.ConvShape{N: 2, C: 37, H: 13, W: 11, K: 70, KH: 1, KW: 1}
	x, w, bias, dy := random(7, s.InputLen()), random(8, s.WeightLen()), random(9, s.K), random(10, s.OutputLen())
	want, _ = ref.Conv2D(s, x, w, bias)
	y = make([]float32, len(dy))
	dst := make([]float32, s.N*layout.Len(s.K, s.H, s.W))
	p, err := gemm.NewPointwise(s.C, s.K, w, bias)
	if err == nil {
		var e *gemm.PointwiseExec
		if e, err = p.NewExec(s.N, s.H, s.W, fuse.Epilogue{}, k.team); err == nil {
			err = e.Run(k.ctx, dst, blocked(x, s.N, s.C, s.H, s.W))
		}
	}
	unblock(y, dst, s.N, s.K, s.H, s.W)
	k.row("1×1", "convolution", err, y, want)

	want, _ = ref.Conv2DWeightGrad(s, x, dy)
	dw := make([]float32, len(w))
	wg, err := gemm.NewPointwiseWeightGrad(s.N, s.C, s.H, s.W, s.K, k.team)
	if err == nil {
		err = wg.Run(k.ctx, dw, nil, blocked(x, s.N, s.C, s.H, s.W), blocked(dy, s.N, s.K, s.H, s.W))
	}
	k.row("1×1", "weight gradient", err, dw, want)
}

// connected checks fully connected layers in both precisions. The reference of half
// precision has rounded weights.
func (k *kernels) connected() {
	const n, out, in = 9, 333, 1040
	x, w, b := random(11, n*in), random(12, out*in), random(13, out)
	rounded := make([]float32, len(w)) // w itself would be stored in half precision, were it this
	for i, v := range w {
		rounded[i] = half.ToFloat32(half.FromFloat32(v))
	}
	for _, storage := range []struct {
		name    string
		weights []float32
		opts    []gemm.Option
	}{{"float32", w, nil}, {"float16", rounded, []gemm.Option{gemm.Half()}}} {
		y := make([]float32, n*out)
		want, _ := ref.Linear(n, in, out, x, storage.weights, b)
		l, err := gemm.NewLinear(in, out, storage.weights, b, nil, storage.opts...)
		if err == nil {
			var e *gemm.LinearExec
			if e, err = l.NewExec(n, k.team); err == nil {
				err = e.Run(k.ctx, n, y, x)
			}
		}
		k.row("fully connected", storage.name, err, y, want)
		if err == nil {
			var e *gemm.LinearExec
			if e, err = l.NewExec(1, nil); err == nil {
				err = e.Run(k.ctx, 1, y[:out], x[:in])
			}
		}
		k.row("fully connected", storage.name+", one input", err, y[:out], want[:out])
	}
	k.fixed()
}

// fixed checks a fully connected layer of whole numbers, which come out exactly where the
// largest of each row needs all bits.
func (k *kernels) fixed() {
	const n, out, in = 9, 133, 1040
	whole := func(tensor uint64, rows, most int) []float32 {
		x := random(tensor, rows*in)
		for i, v := range x {
			x[i] = float32(int(v * float32(most)))
			if i%in == i/in {
				x[i] = float32(most)
			}
		}
		return x
	}
	x, w := whole(14, n, 1<<15-1), whole(15, out, 1<<7-1)
	want, _ := ref.Linear(n, in, out, x, w, nil)
	for i, v := range want {
		want[i] = float64(float32(v))
	}
	y := make([]float32, n*out)
	l, err := gemm.NewLinear(in, out, w, nil, nil, gemm.Fixed())
	if err == nil {
		var e *gemm.LinearExec
		if e, err = l.NewExec(n, k.team); err == nil {
			err = e.Run(k.ctx, n, y, x)
		}
	}
	k.exact("fully connected", "whole numbers", err, y, want)
}

func (k *kernels) pools() {
	const n, c, h, w = 2, 37, 9, 11
	x, dy, dz := random(14, n*c*h*w), random(15, n*c*(h/2)*(w/2)), random(16, n*c*h*w)
	bx, by := blocked(x, n, c, h, w), make([]float32, n*layout.Len(c, h/2, w/2))
	want, arg := ref.MaxPool2x2(n*c, h, w, x)
	m, err := pool.NewMaxPool(n, c, h, w, k.team)
	if err == nil {
		err = m.Run(k.ctx, by, bx)
	}
	y := make([]float32, len(dy))
	unblock(y, by, n, c, h/2, w/2)
	k.exact("pool", "maximum", err, y, want)

	full, back := make([]float32, len(x)), make([]float32, len(bx))
	g, err := pool.NewMaxPoolGrad(n, c, h, w, fuse.Epilogue{}, k.team)
	if err == nil {
		err = g.Run(k.ctx, back, bx, by, blocked(dy, n, c, h/2, w/2))
	}
	unblock(full, back, n, c, h, w)
	k.exact("pool", "gradient of the maximum", err, full, ref.MaxPool2x2Grad(n*c, h, w, arg, dy))

	for i := range x {
		x[i] *= 100 // so that the sum of squares matters
	}
	bx = blocked(x, n, c, h, w)
	l, err := pool.NewLRN(n, c, h, w, k.team)
	if err == nil {
		err = l.Run(k.ctx, back, bx)
	}
	unblock(full, back, n, c, h, w)
	k.row("normalisation", "forward", err, full, ref.LRN(ref.VGGLRN, n, c, h*w, x))
	lg, err := pool.NewLRNGrad(n, c, h, w, k.team)
	if err == nil {
		err = lg.Run(k.ctx, back, bx, blocked(dz, n, c, h, w))
	}
	unblock(full, back, n, c, h, w)
	want, _ = ref.LRNGrad(ref.VGGLRN, n, c, h*w, x, dz)
	k.row("normalisation", "gradient", err, full, want)
}

// blocked converts n pictures from NCHW.
func blocked(x []float32, n, c, h, w int) []float32 {
	b := make([]float32, n*layout.Len(c, h, w))
	for i := range n {
		layout.FromNCHW(c, h, w, b[i*layout.Len(c, h, w):], x[i*c*h*w:])
	}
	return b
}

// unblock converts n pictures to NCHW.
func unblock(y, b []float32, n, c, h, w int) {
	for i := range n {
		layout.ToNCHW(c, h, w, y[i*c*h*w:], b[i*layout.Len(c, h, w):])
	}
}
