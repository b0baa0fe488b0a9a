package gemm

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/quantise"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// linearInputGrad runs the gradient; the memory around the operands is poisoned.
func linearInputGrad(t testing.TB, kern *ukernel.Blocked, n, out, in int, dy, w []float32, workers int, opts ...Option) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	l, err := newLinear(kern, in, out, w, nil, nil, opts)
	require.NoError(t, err)
	g, err := l.NewInputGrad(n, team)
	require.NoError(t, err)
	src, dx := testutil.NaNGuarded(t, len(dy)), testutil.NaNGuarded(t, n*l.in)
	copy(src, dy)
	team.Begin()
	defer team.End()
	require.NoError(t, g.Run(context.Background(), n, dx, src))
	testutil.CheckBits(t, "dy", n, src, dy)
	return append([]float32(nil), dx...)
}

func testLinearInputGrad(t *testing.T, kern *ukernel.Blocked, n, out, in int, seed uint64) {
	t.Helper()
	shape := fmt.Sprintf("n%d out%d in%d", n, out, in)
	dy, w := testutil.Ints(seed, n*out, -4, 4), testutil.Ints(seed+1, out*in, -4, 4)
	want, _ := ref.LinearInputGrad(n, in, out, dy, w)
	testutil.CheckExact(t, "integers", shape, linearInputGrad(t, kern, n, out, in, dy, w, 1), want)

	dy, w = testutil.Normal(seed, n*out), testutil.Normal(seed+1, out*in)
	want, mag := ref.LinearInputGrad(n, in, out, dy, w)
	testutil.Check(t, "normal", shape, linearInputGrad(t, kern, n, out, in, dy, w, 1), want, ref.Bound(out+1, mag))
}

func TestLinearInputGrad(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		for _, n := range []int{1, 2, 7} {
			for _, in := range []int{1, 15, 16, 17, gradColumns - 1, gradColumns, 2*gradColumns + 33} {
				for _, out := range []int{1, 15, 16, 17, kern.NR - 1, kern.NR, kern.NR + 1, 2*kern.NR + 19} {
					testLinearInputGrad(t, kern, n, out, in, uint64(in*out))
				}
			}
		}
	})
}

// TestLinearInputGradWorkersApart: what a worker computes touches no scratch memory of another
// worker.
func TestLinearInputGradWorkersApart(t *testing.T) {
	const n, out, in, workers = 2, 70, 150, 3
	l, err := NewLinear(in, out, testutil.Normal(1, out*in), nil, nil, Half())
	require.NoError(t, err)
	g, err := l.NewInputGrad(n, parallel.NewTeam(workers))
	require.NoError(t, err)
	dy, want := testutil.Normal(2, n*out), make([]float32, n*in)
	require.NoError(t, g.Run(context.Background(), n, want, dy))
	own := len(g.workers[0].wide)
	wide := make([]float32, workers*own)
	for i := range g.workers {
		g.workers[i].wide = wide[i*own:][:own]
	}
	for worker := range workers {
		for i := range g.workers {
			g.workers[i].edge = level1f.Edge{}
		}
		g.n, g.dx, g.dy = n, make([]float32, n*in), dy
		testutil.ChangesOnly(t, "weights", wide, worker*own, (worker+1)*own, func() {
			for item := range ceilDiv(in, g.columns) {
				g.some(worker, item)
			}
		})
		testutil.CheckBits(t, "results of worker", worker, g.dx, want)
		for i := range g.workers {
			require.Equal(t, i == worker, g.workers[i].edge != level1f.Edge{}, "edge of worker %d", i)
		}
	}
}

// TestLinearInputGradBits: an input's gradient is the same bits in any batch and for any
// team, in float32 and half precision, and with columns in another order.
func TestLinearInputGradBits(t *testing.T) {
	const n, out, in = 5, 100, 300
	perm := make([]int32, 320)
	for i := range perm {
		perm[i] = int32((i * 7) % 321)
		if perm[i] >= in {
			perm[i] = -1
		}
	}
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		dy, w := testutil.Normal(1, n*out), testutil.Normal(2, out*in)
		for _, opts := range [][]Option{nil, {Half()}, {Columns(perm)}} {
			want := linearInputGrad(t, kern, n, out, in, dy, w, 1, opts...)
			one := len(want) / n
			for workers := 1; workers <= 3; workers++ {
				for _, m := range []int{1, 3} {
					got := linearInputGrad(t, kern, m, out, in, dy[:m*out], w, workers, opts...)
					testutil.CheckBits(t, "dx", []int{m, workers}, got, want[:m*one])
				}
			}
		}
		plain, moved := linearInputGrad(t, kern, n, out, in, dy, w, 1), linearInputGrad(t, kern, n, out, in, dy, w, 1, Columns(perm))
		for i, v := range moved {
			if col := perm[i%len(perm)]; col >= 0 {
				require.Equal(t, plain[i/len(perm)*in+int(col)], v)
			} else {
				require.Zero(t, v)
			}
		}
		rounded := make([]float32, len(w))
		for i, v := range w {
			rounded[i] = half.ToFloat32(half.FromFloat32(v))
		}
		testutil.CheckBits(t, "half", n, linearInputGrad(t, kern, n, out, in, dy, w, 2, Half()), linearInputGrad(t, kern, n, out, in, dy, rounded, 1))
		for r := range out {
			row := w[r*in:][:in]
			step := quantise.WeightStep(row)
			for i, v := range row {
				rounded[r*in+i] = step * float32(quantise.NewRounder(step).Round(v))
			}
		}
		got := linearInputGrad(t, kern, n, out, in, dy, w, 2, Fixed())
		exact, mag := ref.LinearInputGrad(n, in, out, dy, rounded)
		testutil.Check(t, "whole numbers", n, got, exact, ref.Bound(out+1, mag))
		if cpu.Best() != cpu.Generic { // portable Go rounds at the end of a panel, and these panels are wider
			testutil.CheckBits(t, "whole numbers", n, got, linearInputGrad(t, kern, n, out, in, dy, rounded, 1))
		}
	})
}

func TestLinearInputGradErrors(t *testing.T) {
	l, err := NewLinear(5, 3, make([]float32, 15), nil, nil)
	require.NoError(t, err)
	for _, batch := range []int{0, -1, math.MaxInt} {
		_, err = l.NewInputGrad(batch, nil)
		require.ErrorIs(t, err, ErrShape)
	}
	g, err := l.NewInputGrad(2, nil)
	require.NoError(t, err)
	ctx := context.Background()
	for _, c := range [][3]int{{10, 6, 3}, {0, 0, 0}, {9, 6, 2}, {10, 5, 2}} {
		require.ErrorIs(t, g.Run(ctx, c[2], make([]float32, c[0]), make([]float32, c[1])), ErrShape)
	}
	dx, dy := make([]float32, 10), make([]float32, 6)
	require.Zero(t, testutil.AllocsPerRun(5, func() { _ = g.Run(ctx, 2, dx, dy) }))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, g.Run(ended, 2, dx, dy), context.Canceled)
}

// TestPointwiseWeights: packed filters give back what was packed.
func TestPointwiseWeights(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {17, 33}, {64, 130}} {
		w := testutil.Normal(1, s[0]*s[1])
		p, err := NewPointwise(s[0], s[1], w, nil)
		require.NoError(t, err)
		testutil.CheckBits(t, "weights", s, p.Weights(), w)
	}
}

func FuzzLinearInputGrad(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(64), uint8(32))
	f.Fuzz(func(t *testing.T, seed uint64, n, out, in uint8) {
		for i := range ukernel.BlockedKernels {
			if kern := &ukernel.BlockedKernels[i]; cpu.Has(kern.ISA) {
				testLinearInputGrad(t, kern, 1+int(n%9), 1+int(out), 1+int(in), seed)
			}
		}
	})
}

func BenchmarkLinearInputGrad(b *testing.B) {
	for _, s := range [][3]int{{1, 4096, 25088}, {8, 4096, 25088}, {1, 1000, 4096}} {
		n, out, in := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("n=%d/out=%d/in=%d/kernel=%s", n, out, in, ukernel.BestBlocked().Name), func(b *testing.B) {
			team := parallel.NewTeam(2)
			l, err := NewLinear(in, out, make([]float32, out*in), nil, team)
			require.NoError(b, err)
			g, err := l.NewInputGrad(n, team)
			require.NoError(b, err)
			dx, dy := make([]float32, n*in), testutil.Normal(1, n*out)
			team.Begin()
			defer team.End()
			for b.Loop() {
				_ = g.Run(context.Background(), n, dx, dy)
			}
			b.ReportMetric(4*float64(out*in)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			b.ReportMetric(2*float64(n)*float64(out*in)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
