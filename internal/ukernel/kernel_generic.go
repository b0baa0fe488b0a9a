package ukernel

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
)

// The portable twins sum in float64, where products of float32 are exact: without fused
// multiply-adds float32 would lose twice as much.

// indirectGeneric returns the portable twin of a tile of mr rows and nr columns.
func indirectGeneric(mr, nr int) indirectFunc {
	return func(tiles, k int, offsets *int, a *float32, aStep int, b *float32, ldb int, bias, c *float32, ldc, cBlock, modeBits, nextA, nextB, nextC, _, _ int) {
		mode := Mode(modeBits)
		offs, last := unsafe.Slice(offsets, k), tiles-1
		as := unsafe.Slice(a, last*nextA+offs[k-1]+(mr-1)*aStep+1)
		bs := unsafe.Slice(b, last*nextB+(k-1)*ldb/4+nr)
		cs := unsafe.Slice(c, last*nextC+(nr/16-1)*cBlock+(mr-1)*ldc+16)
		for t := range tiles {
			for i := range mr {
				for j := 0; j < nr; j += 16 {
					to := cs[t*nextC+j/16*cBlock+i*ldc:][:16]
					start := to
					if mode&ModeFromC == 0 {
						start = unsafe.Slice(bias, nr)[j:][:16]
					}
					var acc [16]float64
					for l := range acc {
						acc[l] = float64(start[l])
					}
					for p, off := range offs {
						v := float64(as[t*nextA+off+i*aStep])
						from := bs[t*nextB+p*ldb/4+j:][:16]
						for l := range acc {
							acc[l] += v * float64(from[l])
						}
					}
					mode.store(to, &acc)
				}
			}
		}
	}
}

// store ends 16 sums as mode says.
func (mode Mode) store(to []float32, acc *[16]float64) {
	for l, v := range acc {
		if mode&ModeAddC != 0 {
			v = float64(float32(v)) + float64(to[l])
		}
		if mode&ModeReLU != 0 {
			v = max(v, 0)
		}
		to[l] = float32(v)
	}
}

func genericIndirect() Indirect {
	kern := Indirect{Name: "generic_4x16", ISA: cpu.Generic, MR: 4, NR: 16, funcs: make([][]indirectFunc, 1)}
	for mr := 1; mr <= kern.MR; mr++ {
		kern.funcs[0] = append(kern.funcs[0], indirectGeneric(mr, 16))
	}
	return kern
}

// blockedGeneric returns the portable twin of a tile of mr rows and nr columns.
func blockedGeneric(mr, nr int) blockedFunc {
	return func(tiles, blocks int, a *float32, aBlock, aTile int, b, c, _ *float32) {
		as := unsafe.Slice(a, (tiles-1)*aTile+(blocks-1)*aBlock+mr*16)
		bs := unsafe.Slice(b, blocks*16*nr)
		cs := unsafe.Slice(c, tiles*mr*nr)
		for i := range tiles * mr {
			row := as[i/mr*aTile+i%mr*16:]
			for j := 0; j < nr; j += 16 {
				var acc [16]float64
				for block := range blocks {
					for ch, x := range row[block*aBlock:][:16] {
						from := bs[(block*16+ch)*nr+j:][:16]
						for l := range acc {
							acc[l] += float64(x) * float64(from[l])
						}
					}
				}
				for l, v := range acc {
					cs[i*nr+j+l] = float32(v)
				}
			}
		}
	}
}

// blockedHalfGeneric returns the portable twin for half precision. It converts each
// element of B once for each row of A, and so needs no memory.
func blockedHalfGeneric(mr, nr int) blockedHalfFunc {
	return func(blocks int, a *float32, aBlock int, b *uint16, c *float32, _ *uint16) {
		as := unsafe.Slice(a, (blocks-1)*aBlock+mr*16)
		bs := unsafe.Slice(b, blocks*16*nr)
		cs := unsafe.Slice(c, mr*nr)
		for i := range mr {
			for j := 0; j < nr; j += 16 {
				var acc [16]float64
				for block := range blocks {
					for ch, x := range as[block*aBlock+i*16:][:16] {
						for l, h := range bs[(block*16+ch)*nr+j:][:16] {
							acc[l] += float64(x) * float64(half.ToFloat32(h))
						}
					}
				}
				for l, v := range acc {
					cs[i*nr+j+l] = float32(v)
				}
			}
		}
	}
}

func genericBlocked() Blocked {
	kern := Blocked{Name: "generic_4x16", ISA: cpu.Generic, MR: 4, NR: 16, funcs: make([][]blockedFunc, 1), half: make([][]blockedHalfFunc, 1)}
	for mr := 1; mr <= kern.MR; mr++ {
		kern.funcs[0] = append(kern.funcs[0], blockedGeneric(mr, 16))
		kern.half[0] = append(kern.half[0], blockedHalfGeneric(mr, 16))
	}
	return kern
}
