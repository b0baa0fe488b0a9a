// Package seeded makes weights from a seed, so that a network of any size can
// be checked against listed results without a file of weights.
//
// With g = 0x9E3779B97F4A7C15, mix the finaliser of splitmix64 (Steele, Lea and
// Flood, OOPSLA 2014) and h(v) = mix(v·g + g), element i of tensor t is
//
//	u = (mix(h(seed) + h(t+1)·g + (i+1)·g) >> 40)·2⁻²³ − 1
//
// in [−1, 1), times a bound, rounded once to float32.
package seeded

const golden = 0x9E3779B97F4A7C15 // 2⁶⁴ over the golden ratio

// Fill writes the first len(dst) elements of the given tensor of the stream that
// belongs to seed: uniform in [−bound, bound). Every element depends only on
// seed, tensor, bound and its index. It does not allocate.
func Fill(dst []float32, seed, tensor uint64, bound float64) {
	state := hash(seed) + hash(tensor+1)*golden
	for i := range dst {
		state += golden
		u := float64(mix(state)>>40)*0x1p-23 - 1 // 24 bits: exact
		dst[i] = float32(u * bound)
	}
}

func hash(v uint64) uint64 { return mix(v*golden + golden) }

// mix is the finaliser of splitmix64, a bijection on 64 bits.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Stream gives the numbers of one stream one after the other.
type Stream struct{ state uint64 }

// NewStream returns the stream that Fill reads for the given seed and tensor.
func NewStream(seed, tensor uint64) Stream {
	return Stream{hash(seed) + hash(tensor+1)*golden}
}

// Uint64 returns the next number.
func (s *Stream) Uint64() uint64 {
	s.state += golden
	return mix(s.state)
}

// Uniform returns the next number in [0, 1).
func (s *Stream) Uniform() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }
