// Package quantise turns rows of float32 into integers and one scale, of which row ≈ step·q.
//
// Activations become whole numbers of 16 bits:
//
//	m = max |x|,  step = m/32767,  q = round(x/step), halves to even
//
// Weights become whole numbers of 8 bits, in the same way with 127. Each result is the same
// bits on every instruction set: products are rounded to float32 one by one.
//
// A row with a NaN or an infinity has no scale. Its step is NaN and its numbers are 0, so
// that every sum of it, times step, is NaN. Subnormals are numbers like any other. Sums become
// floats again with the same bits everywhere.
package quantise

import "math"

// Levels16 and Levels8 are the largest magnitudes of whole numbers of 16 and of 8 bits.
// −32768 and −128 do not occur.
const (
	Levels16 = 1<<15 - 1
	Levels8  = 1<<7 - 1
)

// infBits are the bits of an infinity: as integers, those of a NaN are more.
const infBits = 0xff << 23

// MaxAbs returns the largest magnitude of x: 0 of nothing, NaN if x has one. The length of x
// is a multiple of 16. It does not allocate.
func MaxAbs(x []float32) float32 {
	if len(x)%16 != 0 {
		panic("quantise: length is no multiple of 16")
	}
	most := uint32(0)
	for at := 0; at < len(x); at += 16 * piece {
		most = max(most, best.maxAbs(min(piece, (len(x)-at)/16), &x[at]))
	}
	return math.Float32frombits(most)
}

// Activations sets q[b*stride+l] to x[16b+l]/step, rounded, and returns the step. The length
// of x is a multiple of 16, and stride counts elements between blocks of q. It panics on
// shorter slices and does not allocate.
func Activations(q []int16, stride int, x []float32) (step float64) {
	s := NewScale(MaxAbs(x), Levels16)
	s.ToInt16(len(x)/16, q, stride, x, 16)
	return s.Step
}

// A Scale says how floats become whole numbers of 16 bits.
type Scale struct {
	Step float64 // a float is about Step times its number: 0 of zeros, NaN if there are none
	// Numbers are x·up·inv, each product rounded to float32. up is a power of two, which keeps
	// inv finite for tiny floats.
	up, inv float32
}

// NewScale returns the scale of floats of magnitudes up to most, see MaxAbs, whose numbers
// have magnitudes up to limit, at most Levels16. A NaN or an infinity has no numbers.
func NewScale(most float32, limit int) Scale {
	switch {
	case math.Float32bits(most) >= infBits:
		return Scale{Step: math.NaN()}
	case most == 0:
		return Scale{up: 1}
	}
	s := Scale{up: 1}
	if most < 0x1p-100 {
		s.up = 0x1p100
	}
	s.inv = float32(float64(limit) / float64(most*s.up))
	s.Step = 1 / (float64(s.up) * float64(s.inv))
	return s
}

// ToInt16 sets q[b*stride+l] to x[b*xStride+l]/Step, rounded, for n blocks of 16, and to 0
// without numbers. It panics on shorter slices and does not allocate.
func (s Scale) ToInt16(n int, q []int16, stride int, x []float32, xStride int) {
	if n == 0 {
		return
	}
	_, _ = q[(n-1)*stride+15], x[(n-1)*xStride+15]
	if s.Step != s.Step {
		for b := range n {
			clear(q[b*stride:][:16])
		}
		return
	}
	for b := 0; b < n; b += piece {
		best.toInt16(min(piece, n-b), &q[b*stride], stride, &x[b*xStride], xStride, s.up, s.inv)
	}
}

// ToFloat32 sets y[16i+l] to q[i*stride+l]·factor[l] + bias[l], all three operations rounded
// to float32, until y is full. The length of y is a multiple of 16. It panics on shorter slices
// and does not allocate.
func ToFloat32(y []float32, q []int32, stride int, factor, bias *[16]float32) {
	n := len(y) / 16
	if n == 0 {
		return
	}
	_ = q[(n-1)*stride+15]
	for b := 0; b < n; b += piece {
		best.toFloat32(min(piece, n-b), &y[b*16], &q[b*stride], stride, &factor[0], &bias[0])
	}
}

// WeightStep returns the step of a row of weights: the least float32 with which no weight
// divided by it exceeds Levels8. It is 0 of zeros, and NaN if one is NaN or infinite. It does
// not allocate.
func WeightStep(row []float32) float32 {
	most := uint32(0)
	for _, v := range row {
		most = max(most, math.Float32bits(v)&^(1<<31))
	}
	if most >= infBits {
		return float32(math.NaN())
	}
	m := float64(math.Float32frombits(most))
	step := float32(m / Levels8)
	if float64(step)*Levels8 < m {
		step = math.Nextafter32(step, float32(math.Inf(1)))
	}
	return step
}

// A Rounder turns the weights of a row into whole numbers.
type Rounder struct{ inv float64 }

// NewRounder returns the Rounder of a row with that step. A step that is 0 or NaN makes all
// its numbers 0.
func NewRounder(step float32) Rounder {
	if step > 0 {
		return Rounder{1 / float64(step)}
	}
	return Rounder{}
}

// Round returns w/step, rounded, halves to even. A NaN of a row becomes 0.
func (r Rounder) Round(w float32) int8 {
	if r.inv == 0 {
		return 0
	}
	return int8(math.RoundToEven(float64(w) * r.inv))
}
