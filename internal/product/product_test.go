package product

import (
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// forEachKernel runs f for every kernel that this machine has.
func forEachKernel(t *testing.T, f func(t *testing.T, k *Kernel)) {
	for i := range Kernels {
		k := &Kernels[i]
		t.Run(k.Name, func(t *testing.T) {
			if !cpu.Has(k.ISA) {
				t.Skipf("%v is not available", k.ISA)
			}
			f(t, k)
		})
	}
}

// operands returns A in its blocked form and as a matrix [tiles][c], and U.
func operands(data func(seed uint64, n int) []float32, seed uint64, tiles, width, blocks, stride int) (a, dense, u []float32) {
	c := blocks * 16
	a = data(seed, (blocks-1)*stride+tiles*16)
	u = data(seed+1, c*width)
	dense = make([]float32, tiles*c)
	for t := range tiles {
		for ch := range c {
			dense[t*c+ch] = a[ch/16*stride+t*16+ch%16]
		}
	}
	return a, dense, u
}

func check(t *testing.T, k *Kernel, seed uint64, tiles, width, blocks, gap int) {
	t.Helper()
	stride := tiles*16 + gap
	c := blocks * 16
	shape := fmt.Sprintf("%s tiles=%d width=%d blocks=%d stride=%d", k.Name, tiles, width, blocks, stride)
	ints := func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, -4, 4) }

	a, dense, u := operands(ints, seed, tiles, width, blocks, stride)
	want, _ := ref.Gemm(false, false, tiles, width, c, 1, dense, c, u, width, 0, make([]float32, tiles*width), width)
	got := testutil.NaNGuarded(t, tiles*width)
	k.Run(tiles, width, blocks, a, stride, u, got, u)
	testutil.CheckExact(t, "product of integers", shape, got, want)

	a, dense, u = operands(testutil.Normal, seed, tiles, width, blocks, stride)
	want, mag := ref.Gemm(false, false, tiles, width, c, 1, dense, c, u, width, 0, make([]float32, tiles*width), width)
	ga, gu := testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, u)
	out := testutil.Guarded[float32](t, tiles*width)
	testutil.Poison(out)
	k.Run(tiles, width, blocks, ga, stride, gu, out, gu)
	testutil.Check(t, "product", shape, out, want, ref.Bound(c+1, mag))
	k.Run(tiles, width, blocks, testutil.GuardedHeadCopy(t, a), stride, testutil.GuardedHeadCopy(t, u), testutil.GuardedHead[float32](t, tiles*width), u)
}

// checkHalf compares RunHalf with Run on the same weights: their sums are the same.
func checkHalf(t *testing.T, k *Kernel, seed uint64, tiles, width, blocks, gap int) {
	t.Helper()
	stride := tiles*16 + gap
	a, _, u := operands(testutil.Normal, seed, tiles, width, blocks, stride)
	h := make([]uint16, len(u))
	for i := range u {
		h[i] = half.FromFloat32(u[i])
		u[i] = half.ToFloat32(h[i])
	}
	want := make([]float32, tiles*width)
	k.Run(tiles, width, blocks, a, stride, u, want, u)
	for _, tail := range []bool{true, false} {
		gh, got := testutil.GuardedHeadCopy(t, h), testutil.GuardedHead[float32](t, tiles*width)
		if tail {
			gh, got = testutil.GuardedCopy(t, h), testutil.Guarded[float32](t, tiles*width)
		}
		k.RunHalf(tiles, width, blocks, a, stride, gh, got, gh)
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
					check(t, k, uint64(tiles), tiles, width, blocks, 16*(blocks%3))
				}
			}
		}
	})
}

// TestTilesAreIndependent: a tile's bits do not depend on how many others a
// call has.
func TestTilesAreIndependent(t *testing.T) {
	t.Parallel()
	forEachKernel(t, func(t *testing.T, k *Kernel) {
		stride := k.Tiles * 16
		a, _, u := operands(testutil.Normal, 7, k.Tiles, k.KB, 3, stride)
		all := make([]float32, k.Tiles*k.KB)
		k.Run(k.Tiles, k.KB, 3, a, stride, u, all, u)
		for tile := range k.Tiles {
			one := make([]float32, k.KB)
			k.Run(1, k.KB, 3, a[tile*16:], stride, u, one, u)
			testutil.CheckBits(t, "one tile", tile, one, all[tile*k.KB:][:k.KB])
		}
	})
}

func TestBoundsAreChecked(t *testing.T) {
	t.Parallel()
	k := Best()
	x := make([]float32, 16*k.KB)
	require.Panics(t, func() { k.Run(1, k.KB, 2, x[:16], 16, x, x, x) })
	require.Panics(t, func() { k.Run(1, k.KB, 1, x, 16, x[:16*k.KB-1], x, x) })
	require.Panics(t, func() { k.Run(1, k.KB, 1, x, 16, x, x[:k.KB-1], x) })
}

func FuzzProduct(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, tiles, width, blocks, gap uint8) {
		for i := range Kernels {
			if k := &Kernels[i]; cpu.Has(k.ISA) {
				check(t, k, seed, int(tiles)%k.Tiles+1, (int(width)%(k.KB/16)+1)*16, int(blocks)%8+1, int(gap))
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
					a, _, u := operands(testutil.Uniform, 1, tiles, k.KB, c/16, tiles*16)
					out := make([]float32, tiles*k.KB)
					for b.Loop() {
						k.Run(tiles, k.KB, c/16, a, tiles*16, u, out, u)
					}
					b.ReportMetric(2*float64(tiles*k.KB*c)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
