// Package layout defines how activations lie in memory between the kernels: in blocks of 16
// channels, "nChw16c". One pixel of one block is one 64-byte cache line. Frameworks hold
// NCHW. Convert at the two ends of a network, and leave everything between blocked.
//
// Picture n, channel c, row y, column x stands at
//
//	(((n*Blocks(C) + c/16)*H + y)*W + x)*16 + c%16
//
// The channels that fill up the last block are zero.
package layout

import (
	"fmt"
	"unsafe"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/transpose"
)

// Block is the number of channels in a block.
const Block = 16

// Blocks returns how many blocks hold c channels.
func Blocks(c int) int { return c/Block + min(c%Block, 1) }

// Len returns the length of one blocked picture of c channels, in floats. It is math.MaxInt
// for a negative size and for more than 2⁴⁰ floats, or 2²⁸ where an int has 32 bits: no
// memory holds these.
func Len(c, h, w int) int { return BatchLen(1, c, h, w) }

// BatchLen returns the length of n blocked pictures. Its limits are those of Len.
func BatchLen(n, c, h, w int) int {
	if c < 0 {
		return shape.TooMany
	}
	return shape.Product(n, Blocks(c), Block, h, w)
}

// FromNCHW converts one picture [c][h][w] to blocks and writes the padded channels as zeros.
// dst has Len(c, h, w) elements and must not overlap src. FromNCHW panics on shorter slices
// and does not allocate.
func FromNCHW(c, h, w int, dst, src []float32) {
	check(len(src), len(dst), c, h, w)
	for b := range Blocks(c) {
		LoadBlock(c, h*w, b, dst, src)
	}
}

// ToNCHW converts one blocked picture to [c][h][w]. dst has c*h*w elements and must not
// overlap src. ToNCHW panics on shorter slices and does not allocate.
func ToNCHW(c, h, w int, dst, src []float32) {
	check(len(dst), len(src), c, h, w)
	for b := range Blocks(c) {
		StoreBlock(c, h*w, b, dst, src)
	}
}

func check(planes, blocks, c, h, w int) {
	if c < 0 || h < 0 || w < 0 || planes < shape.Product(c, h, w) || blocks < Len(c, h, w) {
		panic("layout: slice of a picture is too short")
	}
}

// checkPlane makes sure that lengths of planes and blocks do not overflow.
func checkPlane(pixels int) {
	if !shape.Fits(Block, pixels) {
		panic("layout: slice of a picture is too short")
	}
}

// LoadBlock is the part of FromNCHW that makes block i. dst and src may hold several
// pictures of c channels of plane pixels each; i counts the blocks of all of them.
func LoadBlock(c, plane, i int, dst, src []float32) {
	checkPlane(plane)
	first, channels := blockOf(i, c)
	fromPlanes(dst[i*Block*plane:][:Block*plane], src[first*plane:][:channels*plane], channels, plane)
}

// StoreBlock is the part of ToNCHW that takes block i, as LoadBlock counts it.
func StoreBlock(c, plane, i int, dst, src []float32) {
	checkPlane(plane)
	first, channels := blockOf(i, c)
	toPlanes(dst[first*plane:][:channels*plane], src[i*Block*plane:][:Block*plane], channels, plane)
}

// blockOf returns the first plane of block i and its number of channels.
func blockOf(i, c int) (first, channels int) {
	picture, b := i/Blocks(c), i%Blocks(c)
	return picture*c + b*Block, min(Block, c-b*Block)
}

// fromPlanes makes one block of up to 16 channels from planes of that many pixels. Missing
// channels become zero.
func fromPlanes(dst, src []float32, channels, pixels int) {
	if channels == Block {
		transpose.FromRows(dst, src, pixels, pixels)
		return
	}
	for l := range Block {
		if l >= channels {
			for p := range pixels {
				dst[p*Block+l] = 0
			}
			continue
		}
		for p, v := range src[l*pixels:][:pixels] {
			dst[p*Block+l] = v
		}
	}
}

// toPlanes makes planes of up to 16 channels from one block, the inverse of
// fromPlanes.
func toPlanes(dst, src []float32, channels, pixels int) {
	if channels == Block {
		transpose.ToRows(dst, src, pixels, pixels)
		return
	}
	for l := range channels {
		row := dst[l*pixels:][:pixels]
		for p := range row {
			row[p] = src[p*Block+l]
		}
	}
}

const (
	cacheLine = 64
	hugePage  = 2 << 20
)

// Alloc returns n zeroed floats that begin on a cache line. For a large slice it asks the
// system for pages of 2 MiB before the first use: with pages of 4 KiB, address translation
// takes 5 to 20 % of a network's time. The last such page is at least half full; what is less
// stays in pages of 4 KiB. Alloc panics if n is negative or more than any memory
// holds, see Len.
func Alloc(n int) []float32 { return AllocOf[float32](n) }

// AllocOf is Alloc for other types of elements.
func AllocOf[T float32 | uint16 | int8 | int16 | int32 | int64](n int) []T {
	if n < 0 || n > shape.Max {
		panic(fmt.Sprintf("layout: memory for %d elements", n))
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	align, whole := cacheLine, size*n
	huge := (size*n + hugePage/2) / hugePage * hugePage // bytes in pages of 2 MiB
	if huge > 0 {
		align, whole = hugePage, max(whole, huge)
	}
	raw := make([]T, (whole+align)/size)
	skip := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % uintptr(align); r != 0 {
		skip = (align - int(r)) / size
	}
	s := raw[skip:]
	if huge > 0 {
		adviseHuge(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), huge))
	}
	return s[:n:n]
}
