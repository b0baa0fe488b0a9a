package ukernel

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/describe"
)

// BlockedInt8 is the micro-kernel of exact products, on one instruction set: A of 16 bits, read
// in blocks of 16 channels as by Blocked, and B of 8 bits. B is packed in the same way for all
// of them.
type BlockedInt8 struct {
	Name  string
	ISA   cpu.ISA
	MR    int               // rows of a tile
	funcs []blockedInt8Func // [mr-1]
}

// Int8NR is the number of columns of a panel of B.
const Int8NR = 32

// BlockedInt8Args are the operands of
//
//	C[i][j] += Σ_p A[i][p] · B[p][j],  p = 0 … 16·Blocks−1
//
// for one tile of mr rows and 32 columns. A[i][p] stands at
//
//	A[(p/16)·ABlock + i·16 + p%16]
//
// and B[p][j] in pairs of rows, at B[(p/2)·64 + 2j + p%2]. C is mr×32 without gaps and
// overlaps no other operand. All distances are in elements.
//
// The sums are exact where no element of A is −32768, or none of B −128: they are collected in
// 32 bits for 32 blocks, whose magnitude is at most 512·32767·128 = 2³¹ − 65,536, and then
// added to C.
type BlockedInt8Args struct {
	Blocks int // of 16 channels, at least 1
	A      []int16
	ABlock int // from block to block
	B      []int8
	C      []int64
}

// int8Blocks is how many blocks are summed in 32 bits.
const int8Blocks = 32

// BestBlockedInt8 returns the kernel that this process prefers.
func BestBlockedInt8() *BlockedInt8 {
	return cpu.First(BlockedInt8Kernels, func(kern *BlockedInt8) cpu.ISA { return kern.ISA })
}

// Run computes a tile of mr rows, at most MR. One of 2048 channels takes some 10 µs, more
// where B comes from memory.
func (kern *BlockedInt8) Run(mr int, o *BlockedInt8Args) {
	// The bounds of everything that the kernel touches.
	_ = o.A[(o.Blocks-1)*o.ABlock+mr*16-1]
	_ = o.B[o.Blocks*16*Int8NR-1]
	_ = o.C[mr*Int8NR-1]
	var call blockedInt8Call
	call.blocks, call.a, call.aBlock = o.Blocks, unsafe.SliceData(o.A), o.ABlock
	call.b, call.c = unsafe.SliceData(o.B), unsafe.SliceData(o.C)
	kern.funcs[mr-1](noescape(&call))
}

// Symbol returns the name of the function that computes tiles of mr rows, as profilers
// show it.
func (kern *BlockedInt8) Symbol(mr int) string { return describe.Symbol(kern.funcs[mr-1]) }
