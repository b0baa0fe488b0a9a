package ukernel

// The generators type-check this file by itself, which is why it imports nothing.
// They read the fields of the structs and the bits of Mode from it.

// Mode is a set of bits that say how a tile of C begins and ends.
type Mode int

const (
	// ModeReLU sets C to the maximum of the result and 0. NaN stays NaN.
	ModeReLU Mode = 1
	// ModeFromC starts the sum from C instead of Bias: the chain of multiply-adds
	// goes on. The kernel waits for C at its beginning.
	ModeFromC Mode = 2
	// ModeAddC adds C to the sum at the end, in one addition. C is fetched meanwhile.
	ModeAddC Mode = 4
	// modeContiguous is IndirectArgs.Contiguous where nothing of B is prefetched.
	modeContiguous Mode = 8
)

// An indirectCall holds the arguments of an indirectFunc. From tile to tile a, b and c
// move by nextA, nextB and nextC. While it computes, the function fetches the bytes
// prefetchB behind each row of b to the second-level cache and, on amd64, those
// prefetchA behind a. See IndirectArgs for the rest.
//
// The call takes as long as one with 17 arguments did. The fastest tenth of 20,000
// samples, taking turns on one thread of Zen 3 (AMD EPYC, 2026-11-29), in ns:
//
//	tile  k    arguments  pointer
//	6×16  4    36.5       36.0
//	6×16  64   145        146
//	6×16  256  531        531
//	3×32  4    35.2       34.3
//	3×32  64   143        144
//
// A blockedCall takes 1 ns more than 8 arguments.
type indirectCall struct {
	tiles, k             int // positive: the loops test at their end
	offsets              *int
	a                    *float32
	aStep                int
	b                    *float32
	ldb                  int // bytes
	bias, c              *float32
	ldc, cBlock          int
	mode                 int // bits of Mode
	nextA, nextB, nextC  int
	prefetchB, prefetchA int // bytes
}

// An indirectFunc computes tiles, one after the other, whose rows and columns are the
// function's own. It changes nothing but C.
type indirectFunc func(call *indirectCall)

// A blockedCall holds the arguments of a blockedFunc. See BlockedArgs.
type blockedCall struct {
	tiles, blocks int // positive: the loops test at their end
	last          int // steps of 4 channels in the last block, 1 to 4
	a             *float32
	aBlock, aTile int
	b, c, nextB   *float32
}

// A blockedFunc computes tiles whose rows and columns are the function's own. It
// changes nothing but C.
type blockedFunc func(call *blockedCall)

// A blockedHalfCall holds the arguments of a blockedHalfFunc. See BlockedHalfArgs.
type blockedHalfCall struct {
	blocks int // positive
	a      *float32
	aBlock int
	b      *uint16
	c      *float32
	nextB  *uint16
}

// A blockedHalfFunc is a blockedFunc for one tile, with B in IEEE half precision. Its
// sums are those of the blockedFunc for the same values.
type blockedHalfFunc func(call *blockedHalfCall)

// A blockedRowCall holds the arguments of a blockedRowFunc. See BlockedRowArgs.
type blockedRowCall struct {
	blocks int // positive
	a, b   *float32
	bPanel int
	c      *float32
}

// A blockedRowFunc multiplies one row and RowPanels panels of the function's own columns. Its
// sums are those of the blockedFunc for one row.
type blockedRowFunc func(call *blockedRowCall)

// A blockedRowHalfCall is a blockedRowCall with B in IEEE half precision.
type blockedRowHalfCall struct {
	blocks int // positive
	a      *float32
	b      *uint16
	bPanel int
	c      *float32
}

// A blockedRowHalfFunc is a blockedRowFunc with B in IEEE half precision.
type blockedRowHalfFunc func(call *blockedRowHalfCall)

// A blockedInt8Call holds the arguments of a blockedInt8Func. See BlockedInt8Args.
type blockedInt8Call struct {
	blocks int // positive
	a      *int16
	aBlock int
	b      *int8
	c      *int64
}

// A blockedInt8Func adds a tile of exact sums to C, whose rows are the function's own.
type blockedInt8Func func(call *blockedInt8Call)

// A blockedInt16Call holds the arguments of a blockedInt16Func. See BlockedInt16Args.
type blockedInt16Call struct {
	tiles, blocks int // positive: the loops test at their end
	last          int // steps of 8 channels in the last block, 1 or 2
	a             *int16
	aBlock, aTile int // elements
	b             *int16
	c             *int32
	nextB         *int16
	fromC         int // 1: the sums start from c; else 0
}

// A blockedInt16Func computes tiles whose rows and columns are the function's own. It
// changes nothing but C.
type blockedInt16Func func(call *blockedInt16Call)
