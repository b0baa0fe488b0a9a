package ukernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// forEachBlocked runs f for every kernel that this machine has.
func forEachBlocked(t *testing.T, f func(t *testing.T, k *Blocked)) {
	testutil.EachKernel(t, BlockedKernels, func(k *Blocked) (string, cpu.ISA) { return k.Name, k.ISA }, f)
}

// blockedOperands returns A in its blocked form and as a matrix [tiles*mr][c], and B.
// Tiles lie one after the other. What the kernel may not use of A's last block is NaN.
func blockedOperands(data func(seed uint64, n int) []float32, seed uint64, tiles, mr, nr, c, aBlock int) (a, dense, b []float32) {
	blocks := (c + 15) / 16
	aTile := blocks * aBlock
	a = data(seed, tiles*aTile-aBlock+mr*16)
	b = data(seed+1, c*nr)
	dense = make([]float32, tiles*mr*c)
	for t := range tiles * mr {
		for ch := range blocks * 16 {
			at := t/mr*aTile + ch/16*aBlock + t%mr*16 + ch%16
			if ch < c {
				dense[t*c+ch] = a[at]
			} else {
				a[at] = float32(math.NaN())
			}
		}
	}
	return a, dense, b
}

func checkBlocked(t *testing.T, k *Blocked, seed uint64, tiles, mr, nr, c, gap int) {
	t.Helper()
	aBlock := mr*16 + gap
	aTile := (c + 15) / 16 * aBlock
	n := tiles * mr
	shape := fmt.Sprintf("%s tiles=%d mr=%d nr=%d c=%d aBlock=%d", k.Name, tiles, mr, nr, c, aBlock)
	ints := func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, -4, 4) }

	a, dense, b := blockedOperands(ints, seed, tiles, mr, nr, c, aBlock)
	want, _ := ref.Gemm(false, false, n, nr, c, 1, dense, c, b, nr, 0, make([]float32, n*nr), nr)
	got := testutil.NaNGuarded(t, n*nr)
	k.Run(tiles, mr, nr, &BlockedArgs{Channels: c, A: a, ABlock: aBlock, ATile: aTile, B: b, C: got, NextB: b})
	testutil.CheckExact(t, "integers", shape, got, want)

	a, dense, b = blockedOperands(testutil.Normal, seed, tiles, mr, nr, c, aBlock)
	want, mag := ref.Gemm(false, false, n, nr, c, 1, dense, c, b, nr, 0, make([]float32, n*nr), nr)
	ga, gb := testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, b)
	out := testutil.Guarded[float32](t, n*nr)
	testutil.Poison(out)
	k.Run(tiles, mr, nr, &BlockedArgs{Channels: c, A: ga, ABlock: aBlock, ATile: aTile, B: gb, C: out, NextB: gb})
	testutil.Check(t, "blocked", shape, out, want, ref.Bound(c+1, mag))
	k.Run(tiles, mr, nr, &BlockedArgs{Channels: c, A: testutil.GuardedHeadCopy(t, a), ABlock: aBlock, ATile: aTile, B: testutil.GuardedHeadCopy(t, b), C: testutil.GuardedHead[float32](t, n*nr), NextB: b})
}

// checkBlockedHalf compares RunHalf with Run on the same weights: their sums are the same.
func checkBlockedHalf(t *testing.T, k *Blocked, seed uint64, mr, nr, blocks, gap int) {
	t.Helper()
	aBlock := mr*16 + gap
	a, _, b := blockedOperands(testutil.Normal, seed, 1, mr, nr, blocks*16, aBlock)
	h := make([]uint16, len(b))
	for i := range b {
		h[i] = half.FromFloat32(b[i])
		b[i] = half.ToFloat32(h[i])
	}
	want := make([]float32, mr*nr)
	k.Run(1, mr, nr, &BlockedArgs{Channels: blocks * 16, A: a, ABlock: aBlock, B: b, C: want, NextB: b})
	for _, tail := range []bool{true, false} {
		ga, gh, got := testutil.GuardedHeadCopy(t, a), testutil.GuardedHeadCopy(t, h), testutil.GuardedHead[float32](t, mr*nr)
		if tail {
			ga, gh, got = testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, h), testutil.Guarded[float32](t, mr*nr)
		}
		testutil.Poison(got)
		k.RunHalf(mr, nr, &BlockedHalfArgs{Blocks: blocks, A: ga, ABlock: aBlock, B: gh, C: got, NextB: gh})
		testutil.CheckBits(t, "half precision", []int{mr, nr, blocks}, got, want)
	}
}

func TestBlockedHalf(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		for nr := 16; nr <= k.NR; nr += 16 {
			for mr := 1; mr <= k.HalfMR(); mr++ {
				checkBlockedHalf(t, k, uint64(mr), mr, nr, 1+mr%3, 16*(mr%2))
			}
		}
	})
}

func TestBlocked(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		for nr := 16; nr <= k.NR; nr += 16 {
			for mr := 1; mr <= k.MR; mr++ {
				for c := ChannelStep; c <= 80; c += ChannelStep { // every remainder, and one to five blocks
					if c <= 20 || (c/ChannelStep+mr)%5 == 0 {
						checkBlocked(t, k, uint64(mr), 1+(mr+c/ChannelStep)%4, mr, nr, c, 16*(c/ChannelStep%3))
					}
				}
			}
		}
	})
}

// TestBlockedLastBlock: the bits of a result are those of channels padded with zeros to a
// block, whatever stands in place of the zeros.
func TestBlockedLastBlock(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		for c := ChannelStep; c <= 48; c += ChannelStep {
			padded := (c + 15) / 16 * 16
			aBlock, aTile := k.MR*16, padded*k.MR
			a, _, b := blockedOperands(testutil.Normal, uint64(c), 2, k.MR, k.NR, c, aBlock)
			for ch := range c { // a row of zeros, whose products have either sign
				a[ch/16*aBlock+ch%16] = 0
			}
			zeros := slices.Clone(a)
			for i, v := range zeros {
				if v != v {
					zeros[i] = float32(math.Copysign(0, -1))
				}
			}
			long := append(slices.Clone(b), make([]float32, (padded-c)*k.NR)...)
			got, want := testutil.NaNGuarded(t, 2*k.MR*k.NR), make([]float32, 2*k.MR*k.NR)
			k.Run(2, k.MR, k.NR, &BlockedArgs{Channels: c, A: a, ABlock: aBlock, ATile: aTile, B: b, C: got, NextB: b})
			k.Run(2, k.MR, k.NR, &BlockedArgs{Channels: padded, A: zeros, ABlock: aBlock, ATile: aTile, B: long, C: want, NextB: long})
			testutil.CheckBits(t, "last block", c, got, want)
		}
	})
}

// TestBlockedSpecials puts each special value in one place of A, then of B: it reaches
// the elements of C that have it as a factor, exactly, and no other.
func TestBlockedSpecials(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		const blocks = 2
		ints := func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, 0, 1) } // products that stay in range
		for _, v := range testutil.Specials() {
			for _, inA := range []bool{true, false} {
				// Nothing but v and its factor, so that a subnormal is not lost.
				a, b := make([]float32, k.MR*16*blocks), make([]float32, 16*blocks*k.NR)
				tile, c, col := k.MR-1, 21, k.NR-3
				if inA {
					a[k.MR*16+tile*16+c%16] = v
					copy(b[c*k.NR:], ints(1, k.NR))
				} else {
					for i := range k.MR {
						a[k.MR*16+i*16+c%16] = float32(i % 2)
					}
					b[c*k.NR+col] = v
				}
				dense := make([]float32, k.MR*16*blocks)
				for i := range k.MR {
					copy(dense[i*32+16:][:16], a[k.MR*16+i*16:])
				}
				want, _ := ref.Gemm(false, false, k.MR, k.NR, 32, 1, dense, 32, b, k.NR, 0, make([]float32, k.MR*k.NR), k.NR)
				got := testutil.NaNGuarded(t, k.MR*k.NR)
				k.Run(1, k.MR, k.NR, &BlockedArgs{Channels: blocks * 16, A: a, ABlock: k.MR * 16, B: b, C: got, NextB: b})
				testutil.CheckExact(t, "blocked", v, got, want)
			}
		}
	})
}

// TestBlockedHalfSpecials compares each kind of half, subnormals, infinities and NaN
// among them, with the same value in float32.
func TestBlockedHalfSpecials(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		for _, h := range []uint16{0, 1, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0x7c00, 0x7e00, 0x8000, 0x8001, 0xfbff, 0xfc00, 0xfe01} {
			a := testutil.Ints(1, 16, 0, 1)
			hs, bs := make([]uint16, 16*k.NR), make([]float32, 16*k.NR)
			for i := range hs {
				if i%7 == 0 {
					hs[i], bs[i] = h, half.ToFloat32(h)
				}
			}
			want, _ := ref.Gemm(false, false, 1, k.NR, 16, 1, a, 16, bs, k.NR, 0, make([]float32, k.NR), k.NR)
			got := testutil.NaNGuarded(t, k.NR)
			k.RunHalf(1, k.NR, &BlockedHalfArgs{Blocks: 1, A: a, ABlock: 16, B: hs, C: got, NextB: hs})
			testutil.CheckExact(t, "half", fmt.Sprintf("%#x", h), got, want)
		}
	})
}

// TestRowsAreIndependent: the bits of a row do not depend on how many others its tile
// has, nor on how many tiles a call has.
func TestRowsAreIndependent(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		aBlock, aTile := k.MR*16, 3*k.MR*16
		a, _, b := blockedOperands(testutil.Normal, 7, 2, k.MR, k.NR, 48, aBlock)
		all := make([]float32, 2*k.MR*k.NR)
		k.Run(2, k.MR, k.NR, &BlockedArgs{Channels: 48, A: a, ABlock: aBlock, ATile: aTile, B: b, C: all, NextB: b})
		for i := range 2 * k.MR {
			one := make([]float32, k.NR)
			k.Run(1, 1, k.NR, &BlockedArgs{Channels: 48, A: a[i/k.MR*aTile+i%k.MR*16:], ABlock: aBlock, B: b, C: one, NextB: b})
			testutil.CheckBits(t, "one row", i, one, all[i*k.NR:][:k.NR])
		}
	})
}

// checkBlockedRow compares RunRow and RunRowHalf with Run for each panel: their sums are the
// same.
func checkBlockedRow(t *testing.T, k *Blocked, seed uint64, blocks, gap int) {
	t.Helper()
	n := blocks * 16 * k.NR
	bPanel := n + gap
	a, b := testutil.Normal(seed, blocks*16), testutil.Normal(seed+1, (RowPanels-1)*bPanel+n)
	h := make([]uint16, len(b))
	for i := range b {
		h[i] = half.FromFloat32(b[i])
		b[i] = half.ToFloat32(h[i])
	}
	want := make([]float32, RowPanels*k.NR)
	for p := range RowPanels {
		panel := b[p*bPanel:][:n]
		k.Run(1, 1, k.NR, &BlockedArgs{Channels: blocks * 16, A: a, ABlock: 16, B: panel, C: want[p*k.NR:][:k.NR], NextB: panel})
	}
	for _, tail := range []bool{true, false} {
		ga, gb, gh, got := testutil.GuardedHeadCopy(t, a), testutil.GuardedHeadCopy(t, b), testutil.GuardedHeadCopy(t, h), testutil.GuardedHead[float32](t, len(want))
		if tail {
			ga, gb, gh, got = testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, b), testutil.GuardedCopy(t, h), testutil.Guarded[float32](t, len(want))
		}
		testutil.Poison(got)
		k.RunRow(&BlockedRowArgs[float32]{Blocks: blocks, A: ga, B: gb, BPanel: bPanel, C: got})
		testutil.CheckBits(t, "row", []int{k.NR, blocks, gap}, got, want)
		testutil.Poison(got)
		k.RunRowHalf(&BlockedRowArgs[uint16]{Blocks: blocks, A: ga, B: gh, BPanel: bPanel, C: got})
		testutil.CheckBits(t, "row, half precision", []int{k.NR, blocks, gap}, got, want)
	}
}

func TestBlockedRow(t *testing.T) {
	t.Parallel()
	forEachBlocked(t, func(t *testing.T, k *Blocked) {
		for blocks := 1; blocks <= 5; blocks++ {
			checkBlockedRow(t, k, uint64(blocks), blocks, 16*(blocks%3))
		}
		x, h := make([]float32, RowPanels*16*k.NR), make([]uint16, RowPanels*16*k.NR)
		full := BlockedRowArgs[float32]{Blocks: 1, A: x[:16], B: x, BPanel: 16 * k.NR, C: x[:RowPanels*k.NR]}
		for _, o := range []BlockedRowArgs[float32]{
			{Blocks: 1, A: x[:15], B: x, BPanel: 16 * k.NR, C: full.C},
			{Blocks: 1, A: full.A, B: x[:len(x)-1], BPanel: 16 * k.NR, C: full.C},
			{Blocks: 1, A: full.A, B: x, BPanel: 16 * k.NR, C: full.C[:len(full.C)-1]},
		} {
			require.Panics(t, func() { k.RunRow(&o) })
		}
		require.Panics(t, func() {
			k.RunRowHalf(&BlockedRowArgs[uint16]{Blocks: 1, A: full.A, B: h[:len(h)-1], BPanel: 16 * k.NR, C: full.C})
		})
	})
}

// TestCallsAreShort: tiles of many channels are spread over several calls of
// assembly, with the same results.
func TestCallsAreShort(t *testing.T) {
	t.Parallel()
	const blocks = 160
	best := BestBlocked()
	mr, aBlock := best.MR, best.MR*16
	tiles := 2*(blockedMACs/(mr*best.NR*blocks*16)) + 1 // three calls
	aTile := blocks * aBlock
	a, _, b := blockedOperands(testutil.Normal, 3, tiles, mr, best.NR, blocks*16, aBlock)
	counted := *best
	var calls []int
	counted.funcs = slices.Clone(best.funcs)
	wide := slices.Clone(best.funcs[best.NR/16-1])
	counted.funcs[best.NR/16-1] = wide
	real := wide[mr-1]
	wide[mr-1] = func(call *blockedCall) {
		calls = append(calls, call.tiles)
		real(call)
	}
	got, want := make([]float32, tiles*mr*best.NR), make([]float32, tiles*mr*best.NR)
	counted.Run(tiles, mr, best.NR, &BlockedArgs{Channels: blocks * 16, A: a, ABlock: aBlock, ATile: aTile, B: b, C: got, NextB: b})
	require.Len(t, calls, 3)
	sum := 0
	for _, n := range calls {
		require.LessOrEqual(t, n*mr*best.NR*blocks*16, blockedMACs)
		sum += n
	}
	require.Equal(t, tiles, sum)
	for g := range tiles {
		best.Run(1, mr, best.NR, &BlockedArgs{Channels: blocks * 16, A: a[g*aTile:], ABlock: aBlock, B: b, C: want[g*mr*best.NR:], NextB: b})
	}
	testutil.CheckBits(t, "tiles in several calls", calls, got, want)
}

func TestBoundsAreChecked(t *testing.T) {
	t.Parallel()
	k := BestBlocked()
	x := make([]float32, 32*k.NR)
	require.Panics(t, func() { k.Run(1, 1, k.NR, &BlockedArgs{Channels: 32, A: x[:16], ABlock: 16, B: x, C: x, NextB: x}) })
	require.Panics(t, func() {
		k.Run(2, 1, k.NR, &BlockedArgs{Channels: 16, A: x[:16], ABlock: 16, ATile: 16, B: x, C: x, NextB: x})
	})
	require.Panics(t, func() {
		k.Run(1, 1, k.NR, &BlockedArgs{Channels: 16, A: x, ABlock: 16, B: x[:16*k.NR-1], C: x, NextB: x})
	})
	require.Panics(t, func() { k.Run(1, 1, k.NR, &BlockedArgs{Channels: 16, A: x, ABlock: 16, B: x, C: x[:k.NR-1], NextB: x}) })
	require.Panics(t, func() {
		k.Run(2, 1, k.NR, &BlockedArgs{Channels: 16, A: x, ABlock: 16, ATile: 16, B: x, C: x[:2*k.NR-1], NextB: x})
	})
}

func FuzzBlocked(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, mr, nr, steps, gap, tiles uint8) {
		for i := range BlockedKernels {
			if k := &BlockedKernels[i]; cpu.Has(k.ISA) {
				checkBlocked(t, k, seed, int(tiles)%4+1, int(mr)%k.MR+1, (int(nr)%(k.NR/16)+1)*16, (int(steps)%32+1)*ChannelStep, int(gap))
			}
		}
	})
}

func FuzzBlockedRow(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(16))
	f.Fuzz(func(t *testing.T, seed uint64, blocks, gap uint8) {
		for i := range BlockedKernels {
			if k := &BlockedKernels[i]; cpu.Has(k.ISA) {
				checkBlockedRow(t, k, seed, int(blocks)%8+1, int(gap))
			}
		}
	})
}

func FuzzBlockedHalf(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, mr, nr, blocks, gap uint8) {
		for i := range BlockedKernels {
			if k := &BlockedKernels[i]; cpu.Has(k.ISA) {
				checkBlockedHalf(t, k, seed, int(mr)%k.HalfMR()+1, (int(nr)%(k.NR/16)+1)*16, int(blocks)%8+1, int(gap))
			}
		}
	})
}

// BenchmarkBlockedRow reads panels from memory.
func BenchmarkBlockedRow(b *testing.B) {
	const blocks, groups = 32, 64
	for i := range BlockedKernels {
		k := &BlockedKernels[i]
		if !cpu.Has(k.ISA) {
			continue
		}
		panel := blocks * 16 * k.NR
		a, w, out := testutil.Uniform(1, blocks*16), testutil.Uniform(2, groups*RowPanels*panel), make([]float32, RowPanels*k.NR)
		h := make([]uint16, len(w))
		b.Run("b=float/kernel="+k.Name, func(b *testing.B) {
			for b.Loop() {
				for g := range groups {
					k.RunRow(&BlockedRowArgs[float32]{Blocks: blocks, A: a, B: w[g*RowPanels*panel:], BPanel: panel, C: out})
				}
			}
			b.ReportMetric(4*float64(len(w))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
		b.Run("b=half/kernel="+k.Name, func(b *testing.B) {
			for b.Loop() {
				for g := range groups {
					k.RunRowHalf(&BlockedRowArgs[uint16]{Blocks: blocks, A: a, B: h[g*RowPanels*panel:], BPanel: panel, C: out})
				}
			}
			b.ReportMetric(2*float64(len(h))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

func BenchmarkBlocked(b *testing.B) {
	for _, c := range []int{16, 20, 64, 256, 512} {
		for i := range BlockedKernels {
			k := &BlockedKernels[i]
			if !cpu.Has(k.ISA) {
				continue
			}
			for _, mr := range []int{k.MR, 2} {
				b.Run(fmt.Sprintf("c=%d/mr=%d/b=float/kernel=%s", c, mr, k.Name), func(b *testing.B) {
					a, _, panel := blockedOperands(testutil.Uniform, 1, 1, mr, k.NR, c, mr*16)
					out := make([]float32, mr*k.NR)
					for b.Loop() {
						k.Run(1, mr, k.NR, &BlockedArgs{Channels: c, A: a, ABlock: mr * 16, B: panel, C: out, NextB: panel})
					}
					b.ReportMetric(2*float64(mr*k.NR*c)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
				if c%16 != 0 {
					continue
				}
				b.Run(fmt.Sprintf("c=%d/mr=%d/b=half/kernel=%s", c, min(mr, k.HalfMR()), k.Name), func(b *testing.B) {
					mr := min(mr, k.HalfMR())
					a, panel, out := testutil.Uniform(1, mr*c), make([]uint16, c*k.NR), make([]float32, mr*k.NR)
					for b.Loop() {
						k.RunHalf(mr, k.NR, &BlockedHalfArgs{Blocks: c / 16, A: a, ABlock: mr * 16, B: panel, C: out, NextB: panel})
					}
					b.ReportMetric(2*float64(mr*k.NR*c)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
