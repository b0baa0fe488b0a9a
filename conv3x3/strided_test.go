package conv3x3

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

// stridedShapes have stride 2: odd and even sides, padding 0 and 1, rows of one and of
// several items, channels that fill no block, several groups of panels.
var stridedShapes = []Shape{
	{1, 16, 3, 3, 16, 0, 2}, {2, 17, 5, 8, 20, 1, 2}, {1, 32, 14, 14, 70, 1, 2}, {1, 33, 9, 60, 150, 0, 2}, {3, 16, 1, 1, 1, 1, 2},
	{1, 20, 2, 125, 5, 1, 2}, {1, 48, 28, 7, 33, 1, 2}, {2, 40, 15, 16, 64, 0, 2}, {1, 400, 6, 5, 17, 1, 2},
}

func TestStridedRemainders(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range stridedShapes {
			testDirect(t, kern, problem{s, false, i%2 == 0}, uint64(3*i))
		}
		for w := 1; w <= 4*kern.MR+2; w++ { // every tile
			testDirect(t, kern, problem{Shape{1, 16, 5, w, 1 + 11*w%90, 1, 2}, false, false}, uint64(w))
		}
		for c := 16; c <= 32; c++ { // every last block of channels
			testDirect(t, kern, problem{Shape{1, c, 5, 6, 5, 1, 2}, false, false}, uint64(c))
		}
	})
}

// TestStridedBits: a result depends neither on the team nor on the batch.
func TestStridedBits(t *testing.T) {
	p := problem{Shape{N: 3, C: 37, H: 21, W: 18, K: 150, Pad: 1, Stride: 2}, false, true}
	x, w, b := testutil.Normal(1, 3*37*21*18), testutil.Normal(2, 150*37*9), testutil.Normal(3, 150)
	kern := ukernel.BestIndirect()
	want := convolve(t, kern, p, x, w, b, 1)
	for _, workers := range []int{2, 3, 7} {
		testutil.CheckBits(t, "workers", workers, convolve(t, kern, p, x, w, b, workers), want)
	}
	p.s.N = 1
	testutil.CheckBits(t, "batch of 1", p, convolve(t, kern, p, x[:37*21*18], w, b, 2), want[:len(want)/3])
}

// TestStridedItems: the items cover each panel of each run once, and each worker has eight of
// them or more where there are as many panels and runs.
func TestStridedItems(t *testing.T) {
	for _, s := range append([]Shape{{1, 192, 14, 14, 1280, 1, 2}, {1, 48, 56, 56, 96, 1, 2}, {8, 96, 28, 28, 192, 1, 2}}, stridedShapes...) {
		f, err := NewFilter(s.C, s.K, make([]float32, s.K*s.C*9), nil, nil, Stride(2))
		require.NoError(t, err)
		for workers := 1; workers <= 16; workers++ {
			d := newStridedConv(f.strided, Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}, s.OH(), s.OW())
			d.divide(workers)
			panels, runs := f.strided.panels(), s.N*d.parts[0].runs
			require.Equal(t, runs*d.groups, d.items, "%v", s)
			require.GreaterOrEqual(t, d.groups*d.panels, panels, "%v", s)
			require.Less(t, (d.groups-1)*d.panels, panels, "%v", s)
			require.GreaterOrEqual(t, d.items, min(8*workers, panels*runs), "%v, %d workers", s, workers)
		}
		plan, err := f.Plan(Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}, 2)
		require.NoError(t, err)
		require.Contains(t, plan, " runs of rows by ")
	}
}

// stridedInputGrad runs the gradient with respect to the input on one kernel.
func stridedInputGrad(t testing.TB, kern *ukernel.Indirect, s Shape, w, dy []float32, workers int) []float32 {
	t.Helper()
	f := &Filter{c: s.K, k: s.C, stride: 2, turned: true}
	f.packDirect(kern, w)
	need, err := f.ScratchLen(s.inputGrad(), workers)
	require.NoError(t, err)
	team := parallel.NewTeam(workers)
	e, err := f.NewExec(s.inputGrad(), testutil.NaNGuarded(t, need), team)
	require.NoError(t, err)
	team.Begin()
	defer team.End()
	dst := testutil.NaNGuarded(t, e.dstLen)
	require.NoError(t, e.Run(context.Background(), dst, blockEach(t, dy, s.N, s.K, s.OH(), s.OW())))
	dx := make([]float32, s.N*s.C*s.H*s.W)
	convertEach(dx, dst, s.N, s.C, s.H, s.W, layout.ToNCHW)
	return dx
}

// stridedWeightGrad runs the gradients with respect to filters and biases on one kernel.
func stridedWeightGrad(t testing.TB, kern *ukernel.Indirect, s Shape, x, dy []float32, workers int) (dw, db []float32) {
	t.Helper()
	team := parallel.NewTeam(workers)
	team.Begin()
	defer team.End()
	g := newStridedGrad(kern, s)
	dw, db = testutil.NaNGuarded(t, s.K*s.C*9), testutil.NaNGuarded(t, s.K)
	e := g.bind(team, testutil.NaNGuarded(t, g.scratchLen(workers)))
	require.NoError(t, e.run(context.Background(), dw, db, blockEach(t, x, s.N, s.C, s.H, s.W), blockEach(t, dy, s.N, s.K, s.OH(), s.OW())))
	return dw, db
}

// testStridedGrads compares all gradients with the reference: exactly for small integers,
// and within a bound for random numbers.
func testStridedGrads(t *testing.T, kern *ukernel.Indirect, s Shape, seed uint64) {
	t.Helper()
	shape := problem{s: s}.ref()
	pixels := s.OH() * s.OW()
	for _, exact := range []bool{true, false} {
		data, seed := testutil.Normal, seed
		if exact {
			data = func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, -3, 3) }
		}
		x, w, dy := data(seed, shape.InputLen()), data(seed+1, shape.WeightLen()), data(seed+2, shape.OutputLen())
		bound := func(n int, mag []float64) func(int) float64 {
			if exact {
				return func(int) float64 { return 0 }
			}
			return ref.Bound(n, mag)
		}
		want, mag := ref.Conv2DInputGrad(shape, dy, w)
		dx := stridedInputGrad(t, kern, s, w, dy, 1)
		testutil.Check(t, "input gradient", s, dx, want, bound(4*s.K+1, mag))
		testutil.CheckBits(t, "input gradient, 3 workers", s, stridedInputGrad(t, kern, s, w, dy, 3), dx)

		want, mag = ref.Conv2DWeightGrad(shape, x, dy)
		dw, db := stridedWeightGrad(t, kern, s, x, dy, 1)
		// A band is one chain, and there are as many sums as bands.
		testutil.Check(t, "weight gradient", s, dw, want, bound(min(pixels, gradPixels+s.OW())+s.N*(pixels/stridedGradPixels+1)+1, mag))
		want, mag = ref.BiasGrad(s.N, s.K, pixels, dy)
		testutil.Check(t, "bias gradient", s, db, want, bound(min(pixels, gradPixels+s.OW())+1, mag))
		dw3, db3 := stridedWeightGrad(t, kern, s, x, dy, 3)
		testutil.CheckBits(t, "weight gradient, 3 workers", s, dw3, dw)
		testutil.CheckBits(t, "bias gradient, 3 workers", s, db3, db)
	}
}

func TestStridedGrads(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range stridedShapes {
			testStridedGrads(t, kern, s, uint64(3*i))
		}
		if kern.ISA != cpu.Generic || !testing.Short() {
			testStridedGrads(t, kern, Shape{1, 16, 70, 71, 64, 1, 2}, 1) // several bands
		}
		testStridedGrads(t, kern, Shape{2, 7, 9, 6, 3, 0, 2}, 2) // few channels
	})
}

func FuzzStridedGrads(f *testing.F) {
	f.Add(uint64(1), uint8(20), uint8(9), uint8(7), uint8(20), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, pad uint8) {
		s := Shape{2, 1 + int(c)%70, 3 + int(h)%20, 3 + int(w)%20, 1 + int(k)%80, int(pad) % 2, 2}
		for i := range ukernel.IndirectKernels {
			if kern := &ukernel.IndirectKernels[i]; cpu.Has(kern.ISA) {
				testStridedGrads(t, kern, s, seed)
				if s.C >= layout.Block {
					testDirect(t, kern, problem{s, false, c%2 == 0}, seed)
				}
			}
		}
	})
}

// TestStridedSpecs: the size of an input gradient is one that the convolution has.
func TestStridedSpecs(t *testing.T) {
	s := Shape{1, 16, 7, 8, 16, 1, 2}
	grad, err := NewInputGradFilter(16, 16, make([]float32, 16*16*9), nil, Stride(2))
	require.NoError(t, err)
	forward, err := NewFilter(16, 16, make([]float32, 16*16*9), nil, nil, Stride(2))
	require.NoError(t, err)
	for _, change := range []func(*Spec){
		func(g *Spec) { g.OH = 0 }, func(g *Spec) { g.OH = 9 }, func(g *Spec) { g.OW = 6 }, func(g *Spec) { g.OW = 9 }, func(g *Spec) { g.Pad = 0 },
		func(g *Spec) { g.Planar = true }, func(g *Spec) { g.ReLU, g.Pool = true, true },
	} {
		g := s.inputGrad()
		_, err := grad.ScratchLen(g, 1)
		require.NoError(t, err)
		change(&g)
		_, err = grad.ScratchLen(g, 1)
		require.ErrorIs(t, err, ErrShape, "%+v", g)
	}
	_, err = forward.ScratchLen(Spec{N: 1, H: 7, W: 8, Pad: 1, OH: 4, OW: 4}, 1)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewFilter(16, 16, make([]float32, 16*16*9), nil, nil, Stride(3))
	require.ErrorIs(t, err, ErrShape)
	require.Equal(t, "direct", forward.Algorithm())
	require.Equal(t, "direct", Algorithm(64, 64, Stride(2)))
	require.EqualValues(t, 4*16*16*9, forward.Bytes())
	require.EqualValues(t, 4*16*16*9, grad.Bytes())
}

// TestRunAdd: a residual is added before the ReLU, whatever the algorithm; the sum without
// it is what an Exec without a residual gives.
func TestRunAdd(t *testing.T) {
	for i, s := range []Shape{
		{2, 20, 9, 11, 33, 1, 1}, {1, 64, 14, 14, 70, 0, 1}, {1, 5, 6, 7, 3, 0, 1}, {2, 3, 9, 8, 20, 1, 2}, {2, 20, 9, 11, 33, 1, 2},
	} {
		for _, opts := range [][]Option{{}, {Direct()}, {Winograd(2)}, {Fixed()}} {
			f, err := NewFilter(s.C, s.K, testutil.Normal(uint64(i), s.K*s.C*9), testutil.Normal(1, s.K), nil, append(opts, Stride(s.stride()))...)
			require.NoError(t, err)
			x := blockEach(t, testutil.Normal(2, s.N*s.C*s.H*s.W), s.N, s.C, s.H, s.W)
			residual := blockEach(t, testutil.Normal(3, s.N*s.K*s.OH()*s.OW()), s.N, s.K, s.OH(), s.OW())
			for _, relu := range []bool{false, true} {
				sum, want := make([]float32, len(residual)), make([]float64, len(residual))
				require.NoError(t, exec(t, f, s, fuse.Epilogue{}, 1).Run(context.Background(), sum, x))
				for j := range want {
					if want[j] = float64(sum[j] + residual[j]); relu {
						want[j] = max(want[j], 0)
					}
				}
				for _, workers := range []int{1, 3} {
					e := exec(t, f, s, fuse.Epilogue{ReLU: relu, Add: true}, workers)
					dst := testutil.NaNGuarded(t, len(residual))
					require.NoError(t, e.RunAdd(context.Background(), dst, x, residual))
					testutil.CheckExact(t, fmt.Sprintf("%s, relu %v", f.Algorithm(), relu), s, dst, want)
					require.Zero(t, testutil.AllocsPerRun(3, func() { _ = e.RunAdd(context.Background(), dst, x, residual) }))
					require.ErrorIs(t, e.Run(context.Background(), dst, x), ErrShape)
					require.ErrorIs(t, e.RunMasked(context.Background(), dst, x, dst), ErrShape)
					require.ErrorIs(t, e.RunAdd(context.Background(), dst, x, residual[1:]), ErrShape)
				}
			}
			require.ErrorIs(t, exec(t, f, s, fuse.Epilogue{}, 1).RunAdd(context.Background(), residual, x, residual), ErrShape)
			_, err = f.ScratchLen(Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Epilogue: fuse.Epilogue{ReLU: true, Pool: true, Add: true}}, 1)
			require.ErrorIs(t, err, ErrShape)
		}
	}
}

// exec plans a convolution on blocks with poisoned scratch.
func exec(t *testing.T, f *Filter, s Shape, e fuse.Epilogue, workers int) *Exec {
	t.Helper()
	spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Epilogue: e}
	n, err := f.ScratchLen(spec, workers)
	require.NoError(t, err)
	x, err := f.NewExec(spec, testutil.NaNGuarded(t, n), parallel.NewTeam(workers))
	require.NoError(t, err)
	return x
}

func BenchmarkStridedGrads(b *testing.B) {
	for _, s := range []Shape{{1, 48, 112, 112, 48, 1, 2}, {1, 96, 28, 28, 192, 1, 2}, {1, 192, 14, 14, 1280, 1, 2}, {1, 32, 64, 64, 32, 1, 2}} {
		x, dy := testutil.Normal(1, layout.Len(s.C, s.H, s.W)), testutil.Normal(2, layout.Len(s.K, s.OH(), s.OW()))
		w := testutil.Normal(3, s.K*s.C*9)
		rate := func(b *testing.B, run func() error) {
			for b.Loop() {
				require.NoError(b, run())
			}
			b.ReportMetric(18*float64(s.C*s.K*s.OH()*s.OW())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		}
		b.Run(fmt.Sprintf("grad=input/c=%d/h=%d/k=%d", s.C, s.H, s.K), func(b *testing.B) {
			f, err := NewInputGradFilter(s.C, s.K, w, nil, Stride(2))
			require.NoError(b, err)
			n, err := f.ScratchLen(s.inputGrad(), 1)
			require.NoError(b, err)
			e, err := f.NewExec(s.inputGrad(), layout.Alloc(n), nil)
			require.NoError(b, err)
			dx := layout.Alloc(len(x))
			rate(b, func() error { return e.Run(context.Background(), dx, dy) })
		})
		b.Run(fmt.Sprintf("grad=weight/c=%d/h=%d/k=%d", s.C, s.H, s.K), func(b *testing.B) {
			g, err := NewWeightGrad(s)
			require.NoError(b, err)
			e, err := g.NewExec(layout.Alloc(g.ScratchLen(1)), nil)
			require.NoError(b, err)
			rate(b, func() error { return e.Run(context.Background(), w, nil, x, dy) })
		})
	}
}
