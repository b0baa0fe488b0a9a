package pool

import (
	"context"
	"fmt"
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

func forEachKernel(t *testing.T, f func(t *testing.T, kern *kernel)) {
	testutil.EachKernel(t, kernels, func(kern *kernel) (string, cpu.ISA) { return kern.name, kern.isa }, f)
}

type size struct{ n, c, h, w int }

// blocked runs f on the blocked form of x, with poisoned memory around it, and
// returns the n×c×oh×ow result as NCHW.
func blocked(t testing.TB, s size, oh, ow int, x []float32, f func(dst, src []float32) error) []float32 {
	t.Helper()
	in, out := layout.Len(s.c, s.h, s.w), layout.Len(s.c, oh, ow)
	src, dst := testutil.NaNGuarded(t, s.n*in), testutil.NaNGuarded(t, s.n*out)
	for i := range s.n {
		layout.FromNCHW(s.c, s.h, s.w, src[i*in:][:in], x[i*s.c*s.h*s.w:])
	}
	require.NoError(t, f(dst, src))
	y := make([]float32, s.n*s.c*oh*ow)
	for i := range s.n {
		layout.ToNCHW(s.c, oh, ow, y[i*s.c*oh*ow:], dst[i*out:][:out])
	}
	for i, v := range dst {
		if ch := i/(16*oh*ow)%layout.Blocks(s.c)*16 + i%16; ch >= s.c {
			require.Zero(t, v, "padded channel %d", ch)
		}
	}
	return y
}

func maxPool(t testing.TB, kern *kernel, s size, x []float32, workers int) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	e, err := newMaxPool(kern, s.n, s.c, s.h, s.w, team)
	require.NoError(t, err)
	team.Begin()
	defer team.End()
	return blocked(t, s, s.h/2, s.w/2, x, func(dst, src []float32) error { return e.Run(context.Background(), dst, src) })
}

func testMaxPool(t *testing.T, kern *kernel, s size, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, s.n*s.c*s.h*s.w)
	x[len(x)/2], x[len(x)/3] = float32(math.NaN()), float32(math.Inf(-1))
	want, _ := ref.MaxPool2x2(s.n*s.c, s.h, s.w, x)
	got := maxPool(t, kern, s, x, 1)
	testutil.CheckExact(t, "maximum", s, got, want)
	testutil.CheckBits(t, "3 workers", s, maxPool(t, kern, s, x, 3), got)
}

var shapes = []size{{1, 1, 2, 2}, {1, 16, 3, 5}, {2, 20, 4, 7}, {3, 33, 9, 2}, {1, 64, 14, 14}}

func TestMaxPool(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for i, s := range shapes {
			testMaxPool(t, kern, s, uint64(i))
		}
	})
}

// TestMaxPoolNaN puts a NaN at each of the four places.
func TestMaxPoolNaN(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for i := range 4 {
			x := []float32{1, 2, 3, 4}
			x[i] = float32(math.NaN())
			testutil.CheckExact(t, "NaN", i, maxPool(t, kern, size{1, 1, 2, 2}, x, 1), []float64{math.NaN()})
		}
	})
}

func lrnRunOn(t testing.TB, kern *kernel, s size, x []float32, workers int) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	e, err := newLRN(kern, s.n, s.c, s.h, s.w, team)
	require.NoError(t, err)
	team.Begin()
	defer team.End()
	return blocked(t, s, s.h, s.w, x, func(dst, src []float32) error { return e.Run(context.Background(), dst, src) })
}

// lrnUlps bounds the rounding errors of one result. The sum s = k + α·Σa² has
// five squares, four additions and a product with a rounded α, all of positive
// terms: 7 of them, of which the power 3/4 leaves 5.25; then two roots, one of
// which halves the error of the other, a product and a quotient: 3.5.
const lrnUlps = 9

func testLRN(t *testing.T, kern *kernel, s size, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, s.n*s.c*s.h*s.w)
	for i := range x {
		x[i] *= 100 // so that the sum matters beside k
	}
	want := ref.LRN(ref.VGGLRN, s.n, s.c, s.h*s.w, x)
	got := lrnRunOn(t, kern, s, x, 1)
	testutil.Check(t, "normalisation", s, got, want, func(i int) float64 { return lrnUlps * 0x1p-24 * math.Abs(want[i]) })
	testutil.CheckBits(t, "3 workers", s, lrnRunOn(t, kern, s, x, 3), got)
}

func TestLRN(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for i, s := range shapes {
			testLRN(t, kern, s, uint64(i))
		}
		testLRN(t, kern, size{1, 17, 40, 60}, 9) // several runs
	})
}

// TestGuardPages puts the operands of each kernel against inaccessible pages.
func TestGuardPages(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		for _, place := range testutil.Guards {
			for n := 1; n <= 5; n++ {
				pixels := func(n int) *float32 { return &place(t, testutil.Normal(uint64(n), n*16))[0] }
				const gap = 7 * 16
				kern.maxRow(n, pixels(n), &place(t, testutil.Normal(1, gap+n*32))[0], gap)
				kern.lrn(n, pixels(n), pixels(n), pixels(n), pixels(1), 16, 0, lrnAlpha, lrnK)
				kern.lrn(n, pixels(n), pixels(n), pixels(1), pixels(n), 0, 16, lrnAlpha, lrnK)
			}
		}
	})
}

// TestSpecials compares the kernels with the portable one where every special
// value is the neighbour of every other.
func TestSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		s := testutil.Specials()
		n := (len(s)*len(s) + 15) / 16
		x, dy := make([]float32, 4*n*16), testutil.Normal(1, n*16)
		for i := range x {
			x[i] = s[(i+i/16)%len(s)]
			if i/len(s)%3 == 1 {
				x[i] = s[i/len(s)%len(s)]
			}
		}
		y, want := testutil.NaNGuarded(t, n*16), make([]float32, n*16)
		kern.maxRow(n, &y[0], &x[0], n*32)
		maxRowGeneric(n, &want[0], &x[0], n*32)
		testutil.CheckExact(t, "maximum", n, y, want)

		for _, floor := range []float32{0, float32(math.Inf(-1))} {
			dx, want := testutil.NaNGuarded(t, len(x)), make([]float32, len(x))
			kern.maxGradRow(n, &dx[0], &x[0], &y[0], &dy[0], n*32, floor, 0)
			maxGradRowGeneric(n, &want[0], &x[0], &y[0], &dy[0], n*32, floor, 0)
			testutil.CheckExact(t, "gradient", floor, dx, want)
		}

		// One special value among ordinary ones, which its NaN must not reach.
		for _, v := range s {
			for _, c := range []int{0, 1, 7, 14, 15} {
				src, below, above := testutil.Normal(2, 3*16), testutil.Normal(3, 3*16), testutil.Normal(4, 3*16)
				src[16+c] = v
				got, want := testutil.NaNGuarded(t, 3*16), make([]float32, 3*16)
				kern.lrn(3, &got[0], &src[0], &below[0], &above[0], 16, 16, lrnAlpha, lrnK)
				lrnGeneric(3, &want[0], &src[0], &below[0], &above[0], 16, 16, lrnAlpha, lrnK)
				testutil.Check(t, "normalisation", v, got, ref.Float64(want), func(i int) float64 { return 2*lrnUlps*0x1p-24*math.Abs(float64(want[i])) + 0x1p-149 })
				for i, y := range got {
					if far := i/16 != 1 || max(i%16-c, c-i%16) > 2; far {
						require.False(t, y != y, "%v in channel %d makes NaN of element %d", v, c, i)
					}
				}
			}
		}
	})
}

func TestErrors(t *testing.T) {
	_, err := NewMaxPool(1, 1, 1, 2, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewLRN(0, 1, 1, 2, nil)
	require.ErrorIs(t, err, ErrShape)
	m, err := NewMaxPool(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, m.Run(context.Background(), make([]float32, 15), make([]float32, 64)), ErrShape)
	l, err := NewLRN(1, 1, 2, 2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, l.Run(context.Background(), make([]float32, 64), make([]float32, 63)), ErrShape)
}

func FuzzPool(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(4), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		s := size{1, 1 + int(c)%50, 2 + int(h)%10, 2 + int(w)%20}
		for i := range kernels {
			if cpu.Has(kernels[i].isa) {
				testMaxPool(t, &kernels[i], s, seed)
				testLRN(t, &kernels[i], s, seed)
			}
		}
	})
}

func BenchmarkPool(b *testing.B) {
	s := size{1, 64, 224, 224}
	src, dst := layout.Alloc(layout.Len(s.c, s.h, s.w)), layout.Alloc(layout.Len(s.c, s.h, s.w))
	copy(src, testutil.Normal(1, len(src)))
	for i := range kernels {
		kern := &kernels[i]
		if !cpu.Has(kern.isa) {
			continue
		}
		b.Run(fmt.Sprintf("op=max/layer=pool1/kernel=%s", kern.name), func(b *testing.B) {
			e, err := newMaxPool(kern, s.n, s.c, s.h, s.w, nil)
			require.NoError(b, err)
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), dst[:len(src)/4], src))
			}
		})
		b.Run(fmt.Sprintf("op=maxgrad/layer=pool1/kernel=%s", kern.name), func(b *testing.B) {
			e, err := NewMaxPoolGrad(s.n, s.c, s.h, s.w, fuse.Epilogue{}, nil)
			require.NoError(b, err)
			e.kern = kern
			y, dy := layout.Alloc(len(src)/4), layout.Alloc(len(src)/4)
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), dst, src, y, dy))
			}
		})
		b.Run(fmt.Sprintf("op=lrn/layer=lrn1/kernel=%s", kern.name), func(b *testing.B) {
			e, err := newLRN(kern, s.n, s.c, s.h, s.w, nil)
			require.NoError(b, err)
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), dst, src))
			}
		})
	}
}

// TestLRNRange: the bound holds up to the documented magnitude; beyond it, results are 0
// on every instruction set.
func TestLRNRange(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *kernel) {
		s := size{1, 16, 1, 1}
		for _, v := range []float32{1e-30, 1e-3, 1, 1e6, 1e15, -1e18, 8e18} {
			x := make([]float32, 16)
			for i := range x {
				x[i] = v
			}
			got, want := lrnRunOn(t, kern, s, x, 1), ref.LRN(ref.VGGLRN, 1, 16, 1, ref.Float64(x))
			for i, w := range want {
				require.InDelta(t, 1, float64(got[i])/w, 9*0x1p-23, "%v", v)
			}
		}
		for _, v := range []float32{1e20, -1e20, 3e38} {
			x := make([]float32, 16)
			x[5], x[6], x[12] = v, 1, 1
			got := lrnRunOn(t, kern, s, x, 1)
			require.Zero(t, got[5])
			require.Zero(t, got[6])
			require.NotZero(t, got[12], "out of its window")
		}
	})
}
