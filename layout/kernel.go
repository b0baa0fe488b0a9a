package layout

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the conversions of one instruction set between a block and its 16
// planes, for 4n pixels; n is positive. Planes begin plane floats apart.
type kernel struct {
	name string
	isa  cpu.ISA
	// fromPlanes sets dst[p*16+l] = src[l*plane+p].
	fromPlanes func(n int, dst, src *float32, plane int)
	// toPlanes sets dst[l*plane+p] = src[p*16+l].
	toPlanes func(n int, dst, src *float32, plane int)
}

var best = func() *kernel {
	for i := range kernels {
		if cpu.Has(kernels[i].isa) {
			return &kernels[i]
		}
	}
	panic("layout: no kernel") // the generic one runs everywhere
}()

var generic = kernel{"generic", cpu.Generic, fromPlanesGeneric, toPlanesGeneric}

func fromPlanesGeneric(n int, dst, src *float32, plane int) {
	d, s := unsafe.Slice(dst, n*4*Block), unsafe.Slice(src, (Block-1)*plane+n*4)
	for l := range Block {
		for p, v := range s[l*plane:][:n*4] {
			d[p*Block+l] = v
		}
	}
}

func toPlanesGeneric(n int, dst, src *float32, plane int) {
	d, s := unsafe.Slice(dst, (Block-1)*plane+n*4), unsafe.Slice(src, n*4*Block)
	for l := range Block {
		row := d[l*plane:][:n*4]
		for p := range row {
			row[p] = s[p*Block+l]
		}
	}
}
