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
	return func(call *indirectCall) {
		offsets, last, ldb := unsafe.Slice(call.offsets, call.k), call.tiles-1, call.ldb/4
		as := unsafe.Slice(call.a, last*call.nextA+offsets[call.k-1]+(mr-1)*call.aStep+1)
		bs := unsafe.Slice(call.b, last*call.nextB+(call.k-1)*ldb+nr)
		cs := unsafe.Slice(call.c, last*call.nextC+(nr/16-1)*call.cBlock+(mr-1)*call.ldc+16)
		mode := Mode(call.mode)
		for t := range call.tiles {
			for i := range mr {
				for j := 0; j < nr; j += 16 {
					to := cs[t*call.nextC+j/16*call.cBlock+i*call.ldc:][:16]
					start := to
					if mode&ModeFromC == 0 {
						start = unsafe.Slice(call.bias, nr)[j:][:16]
					}
					var acc [16]float64
					for l := range acc {
						acc[l] = float64(start[l])
					}
					for p, off := range offsets {
						v := float64(as[t*call.nextA+off+i*call.aStep])
						from := bs[t*call.nextB+p*ldb+j:][:16]
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
	return func(call *blockedCall) {
		channels := ((call.blocks-1)*4 + call.last) * ChannelStep
		as := unsafe.Slice(call.a, (call.tiles-1)*call.aTile+(call.blocks-1)*call.aBlock+mr*16)
		bs := unsafe.Slice(call.b, channels*nr)
		cs := unsafe.Slice(call.c, call.tiles*mr*nr)
		for i := range call.tiles * mr {
			row := as[i/mr*call.aTile+i%mr*16:]
			for j := 0; j < nr; j += 16 {
				var acc [16]float64
				for block := range call.blocks {
					for ch, x := range row[block*call.aBlock:][:min(16, channels-block*16)] {
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
	return func(call *blockedHalfCall) {
		as := unsafe.Slice(call.a, (call.blocks-1)*call.aBlock+mr*16)
		bs := unsafe.Slice(call.b, call.blocks*16*nr)
		cs := unsafe.Slice(call.c, mr*nr)
		for i := range mr {
			for j := 0; j < nr; j += 16 {
				var acc [16]float64
				for block := range call.blocks {
					for ch, x := range as[block*call.aBlock+i*16:][:16] {
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

// blockedRowGeneric returns the portable twin of one row by RowPanels panels of nr columns.
func blockedRowGeneric(nr int) blockedRowFunc {
	one := blockedGeneric(1, nr)
	return func(call *blockedRowCall) {
		bs := unsafe.Slice(call.b, (RowPanels-1)*call.bPanel+call.blocks*16*nr)
		cs := unsafe.Slice(call.c, RowPanels*nr)
		for p := range RowPanels {
			one(&blockedCall{tiles: 1, blocks: call.blocks, last: 4, a: call.a, aBlock: 16, b: &bs[p*call.bPanel], c: &cs[p*nr]})
		}
	}
}

// blockedRowHalfGeneric is blockedRowGeneric for half precision.
func blockedRowHalfGeneric(nr int) blockedRowHalfFunc {
	one := blockedHalfGeneric(1, nr)
	return func(call *blockedRowHalfCall) {
		bs := unsafe.Slice(call.b, (RowPanels-1)*call.bPanel+call.blocks*16*nr)
		cs := unsafe.Slice(call.c, RowPanels*nr)
		for p := range RowPanels {
			one(&blockedHalfCall{blocks: call.blocks, a: call.a, aBlock: 16, b: &bs[p*call.bPanel], c: &cs[p*nr]})
		}
	}
}

func genericBlocked() Blocked {
	kern := Blocked{Name: "generic_4x16", ISA: cpu.Generic, MR: 4, NR: 16, funcs: make([][]blockedFunc, 1), half: make([][]blockedHalfFunc, 1)}
	kern.row, kern.rowHalf = blockedRowGeneric(16), blockedRowHalfGeneric(16)
	for mr := 1; mr <= kern.MR; mr++ {
		kern.funcs[0] = append(kern.funcs[0], blockedGeneric(mr, 16))
		kern.half[0] = append(kern.half[0], blockedHalfGeneric(mr, 16))
	}
	return kern
}

// blockedInt8Generic returns the portable twin of a tile of mr rows of 16 bits and 32 columns
// of 8 bits.
func blockedInt8Generic(mr int) blockedInt8Func {
	return func(call *blockedInt8Call) {
		as := unsafe.Slice(call.a, (call.blocks-1)*call.aBlock+mr*16)
		bs := unsafe.Slice(call.b, call.blocks*16*Int8NR)
		cs := unsafe.Slice(call.c, mr*Int8NR)
		for i := range mr {
			sums := cs[i*Int8NR:][:Int8NR]
			for block := range call.blocks {
				row := as[block*call.aBlock+i*16:][:16]
				for p := 0; p < 16; p += 2 {
					x0, x1 := int32(row[p]), int32(row[p+1])
					from := bs[(block*16+p)*Int8NR:][:2*Int8NR]
					for j := range sums {
						sums[j] += int64(x0*int32(from[2*j]) + x1*int32(from[2*j+1]))
					}
				}
			}
		}
	}
}

func genericBlockedInt8() BlockedInt8 {
	kern := BlockedInt8{Name: "generic_4x32", ISA: cpu.Generic, MR: 4}
	for mr := 1; mr <= kern.MR; mr++ {
		kern.funcs = append(kern.funcs, blockedInt8Generic(mr))
	}
	return kern
}

// blockedInt16Generic returns the portable twin of a tile of mr rows and nr columns. Rows of
// B lie in pairs.
func blockedInt16Generic(mr, nr int) blockedInt16Func {
	return func(call *blockedInt16Call) {
		channels := ((call.blocks-1)*2 + call.last) * Int16ChannelStep
		as := unsafe.Slice(call.a, (call.tiles-1)*call.aTile+(call.blocks-1)*call.aBlock+mr*16)
		bs := unsafe.Slice(call.b, channels*nr)
		cs := unsafe.Slice(call.c, call.tiles*mr*nr)
		for i := range call.tiles * mr {
			row := as[i/mr*call.aTile+i%mr*16:]
			for j := 0; j < nr; j += 16 {
				to := cs[i*nr+j:][:16]
				var acc [16]int32
				if call.fromC != 0 {
					copy(acc[:], to)
				}
				for block := range call.blocks {
					pairs := row[block*call.aBlock:][:min(16, channels-block*16)]
					for p := 0; p < len(pairs); p += 2 {
						x0, x1 := int32(pairs[p]), int32(pairs[p+1])
						from := bs[(block*16+p)*nr+2*j:][:32]
						for l := range acc {
							acc[l] += x0*int32(from[2*l]) + x1*int32(from[2*l+1])
						}
					}
				}
				copy(to, acc[:])
			}
		}
	}
}

func genericBlockedInt16() BlockedInt16 {
	kern := BlockedInt16{Name: "generic_4x16", ISA: cpu.Generic, MR: 4, NR: 16, Pair: 2, funcs: make([][]blockedInt16Func, 1)}
	for mr := 1; mr <= kern.MR; mr++ {
		kern.funcs[0] = append(kern.funcs[0], blockedInt16Generic(mr, 16))
	}
	return kern
}
