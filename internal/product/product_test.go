package product

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// forEachKernel runs f for every kernel that this machine has.
func forEachKernel(t *testing.T, f func(t *testing.T, k *Kernel)) {
	testutil.EachKernel(t, Kernels, func(k *Kernel) (string, cpu.ISA) { return k.Name, k.ISA }, f)
}

// operands returns A in its blocked form and as a matrix [groups*tiles][c], and U.
// Groups lie one after the other.
func operands(data func(seed uint64, n int) []float32, seed uint64, groups, tiles, width, blocks, stride int) (a, dense, u []float32) {
	c := blocks * 16
	step := blocks * stride
	a = data(seed, groups*step-stride+tiles*16)
	u = data(seed+1, c*width)
	dense = make([]float32, groups*tiles*c)
	for t := range groups * tiles {
		for ch := range c {
			dense[t*c+ch] = a[t/tiles*step+ch/16*stride+t%tiles*16+ch%16]
		}
	}
	return a, dense, u
}

func check(t *testing.T, k *Kernel, seed uint64, groups, tiles, width, blocks, gap int) {
	t.Helper()
	stride := tiles*16 + gap
	step := blocks * stride
	c, n := blocks*16, groups*tiles
	shape := fmt.Sprintf("%s groups=%d tiles=%d width=%d blocks=%d stride=%d", k.Name, groups, tiles, width, blocks, stride)
	ints := func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, -4, 4) }

	a, dense, u := operands(ints, seed, groups, tiles, width, blocks, stride)
	want, _ := ref.Gemm(false, false, n, width, c, 1, dense, c, u, width, 0, make([]float32, n*width), width)
	got := testutil.NaNGuarded(t, n*width)
	k.Run(groups, tiles, width, blocks, a, stride, step, u, got, u)
	testutil.CheckExact(t, "product of integers", shape, got, want)

	a, dense, u = operands(testutil.Normal, seed, groups, tiles, width, blocks, stride)
	want, mag := ref.Gemm(false, false, n, width, c, 1, dense, c, u, width, 0, make([]float32, n*width), width)
	ga, gu := testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, u)
	out := testutil.Guarded[float32](t, n*width)
	testutil.Poison(out)
	k.Run(groups, tiles, width, blocks, ga, stride, step, gu, out, gu)
	testutil.Check(t, "product", shape, out, want, ref.Bound(c+1, mag))
	k.Run(groups, tiles, width, blocks, testutil.GuardedHeadCopy(t, a), stride, step, testutil.GuardedHeadCopy(t, u), testutil.GuardedHead[float32](t, n*width), u)
}

// checkHalf compares RunHalf with Run on the same weights: their sums are the same.
func checkHalf(t *testing.T, k *Kernel, seed uint64, tiles, width, blocks, gap int) {
	t.Helper()
	stride := tiles*16 + gap
	a, _, u := operands(testutil.Normal, seed, 1, tiles, width, blocks, stride)
	h := make([]uint16, len(u))
	for i := range u {
		h[i] = half.FromFloat32(u[i])
		u[i] = half.ToFloat32(h[i])
	}
	want := make([]float32, tiles*width)
	k.Run(1, tiles, width, blocks, a, stride, 0, u, want, u)
	for _, tail := range []bool{true, false} {
		ga, gh, got := testutil.GuardedHeadCopy(t, a), testutil.GuardedHeadCopy(t, h), testutil.GuardedHead[float32](t, tiles*width)
		if tail {
			ga, gh, got = testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, h), testutil.Guarded[float32](t, tiles*width)
		}
		testutil.Poison(got)
		k.RunHalf(tiles, width, blocks, ga, stride, gh, got, gh)
		testutil.CheckBits(t, "product with half precision", []int{tiles, width, blocks}, got, want)
	}
}

func TestProductHalf(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		for width := 16; width <= k.KB; width += 16 {
			for tiles := 1; tiles <= k.HalfTiles(); tiles++ {
				checkHalf(t, k, uint64(tiles), tiles, width, 1+tiles%3, 16*(tiles%2))
			}
		}
	})
}

func TestProduct(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		for width := 16; width <= k.KB; width += 16 {
			for tiles := 1; tiles <= k.Tiles; tiles++ {
				for blocks := 1; blocks <= 5; blocks += 2 {
					check(t, k, uint64(tiles), 1+(tiles+blocks)%4, tiles, width, blocks, 16*(blocks%3))
				}
			}
		}
	})
}

// TestSpecials puts each special value in one place of A, then of U: it reaches
// the outputs that have it as a factor, exactly, and no other.
func TestSpecials(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		const blocks = 2
		ints := func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, 0, 1) } // products that stay in range
		for _, v := range testutil.Specials() {
			for _, inA := range []bool{true, false} {
				// Nothing but v and its factor, so that a subnormal is not lost.
				a, u := make([]float32, k.Tiles*16*blocks), make([]float32, 16*blocks*k.KB)
				tile, c, col := k.Tiles-1, 21, k.KB-3
				if inA {
					a[k.Tiles*16+tile*16+c%16] = v
					copy(u[c*k.KB:], ints(1, k.KB))
				} else {
					for i := range k.Tiles {
						a[k.Tiles*16+i*16+c%16] = float32(i % 2)
					}
					u[c*k.KB+col] = v
				}
				dense := make([]float32, k.Tiles*16*blocks)
				for i := range k.Tiles {
					copy(dense[i*32+16:][:16], a[k.Tiles*16+i*16:])
				}
				want, _ := ref.Gemm(false, false, k.Tiles, k.KB, 32, 1, dense, 32, u, k.KB, 0, make([]float32, k.Tiles*k.KB), k.KB)
				got := testutil.NaNGuarded(t, k.Tiles*k.KB)
				k.Run(1, k.Tiles, k.KB, blocks, a, k.Tiles*16, 0, u, got, u)
				testutil.CheckExact(t, "product", v, got, want)
			}
		}
	})
}

// TestHalfSpecials compares each kind of half, subnormals, infinities and NaN
// among them, with the same value in float32.
func TestHalfSpecials(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		for _, h := range []uint16{0, 1, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0x7c00, 0x7e00, 0x8000, 0x8001, 0xfbff, 0xfc00, 0xfe01} {
			a := testutil.Ints(1, 16, 0, 1)
			hs, us := make([]uint16, 16*k.KB), make([]float32, 16*k.KB)
			for i := range hs {
				if i%7 == 0 {
					hs[i], us[i] = h, half.ToFloat32(h)
				}
			}
			want, _ := ref.Gemm(false, false, 1, k.KB, 16, 1, a, 16, us, k.KB, 0, make([]float32, k.KB), k.KB)
			got := testutil.NaNGuarded(t, k.KB)
			k.RunHalf(1, k.KB, 1, a, 16, hs, got, hs)
			testutil.CheckExact(t, "half", fmt.Sprintf("%#x", h), got, want)
		}
	})
}

// TestTilesAreIndependent: a tile's bits do not depend on how many others a
// call has.
func TestTilesAreIndependent(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		stride, step := k.Tiles*16, 3*k.Tiles*16
		a, _, u := operands(testutil.Normal, 7, 2, k.Tiles, k.KB, 3, stride)
		all := make([]float32, 2*k.Tiles*k.KB)
		k.Run(2, k.Tiles, k.KB, 3, a, stride, step, u, all, u)
		for tile := range 2 * k.Tiles {
			one := make([]float32, k.KB)
			k.Run(1, 1, k.KB, 3, a[tile/k.Tiles*step+tile%k.Tiles*16:], stride, 0, u, one, u)
			testutil.CheckBits(t, "one tile", tile, one, all[tile*k.KB:][:k.KB])
		}
	})
}

// TestCallsAreShort: groups of many channels are spread over several calls of
// assembly, with the same results.
func TestCallsAreShort(t *testing.T) {
	t.Parallel()
	const blocks = 160
	best := Best()
	tiles, stride := best.Tiles, best.Tiles*16
	groups := 2*(mostMACs/(tiles*best.KB*blocks*16)) + 1 // three calls
	step := blocks * stride
	a, _, u := operands(testutil.Normal, 3, groups, tiles, best.KB, blocks, stride)
	counted := *best
	var calls []int
	counted.funcs = slices.Clone(best.funcs)
	wide := slices.Clone(best.funcs[best.KB/16-1])
	counted.funcs[best.KB/16-1] = wide
	real := wide[tiles-1]
	wide[tiles-1] = func(groups, blocks int, a *float32, stride, step int, u, c, next *float32) {
		calls = append(calls, groups)
		real(groups, blocks, a, stride, step, u, c, next)
	}
	got, want := make([]float32, groups*tiles*best.KB), make([]float32, groups*tiles*best.KB)
	counted.Run(groups, tiles, best.KB, blocks, a, stride, step, u, got, u)
	require.Len(t, calls, 3)
	sum := 0
	for _, n := range calls {
		require.LessOrEqual(t, n*tiles*best.KB*blocks*16, mostMACs)
		sum += n
	}
	require.Equal(t, groups, sum)
	for g := range groups {
		best.Run(1, tiles, best.KB, blocks, a[g*step:], stride, 0, u, want[g*tiles*best.KB:], u)
	}
	testutil.CheckBits(t, "groups in several calls", calls, got, want)
}

func TestBoundsAreChecked(t *testing.T) {
	t.Parallel()
	k := Best()
	x := make([]float32, 32*k.KB)
	require.Panics(t, func() { k.Run(1, 1, k.KB, 2, x[:16], 16, 0, x, x, x) })
	require.Panics(t, func() { k.Run(2, 1, k.KB, 1, x[:16], 16, 16, x, x, x) })
	require.Panics(t, func() { k.Run(1, 1, k.KB, 1, x, 16, 0, x[:16*k.KB-1], x, x) })
	require.Panics(t, func() { k.Run(1, 1, k.KB, 1, x, 16, 0, x, x[:k.KB-1], x) })
	require.Panics(t, func() { k.Run(2, 1, k.KB, 1, x, 16, 16, x, x[:2*k.KB-1], x) })
}

func FuzzProduct(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, tiles, width, blocks, gap, groups uint8) {
		for i := range Kernels {
			if k := &Kernels[i]; cpu.Has(k.ISA) {
				check(t, k, seed, int(groups)%4+1, int(tiles)%k.Tiles+1, (int(width)%(k.KB/16)+1)*16, int(blocks)%8+1, int(gap))
			}
		}
	})
}

func FuzzProductHalf(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, tiles, width, blocks, gap uint8) {
		for i := range Kernels {
			if k := &Kernels[i]; cpu.Has(k.ISA) {
				checkHalf(t, k, seed, int(tiles)%k.HalfTiles()+1, (int(width)%(k.KB/16)+1)*16, int(blocks)%8+1, int(gap))
			}
		}
	})
}

func BenchmarkProduct(b *testing.B) {
	for _, c := range []int{64, 256, 512} {
		for i := range Kernels {
			k := &Kernels[i]
			if !cpu.Has(k.ISA) {
				continue
			}
			for _, tiles := range []int{k.Tiles, 2} {
				b.Run(fmt.Sprintf("c=%d/tiles=%d/kernel=%s", c, tiles, k.Name), func(b *testing.B) {
					a, _, u := operands(testutil.Uniform, 1, 1, tiles, k.KB, c/16, tiles*16)
					out := make([]float32, tiles*k.KB)
					for b.Loop() {
						k.Run(1, tiles, k.KB, c/16, a, tiles*16, 0, u, out, u)
					}
					b.ReportMetric(2*float64(tiles*k.KB*c)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
