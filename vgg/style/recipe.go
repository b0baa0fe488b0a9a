package style

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg"
)

// Method is how pixels are changed.
type Method string

// The methods.
const (
	LBFGS Method = "lbfgs"
	Adam  Method = "adam"
)

// Start is the picture to begin with.
type Start string

// The starts. Noise is even over all colours.
const (
	FromContent Start = "content"
	FromStyle   Start = "style"
	FromNoise   Start = "noise"
)

// Term is the weight of a layer in the loss.
type Term struct {
	Layer  string  `json:"layer"`
	Weight float64 `json:"weight"`
}

// Recipe says what is minimised, and how.
type Recipe struct {
	Content        []Term  `json:"content,omitempty"` // layers whose activations are those of the content picture
	Style          []Term  `json:"style,omitempty"`   // layers whose Gram matrices are those of the style picture
	TotalVariation float64 `json:"total_variation"`
	Start          Start   `json:"start"`
	Seed           uint64  `json:"seed"` // of the noise
	Method         Method  `json:"method"`
	Rate           float64 `json:"rate,omitempty"`    // of Adam, for pixels from 0 to 1
	History        int     `json:"history,omitempty"` // of L-BFGS: steps that it remembers, two pictures each
}

// Gatys is the recipe of Gatys et al. with the layers of the paper: the content of
// conv4_2, and the style of the first convolution of each block.
func Gatys() Recipe {
	r := Recipe{Content: []Term{{"conv4_2", 0.05}}, TotalVariation: 0.1, Start: FromContent, Method: LBFGS, Rate: 0.02, History: 10}
	for i := range 5 {
		r.Style = append(r.Style, Term{fmt.Sprintf("conv%d_1", i+1), 0.2})
	}
	return r
}

// Inversion is the recipe that finds a picture with the activation of a layer, beginning
// with noise.
func Inversion(layer string) Recipe {
	return Recipe{Content: []Term{{layer, 1}}, TotalVariation: 0.1, Start: FromNoise, Method: LBFGS, Rate: 0.02, History: 10}
}

// ParseTerms reads layers with their weights, such as "conv1_1:0.5,conv2_1". Those without
// one share what is left of 1 evenly, or have 1 each if nothing is left.
func ParseTerms(s string) ([]Term, error) {
	var terms []Term
	left, open := 1.0, 0
	for _, word := range strings.Split(s, ",") {
		name, number, given := strings.Cut(strings.TrimSpace(word), ":")
		t := Term{Layer: name, Weight: math.NaN()}
		if given {
			w, err := strconv.ParseFloat(number, 64)
			if err != nil || !(w > 0 && w <= math.MaxFloat32) {
				return nil, fmt.Errorf("style: weight %q of layer %s: want a positive number: %w", number, name, vgg.ErrConfig)
			}
			t.Weight, left = w, left-w
		} else {
			open++
		}
		if name == "" {
			return nil, fmt.Errorf("style: layers %q: one has no name: %w", s, vgg.ErrConfig)
		}
		terms = append(terms, t)
	}
	share := left / float64(max(open, 1))
	if share <= 0 {
		share = 1
	}
	for i := range terms {
		if math.IsNaN(terms[i].Weight) {
			terms[i].Weight = share
		}
	}
	return terms, nil
}

// validate refuses what makes no sense.
func (r Recipe) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("style: "+format+": %w", append(args, vgg.ErrConfig)...)
	}
	positive := func(v float64) bool { return v > 0 && v <= math.MaxFloat32 }
	for _, t := range append(r.Content[:len(r.Content):len(r.Content)], r.Style...) {
		if !positive(t.Weight) {
			return bad("weight %v of layer %s: want a positive number", t.Weight, t.Layer)
		}
	}
	switch {
	case len(r.Content)+len(r.Style) == 0:
		return bad("no layers for content or style")
	case !(r.TotalVariation >= 0 && r.TotalVariation <= math.MaxFloat32):
		return bad("weight %v of the total variation: want a number that is not negative", r.TotalVariation)
	case r.Start != FromContent && r.Start != FromStyle && r.Start != FromNoise:
		return bad("start %q: want content, style or noise", r.Start)
	case r.Method != LBFGS && r.Method != Adam:
		return bad("method %q: want lbfgs or adam", r.Method)
	case r.Method == Adam && !positive(r.Rate):
		return bad("rate %v of Adam: want a positive number", r.Rate)
	case r.Method == LBFGS && (r.History < 1 || r.History > 1000):
		return bad("L-BFGS with a history of %d steps, want 1 to 1000", r.History)
	}
	return nil
}
