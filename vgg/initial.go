package vgg

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/vgg/internal/netfile"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Init names a distribution of initial weights. Biases begin at zero, and scales at one.
type Init string

const (
	// InitPaper is N(0, 0.01), a variance of 0.01, as in section 3.1 of the paper.
	// Networks deeper than configuration A do not begin to learn from it.
	InitPaper Init = "paper"
	// InitGlorot is N(0, 2/(in+out)) (Glorot & Bengio, AISTATS 2010).
	InitGlorot Init = "glorot"
	// InitHe is N(0, 2/in) (He et al., ICCV 2015), made for networks with ReLU.
	InitHe Init = "he"
)

// Initial is a Source of random weights for the beginning of training. The same seed gives
// the same weights on every machine.
func Initial(cfg Config, init Init, seed uint64) (Source, error) {
	params, err := cfg.Params()
	if err != nil {
		return nil, err
	}
	if init != InitPaper && init != InitGlorot && init != InitHe {
		return nil, fmt.Errorf("vgg: initial weights %q: want paper, glorot or he: %w", init, ErrConfig)
	}
	return &initialSource{params, init, seed}, nil
}

type initialSource struct {
	params []Param
	init   Init
	seed   uint64
}

func (s *initialSource) Name() string { return fmt.Sprintf("initial weights of seed %d", s.seed) }
func (s *initialSource) Release()     {}

func (s *initialSource) Tensor(name string, want []int) ([]float32, error) {
	w := make([]float32, Param{Shape: want}.Len())
	return w, s.fill(w, name, want)
}

func (s *initialSource) fill(w []float32, name string, want []int) error {
	i := slices.IndexFunc(s.params, func(p Param) bool { return p.Name == name })
	if i < 0 || !slices.Equal(s.params[i].Shape, want) {
		return &TensorError{File: s.Name(), Tensor: name, Want: want, Err: ErrShape}
	}
	p := s.params[i]
	if len(p.Shape) == 1 {
		for j := range w {
			w[j] = 0
			if strings.HasSuffix(name, ".weight") { // of a scale
				w[j] = 1
			}
		}
		return nil
	}
	fanOut := p.FanIn / p.Shape[1] * p.Shape[0]
	deviation := map[Init]float64{InitPaper: 0.1, InitGlorot: math.Sqrt(2 / float64(p.FanIn+fanOut)), InitHe: math.Sqrt(2 / float64(p.FanIn))}[s.init]
	stream := seeded.NewStream(s.seed, uint64(i))
	rng := rand.New(&stream)
	for j := range w {
		w[j] = float32(rng.NormFloat64() * deviation)
	}
	return nil
}

// StartFrom is a Source that takes the tensors that a file has with the right shape from
// that file, and the others from another Source. Of the convolutions it takes the file's
// first convs, or all if convs is negative. In the paper the deeper configurations start
// from the first four convolutions and the fully connected layers of configuration A. It
// returns an error if no tensor agrees.
func StartFrom(cfg Config, path string, convs int, rest Source) (Source, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("vgg: %w", err)
	}
	defer f.Close()
	layers, err := netfile.Read(f, "")
	if err != nil {
		return nil, fileError(f, err)
	}
	wants, err := cfg.wants()
	if err != nil {
		return nil, err
	}
	from := &fileSource{f, layers.MatchLoose(wants, convs)}
	params, err := cfg.Params()
	if err != nil {
		return nil, err
	}
	taken := map[string][]float32{}
	for _, p := range params {
		w, err := from.Tensor(p.Name, p.Shape)
		switch {
		case err == nil:
			taken[p.Name] = slices.Clone(w)
		case !errors.Is(err, ErrShape) && !errors.Is(err, weights.ErrNotFound):
			return nil, err
		}
	}
	if len(taken) == 0 {
		return nil, fmt.Errorf("vgg: %s: no tensor has the name and shape of one of configuration %s: %w", path, cfg.Name, ErrShape)
	}
	return &mergedSource{taken, rest}, nil
}

type mergedSource struct {
	taken map[string][]float32
	Source
}

func (s *mergedSource) Tensor(name string, want []int) ([]float32, error) {
	if w, ok := s.taken[name]; ok {
		return w, nil
	}
	return s.Source.Tensor(name, want)
}

// NewClassifier is a Source that takes the layer of cfg that gives the classes, and scales
// after it, from rest, and all others from src. It serves fine-tuning on other classes, even
// if there are as many of them.
func NewClassifier(cfg Config, src, rest Source) (Source, error) {
	params, err := cfg.Params()
	if err != nil {
		return nil, err
	}
	kept, head := 0, cfg.head() // tensors before the head
	for i, l := range cfg.Layers {
		if l.weighted() && i < head {
			kept += 2
		}
	}
	taken := map[string][]float32{}
	if head < 0 {
		kept = len(params)
	}
	for _, p := range params[kept:] {
		if taken[p.Name], err = rest.Tensor(p.Name, p.Shape); err != nil {
			return nil, err
		}
	}
	return &mergedSource{taken, src}, nil
}
