package ukernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func forEachBlockedInt8(t *testing.T, f func(t *testing.T, k *BlockedInt8)) {
	testutil.EachKernel(t, BlockedInt8Kernels, func(k *BlockedInt8) (string, cpu.ISA) { return k.Name, k.ISA }, f)
}

// integers returns n whole numbers in [lo, hi].
func integers[T int8 | int16](seed uint64, n, lo, hi int) []T {
	x := make([]T, n)
	for i, v := range testutil.Ints(seed, n, lo, hi) {
		x[i] = T(v)
	}
	return x
}

// sumsInt8 is the definition, in 64 bits: C += A·B.
func sumsInt8(mr int, o *BlockedInt8Args, c []int64) {
	for i := range mr {
		for j := range Int8NR {
			for p := range 16 * o.Blocks {
				c[i*Int8NR+j] += int64(o.A[p/16*o.ABlock+i*16+p%16]) * int64(o.B[p/2*2*Int8NR+2*j+p%2])
			}
		}
	}
}

// checkBlockedInt8 compares with the definition by ==, between inaccessible pages.
func checkBlockedInt8(t *testing.T, k *BlockedInt8, mr, blocks, gap int, a []int16, b []int8) {
	t.Helper()
	start := make([]int64, mr*Int8NR)
	for i := range start {
		start[i] = int64(i-7) << 40
	}
	want := slices.Clone(start)
	o := &BlockedInt8Args{Blocks: blocks, A: testutil.GuardedCopy(t, a), ABlock: mr*16 + gap, B: testutil.GuardedCopy(t, b), C: testutil.GuardedCopy(t, start)}
	sumsInt8(mr, o, want)
	k.Run(mr, o)
	require.Equal(t, want, o.C, "%s mr=%d blocks=%d gap=%d", k.Name, mr, blocks, gap)
	require.Equal(t, a, o.A)
	require.Equal(t, b, o.B)
	o = &BlockedInt8Args{Blocks: blocks, A: testutil.GuardedHeadCopy(t, a), ABlock: mr*16 + gap, B: testutil.GuardedHeadCopy(t, b), C: testutil.GuardedHeadCopy(t, start)}
	k.Run(mr, o)
	require.Equal(t, want, o.C)
}

func TestBlockedInt8(t *testing.T) {
	t.Parallel()
	forEachBlockedInt8(t, func(t *testing.T, k *BlockedInt8) {
		for mr := 1; mr <= k.MR; mr++ {
			for _, blocks := range []int{1, 2, 3, int8Blocks - 1, int8Blocks, int8Blocks + 1, 2*int8Blocks + 5} {
				gap := 16 * (blocks % 3)
				a := integers[int16](uint64(mr), (blocks-1)*(mr*16+gap)+mr*16, -32767, 32767)
				b := integers[int8](uint64(blocks), blocks*16*Int8NR, -127, 127)
				checkBlockedInt8(t, k, mr, blocks, gap, a, b)
			}
		}
	})
}

// TestBlockedInt8Extremes: sums of the largest magnitude of either sign do not overflow,
// however many blocks there are.
func TestBlockedInt8Extremes(t *testing.T) {
	t.Parallel()
	forEachBlockedInt8(t, func(t *testing.T, k *BlockedInt8) {
		const blocks = 2*int8Blocks + 3
		for _, x := range []int16{-32768, -32767, 32767} {
			for _, w := range []int8{-128, -127, 127} {
				if x == -32768 && w == -128 {
					continue // out of the range that is promised
				}
				for mr := 1; mr <= k.MR; mr++ {
					a, b := make([]int16, blocks*mr*16), make([]int8, blocks*16*Int8NR)
					for i := range a {
						a[i] = x
					}
					for i := range b {
						b[i] = w
					}
					checkBlockedInt8(t, k, mr, blocks, 0, a, b)
				}
			}
		}
	})
}

// TestBlockedInt8Places puts one number into each place of A and of B.
func TestBlockedInt8Places(t *testing.T) {
	t.Parallel()
	forEachBlockedInt8(t, func(t *testing.T, k *BlockedInt8) {
		for mr := 1; mr <= k.MR; mr++ {
			for p := range 32 {
				a, b := make([]int16, 2*mr*16), integers[int8](3, 32*Int8NR, -127, 127)
				a[p/16*mr*16+(mr-1)*16+p%16] = -32767
				checkBlockedInt8(t, k, mr, 2, 0, a, b)
			}
		}
		a := integers[int16](4, 32, -32767, 32767)
		for at := range 32 * Int8NR {
			b := make([]int8, 32*Int8NR)
			b[at] = -127
			c := make([]int64, Int8NR)
			k.Run(1, &BlockedInt8Args{Blocks: 2, A: a, ABlock: 16, B: b, C: c})
			p, j := at/(2*Int8NR)*2+at%2, at%(2*Int8NR)/2
			want := make([]int64, Int8NR)
			want[j] = -127 * int64(a[p])
			require.Equal(t, want, c, "element %d of B", at)
		}
	})
}

func TestBlockedInt8Panics(t *testing.T) {
	k := BestBlockedInt8()
	a, b, c := make([]int16, 32), make([]int8, 2*16*Int8NR), make([]int64, Int8NR)
	require.Panics(t, func() { k.Run(1, &BlockedInt8Args{Blocks: 2, A: a[:31], ABlock: 16, B: b, C: c}) })
	require.Panics(t, func() { k.Run(1, &BlockedInt8Args{Blocks: 2, A: a, ABlock: 16, B: b[1:], C: c}) })
	require.Panics(t, func() { k.Run(1, &BlockedInt8Args{Blocks: 2, A: a, ABlock: 16, B: b, C: c[1:]}) })
	require.Zero(t, testutil.AllocsPerRun(5, func() { k.Run(1, &BlockedInt8Args{Blocks: 2, A: a, ABlock: 16, B: b, C: c}) }))
}

func FuzzBlockedInt8(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(33), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, rows, n, gap uint8) {
		for i := range BlockedInt8Kernels {
			if k := &BlockedInt8Kernels[i]; cpu.Has(k.ISA) {
				mr, blocks, between := 1+int(rows)%k.MR, 1+int(n)%100, int(gap)%64
				a := integers[int16](seed, (blocks-1)*(mr*16+between)+mr*16, -32767, 32767)
				checkBlockedInt8(t, k, mr, blocks, between, a, integers[int8](seed+1, blocks*16*Int8NR, -127, 127))
			}
		}
	})
}

// BenchmarkBlockedInt8 multiplies from the second-level cache.
func BenchmarkBlockedInt8(b *testing.B) {
	const blocks = 128
	for i := range BlockedInt8Kernels {
		k := &BlockedInt8Kernels[i]
		if !cpu.Has(k.ISA) {
			continue
		}
		for _, mr := range []int{1, k.MR} {
			b.Run(fmt.Sprintf("mr=%d/nr=%d/k=%d/kernel=%s", mr, Int8NR, blocks*16, k.Name), func(b *testing.B) {
				o := &BlockedInt8Args{Blocks: blocks, A: integers[int16](1, blocks*mr*16, -32767, 32767), ABlock: mr * 16,
					B: integers[int8](2, blocks*16*Int8NR, -127, 127), C: make([]int64, mr*Int8NR)}
				for b.Loop() {
					k.Run(mr, o)
				}
				b.ReportMetric(2*float64(mr*Int8NR*blocks*16)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	}
}
