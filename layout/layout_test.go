package layout

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {16, 2, 3}, {17, 4, 4}, {40, 3, 1}, {32, 1, piece + 7}} {
		c, h, w := s[0], s[1], s[2]
		src := make([]float32, c*h*w)
		for i := range src {
			src[i] = float32(i + 1)
		}
		blocked := make([]float32, Len(c, h, w))
		for i := range blocked {
			blocked[i] = -1
		}
		FromNCHW(blocked, src, c, h, w)
		for ch := range Blocks(c) * Block {
			for p := range h * w {
				want := float32(0)
				if ch < c {
					want = src[ch*h*w+p]
				}
				require.Equal(t, want, blocked[(ch/Block*h*w+p)*Block+ch%Block], "%v channel %d pixel %d", s, ch, p)
			}
		}
		back := make([]float32, len(src))
		ToNCHW(back, blocked, c, h, w)
		require.Equal(t, src, back)
	}
}

func TestLengths(t *testing.T) {
	const message = "layout: slice of a picture is too short"
	require.PanicsWithValue(t, message, func() { FromNCHW(make([]float32, 31), make([]float32, 6), 3, 1, 2) })
	require.PanicsWithValue(t, message, func() { FromNCHW(make([]float32, 32), make([]float32, 5), 3, 1, 2) })
	require.PanicsWithValue(t, message, func() { ToNCHW(make([]float32, 5), make([]float32, 32), 3, 1, 2) })
	require.PanicsWithValue(t, message, func() { ToNCHW(make([]float32, 6), make([]float32, 31), 3, 1, 2) })
	require.PanicsWithValue(t, message, func() { ToNCHW(nil, nil, -1, 1, 0) })
}

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

// testPlanes compares both conversions with their definition, bit for bit, with
// operands against inaccessible pages and planes further apart than they are long.
func testPlanes(t *testing.T, k *kernel, seed uint64, n, plane int) {
	t.Helper()
	planes := testutil.Normal(seed, (Block-1)*plane+4*n)
	planes[0] = math.Float32frombits(0x7fa12345) // a signalling NaN is copied as it is
	block := make([]float32, 4*n*Block)
	back := slices.Clone(planes)
	for l := range Block {
		for p := range 4 * n {
			block[p*Block+l] = planes[l*plane+p]
			back[l*plane+p] = -1
		}
	}
	for _, copyOf := range []func(testing.TB, []float32) []float32{testutil.GuardedCopy[float32], testutil.GuardedHeadCopy[float32]} {
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
	block, planes := Alloc(Len(channels, side, side)), Alloc(channels*side*side)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for _, to := range []bool{false, true} {
			b.Run(fmt.Sprintf("c=%d/h=%d/w=%d/to=%v/kernel=%s", channels, side, side, to, k.name), func(b *testing.B) {
				b.SetBytes(2 * 4 * channels * side * side)
				for b.Loop() {
					for at := 0; at < len(block); at += Block * side * side {
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

func TestAlloc(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, 1 << 20, 3<<20 + 5} {
		s := Alloc(n)
		require.Len(t, s, n)
		if n == 0 {
			continue
		}
		align := uintptr(cacheLine)
		if 4*n >= hugePage/4 {
			align = hugePage
		}
		require.Zero(t, uintptr(unsafe.Pointer(&s[0]))%align, "n=%d", n)
		s[0], s[n-1] = 1, 1
	}
}
