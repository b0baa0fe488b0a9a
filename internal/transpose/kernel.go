// Package transpose transposes 16 rows that are apart in memory: channels of a picture to
// pixels of a block and back (package layout), the filters of 16 outputs to vectors of them
// and back (package winograd), and transposed matrices to panels (package gemm).
package transpose

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// Rows is the number of rows.
const Rows = 16

// kernel holds the transposes of one instruction set between 16 planes, the rows,
// and a block, which has 16 channels for each pixel. They convert 4n pixels; n is
// positive. Planes begin plane floats apart.
type kernel struct {
	name string
	isa  cpu.ISA
	// fromPlanes sets dst[p*16+l] = src[l*plane+p].
	fromPlanes func(n int, dst, src *float32, plane int)
	// toPlanes sets dst[l*plane+p] = src[p*16+l].
	toPlanes func(n int, dst, src *float32, plane int)
}

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

// piece bounds the columns of one call of a kernel, which cannot be interrupted:
// 16 rows of them are read and written within 50 µs. It is a multiple of 4.
const piece = 4096

// FromRows sets dst[p*16+l] = src[l*stride+p] for 16 rows l of n columns. dst and src must
// not overlap. It panics on shorter slices and does not allocate.
func FromRows(dst, src []float32, stride, n int) {
	if n == 0 {
		return
	}
	dst, src = dst[:n*Rows], src[:(Rows-1)*stride+n]
	if n < 4 {
		for l := range Rows {
			for p, v := range src[l*stride:][:n] {
				dst[p*Rows+l] = v
			}
		}
		return
	}
	for p := 0; p+4 <= n; p += piece {
		best.fromPlanes(min(piece, n-p)/4, &dst[p*Rows], &src[p], stride)
	}
	if n%4 != 0 { // the last 4 columns, of which some are there already
		best.fromPlanes(1, &dst[(n-4)*Rows], &src[n-4], stride)
	}
}

// ToRows sets dst[l*stride+p] = src[p*16+l] for 16 rows l of n columns. It is the inverse of
// FromRows. It leaves the elements between the rows unchanged.
func ToRows(dst, src []float32, stride, n int) {
	if n == 0 {
		return
	}
	dst, src = dst[:(Rows-1)*stride+n], src[:n*Rows]
	if n < 4 {
		for l := range Rows {
			row := dst[l*stride:][:n]
			for p := range row {
				row[p] = src[p*Rows+l]
			}
		}
		return
	}
	for p := 0; p+4 <= n; p += piece {
		best.toPlanes(min(piece, n-p)/4, &dst[p], &src[p*Rows], stride)
	}
	if n%4 != 0 {
		best.toPlanes(1, &dst[n-4], &src[(n-4)*Rows], stride)
	}
}

var generic = kernel{name: "generic", isa: cpu.Generic, fromPlanes: fromPlanesGeneric, toPlanes: toPlanesGeneric}

func fromPlanesGeneric(n int, dst, src *float32, plane int) {
	d, s := unsafe.Slice(dst, n*4*Rows), unsafe.Slice(src, (Rows-1)*plane+n*4)
	for l := range Rows {
		for p, v := range s[l*plane:][:n*4] {
			d[p*Rows+l] = v
		}
	}
}

func toPlanesGeneric(n int, dst, src *float32, plane int) {
	d, s := unsafe.Slice(dst, (Rows-1)*plane+n*4), unsafe.Slice(src, n*4*Rows)
	for l := range Rows {
		row := d[l*plane:][:n*4]
		for p := range row {
			row[p] = s[p*Rows+l]
		}
	}
}
