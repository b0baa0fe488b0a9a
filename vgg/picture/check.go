package picture

import (
	"fmt"
	"math"
)

// Problem is a result of [CheckInput].
type Problem uint8

// The problems, in the order of the checks.
const (
	NotFinite     Problem = iota + 1 // a NaN or an infinity
	Constant                         // every value of a picture is the same, as in a buffer never filled
	OutOfRange                       // values that no picture has under the preset
	TooNarrow                        // values spread over a small part of the preset's range
	NotCentered                      // no value below 0 although the preset subtracts a mean
	Interleaved                      // channels seem to alternate: HWC, where CHW is expected
	UnlikelyColor                    // a channel far brighter or darker than pictures are, all taken together
)

var problemNames = [...]string{"", "not finite", "constant", "out of range", "too narrow", "not centred", "interleaved", "unlikely colour"}

// String describes p in a word or two.
func (p Problem) String() string {
	if int(p) < len(problemNames) {
		return problemNames[p]
	}
	return fmt.Sprintf("Problem(%d)", uint8(p))
}

// Warning says why a network input is implausible.
type Warning struct {
	Problem  Problem
	Picture  int        // index of the picture in the batch, −1 if it is the batch as a whole
	Preset   Preset     // that was assumed
	Min, Max float32    // of the finite values looked at
	Mean     [3]float64 // of the channels
	Advice   string     // what the likely reason is, for a user
}

// Error makes a Warning usable as an error.
func (w *Warning) Error() string {
	where := "batch"
	if w.Picture >= 0 {
		where = fmt.Sprintf("picture %d", w.Picture)
	}
	return fmt.Sprintf("picture: input of preset %v looks wrong: %s %v: values from %.4g to %.4g, channel means %.4g %.4g %.4g: %s",
		w.Preset, where, w.Problem, w.Min, w.Max, w.Mean[0], w.Mean[1], w.Mean[2], w.Advice)
}

// CheckInput checks whether x, n pictures as planes [n][3][h][w], can be the output of
// preset p. It returns nil or the first thing that is implausible. It finds the usual
// mistakes: a mean not subtracted or subtracted twice, 0–255 in place of 0–1, another
// preset's data, HWC in place of CHW, a buffer never filled, NaN. It cannot see RGB in place
// of BGR. It also reports a picture of one colour.
//
// It reads x once or twice and allocates only a Warning. It panics if x does not have
// n·3·h·w elements.
func CheckInput(x []float32, n, h, w int, p Preset) *Warning {
	if n < 0 || h < 0 || w < 0 || len(x) != n*3*h*w {
		panic("picture: length of the tensor is not N·3·H·W")
	}
	if len(x) == 0 {
		return nil
	}
	size := h * w
	all := newStats()
	for i := range n {
		one := newStats()
		for c := range 3 {
			one.add(x[(3*i+c)*size:][:size], c)
		}
		switch {
		case !one.finite:
			return one.warn(NotFinite, i, p, size, "a NaN or an infinity reached the input")
		case one.min == one.max && size > 1:
			return one.warn(Constant, i, p, size, "every value is the same; was the buffer filled?")
		}
		all.merge(&one)
	}
	size *= n
	lo, hi := p.extent()
	spread := hi - lo
	const slack = 0.01 // of the range, for interpolation and rounding
	switch {
	case all.min < lo-slack*spread || all.max > hi+slack*spread:
		return all.warn(OutOfRange, -1, p, size, fmt.Sprintf("the preset gives %.4g to %.4g; %s", lo, hi, guess(all.min, all.max, p)))
	case all.max-all.min < spread/50:
		return all.warn(TooNarrow, -1, p, size, fmt.Sprintf("the preset gives %.4g to %.4g; %s", lo, hi, guess(all.min, all.max, p)))
	case lo < 0 && all.min >= 0:
		return all.warn(NotCentered, -1, p, size, fmt.Sprintf("no value is below 0, the preset gives %.4g to %.4g; %s", lo, hi, guess(all.min, all.max, p)))
	case interleaved(x, n, h, w):
		return all.warn(Interleaved, -1, p, size, "values three apart are far more alike than neighbours: is the data HWC?")
	}
	for c, m := range all.mean(size) {
		// The means of all photographs lie between 2 % and 98 % of the channel's range.
		a, b := float64(p.value(0, c)), float64(p.value(255, c))
		if f := (m - a) / (b - a); f < 0.02 || f > 0.98 {
			return all.warn(UnlikelyColor, -1, p, size, fmt.Sprintf("channel %d is at %.0f %% of its range", c, 100*f))
		}
	}
	return nil
}

// extent returns the least and the greatest value that p gives any byte.
func (p Preset) extent() (lo, hi float32) {
	lo, hi = p.value(0, 0), p.value(255, 0)
	for c := 1; c < 3; c++ {
		lo, hi = min(lo, p.value(0, c)), max(hi, p.value(255, c))
	}
	return lo, hi
}

// guess names the presets whose range fits values from lo to hi, tightest first.
func guess(lo, hi float32, not Preset) string {
	best, fit := "", float32(0)
	for _, p := range presets {
		a, b := p.extent()
		slack := 0.01 * (b - a)
		if *p == not || lo < a-slack || hi > b+slack {
			continue
		}
		if f := (hi - lo) / (b - a); f > fit {
			best, fit = p.Name, f
		}
	}
	if fit < 0.25 {
		return "no known preset fits"
	}
	return fmt.Sprintf("preset %q would fit", best)
}

type stats struct {
	min, max float32
	sum      [3]float64
	finite   bool
}

func newStats() stats {
	return stats{min: float32(math.Inf(1)), max: float32(math.Inf(-1)), finite: true}
}

func (s *stats) add(x []float32, c int) {
	lo, hi, sum := s.min, s.max, 0.0
	for _, v := range x {
		if v-v != 0 { // NaN or infinite
			s.finite = false
			continue
		}
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
		sum += float64(v)
	}
	s.min, s.max = lo, hi
	s.sum[c] += sum
}

func (s *stats) merge(o *stats) {
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
	for c := range s.sum {
		s.sum[c] += o.sum[c]
	}
}

func (s *stats) mean(n int) (m [3]float64) {
	for c := range m {
		m[c] = s.sum[c] / float64(n)
	}
	return m
}

func (s *stats) warn(what Problem, picture int, p Preset, n int, advice string) *Warning {
	return &Warning{Problem: what, Picture: picture, Preset: p, Min: s.min, Max: s.max, Mean: s.mean(n), Advice: advice}
}

// interleaved compares steps of one and of three within rows: in a photograph's plane the
// nearer pixel is more similar.
func interleaved(x []float32, n, h, w int) bool {
	if w < 8 || h < 2 {
		return false
	}
	var one, three float64
	for r := range n * 3 * h {
		row := x[r*w:][:w]
		for i, v := range row[:w-3] {
			one += math.Abs(float64(v - row[i+1]))
			three += math.Abs(float64(v - row[i+3]))
		}
	}
	return three < 0.5*one
}
