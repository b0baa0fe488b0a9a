package level1f

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the operations of one instruction set. n, positive, counts blocks of 16
// floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// axpyf adds Σ_r x[r]·a[r*lda+j] to y[j] for 1 row and for fuseFactor rows, one
	// chain of fused multiply-adds in the order of r.
	axpyf [2]fusedFunc
	// dotxf adds Σ_k x[k]·a[j*lda+k] to y[j] for 16 rows of n blocks, one chain of fused
	// multiply-adds in the order of k.
	dotxf fusedFunc
	// dots sets sums[r*dotNR+p] = Σ_j w[r*ldw+j]·x[(j/16*dotNR+p)*16+j%16] for dotMR rows
	// and dotNR vectors. Each sum is of several chains of fused multiply-adds.
	dots func(n int, sums, w, x *float32, ldw int)
}

type fusedFunc func(n int, y, x, a *float32, lda int)

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the blocks of one call, which cannot be interrupted: some 50 µs from memory.
const piece = 4096

// fuseFactor is how many rows axpyf reads side by side, each by instructions of its own,
// so that the processor sees streams and fetches them itself. Fewer rows read and write y
// more often. More rows than a first-level cache has ways evict each other where they
// share its sets.
const fuseFactor = 8

var generic = kernel{
	name: "generic", isa: cpu.Generic,
	axpyf: [2]fusedFunc{axpyfGeneric(1), axpyfGeneric(fuseFactor)},
	dotxf: dotxfGeneric,
	dots:  dotsGeneric,
}

// axpyfGeneric computes in float64, where products of float32 are exact: without fused
// multiply-adds float32 would lose twice as much.
func axpyfGeneric(rows int) fusedFunc {
	return func(n int, y, x, a *float32, lda int) {
		to, xs, as := unsafe.Slice(y, n*16), unsafe.Slice(x, rows), unsafe.Slice(a, (rows-1)*lda+n*16)
		for j, v := range to {
			sum := float64(v)
			for r, x := range xs {
				sum += float64(x) * float64(as[r*lda+j])
			}
			to[j] = float32(sum)
		}
	}
}

// dotxfGeneric computes in float64 as well.
func dotxfGeneric(n int, y, x, a *float32, lda int) {
	to, xs, as := unsafe.Slice(y, 16), unsafe.Slice(x, n*16), unsafe.Slice(a, 15*lda+n*16)
	for j, v := range to {
		sum := float64(v)
		for k, v := range as[j*lda:][:n*16] {
			sum += float64(xs[k]) * float64(v)
		}
		to[j] = float32(sum)
	}
}

func dotsGeneric(n int, sums, w, x *float32, ldw int) {
	xs := unsafe.Slice(x, n*16*dotNR)
	for i := range unsafe.Slice(sums, dotMR*dotNR) {
		p, row := i%dotNR, unsafe.Slice(w, i/dotNR*ldw+n*16)[i/dotNR*ldw:]
		sum := 0.0 // as the other twins
		for j, v := range row {
			sum += float64(v) * float64(xs[(j/16*dotNR+p)*16+j%16])
		}
		unsafe.Slice(sums, dotMR*dotNR)[i] = float32(sum)
	}
}
