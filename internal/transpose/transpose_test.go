package transpose

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

// testPlanes compares both conversions with their definition, bit for bit, with
// operands against inaccessible pages and planes further apart than they are long.
func testPlanes(t *testing.T, k *kernel, seed uint64, n, plane int) {
	t.Helper()
	planes := testutil.Normal(seed, (Rows-1)*plane+4*n)
	planes[0] = math.Float32frombits(0x7fa12345) // a signalling NaN is copied as it is
	block := make([]float32, 4*n*Rows)
	back := slices.Clone(planes)
	for l := range Rows {
		for p := range 4 * n {
			block[p*Rows+l] = planes[l*plane+p]
			back[l*plane+p] = -1
		}
	}
	for _, copyOf := range testutil.Guards {
		got := copyOf(t, make([]float32, len(block)))
		k.fromPlanes(n, &got[0], &copyOf(t, planes)[0], plane)
		testutil.CheckBits(t, "block", []int{n, plane}, got, block)
		got = copyOf(t, back) // what lies between the planes must stay
		k.toPlanes(n, &got[0], &copyOf(t, block)[0], plane)
		testutil.CheckBits(t, "planes", []int{n, plane}, got, planes)
	}
}

func TestPlanes(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 5; n++ {
			for gap := range 4 {
				testPlanes(t, k, uint64(n), n, 4*n+gap)
			}
		}
	})
}

// TestRows covers every remainder of columns, rows with and without gaps, and a
// call that takes several pieces.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 144, piece + 5, 2 * piece} {
		for _, gap := range []int{0, 1, 100} {
			stride := n + gap
			rows := testutil.GuardedCopy(t, testutil.Normal(1, (Rows-1)*stride+n))
			got, want := testutil.GuardedCopy(t, make([]float32, n*Rows)), make([]float32, n*Rows)
			back := testutil.GuardedCopy(t, rows)
			for l := range Rows {
				for p := range n {
					want[p*Rows+l] = rows[l*stride+p]
					back[l*stride+p] = -1
				}
			}
			FromRows(got, rows, stride, n)
			testutil.CheckBits(t, "columns", []int{n, stride}, got, want)
			ToRows(back, got, stride, n) // what lies between the rows must stay
			testutil.CheckBits(t, "rows", []int{n, stride}, back, rows)
		}
	}
	require.Panics(t, func() { FromRows(make([]float32, 79), make([]float32, 80), 5, 5) })
	require.Panics(t, func() { FromRows(make([]float32, 80), make([]float32, 79), 5, 5) })
	require.Panics(t, func() { ToRows(make([]float32, 79), make([]float32, 80), 5, 5) })
	require.Panics(t, func() { ToRows(make([]float32, 80), make([]float32, 79), 5, 5) })
}

func FuzzPlanes(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8) {
		for i := range kernels {
			if cpu.Has(kernels[i].isa) {
				testPlanes(t, &kernels[i], seed, 1+int(n), 4+4*int(n)+int(gap))
			}
		}
	})
}

func BenchmarkPlanes(b *testing.B) {
	const side, channels = 56, 256
	block, planes := make([]float32, channels*side*side), make([]float32, channels*side*side)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for _, to := range []bool{false, true} {
			b.Run(fmt.Sprintf("c=%d/h=%d/w=%d/to=%v/kernel=%s", channels, side, side, to, k.name), func(b *testing.B) {
				b.SetBytes(2 * 4 * channels * side * side)
				for b.Loop() {
					for at := 0; at < len(block); at += Rows * side * side {
						if to {
							k.toPlanes(side*side/4, &planes[at], &block[at], side*side)
						} else {
							k.fromPlanes(side*side/4, &block[at], &planes[at], side*side)
						}
					}
				}
			})
		}
	}
}
