package pool

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

func testUpsample(t *testing.T, s size, oh, ow int, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, s.n*s.c*s.h*s.w)
	what := fmt.Sprintf("%+v to %d×%d", s, oh, ow)
	got := onTeams(t, s, oh, ow, x, func(team *parallel.Team) (runner, error) {
		return NewNearest(s.n, s.c, s.h, s.w, oh, ow, team)
	})
	testutil.CheckExact(t, "nearest", what, got, ref.Nearest(s.n*s.c, s.h, s.w, oh, ow, x))

	want, mag := ref.Bilinear(s.n*s.c, s.h, s.w, oh, ow, x)
	got = onTeams(t, s, oh, ow, x, func(team *parallel.Team) (runner, error) {
		return NewBilinear(s.n, s.c, s.h, s.w, oh, ow, testutil.NaNGuarded(t, BilinearScratchLen(s.w, team.Workers())), team)
	})
	testutil.Check(t, "bilinear", what, got, want, ref.Bound(6, mag))
}

func TestUpsample(t *testing.T) {
	for i, s := range append(shapes, size{2, 5, 1, 1}, size{1, 17, 1, 9}) {
		for _, to := range [][2]int{{2 * s.h, 2 * s.w}, {s.h, s.w}, {3 * s.h, s.w + 1}, {s.h + 2, 5 * s.w}, {max(s.h/2, 1), max(s.w/3, 1)}, {1, 1}, {17, 2}} {
			testUpsample(t, s, to[0], to[1], uint64(i))
		}
	}
}

// TestUpsampleTorch compares with what PyTorch's interpolate gives for [[1, 2], [3, 4]] to
// 4×4 with align_corners=False.
func TestUpsampleTorch(t *testing.T) {
	x := []float32{1, 2, 3, 4}
	near := onTeams(t, size{1, 1, 2, 2}, 4, 4, x, func(team *parallel.Team) (runner, error) { return NewNearest(1, 1, 2, 2, 4, 4, team) })
	testutil.CheckExact(t, "nearest", "2×", near, []float64{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4})
	linear := onTeams(t, size{1, 1, 2, 2}, 4, 4, x, func(team *parallel.Team) (runner, error) {
		return NewBilinear(1, 1, 2, 2, 4, 4, make([]float32, BilinearScratchLen(2, team.Workers())), team)
	})
	testutil.CheckExact(t, "bilinear", "2×", linear, []float64{
		1, 1.25, 1.75, 2,
		1.5, 1.75, 2.25, 2.5,
		2.5, 2.75, 3.25, 3.5,
		3, 3.25, 3.75, 4})
}

// TestBilinearWorkersApart: what a worker computes touches no scratch memory of another
// worker.
func TestBilinearWorkersApart(t *testing.T) {
	const c, h, w, workers = 17, 3, 5, 3
	scratch := make([]float32, BilinearScratchLen(w, workers))
	e, err := NewBilinear(1, c, h, w, 2*h, 2*w, scratch, parallel.NewTeam(workers))
	require.NoError(t, err)
	src, want := testutil.Normal(1, e.srcLen), make([]float32, e.dstLen)
	require.NoError(t, e.Run(context.Background(), want, src))
	for worker := range workers {
		own := len(scratch) / workers
		e.dst, e.src = make([]float32, e.dstLen), src
		testutil.ChangesOnly(t, "scratch", scratch, worker*own, (worker+1)*own, func() {
			for item := range e.items {
				e.item(worker, item)
			}
		})
		testutil.CheckBits(t, "results of worker", worker, e.dst, want)
	}
}

func FuzzUpsample(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9), uint8(8), uint8(18))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, oh, ow uint8) {
		testUpsample(t, size{2, 1 + int(c)%40, 1 + int(h)%10, 1 + int(w)%20}, 1+int(oh)%40, 1+int(ow)%40, seed)
	})
}

func testConcat(t *testing.T, n, ca, cb, h, w int, seed uint64) {
	t.Helper()
	a, b := testutil.Normal(seed, n*ca*h*w), testutil.Normal(seed+1, n*cb*h*w)
	var want []float64
	for i := range n {
		want = append(want, ref.Float64(a[i*ca*h*w:][:ca*h*w])...)
		want = append(want, ref.Float64(b[i*cb*h*w:][:cb*h*w])...)
	}
	sa, sb := size{n, ca, h, w}, size{n, cb, h, w}
	blockedA := toBlocks(t, sa, h, w, a)
	got := onTeams(t, sb, h, w, b, func(team *parallel.Team) (runner, error) {
		return concatBehind{t, sb, n * layout.Len(ca+cb, h, w), want, blockedA, team}, nil
	})
	testutil.CheckExact(t, "operand", sb, got, b)
}

// concatBehind checks the concatenation of a with what Run is given, which it copies.
type concatBehind struct {
	t    testing.TB
	s    size
	n    int
	want []float64
	a    []float32
	team *parallel.Team
}

func (r concatBehind) Run(ctx context.Context, dst, src []float32) error {
	copy(dst, src)
	out := testutil.NaNGuarded(r.t, r.n)
	plane := r.s.h * r.s.w
	ca := len(r.want)/(r.s.n*plane) - r.s.c
	e, err := NewConcat(r.s.n, ca, r.s.c, r.s.h, r.s.w, r.team)
	if err != nil {
		return err
	}
	if err := e.Run(ctx, out, r.a, src); err != nil {
		return err
	}
	got := make([]float32, len(r.want))
	each := (ca + r.s.c) * plane
	for i := range r.s.n {
		layout.ToNCHW(ca+r.s.c, r.s.h, r.s.w, got[i*each:][:each], out[i*len(out)/r.s.n:][:len(out)/r.s.n])
	}
	for i, v := range out {
		if ch := i/(16*plane)%layout.Blocks(ca+r.s.c)*16 + i%16; ch >= ca+r.s.c {
			require.Zero(r.t, v, "padded channel %d", ch)
		}
	}
	testutil.CheckExact(r.t, "concatenation", ca, got, r.want)
	return nil
}

func TestConcat(t *testing.T) {
	for i, c := range [][2]int{{16, 16}, {32, 5}, {1, 1}, {5, 40}, {15, 17}, {17, 33}, {20, 12}, {31, 1}, {3, 13}} {
		testConcat(t, 2, c[0], c[1], 3, 5, uint64(i))
	}
}

func FuzzConcat(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, ca, cb, w uint8) {
		testConcat(t, 2, 1+int(ca)%70, 1+int(cb)%70, 2, 1+int(w)%10, seed)
	})
}

// TestUpsampleRuns: no Run allocates, each ends with its context, and wrong lengths and
// sizes are errors.
func TestUpsampleRuns(t *testing.T) {
	const n, c, h, w = 2, 40, 4, 6
	team := parallel.NewTeam(2)
	x, y := make([]float32, n*layout.Len(c, h, w)), make([]float32, n*layout.Len(c, 2*h, 2*w))
	wide := make([]float32, n*layout.Len(2*c, h, w))
	near, err := NewNearest(n, c, h, w, 2*h, 2*w, team)
	require.NoError(t, err)
	linear, err := NewBilinear(n, c, h, w, 2*h, 2*w, make([]float32, BilinearScratchLen(w, 2)), team)
	require.NoError(t, err)
	concat, err := NewConcat(n, c, c, h, w, team)
	require.NoError(t, err)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, run := range map[string]func(ctx context.Context, x []float32) error{
		"nearest":  func(ctx context.Context, x []float32) error { return near.Run(ctx, y, x) },
		"bilinear": func(ctx context.Context, x []float32) error { return linear.Run(ctx, y, x) },
		"concat":   func(ctx context.Context, x []float32) error { return concat.Run(ctx, wide, x, x) },
	} {
		require.NoError(t, run(context.Background(), x), name)
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = run(context.Background(), x) }), name)
		require.ErrorIs(t, run(ended, x), context.Canceled, name)
		require.ErrorIs(t, run(context.Background(), x[1:]), ErrShape, name)
	}
	for _, s := range []size{{0, 1, 2, 2}, {1, 0, 2, 2}, {1, 1, 0, 2}, {1, 1, 2, -1}, {1 << 30, 1 << 20, 1 << 20, 1 << 20}, {1, 1, math.MaxInt, 1}} {
		_, err := NewNearest(s.n, s.c, 2, 2, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewBilinear(s.n, s.c, s.h, s.w, 2, 2, make([]float32, 1000), nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewConcat(s.n, s.c, 1, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
	}
	_, err = NewBilinear(1, 1, 2, 2, 4, 4, make([]float32, BilinearScratchLen(2, 1)-1), nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewConcat(1, math.MaxInt, math.MaxInt, 1, 1, nil)
	require.ErrorIs(t, err, ErrShape)
}

func BenchmarkUpsample(b *testing.B) {
	const c, h, w = 64, 56, 56
	x, y := testutil.Normal(1, layout.Len(c, h, w)), make([]float32, layout.Len(c, 2*h, 2*w))
	near, err := NewNearest(1, c, h, w, 2*h, 2*w, nil)
	require.NoError(b, err)
	linear, err := NewBilinear(1, c, h, w, 2*h, 2*w, make([]float32, BilinearScratchLen(w, 1)), nil)
	require.NoError(b, err)
	concat, err := NewConcat(1, 2*c, 2*c, h, w, nil)
	require.NoError(b, err)
	z := make([]float32, len(y))
	for name, run := range map[string]func() error{
		"nearest":  func() error { return near.Run(context.Background(), y, x) },
		"bilinear": func() error { return linear.Run(context.Background(), y, x) },
		"concat":   func() error { return concat.Run(context.Background(), z, y[:2*len(x)], y[2*len(x):]) },
	} {
		b.Run(fmt.Sprintf("op=%s/c=%d/h=%d/w=%d", name, c, h, w), func(b *testing.B) {
			b.SetBytes(4 * int64(len(x)+len(y)))
			for b.Loop() {
				require.NoError(b, run())
			}
		})
	}
}
