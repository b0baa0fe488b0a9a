package ukernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// forEachInt16 runs f for every kernel that this machine has.
func forEachInt16(t *testing.T, f func(t *testing.T, k *BlockedInt16)) {
	testutil.EachKernel(t, BlockedInt16Kernels, func(k *BlockedInt16) (string, cpu.ISA) { return k.Name, k.ISA }, f)
}

// int16Operands returns A and B so that no sum of products over c rows leaves int32,
// with the largest magnitudes that allow it among them.
func int16Operands(seed uint64, a, b, c int) (as, bs []int16) {
	as, bs = make([]int16, a), make([]int16, b)
	most := int(math.MaxInt32) / c / math.MaxInt16
	for i, v := range testutil.Uniform(seed, a) {
		as[i] = int16(v * math.MaxInt16)
		if i%5 == 0 {
			as[i] = int16(math.Copysign(math.MaxInt16, float64(v)))
		}
	}
	for i, v := range testutil.Uniform(seed+1, b) {
		bs[i] = int16(math.Round(float64(v) * float64(most)))
		if i%7 == 0 {
			bs[i] = int16(math.Copysign(float64(most), float64(v)))
		}
	}
	return as, bs
}

// checkInt16 compares a kernel with the definition in int64, beside inaccessible pages.
func checkInt16(t *testing.T, k *BlockedInt16, seed uint64, tiles, mr, nr, c, gap int) {
	t.Helper()
	aBlock := mr*16 + gap
	aTile := (c + 15) / 16 * aBlock
	a, b := int16Operands(seed, tiles*aTile-aBlock+mr*16, c*nr, c)
	want := make([]int32, tiles*mr*nr)
	for i := range tiles * mr {
		for j := range nr {
			sum := int64(0)
			for p := range c {
				sum += int64(a[i/mr*aTile+p/16*aBlock+i%mr*16+p%16]) * int64(b[p/k.Pair*nr*k.Pair+j*k.Pair+p%k.Pair])
			}
			want[i*nr+j] = int32(sum)
			require.Equal(t, sum, int64(want[i*nr+j]), "the test's own operands")
		}
	}
	shape := fmt.Sprintf("%s tiles=%d mr=%d nr=%d c=%d aBlock=%d", k.Name, tiles, mr, nr, c, aBlock)
	tail, head := testutil.Guarded[int32](t, len(want)), testutil.GuardedHead[int32](t, len(want))
	ga, gb := testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, b)
	o := &BlockedInt16Args{Channels: c, A: ga, ABlock: aBlock, ATile: aTile, B: gb, C: tail, NextB: gb}
	k.Run(tiles, mr, nr, o)
	require.Equal(t, want, tail, shape)
	ga, gb = testutil.GuardedHeadCopy(t, a), testutil.GuardedHeadCopy(t, b)
	o.A, o.B, o.C, o.NextB = ga, gb, head, gb
	k.Run(tiles, mr, nr, o)
	require.Equal(t, want, head, shape)

	for i := range head { // from C: the differences of the sums and what is there
		head[i], tail[i] = int32(i)-want[i]/2, int32(i)-want[i]/2
		want[i] += head[i]
	}
	o.FromC = true
	k.Run(tiles, mr, nr, o)
	require.Equal(t, want, head, "%s from C", shape)
	o.A, o.B, o.C = testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, b), tail
	k.Run(tiles, mr, nr, o)
	require.Equal(t, want, tail, "%s from C", shape)
}

func TestBlockedInt16(t *testing.T) {
	t.Parallel()
	forEachInt16(t, func(t *testing.T, k *BlockedInt16) {
		for nr := 16; nr <= k.NR; nr += 16 {
			for mr := 1; mr <= k.MR; mr++ {
				for steps := 1; steps <= 10; steps++ {
					if steps <= 3 || (steps+mr)%4 == 0 {
						checkInt16(t, k, uint64(mr), 1+(mr+steps)%4, mr, nr, steps*Int16ChannelStep, 16*(steps%3))
					}
				}
			}
		}
	})
}

// TestBlockedInt16Calls: tiles of many channels are spread over several calls of assembly,
// with the same results.
func TestBlockedInt16Calls(t *testing.T) {
	t.Parallel()
	k := BestBlockedInt16()
	const c = 160 * 16
	checkInt16(t, k, 1, 2*(blockedMACs/(k.MR*k.NR*c))+1, k.MR, k.NR, c, 0)
}

// TestBlockedInt16RunM: rows that follow each other are computed as those of single tiles,
// from zero and from C.
func TestBlockedInt16RunM(t *testing.T) {
	t.Parallel()
	forEachInt16(t, func(t *testing.T, k *BlockedInt16) {
		const blocks = 3
		for m := 1; m <= 3*k.MR+1; m++ {
			nr := 16 * (1 + m%(k.NR/16))
			aBlock := m*16 + 32
			a, b := int16Operands(uint64(m), (blocks-1)*aBlock+m*16, blocks*16*nr, 2*blocks*16)
			want, got := make([]int32, m*nr), testutil.Guarded[int32](t, m*nr)
			for i := range m {
				k.Run(1, 1, nr, &BlockedInt16Args{Channels: blocks * 16, A: a[i*16:], ABlock: aBlock, B: b, C: want[i*nr:], NextB: b})
			}
			o := &BlockedInt16Args{Channels: blocks * 16, A: testutil.GuardedCopy(t, a), ABlock: aBlock, B: b, C: got, NextB: b}
			k.RunM(m, nr, o)
			require.Equal(t, want, got, "%s, %d rows", k.Name, m)
			o.FromC = true
			k.RunM(m, nr, o)
			for i := range want {
				want[i] *= 2
			}
			require.Equal(t, want, got, "%s, %d rows, from C", k.Name, m)
		}
	})
}

func TestBlockedInt16Bounds(t *testing.T) {
	t.Parallel()
	k := BestBlockedInt16()
	x, c := make([]int16, 32*k.NR), make([]int32, 32*k.NR)
	run := func(tiles, blocks int, a, b []int16, c []int32) func() {
		return func() {
			k.Run(tiles, 1, k.NR, &BlockedInt16Args{Channels: blocks * 16, A: a, ABlock: 16, ATile: 16, B: b, C: c, NextB: x})
		}
	}
	require.Panics(t, run(1, 2, x[:31], x, c))
	require.Panics(t, run(2, 1, x[:31], x, c))
	require.Panics(t, run(1, 1, x, x[:16*k.NR-1], c))
	require.Panics(t, run(2, 1, x, x, c[:2*k.NR-1]))
	require.NotPanics(t, run(2, 1, x[:32], x[:16*k.NR], c[:2*k.NR]))
	require.NotEmpty(t, k.Symbol(1, 16))
}

func FuzzBlockedInt16(f *testing.F) {
	f.Add(uint64(1), uint8(6), uint8(3), uint8(2), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, mr, nr, steps, gap, tiles uint8) {
		for i := range BlockedInt16Kernels {
			if k := &BlockedInt16Kernels[i]; cpu.Has(k.ISA) {
				checkInt16(t, k, seed, int(tiles)%4+1, int(mr)%k.MR+1, (int(nr)%(k.NR/16)+1)*16, (int(steps)%16+1)*Int16ChannelStep, int(gap))
			}
		}
	})
}

func BenchmarkBlockedInt16(b *testing.B) {
	for i := range BlockedInt16Kernels {
		k := &BlockedInt16Kernels[i]
		if !cpu.Has(k.ISA) {
			continue
		}
		b.Run("kernel="+k.Name, func(b *testing.B) {
			const blocks = 16
			a, bs := int16Operands(1, k.MR*16*blocks, blocks*16*k.NR, blocks*16)
			c := make([]int32, k.MR*k.NR)
			for b.Loop() {
				k.Run(1, k.MR, k.NR, &BlockedInt16Args{Channels: blocks * 16, A: a, ABlock: k.MR * 16, B: bs, C: c, NextB: bs})
			}
			b.ReportMetric(2*float64(k.MR*k.NR*blocks*16)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}
