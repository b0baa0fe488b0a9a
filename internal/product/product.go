// Package product holds the micro-kernel that Winograd's element-wise products
// and the 1×1 convolution share: a matrix product whose left operand lies in
// blocks of 16 channels.
//
//	C[t][0:KB] = Σ_c A[t][c] · U[c][0:KB]
//
// A is read where it is. The 16 channels of one tile (or pixel) and one block
// are adjacent, tiles follow each other, and the next block begins stride
// floats further on:
//
//	A[t][c] = a[(c/16)*stride + t*16 + c%16]
//
// U is packed in panels of KB columns, each read front to back. Every element
// of C is one chain of fused multiply-adds in the order of c, so that its bits
// do not depend on how many tiles a call has.
//
// A NaN of A reaches all outputs of its tile, one of U those of its column, and an
// infinity likewise, where it meets a zero as NaN. Subnormals are numbers like
// any other, as operands and as results. The sign of a sum that is zero is not
// determined; sums that leave the range of float32 before they come back do so on
// the portable path alone.
package product

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
)

// A tileFunc computes the product of groups of a fixed number of tiles with one
// panel of a fixed width. The A of a group begins step floats after the one
// before. next is prefetched, half a panel a group: give the panel that comes
// next, or u. groups and blocks must be positive: the loops test at their end.
// c has as many floats a tile as the panel is wide.
type tileFunc func(groups, blocks int, a *float32, stride, step int, u, c, next *float32)

// Kernel is the product on one instruction set.
type Kernel struct {
	Name  string
	ISA   cpu.ISA
	Tiles int          // largest number of tiles of a group
	KB    int          // panel width, a multiple of 16; the last panel may be narrower
	funcs [][]tileFunc // [width/16-1][tiles-1]
	half  [][]halfFunc // likewise
}

// A halfFunc is a tileFunc for one group, with U in IEEE half precision. Its sums
// are those of the tileFunc for the same values.
type halfFunc func(blocks int, a *float32, stride int, u *uint16, c *float32, next *uint16)

// HalfTiles returns the largest number of tiles of a call of RunHalf.
func (k *Kernel) HalfTiles() int { return len(k.half[0]) }

// Best returns the kernel that this process prefers.
func Best() *Kernel {
	for i := range Kernels {
		if cpu.Has(Kernels[i].ISA) {
			return &Kernels[i]
		}
	}
	panic("product: no kernel") // the generic one runs everywhere
}

// Run computes groups of tiles, whose A begin step floats apart. tiles is at most
// k.Tiles; width is the panel's, a multiple of 16 up to k.KB. See the package's
// comment for the operands.
func (k *Kernel) Run(groups, tiles, width, blocks int, a []float32, stride, step int, u, c, next []float32) {
	// The bounds of everything that the kernel touches.
	_ = a[(groups-1)*step+(blocks-1)*stride+tiles*16-1]
	_ = u[blocks*16*width-1]
	_ = c[groups*tiles*width-1]
	fn := k.funcs[width/16-1][tiles-1]
	most := max(mostMACs/(tiles*blocks*16*width), 1)
	for groups > most {
		fn(most, blocks, unsafe.SliceData(a), stride, step, unsafe.SliceData(u), unsafe.SliceData(c), unsafe.SliceData(next))
		groups -= most
		a, c, next = a[most*step:], c[most*tiles*width:], u // the first groups have fetched next
	}
	fn(groups, blocks, unsafe.SliceData(a), stride, step, unsafe.SliceData(u), unsafe.SliceData(c), unsafe.SliceData(next))
}

// mostMACs bounds the multiply-adds of one call of assembly, which the runtime
// cannot interrupt: 70 µs at 117 GFLOP/s, 200 µs at 42. VGG's largest call, 56
// tiles of 512 channels, has less than half of it.
const mostMACs = 1 << 22

// RunHalf is Run for one group with U in half precision, and tiles at most
// HalfTiles.
func (k *Kernel) RunHalf(tiles, width, blocks int, a []float32, stride int, u []uint16, c []float32, next []uint16) {
	_ = a[(blocks-1)*stride+tiles*16-1]
	_ = u[blocks*16*width-1]
	_ = c[tiles*width-1]
	k.half[width/16-1][tiles-1](blocks, unsafe.SliceData(a), stride,
		unsafe.SliceData(u), unsafe.SliceData(c), unsafe.SliceData(next))
}

// genericHalf returns the portable twin for half precision. It converts each weight
// once for each tile, and so needs no memory.
func genericHalf(tiles, width int) halfFunc {
	return func(blocks int, a *float32, stride int, u *uint16, c *float32, _ *uint16) {
		as := unsafe.Slice(a, (blocks-1)*stride+tiles*16)
		us := unsafe.Slice(u, blocks*16*width)
		cs := unsafe.Slice(c, tiles*width)
		for t := range tiles {
			for j := 0; j < width; j += 16 {
				var acc [16]float64
				for b := range blocks {
					for ch, x := range as[b*stride+t*16:][:16] {
						for l, h := range us[(b*16+ch)*width+j:][:16] {
							acc[l] += float64(x) * float64(half.ToFloat32(h))
						}
					}
				}
				for l, v := range acc {
					cs[t*width+j+l] = float32(v)
				}
			}
		}
	}
}

// generic returns the portable twin for the given tiles and width. It sums in
// float64, where products of float32 are exact: without fused multiply-adds
// float32 would lose twice as much.
func generic(tiles, width int) tileFunc {
	return func(groups, blocks int, a *float32, stride, step int, u, c, _ *float32) {
		as := unsafe.Slice(a, (groups-1)*step+(blocks-1)*stride+tiles*16)
		us := unsafe.Slice(u, blocks*16*width)
		cs := unsafe.Slice(c, groups*tiles*width)
		for t := range groups * tiles {
			from := t/tiles*step + t%tiles*16
			for j := 0; j < width; j += 16 {
				var acc [16]float64
				for b := range blocks {
					for ch, x := range as[from+b*stride:][:16] {
						row := us[(b*16+ch)*width+j:][:16]
						for l := range acc {
							acc[l] += float64(x) * float64(row[l])
						}
					}
				}
				for l, v := range acc {
					cs[t*width+j+l] = float32(v)
				}
			}
		}
	}
}

func genericKernel() Kernel {
	k := Kernel{Name: "generic_4x16", ISA: cpu.Generic, Tiles: 4, KB: 16, funcs: make([][]tileFunc, 1), half: make([][]halfFunc, 1)}
	for t := 1; t <= k.Tiles; t++ {
		k.funcs[0] = append(k.funcs[0], generic(t, 16))
		k.half[0] = append(k.half[0], genericHalf(t, 16))
	}
	return k
}
