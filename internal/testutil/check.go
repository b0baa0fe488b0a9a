package testutil

import (
	"math"
	"testing"
)

// Check compares got with want. The test fails, but continues, unless |got[i] − want[i]| ≤
// bound(i) for every i. If want is NaN or infinite, got must be the same. The failure names
// the element that exceeds its bound most, and prints shape. Check reports whether the
// comparison held.
func Check(t testing.TB, what string, shape any, got []float32, want []float64, bound func(i int) float64) bool {
	t.Helper()
	if !sameLength(t, what, shape, len(got), len(want)) {
		return false
	}
	worst, excess, wrong := 0, -1.0, 0
	for i := range got {
		e := exceeds(float64(got[i]), want[i], bound(i))
		if e > 0 {
			wrong++
		}
		if e > excess {
			worst, excess = i, e
		}
	}
	if wrong > 0 {
		g, w, b := got[worst], want[worst], bound(worst)
		t.Errorf("%s, shape %v: element %d: got %v, want %v, error %.3g, bound %.3g (%d of %d elements are wrong)",
			what, shape, worst, g, w, math.Abs(float64(g)-w), b, wrong, len(got))
	}
	return wrong == 0
}

// exceeds returns how far got is from want in units of bound, or 0 if it is
// within. A bound that is a NaN allows nothing.
func exceeds(got, want, bound float64) float64 {
	if got == want || math.IsNaN(got) && math.IsNaN(want) {
		return 0
	}
	switch e := math.Abs(got - want); {
	case math.IsInf(want, 0) || math.IsNaN(e) || math.IsNaN(bound):
		return math.Inf(1)
	case e <= bound:
		return 0
	default:
		return e / bound
	}
}

// CheckExact compares got with want by ==, a NaN being equal to a NaN. want may
// be a reference in float64 of which every element is a float32.
func CheckExact[F float32 | float64](t testing.TB, what string, shape any, got []float32, want []F) bool {
	t.Helper()
	same := func(i int) bool {
		g, w := float64(got[i]), float64(want[i])
		return g == w || math.IsNaN(g) && math.IsNaN(w)
	}
	return checkEach(t, what, shape, got, want, same)
}

// CheckBits compares got with want bit for bit: −0 is not 0, and one NaN not another.
func CheckBits(t testing.TB, what string, shape any, got, want []float32) bool {
	t.Helper()
	same := func(i int) bool { return math.Float32bits(got[i]) == math.Float32bits(want[i]) }
	return checkEach(t, what, shape, got, want, same)
}

func checkEach[F float32 | float64](t testing.TB, what string, shape any, got []float32, want []F, same func(i int) bool) bool {
	t.Helper()
	if !sameLength(t, what, shape, len(got), len(want)) {
		return false
	}
	first, wrong := 0, 0
	for i := range got {
		if same(i) {
			continue
		}
		if wrong == 0 {
			first = i
		}
		wrong++
	}
	if wrong > 0 {
		t.Errorf("%s, shape %v: element %d: got %v, want exactly %v (%d of %d elements are wrong)",
			what, shape, first, got[first], want[first], wrong, len(got))
	}
	return wrong == 0
}

func sameLength(t testing.TB, what string, shape any, got, want int) bool {
	t.Helper()
	if got != want {
		t.Errorf("%s, shape %v: got %d elements, want %d", what, shape, got, want)
	}
	return got == want
}

// RelErrors returns the largest and the root mean square error of got, both
// divided by the root mean square of want. A NaN counts as an infinite error. The
// slices have the same length.
func RelErrors(got []float32, want []float64) (maxRel, rmsRel float64) {
	var largest, errors, squares float64
	for i, w := range want {
		e := math.Abs(float64(got[i]) - w)
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		largest = max(largest, e)
		errors += e * e
		squares += w * w
	}
	if largest == 0 {
		return 0, 0
	}
	rms := math.Sqrt(squares / float64(len(want)))
	return largest / rms, math.Sqrt(errors/float64(len(want))) / rms
}
