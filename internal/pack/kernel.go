package pack

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the copies of one instruction set. n, positive, counts blocks of 16 floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// rows copies rows of n blocks, which begin dstStride and srcStride bytes apart, and
	// fetches what lies ahead bytes after what it reads.
	rows func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)
	// panels sets dst[b*panel+r*16+l] = src[r*ld+b*16+l] for n blocks of 1 row and of
	// rowsAtOnce rows.
	panels [2]panelsFunc
}

type panelsFunc func(n int, dst, src *float32, panel, ld int)

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call, which cannot be interrupted: two streams of them
// take some 50 µs from memory.
const piece = 4096

// rowsAtOnce is how many rows panels reads side by side, each by instructions of its own,
// so that the processor sees streams and fetches them itself. More rows than a
// first-level cache has ways evict each other where they share its sets.
const rowsAtOnce = 8

var generic = kernel{
	name: "generic", isa: cpu.Generic,
	rows:   copyRowsGeneric,
	panels: [2]panelsFunc{copyPanelsGeneric(1), copyPanelsGeneric(rowsAtOnce)},
}

func copyRowsGeneric(n, rows int, dst, src *float32, dstStride, srcStride, _ int) {
	d, s := unsafe.Slice(dst, (rows-1)*dstStride/4+n*16), unsafe.Slice(src, (rows-1)*srcStride/4+n*16)
	for i := range rows {
		copy(d[i*dstStride/4:][:n*16], s[i*srcStride/4:])
	}
}

func copyPanelsGeneric(rows int) panelsFunc {
	return func(n int, dst, src *float32, panel, ld int) {
		d, s := unsafe.Slice(dst, (n-1)*panel+rows*16), unsafe.Slice(src, (rows-1)*ld+n*16)
		for b := range n {
			for r := range rows {
				copy(d[b*panel+r*16:][:16], s[r*ld+b*16:])
			}
		}
	}
}
