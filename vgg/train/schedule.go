package train

import (
	"fmt"
	"math"
)

// Schedule gives the learning rate. Its zero value is not valid.
type Schedule struct {
	// Kind is "plateau", the paper's: Rate is divided by Factor when the
	// validation error has not fallen for Patience epochs, Drops times at most,
	// and training ends when it would be divided once more; "step": divided by
	// Factor every Every epochs; "cosine": half a cosine from Rate to 0; or
	// "constant".
	Kind     string  `json:"kind"`
	Rate     float64 `json:"rate"`
	Factor   float64 `json:"factor,omitempty"`
	Patience int     `json:"patience,omitempty"`
	Drops    int     `json:"drops,omitempty"`
	Every    int     `json:"every,omitempty"`
	// Warmup is the number of epochs over which the rate rises from 0 first.
	Warmup float64 `json:"warmup,omitempty"`
}

// Paper is the schedule of section 3.1: 1e-2, divided by 10 when the validation
// accuracy stops improving, three times.
var Paper = Schedule{Kind: "plateau", Rate: 1e-2, Factor: 10, Patience: 3, Drops: 3}

func (s Schedule) validate() error {
	switch {
	case !(s.Rate > 0) || math.IsInf(s.Rate, 0) || s.Warmup < 0:
		return fmt.Errorf("train: learning rate %v with a warm-up of %v epochs: want positive numbers", s.Rate, s.Warmup)
	case s.Kind == "plateau" && (s.Factor <= 1 || s.Patience < 1), s.Kind == "step" && (s.Factor <= 1 || s.Every < 1):
		return fmt.Errorf("train: schedule %+v: want a factor above 1, and a patience or a number of epochs", s)
	}
	switch s.Kind {
	case "plateau", "step", "cosine", "constant":
		return nil
	}
	return fmt.Errorf("train: schedule %q: want plateau, step, cosine or constant", s.Kind)
}

// plateau is what the schedule of that name remembers.
type plateau struct {
	Best  float64 `json:"best"`  // the lowest validation error, 2 before the first
	Stale int     `json:"stale"` // epochs since
	Drops int     `json:"drops"`
}

// after counts an epoch's validation error and reports whether training is over.
func (p *plateau) after(s Schedule, validationError float64) (done bool) {
	if validationError < p.Best {
		p.Best, p.Stale = validationError, 0
		return false
	}
	p.Stale++
	if s.Kind != "plateau" || p.Stale < s.Patience {
		return false
	}
	p.Stale = 0
	p.Drops++
	return p.Drops > s.Drops
}

// rate returns the learning rate at a time in epochs, of all epochs.
func (s Schedule) rate(at float64, epochs int, p plateau) float64 {
	r := s.Rate
	switch s.Kind {
	case "plateau":
		r /= math.Pow(s.Factor, float64(p.Drops))
	case "step":
		r /= math.Pow(s.Factor, math.Floor(at/float64(s.Every)))
	case "cosine":
		if span := float64(epochs) - s.Warmup; at > s.Warmup && span > 0 {
			r *= (1 + math.Cos(math.Pi*min(1, (at-s.Warmup)/span))) / 2
		}
	}
	if at < s.Warmup {
		r *= at / s.Warmup
	}
	return r
}
