package quantise

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

// largest returns the largest magnitude of x, or NaN.
func largest(x []float32) float32 {
	m := float32(0)
	for _, v := range x {
		m = max(m, float32(math.Abs(float64(v))))
	}
	return m
}

// TestMaxAbsKernels puts the largest magnitude in every lane, against inaccessible pages.
func TestMaxAbsKernels(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 5} {
			for at := range n * 16 {
				x := testutil.Uniform(uint64(at), n*16)
				x[at] = -3
				for _, guarded := range testutil.Guards {
					most := k.maxAbs(n, &guarded(t, x)[0])
					require.Equal(t, float32(3), math.Float32frombits(most), "%d blocks, element %d", n, at)
				}
			}
		}
	})
}

// TestMaxAbsSpecials: a NaN wins over everything, an infinity over every number.
func TestMaxAbsSpecials(t *testing.T) {
	t.Parallel()
	a, b := testutil.SpecialPairs()
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for i := range a {
			x := make([]float32, 32)
			x[3], x[20] = a[i], b[i]
			most := math.Float32frombits(k.maxAbs(2, &x[0]))
			testutil.CheckExact(t, "largest", x, []float32{most}, []float32{largest(x)})
		}
	})
}

// TestToInt16Kernels compares with the twin, bit by bit: distances between blocks, halves,
// scales, and what lies between blocks.
func TestToInt16Kernels(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 7} {
			for i, stride := range []int{16, 32, 48} {
				for seed, scale := range []float32{1, 0x1p-30, 0x1p-120, 0x1p-145, 0x1p100} {
					checkToInt16(t, k, uint64(seed), n, stride, 16*(1+(i+seed)%3), scale)
				}
			}
		}
	})
}

func checkToInt16(t *testing.T, k *kernel, seed uint64, n, stride, xStride int, factor float32) {
	t.Helper()
	x := testutil.Normal(seed, (n-1)*xStride+16)
	for i := range x {
		x[i] *= factor
	}
	x[5], x[7] = 0, -largest(x)
	s := NewScale(largest(x), Levels16)
	for i := range 3 { // halves between two numbers
		x[i] = float32((float64(7*i) + 0.5) * s.Step)
	}
	want := make([]int16, (n-1)*stride+16)
	for i := range want {
		want[i] = 12345
	}
	got := testutil.GuardedCopy(t, want)
	head := testutil.GuardedHeadCopy(t, want)
	generic.toInt16(n, &want[0], stride, &x[0], xStride, s.up, s.inv)
	k.toInt16(n, &got[0], stride, &testutil.GuardedCopy(t, x)[0], xStride, s.up, s.inv)
	k.toInt16(n, &head[0], stride, &testutil.GuardedHeadCopy(t, x)[0], xStride, s.up, s.inv)
	require.Equal(t, want, got, "%d blocks, strides %d and %d, factor %g", n, stride, xStride, factor)
	require.Equal(t, want, head)
	for i := range n * 16 {
		v, q := x[i/16*xStride+i%16], want[i/16*stride+i%16]
		require.LessOrEqual(t, q, int16(Levels16))
		require.GreaterOrEqual(t, q, int16(-Levels16))
		// The product is rounded to float32: 2⁻²⁴ of at most 32767, twice.
		require.InDelta(t, float64(v), float64(q)*s.Step, (0.5+0x1p-8)*s.Step, "x[%d] of %g", i, factor)
	}
}

// TestScaleLimits: numbers reach the limit and never exceed it.
func TestScaleLimits(t *testing.T) {
	t.Parallel()
	for limit := 1; limit <= Levels16; limit = 2*limit + 1 {
		for i, v := range testutil.Specials() {
			x := []float32{0: v, 3: -v / 2, 15: v / 3}
			s, q := NewScale(float32(math.Abs(float64(v))), limit), make([]int16, 16)
			s.ToInt16(1, q, 16, x, 16)
			if v == 0 || v != v || math.IsInf(float64(v), 0) {
				require.Equal(t, make([]int16, 16), q)
				continue
			}
			require.Contains(t, []int16{int16(limit), int16(-limit)}, q[0], "special %d, limit %d", i, limit)
			for l, number := range q {
				require.InDelta(t, float64(x[l]), float64(number)*s.Step, (0.5+0x1p-8)*s.Step, "%g", x[l])
			}
		}
	}
}

// checkToFloat32 compares a kernel with the definition, against inaccessible pages.
func checkToFloat32(t *testing.T, k *kernel, seed uint64, n, stride int, scale float64) {
	t.Helper()
	q := make([]int32, (n-1)*stride+16)
	for i, v := range testutil.Uniform(seed, len(q)) {
		q[i] = int32(float64(v) * math.MaxInt32)
	}
	q[0], q[15] = math.MinInt32, math.MaxInt32
	factor, bias := testutil.Uniform(seed+1, 16), testutil.Uniform(seed+2, 16)
	for l := range factor {
		factor[l] = float32(float64(factor[l]) * scale)
	}
	specials := testutil.Specials()
	factor[3], bias[4] = specials[seed%uint64(len(specials))], specials[(seed+1)%uint64(len(specials))]
	want := make([]float32, n*16)
	for i := range want {
		l := i % 16
		want[i] = float32(float32(q[i/16*stride+l])*factor[l]) + bias[l]
	}
	for i, guard := range testutil.Guards {
		got := testutil.Guarded[float32](t, n*16)
		if i == 1 {
			got = testutil.GuardedHead[float32](t, n*16)
		}
		from := testutil.GuardedCopy(t, q)
		if i == 1 {
			from = testutil.GuardedHeadCopy(t, q)
		}
		k.toFloat32(n, &got[0], &from[0], stride, &guard(t, factor)[0], &guard(t, bias)[0])
		testutil.CheckBits(t, "float32", []int{n, stride}, got, want)
	}
}

func TestToFloat32Kernels(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 5; n++ {
			for seed, scale := range []float64{1, 0x1p-31, 0x1p-130, 0x1p-150, 0x1p97, 0x1p100} {
				checkToFloat32(t, k, uint64(seed+n), n, 16*(1+(n+seed)%4), scale)
			}
		}
	})
}

func TestToFloat32(t *testing.T) {
	var factor, bias [16]float32
	n := piece + 3 // of two calls
	q, y, want := make([]int32, n*32), make([]float32, n*16), make([]float32, n*16)
	for i := range q {
		q[i] = int32(i)
	}
	for l := range factor {
		factor[l], bias[l] = float32(l), 3
	}
	for i := range want {
		want[i] = float32(i/16*32+i%16)*float32(i%16) + 3
	}
	ToFloat32(y, q, 32, &factor, &bias)
	require.Equal(t, want, y)
	ToFloat32(nil, nil, 16, &factor, &bias)
	require.Panics(t, func() { ToFloat32(y, q[:len(q)-32], 32, &factor, &bias) })
	require.Zero(t, testing.AllocsPerRun(5, func() { ToFloat32(y, q, 32, &factor, &bias) }))
}

func TestActivations(t *testing.T) {
	x := testutil.Normal(1, (piece+3)*16) // of two calls
	q := make([]int16, len(x))
	step := Activations(q, 16, x)
	require.InEpsilon(t, float64(largest(x))/Levels16, step, 0x1p-22)
	for i, v := range x {
		require.InDelta(t, float64(v), float64(q[i])*step, (0.5+0x1p-8)*step)
	}
	require.Equal(t, largest(x), MaxAbs(x))
	require.Zero(t, testutil.AllocsPerRun(5, func() { Activations(q, 16, x) }))
	require.Zero(t, MaxAbs(nil))
	require.Zero(t, Activations(nil, 16, nil))
	for _, f := range []func(){
		func() { MaxAbs(x[:15]) }, func() { Activations(q, 16, x[:15]) }, func() { Activations(q[:31], 16, x[:32]) },
		func() { Activations(q[:33], 32, x[:32]) },
	} {
		require.Panics(t, f)
	}
}

// TestActivationsSpecials: rows of zeros, of subnormals, of the largest numbers, and rows that
// have no scale.
func TestActivationsSpecials(t *testing.T) {
	t.Parallel()
	for _, v := range testutil.Specials() {
		x := make([]float32, 16)
		x[4], x[9] = v, -v/2
		q := []int16{15: 9}
		step := Activations(q, 16, x)
		switch {
		case v != v || math.IsInf(float64(v), 0):
			require.True(t, math.IsNaN(step), "%g", v)
			require.Equal(t, make([]int16, 16), q)
		case v == 0:
			require.Zero(t, step)
			require.Equal(t, make([]int16, 16), q)
		default:
			require.InDelta(t, float64(v), float64(q[4])*step, 0.51*step, "%g", v)
			require.Contains(t, []int16{Levels16, -Levels16}, q[4])
			require.InDelta(t, float64(-v/2), float64(q[9])*step, 0.51*step, "%g", v)
		}
	}
}

// TestWeights: no weight is more than half a step away, and none more than 127 steps.
func TestWeights(t *testing.T) {
	t.Parallel()
	rows := [][]float32{testutil.Normal(1, 500), {0, 0}, {1e-45}, {3e-43, -2e-45}, {math.MaxFloat32, -1}, {-1, 127, 0.5, 1.5}, {0x1p-126, 0x1p-149}}
	for i, row := range rows {
		step := WeightStep(row)
		r := NewRounder(step)
		for _, w := range row {
			q := r.Round(w)
			require.GreaterOrEqual(t, q, int8(-Levels8), "row %d", i)
			require.InDelta(t, float64(w), float64(q)*float64(step), float64(step)*(0.5+0x1p-40), "row %d", i)
		}
	}
	r := NewRounder(WeightStep(rows[5]))
	require.Equal(t, []int8{-1, 127, 0, 2}, []int8{r.Round(-1), r.Round(127), r.Round(0.5), r.Round(1.5)})
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		step := WeightStep([]float32{1, v})
		require.True(t, step != step)
		require.Zero(t, NewRounder(step).Round(v))
	}
}

func FuzzActivations(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(16), int16(0))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8, exponent int16) {
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				blocks := 1 + int(n)%40
				checkToInt16(t, k, seed, blocks, 16+int(gap), 16+int(gap)%40, float32(math.Ldexp(1, int(exponent)%120)))
				checkToFloat32(t, k, seed%1000, blocks, 16+int(gap), math.Ldexp(1, int(exponent)%150))
				x := testutil.Normal(seed, blocks*16)
				require.Equal(t, largest(x), math.Float32frombits(k.maxAbs(blocks, &x[0])))
			}
		}
	})
}

func BenchmarkActivations(b *testing.B) {
	for _, n := range []int{25088, 4096} {
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			b.Run(fmt.Sprintf("n=%d/kernel=%s", n, k.name), func(b *testing.B) {
				x, q := testutil.Normal(1, n), make([]int16, n)
				s := NewScale(largest(x), Levels16)
				for b.Loop() {
					k.maxAbs(n/16, &x[0])
					k.toInt16(n/16, &q[0], 16, &x[0], 16, s.up, s.inv)
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gfloat/s")
			})
		}
	}
}

func BenchmarkToFloat32(b *testing.B) {
	const n = 4096
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		b.Run("kernel="+k.name, func(b *testing.B) {
			q, y, factor := make([]int32, n), make([]float32, n), testutil.Normal(1, 16)
			for b.Loop() {
				k.toFloat32(n/16, &y[0], &q[0], 16, &factor[0], &factor[0])
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gfloat/s")
		})
	}
}
