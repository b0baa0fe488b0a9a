package extract

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg"
)

// Pool says what becomes of the positions of an activation.
type Pool uint8

const (
	PoolNone Pool = iota // all of [C][H][W]
	PoolAvg              // the mean of each channel, [C]
	PoolMax              // the maximum of each channel, [C]
)

var poolNames = []string{PoolNone: "none", PoolAvg: "avg", PoolMax: "max"}

func (p Pool) String() string { return poolNames[p] }

// MarshalText writes none, avg or max.
func (p Pool) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads none, avg or max.
func (p *Pool) UnmarshalText(text []byte) error {
	i := slices.Index(poolNames, string(text))
	if i < 0 {
		return fmt.Errorf("pool %q: want one of %s", text, strings.Join(poolNames, ", "))
	}
	*p = Pool(i)
	return nil
}

// Reduce says what is kept of an activation: first the pool, then the division by the
// Euclidean norm of what is left.
type Reduce struct {
	Pool      Pool `json:"pool"`
	Normalize bool `json:"normalize"` // a vector of zeros stays as it is
}

// Shape returns the shape of the result for an activation.
func (r Reduce) Shape(s vgg.Shape) vgg.Shape {
	if r.Pool != PoolNone {
		s.H, s.W = 1, 1
	}
	return s
}

// Apply sets dst, of r.Shape(s), to the reduced activation src of shape s, in CHW
// order. Sums are in float64, in the order of src, and rounded once. dst may be the
// beginning of src. It panics if a length is wrong, and does not allocate.
func (r Reduce) Apply(dst, src []float32, s vgg.Shape) {
	if len(src) != s.Len() || len(dst) != r.Shape(s).Len() {
		panic("extract: length of an activation is not that of its shape")
	}
	plane := s.H * s.W
	switch r.Pool {
	case PoolNone:
		copy(dst, src)
	case PoolAvg:
		for c := range dst {
			sum := 0.0
			for _, v := range src[c*plane:][:plane] {
				sum += float64(v)
			}
			dst[c] = float32(sum / float64(plane))
		}
	case PoolMax:
		for c := range dst {
			most := src[c*plane]
			for _, v := range src[c*plane:][:plane] {
				most = max(most, v) // NaN if one is
			}
			dst[c] = most
		}
	}
	if r.Normalize {
		normalize(dst)
	}
}

// normalize divides x by its Euclidean norm. Squares of float32 neither overflow nor
// vanish in float64.
func normalize(x []float32) {
	squares := 0.0
	for _, v := range x {
		squares += float64(float64(v) * float64(v)) // not fused, on any machine
	}
	if squares == 0 {
		return
	}
	norm := math.Sqrt(squares)
	for i, v := range x {
		x[i] = float32(float64(v) / norm)
	}
}
