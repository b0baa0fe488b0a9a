package pool

import (
	"context"
	"math"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// toBlocks converts n pictures, with poison around them.
func toBlocks(t testing.TB, s size, h, w int, x []float32) []float32 {
	b := testutil.NaNGuarded(t, s.n*layout.Len(s.c, h, w))
	for i := range s.n {
		layout.FromNCHW(s.c, h, w, b[i*layout.Len(s.c, h, w):], x[i*s.c*h*w:])
	}
	return b
}

func testMaxPoolGrad(t *testing.T, kern *kernel, s size, seed uint64, relu bool) {
	t.Helper()
	oh, ow := s.h/2, s.w/2
	x, dy := testutil.Ints(seed, s.n*s.c*s.h*s.w, -3, 3), testutil.Normal(seed+1, s.n*s.c*oh*ow) // many are equal
	if relu {
		for i := range x {
			x[i] = max(x[i], 0)
		}
	}
	y64, arg := ref.MaxPool2x2(s.n*s.c, s.h, s.w, x)
	want := ref.MaxPool2x2Grad(s.n*s.c, s.h, s.w, arg, dy)
	if relu {
		want = ref.ReLUGrad(x, ref.Float32(want))
	}
	e, err := NewMaxPoolGrad(s.n, s.c, s.h, s.w, fuse.Epilogue{ReLU: relu}, nil)
	require.NoError(t, err)
	e.kern = kern
	by, bdy := toBlocks(t, s, oh, ow, ref.Float32(y64)), toBlocks(t, s, oh, ow, dy)
	got := blocked(t, s, s.h, s.w, x, func(dst, src []float32) error { return e.Run(context.Background(), dst, src, by, bdy) })
	testutil.CheckExact(t, "gradient of the maximum", s, got, want)
}

func TestMaxPoolGrad(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for i, s := range shapes {
			testMaxPoolGrad(t, kern, s, uint64(i), false)
			testMaxPoolGrad(t, kern, s, uint64(i), true)
		}
	})
}

func TestMaxPoolGradGuards(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for _, place := range testutil.Guards {
			for n := 1; n <= 3; n++ {
				pixels := func(n int) *float32 { return &place(t, testutil.Normal(uint64(n), n*16))[0] }
				gap := n * 32
				for stream := range 2 {
					kern.maxGradRow(n, pixels(4*n), pixels(4*n), pixels(n), pixels(n), gap, float32(math.Inf(-1)), stream)
				}
			}
		}
	})
}

// TestMaxPoolGradStream: the result is the same where it is written around the caches,
// and where it does not begin on a cache line.
func TestMaxPoolGradStream(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		const h, w = 256, streamLen / 256 / 16
		e, err := NewMaxPoolGrad(1, 1, h, w, fuse.Epilogue{ReLU: true}, nil)
		require.NoError(t, err)
		e.kern = kern
		x, y, dy := testutil.Ints(1, streamLen, -2, 2), testutil.Ints(2, streamLen/4, 1, 2), testutil.Normal(3, streamLen/4)
		want := make([]float32, streamLen)
		maxGradRowsGeneric(want, x, y, dy, h, w)
		for _, skip := range []int{0, 1} {
			got := layout.Alloc(streamLen + skip)[skip:]
			require.NoError(t, e.Run(context.Background(), got, x, y, dy))
			testutil.CheckBits(t, "gradient", skip, got, want)
		}
	})
}

// maxGradRowsGeneric computes a plane.
func maxGradRowsGeneric(dx, x, y, dy []float32, h, w int) {
	for i := range h / 2 {
		row, out := 2*i*w*16, i*w/2*16
		maxGradRowGeneric(w/2, &dx[row], &x[row], &y[out], &dy[out], w*16, 0, 0)
	}
}

func testLRNGrad(t *testing.T, s size, seed uint64) {
	t.Helper()
	x, dy := testutil.Normal(seed, s.n*s.c*s.h*s.w), testutil.Normal(seed+9, s.n*s.c*s.h*s.w)
	for j := range x {
		x[j] *= 100
	}
	want, mag := ref.LRNGrad(ref.VGGLRN, s.n, s.c, s.h*s.w, x, dy)
	var first []float32
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		e, err := NewLRNGrad(s.n, s.c, s.h, s.w, team)
		require.NoError(t, err)
		bdy := toBlocks(t, s, s.h, s.w, dy)
		got := blocked(t, s, s.h, s.w, x, func(dst, src []float32) error { return e.Run(context.Background(), dst, src, bdy) })
		testutil.Check(t, "gradient of the normalisation", s, got, want, ref.Bound(24, mag))
		if first == nil {
			first = got
		}
		testutil.CheckBits(t, "3 workers", s, got, first)
	}
}

func TestLRNGrad(t *testing.T) {
	for i, s := range shapes {
		testLRNGrad(t, s, uint64(i))
	}
}

func FuzzLRNGrad(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		testLRNGrad(t, size{1, 1 + int(c)%50, 1 + int(h)%10, 1 + int(w)%20}, seed)
	})
}

func TestNoAllocation(t *testing.T) {
	const n, c, h, w = 2, 40, 8, 6
	team := parallel.NewTeam(2)
	x, y := make([]float32, n*layout.Len(c, h, w)), make([]float32, n*layout.Len(c, h/2, w/2))
	dx, ctx := make([]float32, len(x)), context.Background()
	mp, err := NewMaxPool(n, c, h, w, team)
	require.NoError(t, err)
	mg, err := NewMaxPoolGrad(n, c, h, w, fuse.Epilogue{ReLU: true}, team)
	require.NoError(t, err)
	l, err := NewLRN(n, c, h, w, team)
	require.NoError(t, err)
	lg, err := NewLRNGrad(n, c, h, w, team)
	require.NoError(t, err)
	for name, run := range map[string]func() error{
		"maximum":                       func() error { return mp.Run(ctx, y, x) },
		"gradient of the maximum":       func() error { return mg.Run(ctx, dx, x, y, y) },
		"normalisation":                 func() error { return l.Run(ctx, dx, x) },
		"gradient of the normalisation": func() error { return lg.Run(ctx, dx, x, x) },
	} {
		require.NoError(t, run())
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = run() }), name)
	}
}

func TestGradientErrors(t *testing.T) {
	_, err := NewMaxPoolGrad(1, 1, 1, 2, fuse.Epilogue{ReLU: true}, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewMaxPoolGrad(1, 1, 2, 2, fuse.Epilogue{ReLU: true, Pool: true}, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewLRNGrad(1, 0, 1, 2, nil)
	require.ErrorIs(t, err, ErrShape)
	m, err := NewMaxPoolGrad(1, 1, 2, 2, fuse.Epilogue{ReLU: true}, nil)
	require.NoError(t, err)
	x := make([]float32, 64)
	require.ErrorIs(t, m.Run(context.Background(), x, x, x[:16], x[:15]), ErrShape)
	l, err := NewLRNGrad(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, l.Run(context.Background(), x, x, x[:63]), ErrShape)
}

func FuzzMaxPoolGrad(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9), true)
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8, relu bool) {
		s := size{1, 1 + int(c)%50, 2 + int(h)%10, 2 + int(w)%20}
		for i := range kernels {
			if cpu.Has(kernels[i].isa) {
				testMaxPoolGrad(t, &kernels[i], s, seed, relu)
			}
		}
	})
}
