// Package half converts between float32 and the two 16-bit floating-point
// formats that weights are stored in: IEEE 754 binary16 ("f16": 5 bits of
// exponent, 10 of fraction) and bfloat16 ("bf16": the upper half of a float32).
//
// Narrowing rounds to nearest, ties to even, overflows to infinity and keeps
// subnormals; widening is exact. A NaN stays a NaN of the same sign, made quiet,
// with as much of its payload as fits: the results equal those of VCVTPS2PH and
// VCVTPH2PS bit for bit. Nothing here allocates.
package half

import "math"

const (
	signF32 = 1 << 31
	infF32  = 0xff << 23 // bits of +Inf; more than this is a NaN
)

// FromFloat32 returns x as f16.
func FromFloat32(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, abs := uint16(bits&signF32>>16), bits&^signF32
	switch {
	case abs > infF32:
		return sign | 0x7e00 | uint16(abs>>13&0x1ff)
	case abs >= (127+16)<<23: // 2¹⁶ and more
		return sign | 0x7c00
	case abs < (127-14)<<23:
		// Below the least normal f16 the unit is 2⁻²⁴, as it is for float32 in
		// [½, 1): the addition rounds, and leaves the fraction in the low bits.
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-math.Float32bits(0.5))
	}
	abs -= (127 - 15) << 23
	abs += 0xfff + abs>>13&1 // half a unit, less a little if that makes a tie go to even
	return sign | uint16(abs>>13)
}

// ToFloat32 returns the value of the f16 h.
func ToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f && frac != 0:
		return math.Float32frombits(sign | infF32 | 1<<22 | frac<<13)
	case exp == 0x1f:
		return math.Float32frombits(sign | infF32)
	case exp == 0:
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// Holds reports whether f16 holds every element of x: whether it is the same bits after both
// ways.
func Holds(x []float32) bool {
	for _, v := range x {
		bits := math.Float32bits(v)
		if exp := bits >> 23 & 0xff; bits&0x1fff == 0 && exp >= 127-14 && exp <= 127+15 {
			continue // a normal number with 10 bits of fraction
		}
		if math.Float32bits(ToFloat32(FromFloat32(v))) != bits {
			return false
		}
	}
	return true
}

// BFromFloat32 returns x as bf16.
func BFromFloat32(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&^signF32 > infF32 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// BToFloat32 returns the value of the bf16 h.
func BToFloat32(h uint16) float32 {
	bits := uint32(h) << 16
	if bits&^signF32 > infF32 {
		bits |= 1 << 22
	}
	return math.Float32frombits(bits)
}
