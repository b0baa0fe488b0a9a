package vgg_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/nonet-go/nonet/winograd"
)

// TestOneErrShape: the error of one package is that of every other.
func TestOneErrShape(t *testing.T) {
	for name, err := range map[string]error{
		"gemm": gemm.ErrShape, "winograd": winograd.ErrShape, "conv3x3": conv3x3.ErrShape,
		"pool": pool.ErrShape, "weights": weights.ErrShape,
	} {
		require.True(t, err == vgg.ErrShape, name) //nolint: the same value, not only an equal one
	}
}

// huge are sizes whose products with others wrap around to small ones, or to
// negative ones, or that no memory holds.
var huge = []int{math.MaxInt, math.MaxInt/2 + 1, math.MaxInt/4 + 3, math.MaxInt / 6, -1, math.MinInt}

// TestHugeSizes hands each size of each constructor a huge or negative value: that is
// an error that wraps ErrShape, and nothing else comes back.
func TestHugeSizes(t *testing.T) {
	w := make([]float32, 16*16*9)
	m := tiny()
	cfg := m.Config()
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	wino, err := winograd.NewFilter(4, 16, 16, w, nil)
	require.NoError(t, err)
	winoConv, err := wino.NewConv(1, 8, 8, 1, nil, fuse.Epilogue{})
	require.NoError(t, err)
	direct, err := conv3x3.NewFilter(16, 16, w, nil, nil, conv3x3.Direct())
	require.NoError(t, err)
	point, err := gemm.NewPointwise(16, 16, w[:256], nil)
	require.NoError(t, err)
	linear, err := gemm.NewLinear(16, 16, w[:256], nil, nil)
	require.NoError(t, err)

	type maker struct {
		name string
		fit  []int // sizes that are right
		make func(s []int) (any, error)
	}
	for _, c := range []maker{
		{"pool.NewMaxPool", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewMaxPool(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewMaxPoolGrad", []int{1, 16, 2, 2}, func(s []int) (any, error) {
			return pool.NewMaxPoolGrad(s[0], s[1], s[2], s[3], fuse.Epilogue{ReLU: true}, nil)
		}},
		{"pool.NewLRN", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewLRN(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewLRNGrad", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewLRNGrad(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewAvgPool", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewAvgPool(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewAvgPoolGrad", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewAvgPoolGrad(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewGlobalPool", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewGlobalPool(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewGlobalPoolGrad", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewGlobalPoolGrad(s[0], s[1], s[2], s[3], nil) }},
		{"pool.NewScale", []int{16}, func(s []int) (any, error) { return pool.NewScale(s[0], w[:16], w[:16], fuse.Epilogue{}) }},
		{"pool.NewScaleGrad", []int{1, 16, 2, 2}, func(s []int) (any, error) { return pool.NewScaleGrad(s[0], s[1], s[2], s[3], nil) }},
		{"gemm.NewLinear", []int{16, 16}, func(s []int) (any, error) { return gemm.NewLinear(s[0], s[1], w[:256], nil, nil) }},
		{"gemm.NewLinear of nothing", []int{1, 0}, func(s []int) (any, error) { return gemm.NewLinear(s[0], s[1], nil, nil, nil) }},
		{"gemm.Linear.NewExec", []int{1}, func(s []int) (any, error) { return linear.NewExec(s[0], nil) }},
		{"gemm.NewPointwise", []int{16, 16}, func(s []int) (any, error) { return gemm.NewPointwise(s[0], s[1], w[:256], nil) }},
		{"gemm.Pointwise.NewExec", []int{1, 2, 2}, func(s []int) (any, error) { return point.NewExec(s[0], s[1], s[2], fuse.Epilogue{}, nil) }},
		{"gemm.NewPointwiseWeightGrad", []int{1, 16, 2, 2, 16}, func(s []int) (any, error) {
			return gemm.NewPointwiseWeightGrad(s[0], s[1], s[2], s[3], s[4], nil)
		}},
		{"winograd.NewFilter", []int{4, 16, 16}, func(s []int) (any, error) { return winograd.NewFilter(s[0], s[1], s[2], w, nil) }},
		{"winograd.NewInputGradFilter", []int{4, 16, 16}, func(s []int) (any, error) { return winograd.NewInputGradFilter(s[0], s[1], s[2], w, nil) }},
		{"winograd.NewConv", []int{1, 8, 8, 1}, func(s []int) (any, error) { return wino.NewConv(s[0], s[1], s[2], s[3], nil, fuse.Epilogue{}) }},
		{"winograd.NewWeightGrad", []int{1, 16, 8, 8, 16, 1}, func(s []int) (any, error) {
			return winograd.NewWeightGrad(s[0], s[1], s[2], s[3], s[4], s[5])
		}},
		{"conv3x3.NewPlan", []int{1, 16, 8, 8, 16, 1, 1}, func(s []int) (any, error) {
			return conv3x3.NewPlan(conv3x3.Shape{N: s[0], C: s[1], H: s[2], W: s[3], K: s[4], Pad: s[5]}, w, nil, conv3x3.Workers(s[6]))
		}},
		{"conv3x3.NewGradPlan", []int{1, 16, 8, 8, 16, 1, 1}, func(s []int) (any, error) {
			return conv3x3.NewGradPlan(conv3x3.Shape{N: s[0], C: s[1], H: s[2], W: s[3], K: s[4], Pad: s[5]}, w, conv3x3.Workers(s[6]))
		}},
		{"conv3x3.NewFilter", []int{16, 16}, func(s []int) (any, error) { return conv3x3.NewFilter(s[0], s[1], w, nil, nil) }},
		{"conv3x3.NewInputGradFilter", []int{16, 16}, func(s []int) (any, error) { return conv3x3.NewInputGradFilter(s[0], s[1], w, nil) }},
		{"conv3x3.NewWeightGrad", []int{1, 16, 8, 8, 16, 1}, func(s []int) (any, error) {
			return conv3x3.NewWeightGrad(conv3x3.Shape{N: s[0], C: s[1], H: s[2], W: s[3], K: s[4], Pad: s[5]})
		}},
		{"conv3x3.NewWeightGrad, direct", []int{1, 3, 8, 8, 16, 1}, func(s []int) (any, error) {
			return conv3x3.NewWeightGrad(conv3x3.Shape{N: s[0], C: s[1], H: s[2], W: s[3], K: s[4], Pad: s[5]})
		}},
		{"conv3x3.Filter.NewExec", []int{1, 8, 8, 1}, func(s []int) (any, error) {
			return direct.NewExec(conv3x3.Spec{N: s[0], H: s[1], W: s[2], Pad: s[3]}, make([]float32, 1<<14), nil)
		}},
		{"conv3x3.Filter.ScratchLen", []int{1, 8, 8, 1, 1}, func(s []int) (any, error) {
			n, err := direct.ScratchLen(conv3x3.Spec{N: s[0], H: s[1], W: s[2], Pad: s[3]}, s[4])
			if n == 0 {
				return nil, err
			}
			return n, err
		}},
		{"winograd.Conv.NewExec", []int{0}, func(s []int) (any, error) {
			if s[0] == 0 {
				return winoConv.NewExec(make([]float32, winoConv.ScratchLen(1)), nil)
			}
			return winoConv.NewExec(nil, nil)
		}},
		{"vgg.NewSession", []int{1, 1, 16, 16}, func(s []int) (any, error) {
			return m.NewSession(vgg.Batch(s[0]), vgg.Workers(s[1]), vgg.InputSize(s[2], s[3]))
		}},
		{"vgg.NewSession, dense", []int{1, 1, 16, 16}, func(s []int) (any, error) {
			return m.NewSession(vgg.Dense(), vgg.Batch(s[0]), vgg.Workers(s[1]), vgg.InputSize(s[2], s[3]))
		}},
		{"vgg.NewSession of a layer", []int{1, 1, 16, 16}, func(s []int) (any, error) {
			return m.NewSession(vgg.Output("pool1"), vgg.Batch(s[0]), vgg.Workers(s[1]), vgg.InputSize(s[2], s[3]))
		}},
		{"vgg.NewTrainer", []int{1, 1}, func(s []int) (any, error) { return vgg.NewTrainer(cfg, src, s[0], vgg.TrainWorkers(s[1])) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.make(append([]int(nil), c.fit...)); c.name != "gemm.NewLinear of nothing" {
				require.NoError(t, err)
			}
			for i := range c.fit {
				for _, n := range huge {
					s := append([]int(nil), c.fit...)
					s[i] = n
					got, err := c.make(s)
					require.ErrorIs(t, err, vgg.ErrShape, "%v", s)
					require.True(t, got == nil || reflect.ValueOf(got).IsNil(), "%v: something beside an error", s)
				}
			}
			for i := range len(c.fit) - 1 { // two at a time, whose product is 0 again
				s := append([]int(nil), c.fit...)
				s[i], s[i+1] = math.MaxInt/2+1, 4
				_, err := c.make(s)
				require.ErrorIs(t, err, vgg.ErrShape, "%v", s)
			}
		})
	}
}

// TestWorkersHuge names the number and the limit.
func TestWorkersHuge(t *testing.T) {
	m := tiny()
	cfg := m.Config()
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	many := parallel.MaxWorkers + 1
	_, err = m.NewSession(vgg.Workers(many))
	require.EqualError(t, err, "vgg: 4097 workers, want 1 to 4096")
	_, err = vgg.NewTrainer(cfg, src, 1, vgg.TrainWorkers(many))
	require.EqualError(t, err, "vgg: 4097 workers, want 1 to 4096")
	_, err = m.NewSession(vgg.Batch(math.MaxInt))
	require.ErrorContains(t, err, fmt.Sprintf("a batch of %d pictures", math.MaxInt))
	require.False(t, errors.Is(err, vgg.ErrConfig))
	require.Equal(t, parallel.MaxWorkers, parallel.NewTeam(math.MaxInt).Workers())
}

// TestLayoutHuge: lengths that no memory holds are longer than any slice.
func TestLayoutHuge(t *testing.T) {
	for _, n := range huge {
		require.Equal(t, math.MaxInt, layout.Len(n, 4, 4))
		require.Equal(t, math.MaxInt, layout.Len(4, n, 4))
		require.Equal(t, math.MaxInt, layout.BatchLen(n, 4, 4, 4))
		require.Panics(t, func() { layout.Alloc(n) })
		x := make([]float32, 256)
		require.PanicsWithValue(t, "layout: slice of a picture is too short", func() { layout.FromNCHW(n, 2, 2, x, x) })
		require.PanicsWithValue(t, "layout: slice of a picture is too short", func() { layout.LoadBlock(16, n, 0, x, x) })
		require.PanicsWithValue(t, "layout: slice of a picture is too short", func() { layout.StoreBlock(16, n, 0, x, x) })
	}
}
