package ukernel

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/describe"
)

// BlockedInt16 is the micro-kernel of products of 16-bit integers, on one instruction set.
// It reads A as Blocked does. Its sums are exact, so all instruction sets give the same.
type BlockedInt16 struct {
	Name  string
	ISA   cpu.ISA
	MR    int                  // rows of a tile
	NR    int                  // columns of a panel of B, a multiple of 16; the last panel may be narrower
	Pair  int                  // rows of B that lie side by side for each column, see BlockedInt16Args
	funcs [][]blockedInt16Func // [nr/16-1][mr-1]
}

// BlockedInt16Args are the operands of
//
//	C[i][j] = Σ_p A[i][p] · B[p][j],  p = 0 … 16·Blocks−1
//
// A is read as BlockedArgs says. B is a packed panel: B[p][j] stands at
//
//	B[(p/Pair)·nr·Pair + j·Pair + p%Pair]
//
// The caller sees to it that no sum of the first products leaves the range of int32. C
// overlaps no other operand.
type BlockedInt16Args struct {
	Blocks int // of 16 channels, at least 1
	A      []int16
	ABlock int // from block to block
	ATile  int // from tile to tile; any for a single one
	B      []int16
	C      []int32
	NextB  []int16 // fetched to the second-level cache, half a panel by each tile: the next panel, or B
}

// BestBlockedInt16 returns the kernel that this process prefers.
func BestBlockedInt16() *BlockedInt16 {
	return cpu.First(BlockedInt16Kernels, func(k *BlockedInt16) cpu.ISA { return k.ISA })
}

// Run computes tiles of mr rows, at most MR, by nr columns, a multiple of 16 up to NR.
func (kern *BlockedInt16) Run(tiles, mr, nr int, o *BlockedInt16Args) {
	// The bounds of everything that the kernel touches.
	_ = o.A[(tiles-1)*o.ATile+(o.Blocks-1)*o.ABlock+mr*16-1]
	_ = o.B[o.Blocks*16*nr-1]
	_ = o.C[tiles*mr*nr-1]
	var call blockedInt16Call
	call.blocks, call.aBlock, call.aTile = o.Blocks, o.ABlock, o.ATile
	call.b, call.nextB = unsafe.SliceData(o.B), unsafe.SliceData(o.NextB)
	most := max(blockedMACs/(mr*o.Blocks*16*nr), 1)
	for t := 0; t < tiles; t += most {
		call.tiles, call.a, call.c = min(most, tiles-t), &o.A[t*o.ATile], &o.C[t*mr*nr]
		kern.funcs[nr/16-1][mr-1](noescape(&call))
		call.nextB = call.b // the first tiles have fetched it
	}
}

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *BlockedInt16) Symbol(mr, nr int) string {
	return describe.Symbol(kern.funcs[nr/16-1][mr-1])
}
