package pool

import (
	"context"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// testNCHW compares the pools of planes with the reference, and with the blocked ones.
func testNCHW(t *testing.T, s size, seed uint64) {
	t.Helper()
	planes := s.n * s.c
	x := testutil.Normal(seed, planes*s.h*s.w)
	testutil.Unchanged(t, "src", x)
	largest, _ := ref.MaxPool2x2(planes, s.h, s.w, x)
	means, mag := ref.AveragePool(planes, s.h, s.w, 2, 2, 0, x)
	global, _ := ref.GlobalPool(planes, s.h*s.w, x)
	for what, c := range map[string]struct {
		plan  func(n, c, h, w int, team *parallel.Team, opts ...Option) (*Exec, error)
		want  []float64
		bound func(int) float64
	}{
		"maximum": {NewMaxPool, largest, func(int) float64 { return 0 }},
		"mean":    {NewAvgPool, means, ref.Bound(3, mag)},
		"means":   {NewGlobalPool, global, ref.Bound(2, ref.Abs(global))}, // rounded once, from float64
	} {
		for _, workers := range []int{1, 3} {
			team := parallel.NewTeam(workers)
			e, err := c.plan(s.n, s.c, s.h, s.w, team, NCHW())
			require.NoError(t, err)
			team.Begin()
			dst := testutil.NaNGuarded(t, len(c.want))
			require.NoError(t, e.Run(context.Background(), dst, testutil.GuardedCopy(t, x)))
			testutil.Check(t, what, s, dst, c.want, c.bound)
			require.Zero(t, testutil.AllocsPerRun(3, func() { _ = e.Run(context.Background(), dst, x) }))
			require.ErrorIs(t, e.Run(context.Background(), dst, x[1:]), ErrShape)
			team.End()
		}
		_, err := c.plan(1, 1, 0, 2, nil, NCHW())
		require.ErrorIs(t, err, ErrShape)
	}
}

func TestNCHW(t *testing.T) {
	for i, s := range shapes {
		testNCHW(t, s, uint64(i))
	}
}

// TestNCHWNaN puts a NaN at each of the four places.
func TestNCHWNaN(t *testing.T) {
	e, err := NewMaxPool(1, 1, 2, 2, nil, NCHW())
	require.NoError(t, err)
	for i := range 4 {
		x, y := []float32{1, 2, 3, 4}, make([]float32, 1)
		x[i] = float32(math.NaN())
		require.NoError(t, e.Run(context.Background(), y, x))
		testutil.CheckExact(t, "NaN", i, y, []float64{math.NaN()})
	}
}

func FuzzNCHW(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		testNCHW(t, size{2, 1 + int(c)%20, 2 + int(h)%10, 2 + int(w)%20}, seed)
	})
}

func BenchmarkNCHW(b *testing.B) {
	const c, h, w = 64, 112, 112
	x, y := testutil.Normal(1, c*h*w), make([]float32, c*h*w/4)
	for name, plan := range map[string]func(n, c, h, w int, team *parallel.Team, opts ...Option) (*Exec, error){"max": NewMaxPool, "mean": NewAvgPool} {
		b.Run("op="+name, func(b *testing.B) {
			e, err := plan(1, c, h, w, nil, NCHW())
			require.NoError(b, err)
			b.SetBytes(4 * int64(len(x)+len(y)))
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), y, x))
			}
		})
	}
}
