package pool

import (
	"context"
	"math"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// runner is an Exec, or stands for one.
type runner interface {
	Run(ctx context.Context, dst, src []float32) error
}

// onTeams runs what plan makes on one worker and on three, which give the same bits.
func onTeams(t testing.TB, s size, oh, ow int, x []float32, plan func(team *parallel.Team) (runner, error)) []float32 {
	t.Helper()
	var first []float32
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		e, err := plan(team)
		require.NoError(t, err)
		team.Begin()
		got := blocked(t, s, oh, ow, x, func(dst, src []float32) error { return e.Run(context.Background(), dst, src) })
		team.End()
		if first == nil {
			first = got
		}
		testutil.CheckBits(t, "3 workers", s, got, first)
	}
	return first
}

func testAvgPool(t *testing.T, s size, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, s.n*s.c*s.h*s.w)
	want, mag := ref.AveragePool(s.n*s.c, s.h, s.w, 2, 2, 0, x)
	got := onTeams(t, s, s.h/2, s.w/2, x, func(team *parallel.Team) (runner, error) {
		return NewAvgPool(s.n, s.c, s.h, s.w, team)
	})
	testutil.Check(t, "mean", s, got, want, ref.Bound(3, mag))

	dy := testutil.Normal(seed+1, s.n*s.c*(s.h/2)*(s.w/2))
	back := size{s.n, s.c, s.h / 2, s.w / 2}
	dx := onTeams(t, back, s.h, s.w, dy, func(team *parallel.Team) (runner, error) {
		return NewAvgPoolGrad(s.n, s.c, s.h, s.w, team)
	})
	testutil.CheckExact(t, "gradient of the mean", s, dx, ref.AveragePool2x2Grad(s.n*s.c, s.h, s.w, dy))
}

func TestAvgPool(t *testing.T) {
	for i, s := range shapes {
		testAvgPool(t, s, uint64(i))
	}
}

func FuzzAvgPool(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		testAvgPool(t, size{2, 1 + int(c)%50, 2 + int(h)%10, 2 + int(w)%20}, seed)
	})
}

func testGlobalPool(t *testing.T, s size, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, s.n*s.c*s.h*s.w)
	want, _ := ref.GlobalPool(s.n*s.c, s.h*s.w, x)
	got := onTeams(t, s, 1, 1, x, func(team *parallel.Team) (runner, error) {
		return NewGlobalPool(s.n, s.c, s.h, s.w, team)
	})
	testutil.Check(t, "means", s, got, want, ref.Bound(2, ref.Abs(want))) // rounded once, from float64

	dy := testutil.Normal(seed+1, s.n*s.c)
	dx := onTeams(t, size{s.n, s.c, 1, 1}, s.h, s.w, dy, func(team *parallel.Team) (runner, error) {
		return NewGlobalPoolGrad(s.n, s.c, s.h, s.w, team)
	})
	grad := ref.GlobalPoolGrad(s.n*s.c, s.h*s.w, dy)
	testutil.Check(t, "gradient of the means", s, dx, grad, ref.Bound(1, ref.Abs(grad)))
}

func TestGlobalPool(t *testing.T) {
	for i, s := range append(shapes, size{2, 5, 1, 1}, size{1, 17, 1, 9}) {
		testGlobalPool(t, s, uint64(i))
	}
}

func FuzzGlobalPool(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		testGlobalPool(t, size{2, 1 + int(c)%50, 1 + int(h)%10, 1 + int(w)%20}, seed)
	})
}

// TestGlobalPoolLarge: the sum of a large plane does not lose what float32 would.
func TestGlobalPoolLarge(t *testing.T) {
	const side = 600
	x := make([]float32, side*side)
	for i := range x {
		x[i] = 1 + float32(i%2)*0x1p-20
	}
	got := onTeams(t, size{1, 1, side, side}, 1, 1, x, func(team *parallel.Team) (runner, error) {
		return NewGlobalPool(1, 1, side, side, team)
	})
	require.Equal(t, float32(1+0x1p-21), got[0])
}

func testScale(t *testing.T, s size, seed uint64, relu bool) {
	t.Helper()
	plane := s.h * s.w
	x, dy := testutil.Normal(seed, s.n*s.c*plane), testutil.Normal(seed+1, s.n*s.c*plane)
	w, b := testutil.Normal(seed+2, s.c), testutil.Normal(seed+3, s.c)
	scale, err := NewScale(s.c, w, b, fuse.Epilogue{ReLU: relu})
	require.NoError(t, err)
	want := ref.Scale(s.n, s.c, plane, x, w, b)
	mag := ref.Scale(s.n, s.c, plane, ref.Abs(x), ref.Abs(w), ref.Abs(b))
	if relu {
		want = ref.ReLU(want)
	}
	got := onTeams(t, s, s.h, s.w, x, func(team *parallel.Team) (runner, error) { return scale.NewExec(s.n, s.h, s.w, team) })
	testutil.Check(t, "scale", s, got, want, ref.Bound(2, mag))

	if plane == 1 { // as between fully connected layers: the same bits
		rows := testutil.NaNGuarded(t, s.n*s.c)
		require.NoError(t, scale.Rows(s.n, rows, x))
		testutil.CheckBits(t, "rows", s, rows, got)
	}

	dx, dw, db := ref.ScaleGrad(s.n, s.c, plane, x, dy, w)
	gw, gb := testutil.NaNGuarded(t, s.c), testutil.NaNGuarded(t, s.c)
	bdy := toBlocks(t, s, s.h, s.w, dy)
	for _, workers := range []int{1, 3} {
		e, err := NewScaleGrad(s.n, s.c, s.h, s.w, parallel.NewTeam(workers))
		require.NoError(t, err)
		gx := blocked(t, s, s.h, s.w, x, func(dst, src []float32) error {
			return e.Run(context.Background(), dst, gw, gb, w, src, bdy)
		})
		testutil.Check(t, "gradient", s, gx, dx, ref.Bound(1, ref.Abs(dx)))
		testutil.Check(t, "gradient of the weight", s, gw, dw, ref.Bound(2, ref.Abs(dw)))
		testutil.Check(t, "gradient of the bias", s, gb, db, ref.Bound(2, ref.Abs(db)))
	}
}

func TestScale(t *testing.T) {
	for i, s := range append(shapes, size{4, 5, 1, 1}, size{3, 37, 1, 1}) {
		testScale(t, s, uint64(i), false)
		testScale(t, s, uint64(i), true)
	}
}

func FuzzScale(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9), true)
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8, relu bool) {
		testScale(t, size{2, 1 + int(c)%50, 1 + int(h)%10, 1 + int(w)%20}, seed, relu)
	})
}

// TestScaleNaN: NaN passes the ReLU, in either form, and Set replaces all.
func TestScaleNaN(t *testing.T) {
	s, err := NewScale(3, []float32{1, 2, 3}, []float32{0, 0, 0}, fuse.Epilogue{ReLU: true})
	require.NoError(t, err)
	s.Set([]float32{2, 2, -2}, []float32{1, 0, 1})
	nan := float32(math.NaN())
	got := make([]float32, 3)
	require.NoError(t, s.Rows(1, got, []float32{1, nan, 5}))
	testutil.CheckExact(t, "rows", 3, got, []float64{3, math.NaN(), 0})
	require.EqualValues(t, 2*16*4, s.Bytes())
}

// TestMeansAllocate: no Run allocates, and each ends with its context.
func TestMeansAllocate(t *testing.T) {
	const n, c, h, w = 2, 40, 8, 6
	team := parallel.NewTeam(2)
	x, y, one := make([]float32, n*layout.Len(c, h, w)), make([]float32, n*layout.Len(c, h/2, w/2)), make([]float32, n*layout.Len(c, 1, 1))
	dx, weight := make([]float32, len(x)), make([]float32, c)
	s, err := NewScale(c, weight, weight, fuse.Epilogue{ReLU: true})
	require.NoError(t, err)
	se, err := s.NewExec(n, h, w, team)
	require.NoError(t, err)
	sg, err := NewScaleGrad(n, c, h, w, team)
	require.NoError(t, err)
	a, err := NewAvgPool(n, c, h, w, team)
	require.NoError(t, err)
	ag, err := NewAvgPoolGrad(n, c, h, w, team)
	require.NoError(t, err)
	g, err := NewGlobalPool(n, c, h, w, team)
	require.NoError(t, err)
	gg, err := NewGlobalPoolGrad(n, c, h, w, team)
	require.NoError(t, err)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, run := range map[string]func(ctx context.Context) error{
		"mean":                  func(ctx context.Context) error { return a.Run(ctx, y, x) },
		"gradient of the mean":  func(ctx context.Context) error { return ag.Run(ctx, dx, y) },
		"means":                 func(ctx context.Context) error { return g.Run(ctx, one, x) },
		"gradient of the means": func(ctx context.Context) error { return gg.Run(ctx, dx, one) },
		"scale":                 func(ctx context.Context) error { return se.Run(ctx, dx, x) },
		"gradient of the scale": func(ctx context.Context) error { return sg.Run(ctx, dx, weight, weight, weight, x, x) },
	} {
		require.NoError(t, run(context.Background()), name)
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = run(context.Background()) }), name)
		require.ErrorIs(t, run(ended), context.Canceled, name)
	}
}

// TestMeanErrors gives each constructor sizes without sense, and each Run operands of
// the wrong length.
func TestMeanErrors(t *testing.T) {
	ctx, x := context.Background(), make([]float32, 64)
	for _, s := range []size{{0, 1, 2, 2}, {1, 0, 2, 2}, {1, 1, 0, 2}, {1, 1, 2, -1}, {1 << 30, 1 << 20, 1 << 20, 1 << 20}} {
		_, err := NewAvgPool(s.n, s.c, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewAvgPoolGrad(s.n, s.c, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewGlobalPool(s.n, s.c, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewGlobalPoolGrad(s.n, s.c, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewScaleGrad(s.n, s.c, s.h, s.w, nil)
		require.ErrorIs(t, err, ErrShape)
	}
	_, err := NewAvgPool(1, 1, 1, 2, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewScale(2, x[:2], x[:1], fuse.Epilogue{})
	require.ErrorIs(t, err, ErrShape)
	_, err = NewScale(2, x[:2], x[:2], fuse.Epilogue{Pool: true})
	require.ErrorIs(t, err, ErrShape)
	s, err := NewScale(2, x[:2], x[:2], fuse.Epilogue{})
	require.NoError(t, err)
	_, err = s.NewExec(0, 1, 1, nil)
	require.ErrorIs(t, err, ErrShape)
	require.ErrorIs(t, s.Rows(2, x[:4], x[:3]), ErrShape)
	require.ErrorIs(t, s.Rows(-1, nil, nil), ErrShape)
	e, err := s.NewExec(1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, e.Run(ctx, x, x[:63]), ErrShape)
	a, err := NewAvgPool(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, a.Run(ctx, x[:15], x), ErrShape)
	ag, err := NewAvgPoolGrad(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, ag.Run(ctx, x, x[:15]), ErrShape)
	g, err := NewGlobalPool(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, g.Run(ctx, x[:16], x[:63]), ErrShape)
	gg, err := NewGlobalPoolGrad(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, gg.Run(ctx, x[:63], x[:16]), ErrShape)
	sg, err := NewScaleGrad(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, sg.Run(ctx, x, x[:2], x[:1], x[:1], x, x), ErrShape)
}
