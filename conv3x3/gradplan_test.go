package conv3x3

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestGradPlan compares the three gradients with the reference, for several
// algorithms and numbers of workers, and these with each other bit for bit.
func TestGradPlan(t *testing.T) {
	for i, s := range []Shape{
		{1, 3, 9, 10, 5, 1, 0}, {2, 16, 8, 8, 16, 1, 0}, {1, 20, 7, 13, 33, 0, 0}, {2, 64, 14, 14, 70, 1, 0}, {1, 1, 3, 4, 1, 0, 0}, {3, 17, 2, 3, 4, 1, 0},
		{1, 3, 9, 10, 5, 1, 2}, {2, 16, 8, 8, 16, 1, 2}, {1, 20, 7, 13, 33, 0, 2}, {2, 64, 15, 14, 70, 1, 2}, {1, 1, 3, 4, 1, 0, 2}, {3, 17, 1, 2, 4, 1, 2},
		{1, 33, 30, 61, 100, 0, 2},
	} {
		shape := problem{s: s}.ref()
		seed := uint64(10 * i)
		x, w, dy := testutil.Normal(seed, shape.InputLen()), testutil.Normal(seed+1, shape.WeightLen()), testutil.Normal(seed+2, shape.OutputLen())
		wantX, _ := ref.Conv2DInputGrad(shape, dy, w)
		wantW, _ := ref.Conv2DWeightGrad(shape, x, dy)
		wantB, magB := ref.Conv2DBiasGrad(shape, dy)
		var bits [3][]float32
		for _, opts := range [][]Option{{Direct()}, {Winograd(2)}, {Winograd(4)}, {Winograd(4), Workers(3)}} {
			p, err := NewGradPlan(s, make([]float32, len(w)), opts...)
			require.NoError(t, err)
			require.NoError(t, p.SetWeights(w))
			dx, dw, db := testutil.NaNGuarded(t, len(x)), testutil.NaNGuarded(t, len(w)), testutil.NaNGuarded(t, s.K)
			require.NoError(t, p.InputGrad(dx, dy))
			require.NoError(t, p.WeightGrad(dw, x, dy))
			require.NoError(t, p.BiasGrad(db, dy))
			for _, g := range []struct {
				got  []float32
				want []float64
			}{{dx, wantX}, {dw, wantW}} {
				largest, _ := testutil.RelErrors(g.got, g.want)
				require.Less(t, largest, 3e-5, "%+v", s)
			}
			testutil.Check(t, "db", s, db, wantB, ref.Bound(2, magB)) // one rounding, of a sum in float64
			if bits[0] != nil && len(opts) > 1 {
				for k, g := range [][]float32{dx, dw, db} {
					testutil.CheckBits(t, "3 workers", s, g, bits[k])
				}
			}
			bits = [3][]float32{dx, dw, db}
		}
	}
}

func TestGradPlanErrors(t *testing.T) {
	s := Shape{1, 3, 4, 4, 2, 1, 0}
	_, err := NewGradPlan(Shape{}, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewGradPlan(s, make([]float32, 53))
	require.ErrorIs(t, err, ErrShape)
	_, err = NewGradPlan(s, make([]float32, 54), Workers(0))
	require.ErrorIs(t, err, ErrShape)
	p, err := NewGradPlan(s, make([]float32, 54))
	require.NoError(t, err)
	f := func(n int) []float32 { return make([]float32, n) }
	for name, err := range map[string]error{
		"weights": p.SetWeights(f(53)), "dx": p.InputGrad(f(47), f(32)), "dy": p.InputGrad(f(48), f(31)),
		"dw": p.WeightGrad(f(53), f(48), f(32)), "x": p.WeightGrad(f(54), f(47), f(32)), "db": p.BiasGrad(f(3), f(32)), "bias dy": p.BiasGrad(f(2), f(33)),
	} {
		require.ErrorIs(t, err, ErrShape, name)
	}
	require.PanicsWithValue(t, "conv3x3: lengths of dy and y differ", func() { ReLUGrad(f(3), f(4)) })
}

func TestReLUGrad(t *testing.T) {
	nan := float32(math.NaN())
	y := append(testutil.Ints(1, 33, -2, 2), nan, 0, float32(math.Inf(1)))
	dy := testutil.Normal(2, len(y))
	y[3] = nan
	want := ref.ReLUGrad(y, dy)
	ReLUGrad(dy, y)
	testutil.CheckExact(t, "dy", len(y), dy, want)
}

func TestGradPlanAllocates(t *testing.T) {
	s := Shape{1, 16, 8, 8, 16, 1, 0}
	p, err := NewGradPlan(s, testutil.Normal(1, 16*16*9), Workers(2))
	require.NoError(t, err)
	x, dy, dw, db := make([]float32, 16*64), testutil.Normal(2, 16*64), make([]float32, 16*16*9), make([]float32, 16)
	require.Zero(t, testutil.AllocsPerRun(20, func() {
		_ = p.InputGrad(x, dy)
		_ = p.WeightGrad(dw, x, dy)
		_ = p.BiasGrad(db, dy)
	}))
}

func ExampleNewGradPlan() {
	// One channel to one, 3×3 without padding: a single output, the sum of all.
	weights := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	plan, err := NewGradPlan(Shape{N: 1, C: 1, H: 3, W: 3, K: 1}, weights, Direct())
	if err != nil {
		panic(err)
	}
	dy := []float32{2}
	dx := make([]float32, 9)
	if err := plan.InputGrad(dx, dy); err != nil {
		panic(err)
	}
	fmt.Println(dx)
	// Output: [2 4 6 8 10 12 14 16 18]
}
