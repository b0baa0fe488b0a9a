package ukernel

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/describe"
)

// Blocked is the micro-kernel that reads A in blocks of 16 channels, on one
// instruction set.
type Blocked struct {
	Name  string
	ISA   cpu.ISA
	MR    int                 // rows of a tile
	NR    int                 // columns of a panel of B, a multiple of 16; the last panel may be narrower
	funcs [][]blockedFunc     // [nr/16-1][mr-1]
	half  [][]blockedHalfFunc // likewise

	row     blockedRowFunc // one row by RowPanels panels of NR
	rowHalf blockedRowHalfFunc
}

// BlockedArgs are the operands of
//
//	C[i][j] = Σ_p A[i][p] · B[p][j],  p = 0 … Channels−1
//
// for tiles of mr rows. A is read where it is: the 16 channels of one row and one block
// are adjacent, the rows of a tile follow each other, and A[i][p] stands at
//
//	A[(i/mr)·ATile + (p/16)·ABlock + (i%mr)·16 + p%16]
//
// The kernel uses no more of A's last block than Channels say. B is a packed panel,
// Channels×nr, and C is tiles·mr×nr without gaps. All distances are in elements. C overlaps
// no other operand.
type BlockedArgs struct {
	Channels int // at least 4, a multiple of ChannelStep
	A        []float32
	ABlock   int // from block to block
	ATile    int // from tile to tile; any for a single one
	B        []float32
	C        []float32
	NextB    []float32 // fetched to the second-level cache, half a panel by each tile: the next panel, or B
}

// BlockedHalfArgs are the operands of a BlockedArgs for one tile, with B in IEEE half
// precision.
type BlockedHalfArgs struct {
	Blocks int
	A      []float32
	ABlock int
	B      []uint16
	C      []float32
	NextB  []uint16
}

// ChannelStep is how many channels the kernels of BlockedArgs multiply at once. Callers pad
// A and B with zeros to a multiple of it.
const ChannelStep = 4

// RowPanels is how many panels RunRow reads side by side. Memory is read faster as several
// streams: docs/tuning.md, table 14.
const RowPanels = 4

// BlockedRowArgs are the operands of
//
//	C[p·NR + j] = Σ_k A[k] · B[p·BPanel + k·NR + j],  k = 0 … 16·Blocks−1, p = 0 … RowPanels−1
//
// in single or in IEEE half precision of B. Distances are in elements. C overlaps no other
// operand.
type BlockedRowArgs[T float32 | uint16] struct {
	Blocks int // of 16 elements, at least 1
	A      []float32
	B      []T
	BPanel int // from panel to panel
	C      []float32
}

// BestBlocked returns the kernel that this process prefers.
func BestBlocked() *Blocked {
	for i := range BlockedKernels {
		if cpu.Has(BlockedKernels[i].ISA) {
			return &BlockedKernels[i]
		}
	}
	panic("ukernel: no kernel") // the generic one runs everywhere
}

// HalfMR returns the most rows of a tile with B in half precision.
func (kern *Blocked) HalfMR() int { return len(kern.half[0]) }

// Run computes tiles of mr rows, at most MR, by nr columns, a multiple of 16 up to NR.
func (kern *Blocked) Run(tiles, mr, nr int, o *BlockedArgs) {
	// The bounds of everything that the kernel touches.
	blocks := (o.Channels + 15) / 16
	_ = o.A[(tiles-1)*o.ATile+(blocks-1)*o.ABlock+mr*16-1]
	_ = o.B[o.Channels*nr-1]
	_ = o.C[tiles*mr*nr-1]
	var call blockedCall
	call.blocks, call.aBlock, call.aTile = blocks, o.ABlock, o.ATile
	call.last = o.Channels/ChannelStep - 4*(blocks-1)
	call.b, call.nextB = unsafe.SliceData(o.B), unsafe.SliceData(o.NextB)
	most := max(blockedMACs/(mr*o.Channels*nr), 1)
	for t := 0; t < tiles; t += most {
		call.tiles, call.a, call.c = min(most, tiles-t), &o.A[t*o.ATile], &o.C[t*mr*nr]
		kern.funcs[nr/16-1][mr-1](noescape(&call))
		call.nextB = call.b // the first tiles have fetched it
	}
}

// blockedMACs bounds the multiply-adds of one call of assembly, which the runtime
// cannot interrupt: 70 µs at 117 GFLOP/s, 200 µs at 42. VGG's largest call, 56
// tiles of 512 channels, has less than half of it.
const blockedMACs = 1 << 22

// RunHalf computes one tile of mr rows, at most HalfMR, by nr columns with B in half
// precision.
func (kern *Blocked) RunHalf(mr, nr int, o *BlockedHalfArgs) {
	_ = o.A[(o.Blocks-1)*o.ABlock+mr*16-1]
	_ = o.B[o.Blocks*16*nr-1]
	_ = o.C[mr*nr-1]
	var call blockedHalfCall
	call.blocks, call.a, call.aBlock = o.Blocks, unsafe.SliceData(o.A), o.ABlock
	call.b, call.c, call.nextB = unsafe.SliceData(o.B), unsafe.SliceData(o.C), unsafe.SliceData(o.NextB)
	kern.half[nr/16-1][mr-1](noescape(&call))
}

// check checks the bounds of everything that the kernel touches.
func (o *BlockedRowArgs[T]) check(nr int) {
	_ = o.A[o.Blocks*16-1]
	_ = o.B[(RowPanels-1)*o.BPanel+o.Blocks*16*nr-1]
	_ = o.C[RowPanels*nr-1]
}

// RunRow computes one row by RowPanels panels. The sums are those of Run for each panel.
func (kern *Blocked) RunRow(o *BlockedRowArgs[float32]) {
	o.check(kern.NR)
	call := blockedRowCall{o.Blocks, unsafe.SliceData(o.A), unsafe.SliceData(o.B), o.BPanel, unsafe.SliceData(o.C)}
	kern.row(noescape(&call))
}

// RunRowHalf is RunRow for B in half precision.
func (kern *Blocked) RunRowHalf(o *BlockedRowArgs[uint16]) {
	o.check(kern.NR)
	call := blockedRowHalfCall{o.Blocks, unsafe.SliceData(o.A), unsafe.SliceData(o.B), o.BPanel, unsafe.SliceData(o.C)}
	kern.rowHalf(noescape(&call))
}

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *Blocked) Symbol(mr, nr int) string { return describe.Symbol(kern.funcs[nr/16-1][mr-1]) }

// HalfSymbol is Symbol for B in half precision.
func (kern *Blocked) HalfSymbol(mr, nr int) string {
	return describe.Symbol(kern.half[nr/16-1][mr-1])
}

// RowSymbol is Symbol for RunRow.
func (kern *Blocked) RowSymbol() string { return describe.Symbol(kern.row) }

// RowHalfSymbol is Symbol for RunRowHalf.
func (kern *Blocked) RowHalfSymbol() string { return describe.Symbol(kern.rowHalf) }
