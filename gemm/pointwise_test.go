package gemm

import (
	"context"
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

type pointwiseShape struct{ n, c, h, w, k int }

// pointwise runs a kernel on NCHW operands; the memory around the blocked ones
// is poisoned.
func pointwise(t testing.TB, kern *ukernel.Indirect, s pointwiseShape, x, w, bias []float32, relu bool, workers int) []float32 {
	t.Helper()
	p, err := newPointwise(kern, s.c, s.k, w, bias)
	require.NoError(t, err)
	team := parallel.NewTeam(workers)
	e, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{ReLU: relu}, team)
	require.NoError(t, err)
	in, out := layout.Len(s.c, s.h, s.w), layout.Len(s.k, s.h, s.w)
	src, dst := testutil.NaNGuarded(t, s.n*in), testutil.NaNGuarded(t, s.n*out)
	for i := range s.n {
		layout.FromNCHW(s.c, s.h, s.w, src[i*in:][:in], x[i*s.c*s.h*s.w:])
	}
	team.Begin()
	defer team.End()
	require.NoError(t, e.Run(context.Background(), dst, src))
	y := make([]float32, s.n*s.k*s.h*s.w)
	for i := range s.n {
		layout.ToNCHW(s.k, s.h, s.w, y[i*s.k*s.h*s.w:], dst[i*out:][:out])
	}
	for i, v := range dst {
		if ch := i/(16*s.h*s.w)%layout.Blocks(s.k)*16 + i%16; ch >= s.k {
			require.Zero(t, v, "padded channel %d", ch)
		}
	}
	return y
}

func testPointwise(t *testing.T, kern *ukernel.Indirect, s pointwiseShape, seed uint64) {
	t.Helper()
	shape := ref.ConvShape{N: s.n, C: s.c, H: s.h, W: s.w, K: s.k, KH: 1, KW: 1}
	x, w, b := testutil.Ints(seed, s.n*s.c*s.h*s.w, -4, 4), testutil.Ints(seed+1, s.k*s.c, -4, 4), testutil.Ints(seed+2, s.k, -4, 4)
	want, _ := ref.Conv2D(shape, x, w, b)
	testutil.CheckExact(t, "integers", s, pointwise(t, kern, s, x, w, b, false, 1), want)

	x, w, b = testutil.Normal(seed, len(x)), testutil.Normal(seed+1, len(w)), testutil.Normal(seed+2, len(b))
	want, mag := ref.Conv2D(shape, x, w, b)
	got := pointwise(t, kern, s, x, w, b, true, 1)
	testutil.Check(t, "normal", s, got, ref.ReLU(want), ref.Bound(s.c+1, mag))
	testutil.CheckBits(t, "workers", s, pointwise(t, kern, s, x, w, b, true, 3), got)
}

func TestPointwise(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for j, s := range []pointwiseShape{{1, 1, 1, 1, 1}, {2, 16, 3, 5, 16}, {3, 20, 4, 4, 70}, {1, 33, 1, 9, 48}, {1, 3, 20, 25, 3}, {2, 64, 15, 16, 130}} {
			testPointwise(t, kern, s, uint64(3*j))
		}
	})
}

// TestPointwiseAdd: a residual is added before the ReLU, on every kernel; the sum without it
// is what an exec without a residual gives.
func TestPointwiseAdd(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []pointwiseShape{{1, 1, 1, 1, 1}, {3, 20, 4, 4, 70}, {2, 64, 15, 16, 130}} {
			p, err := newPointwise(kern, s.c, s.k, testutil.Normal(uint64(i), s.k*s.c), testutil.Normal(1, s.k))
			require.NoError(t, err)
			x, residual := testutil.Normal(2, s.n*layout.Len(s.c, s.h, s.w)), testutil.Normal(3, s.n*layout.Len(s.k, s.h, s.w))
			testutil.Unchanged(t, "residual", residual)
			sum, want := make([]float32, len(residual)), make([]float64, len(residual))
			plain, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{}, nil)
			require.NoError(t, err)
			require.NoError(t, plain.Run(context.Background(), sum, x))
			require.ErrorIs(t, plain.RunAdd(context.Background(), sum, x, residual), ErrShape)
			for _, relu := range []bool{false, true} {
				for j := range want {
					if want[j] = float64(sum[j] + residual[j]); relu {
						want[j] = max(want[j], 0)
					}
				}
				for _, workers := range []int{1, 3} {
					e, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{Add: true, ReLU: relu}, parallel.NewTeam(workers))
					require.NoError(t, err)
					dst := testutil.NaNGuarded(t, len(residual))
					require.NoError(t, e.RunAdd(context.Background(), dst, x, residual))
					testutil.CheckExact(t, "sum", s, dst, want)
					require.Zero(t, testutil.AllocsPerRun(3, func() { _ = e.RunAdd(context.Background(), dst, x, residual) }))
					require.ErrorIs(t, e.Run(context.Background(), dst, x), ErrShape)
					require.ErrorIs(t, e.RunAdd(context.Background(), dst, x, residual[1:]), ErrShape)
				}
			}
		}
	})
}

func TestPointwiseErrors(t *testing.T) {
	_, err := NewPointwise(2, 3, make([]float32, 5), nil)
	require.ErrorIs(t, err, ErrShape)
	p, err := NewPointwise(2, 3, make([]float32, 6), nil)
	require.NoError(t, err)
	_, err = p.NewExec(1, 0, 1, fuse.Epilogue{}, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = p.NewExec(1, 1, 1, fuse.Epilogue{Pool: true}, nil)
	require.ErrorIs(t, err, ErrShape)
	e, err := p.NewExec(1, 1, 1, fuse.Epilogue{}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, e.Run(context.Background(), make([]float32, 16), make([]float32, 15)), ErrShape)
}

// TestPointwiseAllocates covers the two gradients and the product of matrices too,
// once the Multiplier has its memory.
func TestPointwiseAllocates(t *testing.T) {
	const n, c, h, w, k = 2, 20, 5, 6, 40
	team, ctx := parallel.NewTeam(2), context.Background()
	x, y, dw, db := make([]float32, n*layout.Len(c, h, w)), make([]float32, n*layout.Len(k, h, w)), make([]float32, k*c), make([]float32, k)
	p, err := NewPointwise(c, k, dw, nil)
	require.NoError(t, err)
	e, err := p.NewExec(n, h, w, fuse.Epilogue{ReLU: true}, team)
	require.NoError(t, err)
	g, err := NewPointwiseWeightGrad(n, c, h, w, k, team)
	require.NoError(t, err)
	m := NewMultiplier(team)
	for name, run := range map[string]func() error{
		"forward":         func() error { return e.Run(ctx, y, x) },
		"weight gradient": func() error { return g.Run(ctx, dw, db, x, y) },
		"product":         func() error { return m.SGEMM(ctx, false, true, c, k, 9, 1, x, 9, y, 9, 0, dw, k) },
	} {
		require.NoError(t, run())
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = run() }), name)
	}
}

func FuzzPointwiseGrad(f *testing.F) {
	f.Add(uint64(1), uint8(16), uint8(7), uint8(64))
	f.Fuzz(func(t *testing.T, seed uint64, c, hw, k uint8) {
		testPointwiseGrad(t, pointwiseShape{1, 1 + int(c)%40, 1 + int(hw)%7, 1 + int(hw)/7, 1 + int(k)%140}, seed)
	})
}

func FuzzPointwise(f *testing.F) {
	f.Add(uint64(1), uint8(16), uint8(7), uint8(64))
	f.Fuzz(func(t *testing.T, seed uint64, c, hw, k uint8) {
		for i := range ukernel.IndirectKernels {
			if cpu.Has(ukernel.IndirectKernels[i].ISA) {
				testPointwise(t, &ukernel.IndirectKernels[i], pointwiseShape{1, 1 + int(c)%40, 1 + int(hw)%7, 1 + int(hw)/7, 1 + int(k)%140}, seed)
			}
		}
	})
}

func BenchmarkPointwise(b *testing.B) {
	for _, s := range []pointwiseShape{{1, 256, 56, 56, 256}, {1, 512, 28, 28, 512}, {1, 512, 14, 14, 512}} {
		for i := range ukernel.IndirectKernels {
			kern := &ukernel.IndirectKernels[i]
			if !cpu.Has(kern.ISA) || kern.ISA == cpu.Generic {
				continue
			}
			b.Run(fmt.Sprintf("c=%d/h=%d/k=%d/kernel=%s", s.c, s.h, s.k, kern.Name), func(b *testing.B) {
				p, err := newPointwise(kern, s.c, s.k, testutil.Normal(1, s.c*s.k), nil)
				require.NoError(b, err)
				e, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{ReLU: true}, nil)
				require.NoError(b, err)
				dst, src := layout.Alloc(layout.Len(s.k, s.h, s.w)), layout.Alloc(layout.Len(s.c, s.h, s.w))
				for b.Loop() {
					require.NoError(b, e.Run(context.Background(), dst, src))
				}
				b.ReportMetric(2*float64(s.c*s.k*s.h*s.w)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func TestPointwiseGradients(t *testing.T) {
	for i, s := range []pointwiseShape{{1, 1, 1, 1, 1}, {2, 16, 3, 5, 16}, {3, 20, 4, 4, 70}, {1, 33, 20, 15, 48}} {
		testPointwiseGrad(t, s, uint64(i))
	}
}

func testPointwiseGrad(t *testing.T, s pointwiseShape, seed uint64) {
	t.Helper()
	shape := ref.ConvShape{N: s.n, C: s.c, H: s.h, W: s.w, K: s.k, KH: 1, KW: 1}
	x, dy := testutil.Normal(seed, s.n*s.c*s.h*s.w), testutil.Normal(seed+9, s.n*s.k*s.h*s.w)
	blocked := func(x []float32, c int) []float32 {
		b := testutil.NaNGuarded(t, s.n*layout.Len(c, s.h, s.w))
		for j := range s.n {
			layout.FromNCHW(c, s.h, s.w, b[j*layout.Len(c, s.h, s.w):], x[j*c*s.h*s.w:])
		}
		return b
	}
	want, mag := ref.Conv2DWeightGrad(shape, x, dy)
	wantBias, magBias := ref.Conv2DBiasGrad(shape, dy)
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		g, err := NewPointwiseWeightGrad(s.n, s.c, s.h, s.w, s.k, team)
		require.NoError(t, err)
		dw, db := testutil.NaNGuarded(t, s.k*s.c), testutil.NaNGuarded(t, s.k)
		require.NoError(t, g.Run(context.Background(), dw, db, blocked(x, s.c), blocked(dy, s.k)))
		testutil.Check(t, "dW", s, dw, want, ref.Bound(s.n*s.h*s.w, mag))
		testutil.Check(t, "db", s, db, wantBias, ref.Bound(s.n*s.h*s.w, magBias))
	}

	w := testutil.Normal(seed+20, s.k*s.c)
	want, mag = ref.Conv2DInputGrad(shape, dy, w)
	p, err := NewPointwise(s.k, s.c, make([]float32, len(w)), nil)
	require.NoError(t, err)
	p.Repack(true, w, nil)
	e, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{}, nil)
	require.NoError(t, err)
	dst := testutil.NaNGuarded(t, s.n*layout.Len(s.c, s.h, s.w))
	require.NoError(t, e.Run(context.Background(), dst, blocked(dy, s.k)))
	dx := make([]float32, len(x))
	for j := range s.n {
		layout.ToNCHW(s.c, s.h, s.w, dx[j*s.c*s.h*s.w:], dst[j*layout.Len(s.c, s.h, s.w):])
	}
	testutil.Check(t, "dX", s, dx, want, ref.Bound(s.k, mag))
}

// TestPointwiseGradWorkersApart: what a worker computes touches no sums of another worker.
func TestPointwiseGradWorkersApart(t *testing.T) {
	const n, c, h, w, k, workers = 2, 20, 3, 5, 40, 3
	g, err := NewPointwiseWeightGrad(n, c, h, w, k, parallel.NewTeam(workers))
	require.NoError(t, err)
	src, dy := testutil.Normal(1, n*layout.Len(c, h, w)), testutil.Normal(2, n*layout.Len(k, h, w))
	want, wantBias := make([]float32, k*c), make([]float32, k)
	require.NoError(t, g.Run(context.Background(), want, wantBias, src, dy))
	for worker := range workers {
		clear(g.sums)
		g.dw, g.db, g.src, g.dy = make([]float32, k*c), make([]float32, k), src, dy
		for item := range layout.Blocks(c) * layout.Blocks(k) {
			g.block(worker, item)
		}
		testutil.CheckBits(t, "weights of worker", worker, g.dw, want)
		testutil.CheckBits(t, "biases of worker", worker, g.db, wantBias)
		for i := range g.sums {
			require.Equal(t, i == worker, g.sums[i].sum != [256]float32{}, "sums of worker %d", i)
			require.Equal(t, i == worker, g.sums[i].part != [16]float32{}, "biases of worker %d", i)
		}
	}
}

// TestPointwisePlan: the text has the product of a picture, the kernel and the items of the
// pictures.
func TestPointwisePlan(t *testing.T) {
	p, err := NewPointwise(20, 40, make([]float32, 800), nil)
	require.NoError(t, err)
	for _, s := range [][2]int{{3, 5}, {40, 30}} {
		e, err := p.NewExec(2, s[0], s[1], fuse.Epilogue{}, nil)
		require.NoError(t, err)
		text := p.Plan(2, s[0], s[1])
		for _, want := range []string{
			fmt.Sprintf("%d×40×20 (m×n×k) for each picture", s[0]*s[1]),
			fmt.Sprintf("MR %d, NR %d", p.kernel.MR, p.kernel.NR), fmt.Sprintf("MC %d, KC 20", e.run), p.kernel.Symbol(min(p.kernel.MR, s[0]*s[1]), p.kernel.NR),
		} {
			require.Contains(t, text, want)
		}
		require.Regexp(t, fmt.Sprintf(`items +%d(\n|$)`, 2*e.runs), text)
	}
	require.EqualValues(t, 4*len(p.u), p.Bytes())
}
