package train

import (
	"fmt"
	"math"
)

// Schedule gives the learning rate, by the rules of PyTorch's schedulers, which take a step
// after each epoch. Its zero value is not valid.
type Schedule struct {
	// Kind is one of four. "plateau" is the paper's, ReduceLROnPlateau of the validation
	// error: it divides the rate by Factor after more than Patience epochs in a row without
	// an error below (1−10⁻⁴) of the best, Drops times at most; training ends when it would
	// divide once more. "step" is StepLR: it divides by Factor every Every epochs. "cosine"
	// is CosineAnnealingLR: half a cosine from Rate towards 0, which it would reach after
	// the last epoch. "constant" is Rate.
	Kind     string  `json:"kind"`
	Rate     float64 `json:"rate"`
	Factor   float64 `json:"factor,omitempty"`
	Patience int     `json:"patience,omitempty"`
	Drops    int     `json:"drops,omitempty"`
	Every    int     `json:"every,omitempty"`
	// Warmup is the number of epochs in which the rate rises from 0 first, step by step. The
	// cosine begins after them.
	Warmup float64 `json:"warmup,omitempty"`
}

// Paper is the schedule of section 3.1: 1e-2, divided by 10 when the validation
// accuracy stops improving, three times.
var Paper = Schedule{Kind: "plateau", Rate: 1e-2, Factor: 10, Patience: 3, Drops: 3}

func (s Schedule) validate() error {
	divides := s.Kind == "plateau" || s.Kind == "step"
	switch {
	case !(s.Rate > 0) || s.Rate > math.MaxFloat32:
		return fmt.Errorf("train: learning rate %v: want a positive number that float32 can hold", s.Rate)
	case !(s.Warmup >= 0) || math.IsInf(s.Warmup, 0):
		return fmt.Errorf("train: warm-up of %v epochs: want a number that is not negative", s.Warmup)
	case divides && (!(s.Factor > 1) || math.IsInf(s.Factor, 0)):
		return fmt.Errorf("train: schedule %s: factor %v: want a number above 1", s.Kind, s.Factor)
	case s.Kind == "plateau" && (s.Patience < 0 || s.Drops < 0):
		return fmt.Errorf("train: schedule plateau: patience %d, %d drops: want numbers that are not negative", s.Patience, s.Drops)
	case s.Kind == "step" && s.Every < 1:
		return fmt.Errorf("train: schedule step: divided every %d epochs: want at least 1", s.Every)
	}
	switch s.Kind {
	case "plateau", "step", "cosine", "constant":
		return nil
	}
	return fmt.Errorf("train: schedule %q: want plateau, step, cosine or constant", s.Kind)
}

// The defaults of ReduceLROnPlateau.
const (
	plateauThreshold = 1e-4 // part of the best error that a better one is below it by
	plateauEps       = 1e-8 // least change of the rate
)

// plateau is the state of the schedule of that name.
type plateau struct {
	Best  float64 `json:"best"`  // the lowest validation error, 2 before the first
	Stale int     `json:"stale"` // epochs since, or since the last drop
	Drops int     `json:"drops"`
}

// after counts an epoch's validation error and reports whether training is over.
func (p *plateau) after(s Schedule, validationError float64) (done bool) {
	if validationError < p.Best*(1-plateauThreshold) {
		p.Best, p.Stale = validationError, 0
		return false
	}
	p.Stale++
	if s.Kind != "plateau" || p.Stale <= s.Patience {
		return false
	}
	p.Stale = 0
	p.Drops++
	return p.over(s)
}

// over reports whether the rate has fallen as often as it may, and should fall once more.
func (p plateau) over(s Schedule) bool { return s.Kind == "plateau" && p.Drops > s.Drops }

// rate returns the learning rate of a step. epoch is counted from 0. part is the part of the
// epoch that is done after the step; it matters only in the warm-up.
func (s Schedule) rate(epoch int, part float64, epochs int, p plateau) float64 {
	r := s.Rate
	switch s.Kind {
	case "plateau":
		for range p.Drops {
			if r-r/s.Factor > plateauEps {
				r /= s.Factor
			}
		}
	case "step":
		r /= math.Pow(s.Factor, float64(epoch/s.Every))
	case "cosine":
		if span := float64(epochs) - s.Warmup; span > 0 {
			r *= (1 + math.Cos(math.Pi*max(0, float64(epoch)-s.Warmup)/span)) / 2
		}
	}
	if at := float64(epoch) + part; at < s.Warmup {
		r *= at / s.Warmup
	}
	return r
}
