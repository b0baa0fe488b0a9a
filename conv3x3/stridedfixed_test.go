package conv3x3

import (
	"context"
	"fmt"
	"math"
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

func forEachInt16(t *testing.T, f func(t *testing.T, kern *ukernel.BlockedInt16)) {
	testutil.EachKernel(t, ukernel.BlockedInt16Kernels, func(kern *ukernel.BlockedInt16) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// fixedFilter packs filters for a kernel.
func fixedFilter(t testing.TB, kern *ukernel.BlockedInt16, s Shape, w, bias []float32) *Filter {
	t.Helper()
	f := &Filter{c: s.C, k: s.K, stride: 2, bias: bias, fixed: newStridedFixedFilter(kern, s.C, s.K)}
	require.NoError(t, f.Repack(w, nil))
	return f
}

// fixedBound returns the bound of docs/numerics.md for each element of the result: half a
// step of a number of the input, a row's own, half a step of a filter element, and eight
// roundings to float32. want is without a ReLU.
func fixedBound(f *Filter, p problem, x, w, b []float32) (want []float64, bound func(i int) float64) {
	s, shape := p.s, p.ref()
	abs := func(x []float32) []float32 {
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = float32(math.Abs(float64(v)))
		}
		return y
	}
	ones := func(n int) []float32 {
		y := make([]float32, n)
		for i := range y {
			y[i] = 1
		}
		return y
	}
	want, mag := ref.Conv2D(shape, x, w, b)
	sumW, _ := ref.Conv2D(shape, ones(len(x)), abs(w), nil)
	sumX, _ := ref.Conv2D(shape, abs(x), ones(len(w)), nil)
	return want, func(i int) float64 {
		k, oy, picture := i/(s.OH()*s.OW())%s.K, i/s.OW()%s.OH(), i/(s.K*s.OH()*s.OW())
		most := 0.0
		for c := range s.C {
			for y := max(2*oy-s.Pad, 0); y < min(2*oy-s.Pad+3, s.H); y++ {
				for _, v := range x[((picture*s.C+c)*s.H+y)*s.W:][:min(s.W, 2*s.OW()+1-s.Pad)] {
					most = max(most, math.Abs(float64(v)))
				}
			}
		}
		v, u := (0.5+0x1p-8)*most/float64(f.fixed.limit), 0.5*f.fixed.scale[k]
		rounding := sumW[i]*v + sumX[i]*u + 9*float64(s.C)*u*v
		return rounding + ref.Gamma(8)*(mag[i]+rounding) + 0x1p-140
	}
}

// convolveFixed runs a filter on NCHW operands; the memory around them is poisoned.
func convolveFixed(t testing.TB, f *Filter, p problem, x []float32, workers int) []float32 {
	t.Helper()
	s := p.s
	spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Epilogue: fuse.Epilogue{ReLU: p.relu}}
	n, err := f.ScratchLen(spec, workers)
	require.NoError(t, err)
	team := parallel.NewTeam(workers)
	e, err := f.NewExec(spec, testutil.NaNGuarded(t, n), team)
	require.NoError(t, err)
	team.Begin()
	defer team.End()
	dst := testutil.NaNGuarded(t, e.dstLen)
	require.NoError(t, e.Run(context.Background(), dst, blockEach(t, x, s.N, s.C, s.H, s.W)))
	y := make([]float32, s.N*s.K*s.OH()*s.OW())
	convertEach(y, dst, s.N, s.K, s.OH(), s.OW(), layout.ToNCHW)
	return y
}

// checkFixed compares the portable kernel with the reference within the bound, and every
// other kernel with the portable one bit by bit.
func checkFixed(t *testing.T, p problem, x, w, b []float32) {
	t.Helper()
	f := fixedFilter(t, portableInt16, p.s, w, b)
	checkSums(t, f.fixed)
	want, bound := fixedBound(f, p, x, w, b)
	if p.relu {
		want = ref.ReLU(want)
	}
	testutil.Unchanged(t, "src", x)
	y := convolveFixed(t, f, p, x, 1)
	testutil.Check(t, "fixed point", p, y, want, bound)
	for i := range ukernel.BlockedInt16Kernels {
		if kern := &ukernel.BlockedInt16Kernels[i]; cpu.Has(kern.ISA) && kern != portableInt16 {
			testutil.CheckBits(t, kern.Name, p, convolveFixed(t, fixedFilter(t, kern, p.s, w, b), p, x, 2), y)
		}
	}
}

// portableInt16 is the last kernel of the table.
var portableInt16 = &ukernel.BlockedInt16Kernels[len(ukernel.BlockedInt16Kernels)-1]

// checkSums proves that no sum leaves int32: it is at most limit·Σ|u|.
func checkSums(t *testing.T, f *stridedFixedFilter) {
	t.Helper()
	for out := range f.k {
		sum := int64(0)
		f.eachElement(out, func(u *int16, _ int) {
			sum += int64(max(int32(*u), -int32(*u)))
		})
		require.LessOrEqual(t, sum*int64(f.limit), int64(math.MaxInt32), "output %d", out)
	}
}

func fixedData(p problem, seed uint64) (x, w, b []float32) {
	s := p.s
	return testutil.Normal(seed, s.N*s.C*s.H*s.W), testutil.Normal(seed+1, s.K*s.C*9), testutil.Normal(seed+2, s.K)
}

func TestStridedFixedRemainders(t *testing.T) {
	for i, s := range stridedShapes {
		p := problem{s, false, i%2 == 0}
		x, w, b := fixedData(p, uint64(3*i))
		checkFixed(t, p, x, w, b)
	}
	for width := 1; width <= 30; width++ { // every tile
		p := problem{Shape{1, 16, 5, width, 1 + 11*width%90, 1, 2}, false, false}
		x, w, b := fixedData(p, uint64(width))
		checkFixed(t, p, x, w, b)
	}
}

// TestStridedFixedData: rows of outliers, of one value, of the signs that make sums largest,
// of subnormals, of both ends of the range, and filters of a wide range.
func TestStridedFixedData(t *testing.T) {
	p := problem{Shape{1, 37, 9, 11, 20, 1, 2}, false, false}
	fill := func(x []float32, v func(i int) float64) {
		for i := range x {
			x[i] = float32(v(i))
		}
	}
	cases := map[string]func(x, w []float32){
		"outliers":   func(x, _ []float32) { x[100], x[700], x[2000] = 1e4, -1e6, 1e5 },
		"equal":      func(x, _ []float32) { fill(x, func(int) float64 { return 3 }) },
		"zeros":      func(x, _ []float32) { clear(x) },
		"no filters": func(_, w []float32) { clear(w[37*9 : 3*37*9]) },
		"largest sums": func(x, w []float32) {
			fill(x, func(int) float64 { return -7 })
			fill(w, func(i int) float64 { return math.Copysign(1, float64(i/(37*9)%2)-0.5) })
		},
		"one tap":      func(_, w []float32) { clear(w); w[40], w[37*9+5] = 3, -1e-6 },
		"wide filters": func(_, w []float32) { fill(w, func(i int) float64 { return math.Ldexp(1, -i%40) }) },
		"tiny": func(x, w []float32) {
			fill(x, func(i int) float64 { return math.Ldexp(1.5, -130-i%10) })
			fill(w, func(i int) float64 { return float64(w[i]) * 0x1p60 })
		},
		"subnormal": func(x, w []float32) {
			fill(x, func(i int) float64 { return float64(i%7) * 0x1p-149 })
			fill(w, func(i int) float64 { return float64(w[i]) * 0x1p100 })
		},
		"large":        func(x, w []float32) { fill(x, func(i int) float64 { return float64(x[i]) * 0x1p115 }) },
		"tiny filters": func(_, w []float32) { fill(w, func(i int) float64 { return float64(w[i]) * 0x1p-140 }) },
		"large filters": func(x, w []float32) {
			fill(w, func(i int) float64 { return float64(w[i]) * 0x1p120 })
			fill(x, func(i int) float64 { return float64(x[i]) * 0x1p-20 })
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			x, w, b := fixedData(p, 1)
			change(x, w)
			checkFixed(t, p, x, w, b)
		})
	}
}

// TestStridedFixedNonFinite: a NaN or an infinity makes NaN of the rows of the result that it
// is in the sums of, and of no other; in the filters, of its output. A column that no sum
// reads has no effect.
func TestStridedFixedNonFinite(t *testing.T) {
	s := Shape{1, 16, 9, 8, 18, 0, 2} // column 7 is in no sum
	p := problem{s, false, true}
	x, w, b := fixedData(p, 1)
	forEachInt16(t, func(t *testing.T, kern *ukernel.BlockedInt16) {
		want := convolveFixed(t, fixedFilter(t, kern, s, w, b), p, x, 1)
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			bad := append([]float32(nil), x...)
			for c := range s.C {
				bad[(c*s.H+1)*s.W+7] = float32(v)
			}
			testutil.CheckBits(t, "a column in no sum", v, convolveFixed(t, fixedFilter(t, kern, s, w, b), p, bad, 1), want)
			bad[(3*s.H+4)*s.W+2] = float32(v) // row 4 is in the sums of rows 1 and 2
			for i, got := range convolveFixed(t, fixedFilter(t, kern, s, w, b), p, bad, 1) {
				if row := i / s.OW() % s.OH(); row == 1 || row == 2 {
					require.True(t, got != got, "row %d is %v", row, got)
				} else {
					require.Equal(t, want[i], got, "row %d", row)
				}
			}
			badW := append([]float32(nil), w...)
			badW[17*16*9+5] = float32(v)
			for i, got := range convolveFixed(t, fixedFilter(t, kern, s, badW, b), p, x, 1) {
				if k := i / (s.OH() * s.OW()); k == 17 {
					require.True(t, got != got, "output %d is %v", k, got)
				} else {
					require.Equal(t, want[i], got, "output %d", k)
				}
			}
		}
	})
}

// TestStridedFixedBits: a result depends neither on the team nor on the batch, and a row of it
// on three rows of the source alone.
func TestStridedFixedBits(t *testing.T) {
	p := problem{Shape{N: 3, C: 37, H: 21, W: 18, K: 150, Pad: 1, Stride: 2}, false, true}
	x, w, b := fixedData(p, 1)
	f := fixedFilter(t, ukernel.BestBlockedInt16(), p.s, w, b)
	want := convolveFixed(t, f, p, x, 1)
	for _, workers := range []int{2, 3, 7} {
		testutil.CheckBits(t, "workers", workers, convolveFixed(t, f, p, x, workers), want)
	}
	one := p
	one.s.N = 1
	testutil.CheckBits(t, "batch of 1", p, convolveFixed(t, f, one, x[:37*21*18], 2), want[:len(want)/3])
	for c := range 37 { // rows 0 to 2 of the result are made of rows 0 to 5
		clear(x[(c*21+6)*18 : (c+1)*21*18])
	}
	got := convolveFixed(t, f, one, x[:37*21*18], 1)
	for k := range 150 {
		testutil.CheckBits(t, "three rows", k, got[k*11*9:][:3*9], want[k*11*9:][:3*9])
	}
}

// TestStridedFixedFilter: what is chosen, and what a filter says of itself.
func TestStridedFixedFilter(t *testing.T) {
	w := testutil.Normal(1, 70*37*9)
	f, err := NewFilter(37, 70, w, nil, parallel.NewTeam(2), Stride(2), Fixed())
	require.NoError(t, err)
	require.True(t, f.InFixedPoint())
	require.False(t, f.Stores())
	require.False(t, f.Fuses())
	require.False(t, f.ReadsPlanes())
	require.Equal(t, "direct int16", f.Algorithm())
	require.EqualValues(t, 2*80*48*9+8*80, f.Bytes())
	_, rms := testutil.RelErrors(f.Weights(nil), ref.Float64(w))
	require.Less(t, rms, 1e-3)
	back := f.Weights(nil)
	require.NoError(t, f.Repack(w, nil))
	testutil.CheckBits(t, "packed again", f, f.Weights(nil), back)
	require.ErrorIs(t, f.Repack(w[1:], nil), ErrShape)
	plan, err := f.Plan(Spec{N: 1, H: 9, W: 9, Pad: 1}, 1)
	require.NoError(t, err)
	require.Contains(t, plan, "direct int16")

	few, err := NewFilter(15, 4, w[:15*4*9], nil, nil, Stride(2), Fixed())
	require.NoError(t, err)
	require.Equal(t, "direct", few.Algorithm())
	grad, err := NewInputGradFilter(37, 70, w, nil, Stride(2), Fixed())
	require.NoError(t, err)
	require.Equal(t, "direct", grad.Algorithm())
	for c, want := range map[int]int{16: 16384, 64: 8192, 100: 6553, 256: 4096, 512: 2896, 1 << 20: 64} {
		require.Equal(t, want, stridedLimit(c), "%d channels", c)
		room := math.MaxInt32/float64(want) - 4.5*float64(c)
		require.Greater(t, room, 4.5*float64(c), "%d channels leave room for roundings", c)
	}
}

// TestStridedFixedErrors holds what docs/numerics.md says of the errors behind a ReLU.
func TestStridedFixedErrors(t *testing.T) {
	for c, most := range map[int]float64{48: 5.5e-4, 192: 1.1e-3, 512: 1.7e-3} {
		p := problem{Shape{1, c, 14, 14, 32, 1, 2}, false, false}
		x, w, b := fixedData(p, 1)
		for i, v := range x {
			x[i] = max(v, 0)
		}
		want, _ := ref.Conv2D(p.ref(), x, w, b)
		_, rms := testutil.RelErrors(convolveFixed(t, fixedFilter(t, ukernel.BestBlockedInt16(), p.s, w, b), p, x, 1), want)
		require.Less(t, rms, most, "%d channels", c)
	}
}

func FuzzStridedFixed(f *testing.F) {
	f.Add(uint64(1), uint8(20), uint8(9), uint8(7), uint8(20), uint8(1), int8(0))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, flags uint8, exponent int8) {
		p := problem{Shape{1 + int(flags)>>2%2, 16 + int(c)%70, 3 + int(h)%20, 3 + int(w)%20, 1 + int(k)%80, int(flags) % 2, 2}, false, flags&2 > 0}
		x, weights, b := fixedData(p, seed)
		for i := range x {
			x[i] = float32(math.Ldexp(float64(x[i]), int(exponent)/2))
		}
		checkFixed(t, p, x, weights, b)
	})
}

func BenchmarkStridedFixed(b *testing.B) {
	for _, l := range stridedLayers {
		s := l.s
		x, w := testutil.Normal(1, layout.Len(s.C, s.H, s.W)), testutil.Normal(2, s.K*s.C*9)
		for i := range ukernel.BlockedInt16Kernels {
			kern := &ukernel.BlockedInt16Kernels[i]
			if !cpu.Has(kern.ISA) || kern.ISA == cpu.Generic {
				continue
			}
			b.Run(fmt.Sprintf("layer=%s/kernel=%s", l.name, kern.Name), func(b *testing.B) {
				f := fixedFilter(b, kern, s, w, make([]float32, s.K))
				benchmarkExec(b, f, s, x)
			})
		}
	}
}
