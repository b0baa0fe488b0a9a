package level1f

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

// sums64 is what Axpyf and Dotxf do, with x[k]·a[k*tap+j*step], and the sums of
// magnitudes.
func sums64(y, x, a []float32, tap, step int) (sums, mag []float64) {
	sums, mag = ref.Float64(y), make([]float64, len(y))
	for j := range y {
		mag[j] = math.Abs(sums[j])
		for k, v := range x {
			p := float64(v) * float64(a[k*tap+j*step])
			sums[j] += p
			mag[j] += math.Abs(p)
		}
	}
	return sums, mag
}

func TestAxpyf(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for i, rows := range []int{1, fuseFactor} {
			for n := 1; n <= 4; n++ {
				lda := n*16 + 5*(n%2)
				y, x, a := testutil.Normal(1, n*16), testutil.Normal(2, rows), testutil.Normal(3, (rows-1)*lda+n*16)
				want, mag := sums64(y, x, a, lda, 1)
				for _, guarded := range testutil.Guards {
					got := guarded(t, y)
					k.axpyf[i](n, &got[0], &guarded(t, x)[0], &guarded(t, a)[0], lda)
					testutil.Check(t, "axpyf", []int{rows, n}, got, want, ref.Bound(rows+1, mag))
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 16}, {3, 0}, {7, 48}, {8, 16}, {21, 32}, {9, 16 * (piece/fuseFactor + 1)}} {
		rows, n := s[0], s[1]
		y, x, a := testutil.Ints(1, n, -4, 4), testutil.Ints(2, rows, -4, 4), testutil.Ints(3, rows*(n+3), -4, 4)
		want, _ := sums64(y, x, a, n+3, 1)
		Axpyf(y, x, a, n+3)
		testutil.CheckExact(t, "axpyf", s, y, want)
	}
	require.Panics(t, func() { Axpyf(make([]float32, 15), make([]float32, 1), make([]float32, 16), 16) })
	require.Panics(t, func() { Axpyf(make([]float32, 16), make([]float32, 2), make([]float32, 31), 16) })
}

func FuzzAxpyf(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8) {
		blocks, lda := 1+int(n)%40, (1+int(n)%40)*16+int(gap)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			for i, rows := range []int{1, fuseFactor} {
				y, x, a := testutil.Ints(seed, blocks*16, -4, 4), testutil.Ints(seed+1, rows, -4, 4), testutil.Ints(seed+2, (rows-1)*lda+blocks*16, -4, 4)
				want, _ := sums64(y, x, a, lda, 1)
				k.axpyf[i](blocks, &y[0], &x[0], &a[0], lda)
				testutil.CheckExact(t, k.name, []int{rows, blocks}, y, want)
			}
		}
	})
}

func TestDotxf(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 4; n++ {
			lda := n*16 + 5*(n%2)
			y, x, a := testutil.Normal(1, 16), testutil.Normal(2, n*16), testutil.Normal(3, 15*lda+n*16)
			want, mag := sums64(y, x, a, 1, lda)
			for _, guarded := range testutil.Guards {
				got := guarded(t, y)
				k.dotxf(n, &got[0], &guarded(t, x)[0], &guarded(t, a)[0], lda)
				testutil.Check(t, "dotxf", n, got, want, ref.Bound(n*16+1, mag))
			}
		}
	})
	for _, rows := range []int{0, 1, 15, 16, 17, 37} {
		for _, columns := range []int{0, 1, 15, 16, 17, 40, piece + 19} {
			y, x, a := testutil.Ints(1, rows, -4, 4), testutil.Ints(2, columns, -4, 4), testutil.Ints(3, rows*(columns+3), -4, 4)
			want, _ := sums64(y, x, a, 1, columns+3)
			Dotxf(y, x, a, columns+3, new(Edge))
			testutil.CheckExact(t, "dotxf", []int{rows, columns}, y, want)
		}
	}
	require.Panics(t, func() { Dotxf(make([]float32, 2), make([]float32, 16), make([]float32, 31), 16, nil) })
}

// TestDotxfChains: a sum is that of Axpyf on the transpose bit for bit, in a whole
// group of rows or not.
func TestDotxfChains(t *testing.T) {
	const rows, columns = 21, 83
	x, a := testutil.Normal(1, columns), testutil.Normal(2, rows*columns)
	across := make([]float32, columns*32)
	for j := range rows {
		for k := range columns {
			across[k*32+j] = a[j*columns+k]
		}
	}
	got, want := make([]float32, rows), make([]float32, 32)
	Dotxf(got, x, a, columns, new(Edge))
	Axpyf(want, x, across, 32)
	if best.isa == cpu.Generic { // rounds sums between its calls
		t.Skip("the portable form rounds between calls")
	}
	testutil.CheckBits(t, "dotxf", rows, got, want[:rows])
}

func FuzzDotxf(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8) {
		blocks, lda := 1+int(n)%40, (1+int(n)%40)*16+int(gap)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			y, x, a := testutil.Ints(seed, 16, -4, 4), testutil.Ints(seed+1, blocks*16, -4, 4), testutil.Ints(seed+2, 15*lda+blocks*16, -4, 4)
			want, _ := sums64(y, x, a, 1, lda)
			k.dotxf(blocks, &y[0], &x[0], &a[0], lda)
			testutil.CheckExact(t, k.name, blocks, y, want)
		}
	})
}

func BenchmarkFused(b *testing.B) {
	const n = 1 << 22
	x, y, z := testutil.Normal(1, n), testutil.Normal(2, n), testutil.Normal(3, n)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for op, f := range map[string]func(){
			"axpyf": func() { // of a matrix of n, in rows of 2^12
				for at := 0; at < n; at += fuseFactor << 12 {
					k.axpyf[1](1<<8, &z[0], &x[0], &y[at], 1<<12)
				}
			},
			"dotxf": func() {
				for at := 0; at < n; at += 16 << 12 {
					k.dotxf(1<<8, &z[0], &x[0], &y[at], 1<<12)
				}
			},
			"dots": func() { // of a batch of 8 and a matrix of n/4, in rows of 2^14
				for at := 0; at+3<<14 <= n/4; at += 3 << 14 {
					k.dots(1<<10, &z[0], &x[at], &y[0], 1<<14)
				}
			},
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
