package vgg

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/seeded"
)

// Seeded is a Source of random weights: He's uniform distribution for the weights, ±0.05 for
// the biases, and 1 ± 0.5 for scales. The same seed gives the same network on every machine.
func Seeded(cfg Config, seed uint64) (Source, error) {
	params, err := cfg.Params()
	if err != nil {
		return nil, err
	}
	return &seededSource{params, seed}, nil
}

type seededSource struct {
	params []Param
	seed   uint64
}

func (s *seededSource) Name() string { return fmt.Sprintf("random weights of seed %d", s.seed) }
func (s *seededSource) Release()     {}

func (s *seededSource) Tensor(name string, want []int) ([]float32, error) {
	w := make([]float32, Param{Shape: want}.Len())
	return w, s.fill(w, name, want)
}

func (s *seededSource) fill(w []float32, name string, want []int) error {
	i := slices.IndexFunc(s.params, func(p Param) bool { return p.Name == name })
	if i < 0 || !slices.Equal(s.params[i].Shape, want) {
		return &TensorError{File: s.Name(), Tensor: name, Want: want, Err: ErrShape}
	}
	p := s.params[i]
	bound := 0.05
	if len(p.Shape) > 1 {
		bound = math.Sqrt(6 / float64(p.FanIn))
	}
	isScale := len(p.Shape) == 1 && strings.HasSuffix(name, ".weight")
	if isScale {
		bound = 0.5
	}
	seeded.Fill(w, s.seed, uint64(i), bound)
	if isScale {
		for j := range w {
			w[j]++
		}
	}
	return nil
}
