package activation

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

func TestReLU(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		x := testutil.Normal(1, 5*16)
		x[3], x[4], x[5] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
		want := ref.ReLU(x)
		for _, guarded := range testutil.Guards {
			got := guarded(t, x)
			k.relu(5, &got[0])
			testutil.CheckExact(t, "relu", 5, got, want)
		}
		ReLU(x[:21])
		testutil.CheckExact(t, "relu", 21, x[:21], want[:21])
	})
}

func TestAdd(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			x, y := testutil.Normal(1, n*16), testutil.Normal(2, n*16)
			want := addOf(x, y)
			for _, guarded := range testutil.Guards {
				got := guarded(t, x)
				k.add(n, &got[0], &guarded(t, y)[0])
				testutil.CheckExact(t, "add", n, got, want)
			}
		}
	})
	for _, n := range []int{0, 5, 16, 37} {
		x, y := testutil.Normal(1, n), testutil.Normal(2, n)
		want := addOf(x, y)
		Add(x, y)
		testutil.CheckExact(t, "add", n, x, want)
	}
	require.Panics(t, func() { Add(make([]float32, 2), make([]float32, 1)) })
}

func addOf(x, y []float32) []float32 {
	want := make([]float32, len(x))
	for i := range x {
		want[i] = x[i] + y[i]
	}
	return want
}

func TestReLUGrad(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 5; n++ {
			x, dx := testutil.Ints(uint64(n), n*16, -2, 2), testutil.Normal(2, n*16)
			x[3], x[4], x[5] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
			want := ref.ReLUGrad(x, dx)
			for _, guarded := range testutil.Guards {
				got := guarded(t, dx)
				k.reluGrad(n, &got[0], &guarded(t, x)[0])
				testutil.CheckExact(t, "dx", n, got, want)
			}
		}
	})
}

func TestSumPixels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 3, 100} {
			x := testutil.Normal(uint64(n), n*16)
			want, mag := make([]float64, 16), make([]float64, 16)
			for i, v := range x {
				want[i%16] += float64(v)
				mag[i%16] += math.Abs(float64(v))
			}
			for _, guarded := range testutil.Guards {
				got := guarded(t, make([]float32, 16))
				k.sumPixels(n, &got[0], &guarded(t, x)[0])
				testutil.Check(t, "sum", n, got, want, ref.Bound(n, mag))
			}
		}
	})
}

func TestAddSquares(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			x, sum := testutil.Normal(1, n*16), testutil.Normal(2, n*16)
			want, mag := squaresOf(sum, x)
			for _, guarded := range testutil.Guards {
				got := guarded(t, sum)
				k.addSquares(n, &got[0], &guarded(t, x)[0])
				testutil.Check(t, "squares", n, got, want, ref.Bound(2, mag))
			}
		}
	})
	for _, n := range []int{0, 5, 16, 37} {
		x, sum := testutil.Ints(1, n, -9, 9), testutil.Ints(2, n, -9, 9)
		want, _ := squaresOf(sum, x)
		AddSquares(sum, x)
		testutil.CheckExact(t, "squares", n, sum, want)
	}
}

// squaresOf returns sum + x² and its magnitude.
func squaresOf(sum, x []float32) (want, mag []float64) {
	for i, v := range x {
		square := float64(v) * float64(v)
		want = append(want, float64(sum[i])+square)
		mag = append(mag, math.Abs(float64(sum[i]))+square)
	}
	return want, mag
}

// diffsOf returns the sums of sumDiffs for 16 lanes and their magnitudes. The rounding of
// both products makes an error of u·(|xu| + |yv|) in a difference d, and so of twice that
// times |d| and more in its square.
func diffsOf(x, u, y, v []float32) (want, mag []float64) {
	want, mag = make([]float64, 16), make([]float64, 16)
	for i := range x {
		a, b := float64(x[i])*float64(u[i]), float64(y[i])*float64(v[i])
		want[i%16] += (a - b) * (a - b)
		mag[i%16] += (math.Abs(a) + math.Abs(b)) * (math.Abs(a) + math.Abs(b))
	}
	return want, mag
}

func TestSumDiffs(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 3, 100} {
			x, u, y, v := testutil.Normal(1, n*16), testutil.Uniform(2, n*16), testutil.Normal(3, n*16), testutil.Uniform(4, n*16)
			want, mag := diffsOf(x, u, y, v)
			for _, guarded := range testutil.Guards {
				got := guarded(t, make([]float32, 16))
				k.sumDiffs(n, &got[0], &guarded(t, x)[0], &guarded(t, u)[0], &guarded(t, y)[0], &guarded(t, v)[0])
				testutil.Check(t, "differences", n, got, want, ref.Bound(n+4, mag))
				k.sumDiffs(n, &got[0], &x[0], &u[0], &x[0], &u[0])
				testutil.CheckExact(t, "equal operands", n, got, make([]float64, 16))
			}
		}
	})
	for _, n := range []int{0, 5, 16, 37, piece*16 + 33} {
		x, u, y, v := testutil.Ints(1, n, -2, 2), testutil.Ints(2, n, 0, 2), testutil.Ints(3, n, -2, 2), testutil.Ints(4, n, 0, 2)
		want, _ := diffsOf(x, u, y, v)
		total := 0.0
		for _, w := range want {
			total += w
		}
		require.Equal(t, total, SquaredDistance(x, u, y, v, new([16]float32)), n)
		lanes := new([16]float32)
		require.Zero(t, testutil.AllocsPerRun(2, func() { SquaredDistance(x, u, y, v, lanes); AddSquares(x, y) }))
	}
}

// TestErrors: lengths that do not fit panic.
func TestErrors(t *testing.T) {
	x := make([]float32, 16)
	require.PanicsWithValue(t, "activation: lengths differ", func() { Add(x, x[:15]) })
	require.PanicsWithValue(t, "activation: lengths differ", func() { ReLUGrad(x[:15], x) })
	require.PanicsWithValue(t, "activation: lengths differ", func() { AddSquares(x[:15], x) })
	for i := range 4 {
		o := [4][]float32{x, x, x, x}
		o[i] = x[:15]
		require.PanicsWithValue(t, "activation: lengths differ", func() { SquaredDistance(o[0], o[1], o[2], o[3], new([16]float32)) })
	}
	require.PanicsWithValue(t, "activation: lengths differ", func() { ReLUGrad(x, x[:0]) })
	require.PanicsWithValue(t, "activation: length is no multiple of 16", func() { SumPixels(new([16]float32), x[:15]) })
}

// TestReLUGradTail: lengths that are no multiple of 16.
func TestReLUGradTail(t *testing.T) {
	for n := range 35 {
		x, dx := testutil.Ints(uint64(n), n, -2, 2), testutil.Normal(2, n)
		if n > 0 {
			x[n-1] = float32(math.NaN())
		}
		want := ref.ReLUGrad(x, dx)
		got := testutil.NaNGuarded(t, n)
		copy(got, dx)
		ReLUGrad(got, x)
		testutil.CheckExact(t, "dx", n, got, want)
	}
}

// TestPieces gives the functions more than one call of a kernel takes.
func TestPieces(t *testing.T) {
	const n = (2*piece + 1) * 16
	x, y := testutil.Ints(1, n, -4, 4), testutil.Ints(2, n, -4, 4)
	w := append([]float32(nil), x...)
	ReLU(w)
	testutil.CheckExact(t, "ReLU", n, w, ref.ReLU(x))
	copy(w, y)
	ReLUGrad(w, x)
	testutil.CheckExact(t, "ReLUGrad", n, w, ref.ReLUGrad(x, y))
	copy(w, y)
	Add(w, x)
	testutil.CheckExact(t, "Add", n, w, addOf(x, y))
	var sum [16]float32
	for name, f := range map[string]func(){
		"ReLU": func() { ReLU(w) }, "ReLUGrad": func() { ReLUGrad(w, x) }, "Add": func() { Add(w, x) }, "SumPixels": func() { SumPixels(&sum, x) },
	} {
		require.Zero(t, testutil.AllocsPerRun(10, f), name)
	}
}

// TestSpecials pins what zeros of either sign, subnormals, infinities and NaN become:
// subnormals are numbers like any other, and a NaN or an infinity touches no element but
// its own.
func TestSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		x, y := testutil.SpecialPairs()
		n := len(x) / 16
		relu := append([]float32(nil), x...)
		k.relu(n, &relu[0])
		testutil.CheckExact(t, "relu", n, relu, ref.ReLU(x))

		sum := append([]float32(nil), x...)
		k.add(n, &sum[0], &y[0])
		testutil.CheckExact(t, "add", n, sum, addOf(x, y))

		grad := append([]float32(nil), y...)
		k.reluGrad(n, &grad[0], &x[0])
		testutil.CheckExact(t, "relu gradient", n, grad, ref.ReLUGrad(x, y))

		squares := append([]float32(nil), y...)
		k.addSquares(n, &squares[0], &x[0])
		want, mag := squaresOf(y, x)
		for i, w := range want {
			want[i] = float64(float32(w)) // some are beyond
		}
		testutil.Check(t, "squares", n, squares, want, ref.Bound(2, mag))

		// One lane sums what stands in it: the lanes of a pixel are apart.
		for i, v := range testutil.Specials() {
			pixels := testutil.Ints(uint64(i), 3*16, -4, 4)
			pixels[16+5] = v
			var got, want [16]float32
			k.sumPixels(3, &got[0], &pixels[0])
			for j := range want {
				want[j] = pixels[j] + pixels[16+j] + pixels[32+j]
			}
			testutil.CheckExact(t, "sum", v, got[:], want[:])
		}
	})
}

func FuzzReLU(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint32(0x7fc00000))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8, bits uint32) {
		blocks := 1 + int(n)%20
		x, dx := testutil.Normal(seed, blocks*16), testutil.Normal(seed+1, blocks*16)
		x[seed%uint64(len(x))] = math.Float32frombits(bits)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			got := testutil.NaNGuarded(t, len(x))
			copy(got, dx)
			k.reluGrad(blocks, &got[0], &x[0])
			testutil.CheckExact(t, "gradient", blocks, got, ref.ReLUGrad(x, dx))
			copy(got, x)
			k.relu(blocks, &got[0])
			testutil.CheckExact(t, "relu", blocks, got, ref.ReLU(x))
			copy(got, x)
			k.add(blocks, &got[0], &dx[0])
			testutil.CheckExact(t, "add", blocks, got, addOf(x, dx))
		}
	})
}

func FuzzSumPixels(f *testing.F) {
	f.Add(uint64(1), uint16(9))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		pixels := 1 + int(n)%3000
		x := testutil.Ints(seed, pixels*16, -4, 4)
		want := make([]float64, 16)
		for i, v := range x {
			want[i%16] += float64(v)
		}
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				got := testutil.NaNGuarded(t, 16)
				k.sumPixels(pixels, &got[0], &x[0])
				testutil.CheckExact(t, "sum", pixels, got, want)
			}
		}
	})
}

func FuzzSquares(f *testing.F) {
	f.Add(uint64(1), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		blocks := 1 + int(n)
		x, u, y, v := testutil.Ints(seed, blocks*16, -2, 2), testutil.Ints(seed+1, blocks*16, 0, 2), testutil.Ints(seed+2, blocks*16, -2, 2), testutil.Ints(seed+3, blocks*16, 0, 2)
		sums, _ := diffsOf(x, u, y, v)
		squares, _ := squaresOf(y, x)
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				got := testutil.NaNGuarded(t, 16)
				k.sumDiffs(blocks, &got[0], &x[0], &u[0], &y[0], &v[0])
				testutil.CheckExact(t, "differences", blocks, got, sums)
				got = testutil.NaNGuarded(t, len(y))
				copy(got, y)
				k.addSquares(blocks, &got[0], &x[0])
				testutil.CheckExact(t, "squares", blocks, got, squares)
			}
		}
	})
}

func BenchmarkActivation(b *testing.B) {
	const n = 1 << 22
	x, y := testutil.Normal(1, n), testutil.Normal(2, n)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for op, f := range map[string]func(){
			"relu":       func() { k.relu(n/16, &x[0]) },
			"relugrad":   func() { k.reluGrad(n/16, &x[0], &y[0]) },
			"add":        func() { k.add(n/16, &x[0], &y[0]) },
			"addsquares": func() { k.addSquares(n/16, &x[0], &y[0]) },
			"sumdiffs":   func() { var s [16]float32; k.sumDiffs(n/16, &s[0], &x[0], &y[0], &y[0], &x[0]) },
			"sumpixels":  func() { var s [16]float32; k.sumPixels(n/16, &s[0], &x[0]) },
		} {
			b.Run(fmt.Sprintf("op=%s/kernel=%s", op, k.name), func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
