package testutil

import (
	"math"
	"math/rand/v2"
)

// generator returns the source of a test's data: the same on every machine.
func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6e6f6e6574)) }

// Ints returns n whole numbers in [lo, hi] as floats. Sums of products of small
// ones are exact in float32, so that a kernel can be compared with ==.
func Ints(seed uint64, n, lo, hi int) []float32 {
	r := generator(seed)
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(lo + r.IntN(hi-lo+1))
	}
	return x
}

// Uniform returns n numbers in [−1, 1).
func Uniform(seed uint64, n int) []float32 {
	r := generator(seed)
	x := make([]float32, n)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	return x
}

// Normal returns n normally distributed numbers of mean 0 and variance 1.
func Normal(seed uint64, n int) []float32 {
	r := generator(seed)
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// Specials returns the values at the edges of float32: both zeros, the smallest
// and the largest subnormal, the smallest and the largest normal, infinities,
// and NaNs of either sign, between ordinary numbers.
func Specials() []float32 {
	const sign = 1 << 31
	var x []float32
	for _, bits := range []uint32{0, 1, 0x007fffff, 0x00800000, 0x3f800000, 0x40490fdb, 0x7f7fffff, 0x7f800000, 0x7fc00000} {
		x = append(x, math.Float32frombits(bits), math.Float32frombits(bits|sign))
	}
	return x
}

// SpecialPairs returns two slices of whole blocks of 16 in which every special value
// stands beside every other.
func SpecialPairs() (x, y []float32) {
	s := Specials()
	n := (len(s)*len(s) + 15) / 16 * 16
	x, y = make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], y[i] = s[i%len(s)], s[i/len(s)%len(s)]
	}
	return x, y
}
