package winograd

import "github.com/nonet-go/nonet/internal/cpu"

// transforms are the kernels of F(m×m,3×3) on one instruction set. A NaN or an infinity of a
// tile reaches the elements that have it as a term, most often as NaN, and so the outputs of
// its own tile only. Subnormals are numbers like any other. The sums in a transform are up
// to 100 times the largest element of the tile. So with elements beyond a hundredth of the
// range of float32 they may overflow where the definition does not. The sign of a zero is
// not determined.
type transforms struct {
	name string
	isa  cpu.ISA
	m    int

	// input sets V = Bᵀ·d·B for a run of tiles in one row of tiles, 16 channels.
	// Element ξ of tile t goes to dst[ξ*xi + t*step]; pixel (y, x) of its patch
	// comes from src[y*row + (t*m+x)*16].
	input expandFunc

	// filter sets U = G·w·Gᵀ for 16 filters of 3×3, in float64: tap t of filter l
	// is src[t*16+l], element ξ goes to dst[ξ*xi+l], where dst begins on a cache line
	// and xi is a multiple of 16.
	filter func(dst *float32, xi int, src *float32)

	// gradient sets D = A·dY·Aᵀ the same way as input does V: its patch has m×m pixels. Only
	// F(4×4,3×3) has it.
	gradient expandFunc

	// filterGradient sets dW = Gᵀ·M·G for 16 filters of 3×3: element ξ of M, which
	// is overwritten, is src[ξ*xi], and tap t of filter l goes to dst[t*16+l].
	// Only F(4×4,3×3) has it.
	filterGradient func(dst, src *float32, xi int)

	// output sets Y = Aᵀ·M·A + bias for a run of tiles, 16 channels, and then
	// applies the epilogue. Element ξ of tile t is src[ξ*xi + t*step], which is
	// overwritten; output (y, x) goes to dst[y*row + (t*m+x)*16]. With a pool
	// there are m/2 × m/2 outputs a tile.
	output [3]outputFunc // by epilogue: none, ReLU, ReLU and pool
}

type expandFunc func(tiles int, dst *float32, xi, step int, src *float32, row int)

type outputFunc func(tiles int, dst *float32, row int, src *float32, xi, step int, bias *float32)

const (
	outputLinear = iota
	outputReLU
	outputPool
)

// bestTransforms returns the kernels of F(m×m,3×3) that this process prefers.
func bestTransforms(m int) *transforms {
	for i := range transformTable {
		if t := &transformTable[i]; t.m == m && cpu.Has(t.isa) {
			return t
		}
	}
	return nil
}

// fixedTransforms are the kernels of F(4×4,3×3) in fixed point on one instruction set. All
// instruction sets give the same bits: multiply-adds are fused, with one rounding, and
// conversions to integers round to even.
type fixedTransforms struct {
	name string
	isa  cpu.ISA

	// magnitudes sets sums[l] to the sum of |u[32i+2l]| + |u[32i+2l+1]| over lines i of 32.
	// There are 1 to 65535 lines.
	magnitudes func(lines int, u *int16, sums *uint32)

	// extremes finds the extremes of the bits of rows×cols pixels of several blocks of 16
	// channels: extremes[l] is the largest of lane l as int32, and extremes[16+l] the
	// largest as uint32. Blocks are plane floats apart, and rows of pixels row floats. There
	// is at least one of each.
	extremes func(blocks, rows, cols int, src *float32, plane, row int, extremes *uint32)

	// input sets V = round(s⊙(Bᵀ·d·B)) as transforms.input does, where s[ξ] of tile t is
	// scale[t*36+ξ]. What leaves the range of int16 becomes the nearest of its ends. A NaN
	// and what leaves the range of int32 become any int16. xi and step count int16.
	input fixedInputFunc

	// output sets Y = (Aᵀ·(s⊙M)·A)·τ + bias as transforms.output does, where element ξ of s
	// is scale[ξ*16:][:16] and τ of tile t is tile[t].
	output [3]fixedOutputFunc
}

type fixedInputFunc func(tiles int, dst *int16, xi, step int, src *float32, row int, scale *float32)

type fixedOutputFunc func(tiles int, dst *float32, row int, src *int32, xi, step int, bias, scale, tile *float32)

// bestFixedTransforms returns the kernels that this process prefers.
func bestFixedTransforms() *fixedTransforms {
	return cpu.First(fixedTable, func(t *fixedTransforms) cpu.ISA { return t.isa })
}
