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
//	C[i][j] = Σ_p A[i][p] · B[p][j],  p = 0 … Channels−1
//
// A is read as BlockedArgs says. B is a packed panel: B[p][j] stands at
//
//	B[(p/Pair)·nr·Pair + j·Pair + p%Pair]
//
// The caller sees to it that no sum of the first products leaves the range of int32. With
// FromC the sums start from C. C overlaps no other operand.
type BlockedInt16Args struct {
	Channels int // at least 8, a multiple of Int16ChannelStep
	A        []int16
	ABlock   int // from block to block
	ATile    int // from tile to tile; any for a single one
	B        []int16
	C        []int32
	NextB    []int16 // fetched to the second-level cache, half a panel by each tile: the next panel, or B
	FromC    bool
}

// Int16ChannelStep is ChannelStep for integers of 16 bits.
const Int16ChannelStep = 8

// BestBlockedInt16 returns the kernel that this process prefers.
func BestBlockedInt16() *BlockedInt16 {
	return cpu.First(BlockedInt16Kernels, func(k *BlockedInt16) cpu.ISA { return k.ISA })
}

// Run computes tiles of mr rows, at most MR, by nr columns, a multiple of 16 up to NR.
func (kern *BlockedInt16) Run(tiles, mr, nr int, o *BlockedInt16Args) {
	// The bounds of everything that the kernel touches.
	blocks := (o.Channels + 15) / 16
	_ = o.A[(tiles-1)*o.ATile+(blocks-1)*o.ABlock+mr*16-1]
	_ = o.B[o.Channels*nr-1]
	_ = o.C[tiles*mr*nr-1]
	var call blockedInt16Call
	call.blocks, call.aBlock, call.aTile = blocks, o.ABlock, o.ATile
	call.last = o.Channels/Int16ChannelStep - 2*(blocks-1)
	call.b, call.nextB = unsafe.SliceData(o.B), unsafe.SliceData(o.NextB)
	if o.FromC {
		call.fromC = 1
	}
	most := max(blockedMACs/(mr*o.Channels*nr), 1)
	for t := 0; t < tiles; t += most {
		call.tiles, call.a, call.c = min(most, tiles-t), &o.A[t*o.ATile], &o.C[t*mr*nr]
		kern.funcs[nr/16-1][mr-1](noescape(&call))
		call.nextB = call.b // the first tiles have fetched it
	}
}

// RunM computes m rows that follow each other, by nr columns. Whole tiles of MR rows come
// first, and what remains in two even ones, since a small tile runs below the peak. ATile is
// of no account.
func (kern *BlockedInt16) RunM(m, nr int, o *BlockedInt16Args) {
	args := *o
	args.ATile = kern.MR * 16
	run := func(tiles, mr int) {
		kern.Run(tiles, mr, nr, &args)
		args.A, args.C = args.A[tiles*mr*16:], args.C[tiles*mr*nr:]
		args.NextB = args.B // the first tiles have fetched it
	}
	tiles, rest := m/kern.MR, m%kern.MR
	if tiles > 0 && rest > 0 {
		tiles, rest = tiles-1, rest+kern.MR
	}
	if tiles > 0 {
		run(tiles, kern.MR)
	}
	if rest > kern.MR {
		run(1, (rest+1)/2)
		rest /= 2
	}
	if rest > 0 {
		run(1, rest)
	}
}

// Int16s returns scratch of floats as twice as many integers.
func Int16s(x []float32) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

// Int32s returns scratch of floats as integers.
func Int32s(x []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *BlockedInt16) Symbol(mr, nr int) string {
	return describe.Symbol(kern.funcs[nr/16-1][mr-1])
}
