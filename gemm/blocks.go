package gemm

import (
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/direct"
)

// blocks are the sizes of the blocks of a product, as BLIS names them. A block of
// A, MC×KC, and a panel of B, KC×NR, stay in the second-level cache together; the
// packed KC×NC of B are shared by all workers in the last level.
type blocks struct {
	isa        cpu.ISA
	mc, kc, nc int
}

// blockTable lists the blocks for each instruction set. MC is a multiple of the
// rows of its kernel.
//
// Measured on 2 cores of Zen 4 (1 MiB of second-level cache each), one thread,
// NC 4096, in percent of the peak of multiply-adds, at 1024³ and 2048³:
//
//	KC    MC    1024³  2048³
//	512   126   92.5   93.9
//	768   126   92.2   92.8
//	1024  63    93.4   94.9
//	1024  126   94.4   95.0
//
// A deep block pays because the results are read and written once for each.
var blockTable = []blocks{
	{cpu.AVX512, 126, 1024, 4096},
	{cpu.AVX2, 126, 1024, 4096},
	{cpu.NEON, 126, 1024, 4096},
	{cpu.Generic, 124, 1024, 4096},
}

func blocksOf(kern *direct.Kernel) blocks {
	for _, b := range blockTable {
		if b.isa == kern.ISA {
			return b
		}
	}
	panic("gemm: no blocks for " + kern.Name)
}

// inner returns the elements of an inner block: k in equal parts of at most KC,
// which depend on nothing else, so that the bits of a result do not either.
func (b blocks) inner(k int) int {
	parts := (k + b.kc - 1) / b.kc
	return (k + parts - 1) / parts
}
