package conv3x3

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestPlan compares every algorithm and what may follow it with the reference,
// by the gate for Winograd: errors relative to the results' root mean square.
func TestPlan(t *testing.T) {
	for i, s := range []Shape{
		{1, 3, 9, 10, 5, 1, 0}, {2, 16, 8, 8, 16, 1, 0}, {1, 20, 7, 13, 33, 0, 0}, {2, 64, 14, 14, 70, 1, 0}, {1, 1, 3, 4, 1, 0, 0}, {3, 17, 2, 3, 4, 1, 0},
		{1, 3, 9, 10, 5, 1, 2}, {2, 16, 8, 8, 16, 1, 2}, {1, 20, 7, 13, 33, 0, 2}, {2, 64, 15, 14, 70, 1, 2}, {3, 17, 1, 2, 4, 1, 2},
	} {
		x := testutil.Normal(uint64(i), s.N*s.C*s.H*s.W)
		w, b := testutil.Normal(uint64(i+50), s.K*s.C*9), testutil.Normal(uint64(i+99), s.K)
		conv, _ := ref.Conv2D(problem{s: s}.ref(), x, w, b)
		relu := ref.ReLU(conv)
		pooled, _ := ref.MaxPool2x2(s.N*s.K, s.OH(), s.OW(), relu)
		for _, algorithm := range [][]Option{nil, {Direct()}, {Winograd(2)}, {Winograd(4), Workers(3)}} {
			for _, follow := range []struct {
				opt  []Option
				want []float64
			}{{nil, conv}, {[]Option{ReLU()}, relu}, {[]Option{Pool()}, pooled}} {
				if len(follow.want) == 0 {
					continue // nothing is left of the smallest shapes
				}
				p, err := NewPlan(s, w, b, append(follow.opt, algorithm...)...)
				require.NoError(t, err, "%+v", s)
				n, k, oh, ow := p.OutputShape()
				dst := testutil.NaNGuarded(t, n*k*oh*ow)
				require.NoError(t, p.Forward(dst, x))
				largest, rms := testutil.RelErrors(dst, follow.want)
				require.Less(t, largest, 3e-5, "%+v", s)
				require.Less(t, rms, 1e-6, "%+v", s)
			}
		}
	}
}

func TestPlanErrors(t *testing.T) {
	w := make([]float32, 2*3*9)
	for _, s := range []Shape{{}, {1, 3, 2, 2, 2, 0, 0}, {1, 3, 4, 4, 2, 2, 0}, {1, 3, math.MaxInt / 2, math.MaxInt / 2, 2, 1, 0}, {1, -3, 4, 4, 2, 1, 0}, {1, 4, 4, 4, 2, 1, 0}, {1, 3, 4, 4, 2, 1, 3}, {1, 3, 4, 4, 2, 1, -1}} {
		_, err := NewPlan(s, w, nil)
		require.ErrorIs(t, err, ErrShape, "%+v", s)
	}
	s := Shape{1, 3, 4, 4, 2, 1, 0}
	_, err := NewPlan(s, w, make([]float32, 3))
	require.ErrorIs(t, err, ErrShape)
	_, err = NewPlan(s, w, nil, Winograd(3))
	require.ErrorIs(t, err, ErrShape)
	_, err = NewPlan(s, w, nil, Workers(0))
	require.ErrorIs(t, err, ErrShape)
	_, err = NewPlan(Shape{1, 3, 3, 3, 2, 0, 0}, w, nil, Pool())
	require.ErrorIs(t, err, ErrShape)
	p, err := NewPlan(s, w, nil)
	require.NoError(t, err)
	require.ErrorIs(t, p.Forward(make([]float32, 31), make([]float32, 48)), ErrShape)
	require.ErrorIs(t, p.Forward(make([]float32, 32), make([]float32, 47)), ErrShape)
}

func TestPlanAllocates(t *testing.T) {
	for _, opts := range [][]Option{{Pool()}, {Pool(), Direct(), Workers(2)}} {
		p, err := NewPlan(Shape{1, 16, 8, 8, 16, 1, 0}, testutil.Normal(1, 16*16*9), nil, opts...)
		require.NoError(t, err)
		dst, src := make([]float32, 16*4*4), testutil.Normal(2, 16*8*8)
		require.Zero(t, testutil.AllocsPerRun(20, func() { _ = p.Forward(dst, src) }))
	}
}

func ExampleNewPlan() {
	// One picture of 2 channels, 4×4, to one channel: the filter sums the first
	// channel's neighbours and leaves out the second.
	weights := make([]float32, 1*2*3*3)
	for i := range 9 {
		weights[i] = 1
	}
	plan, err := NewPlan(Shape{N: 1, C: 2, H: 4, W: 4, K: 1, Pad: 1}, weights, []float32{0.5}, ReLU())
	if err != nil {
		panic(err)
	}
	src := make([]float32, 2*4*4)
	src[5] = 1 // channel 0, row 1, column 1
	dst := make([]float32, 4*4)
	if err := plan.Forward(dst, src); err != nil {
		panic(err)
	}
	for y := range 4 {
		fmt.Println(dst[4*y : 4*y+4])
	}
	// Output:
	// [1.5 1.5 1.5 0.5]
	// [1.5 1.5 1.5 0.5]
	// [1.5 1.5 1.5 0.5]
	// [0.5 0.5 0.5 0.5]
}
