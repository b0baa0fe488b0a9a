package gemm

import (
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// blocks are the block sizes of one instruction set, by BLIS's names. A block of A,
// MC×KC, and a panel of B, KC×NR, stay in the second-level cache together; the packed
// block of B, KC×NC, is shared by all workers in the last level.
type blocks struct {
	isa cpu.ISA
	mc  int // rows of A, a multiple of MR
	kc  int // most products of one chain of multiply-adds
	nc  int // columns of B

	packA bool // whether A is packed where its rows share cache sets or lie across memory

	// B is not packed for up to maxM rows of A.
	unpacked     unpacked
	unpackedTall unpacked // for more rows, if the rows of B spread over the cache sets
	unpackedSets unpacked // if the rows of B share cache sets

	axpyf axpyf
}

// unpacked are the limit and the block of B for products that read B where it is: all
// rows of A meet kc×nc of B before the next block.
type unpacked struct{ maxM, kc, nc int }

// axpyf are the rows of B that are read side by side where A has at most memoryBoundM rows.
type axpyf struct {
	memory int // if B comes from memory
	sets   int // if the rows of B share cache sets
	cache  int // for each row of A, if B comes from the last-level cache
}

// blockTable has the measurements behind it in docs/tuning.md.
var blockTable = []blocks{
	{
		isa:          cpu.AVX512,
		mc:           126,  // 18 tiles of 7 rows
		kc:           1024, // deep: C is read and written once for each block
		nc:           4096,
		packA:        false, // a 7×64 tile hides the misses of shared cache sets
		unpacked:     unpacked{maxM: 200, kc: 256, nc: 128},
		unpackedSets: unpacked{maxM: 200, kc: 256, nc: 128},
		axpyf:        axpyf{memory: 12, sets: 8, cache: 32},
	},
	{
		isa:          cpu.AVX2,
		mc:           126, // 21 tiles of 6 rows
		kc:           512, // 1024 does not fit a second-level cache of 512 KiB
		nc:           4096,
		packA:        true, // a 6×16 tile takes a fifth of the time of a 7×64, and waits as long for a miss
		unpacked:     unpacked{maxM: 26, kc: 64, nc: 256},
		unpackedTall: unpacked{maxM: 48, kc: 512, nc: 16},
		unpackedSets: unpacked{maxM: 14, kc: 12, nc: 512},
		axpyf:        axpyf{memory: 6, sets: 6, cache: 8},
	},
	{
		isa:          cpu.NEON, // the tiles are those of AVX2, and so are the sizes: not measured
		mc:           126,
		kc:           512,
		nc:           4096,
		packA:        true,
		unpacked:     unpacked{maxM: 26, kc: 64, nc: 256},
		unpackedTall: unpacked{maxM: 48, kc: 512, nc: 16},
		unpackedSets: unpacked{maxM: 14, kc: 12, nc: 512},
		axpyf:        axpyf{memory: 6, sets: 6, cache: 8},
	},
	{
		isa: cpu.Generic,
		mc:  124,
		kc:  1024, // B is packed for every m: between two calls sums in float64 would be rounded
		nc:  4096,
	},
}

// blocksOf returns the block sizes for a kernel.
func blocksOf(kern *ukernel.Indirect) *blocks {
	for i := range blockTable {
		if blockTable[i].isa == kern.ISA {
			return &blockTable[i]
		}
	}
	panic("gemm: no blocks for " + kern.Name)
}

// chain returns the products of one chain of multiply-adds: k in equal parts of at most
// KC. They depend on nothing else, so that the bits of a result do not either.
func (b *blocks) chain(k int) int { return evenly(k, b.kc) }

const (
	// memoryBoundM is the most rows of A for which reading B takes all the time: B is read
	// some rows at a time, from end to end, as the processor's prefetchers want it.
	memoryBoundM = 4
	// lastLevel is the size of B from which it is taken to come from memory, in elements:
	// 20 MiB.
	lastLevel = 5 << 20
	// setStride is the distance of rows, in elements, that puts them into the same sets of
	// a first-level cache: 4 KiB.
	setStride = 1024
)

// unpackedFor returns how a problem reads B where it is. A whole panel of B fits the
// second-level cache if its rows spread over the sets, and then pays if the rows of A need
// no copies.
func (b *blocks) unpackedFor(p *problem) unpacked {
	switch {
	case p.b.rs%setStride == 0:
		return b.unpackedSets
	case p.m > b.unpacked.maxM && p.b.rs%64 != 0 && p.a.cs == 1:
		return b.unpackedTall
	}
	return b.unpacked
}

// kcUnpacked returns how many rows of B are read side by side before the sums are written.
func (b *blocks) kcUnpacked(p *problem) int {
	switch {
	case p.m > memoryBoundM:
		return b.unpackedFor(p).kc
	case p.k*p.b.rs > lastLevel:
		return b.axpyf.memory
	case p.b.rs%setStride == 0:
		return b.axpyf.sets
	}
	return min(32, b.axpyf.cache*p.m)
}

// ceilDiv returns x/y, rounded up.
func ceilDiv(x, y int) int { return (x + y - 1) / y }

// roundUp returns x, rounded up to a multiple of y.
func roundUp(x, y int) int { return ceilDiv(x, y) * y }

// evenly returns the size of groups of at most limit that n is split into with the least
// difference.
func evenly(n, limit int) int { return ceilDiv(n, ceilDiv(n, limit)) }
