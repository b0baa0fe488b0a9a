package vgg

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg/weights"
)

// fileSource reads tensors from a file under the names that the file has.
type fileSource struct {
	file  weights.Source
	names map[string]string // ours → the file's
}

func (s *fileSource) Name() string { return s.file.Name() }
func (s *fileSource) Release()     { s.file.Release() }

func (s *fileSource) Tensor(name string, want []int) ([]float32, error) {
	inFile, ok := s.names[name]
	if !ok {
		return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Err: weights.ErrNotFound}
	}
	t, err := s.file.Tensor(inFile)
	if err != nil {
		return nil, &TensorError{File: s.Name(), Tensor: inFile, Want: want, Err: err}
	}
	if !slices.Equal(t.Shape, want) {
		return nil, &TensorError{File: s.Name(), Tensor: inFile, Want: want, Got: t.Shape, Err: ErrShape}
	}
	if view, ok := t.Float32View(); ok {
		return view, nil
	}
	w := make([]float32, t.Len())
	if err := t.Float32s(w); err != nil {
		return nil, &TensorError{File: s.Name(), Tensor: inFile, Want: want, Got: t.Shape, Err: err}
	}
	return w, nil
}

// A found is a layer with weights, as a file's tensors show it.
type found struct {
	base        string // the tensors' names without .weight and .bias
	block, conv int    // of a convolution; conv0 has block 0
	index       int    // place among the modules of torchvision, -1 in other files
	fc          bool
	shape       []int
}

var (
	// Ours and those of others who number blocks: conv1_1, conv11, conv_1_1.
	blockName = regexp.MustCompile(`^conv_?([1-9])_?([1-9][0-9]?)$`)
	fcName    = regexp.MustCompile(`^(?:fc_?([1-9][0-9]?)|output)$`)
	// torchvision's nn.Sequential, counted with the modules that have no weights.
	featureName    = regexp.MustCompile(`^features\.([0-9]{1,3})$`)
	classifierName = regexp.MustCompile(`^classifier\.([0-9]{1,3})$`)
)

// findLayers lists the layers of a file in the order of computation. Tensors of
// other names are left alone.
func findLayers(src weights.Source) ([]found, error) {
	var convs, fcs []found
	for _, name := range src.Names() {
		base, ok := strings.CutSuffix(name, ".weight")
		if !ok {
			continue
		}
		f := found{base: base, index: -1}
		number := func(s string) int { n, _ := strconv.Atoi(s); return n } // the patterns match digits alone
		if m := blockName.FindStringSubmatch(base); m != nil {
			f.block, f.conv = number(m[1]), number(m[2])
		} else if m := featureName.FindStringSubmatch(base); m != nil {
			f.index = number(m[1])
		} else if m := classifierName.FindStringSubmatch(base); m != nil {
			f.fc, f.conv = true, number(m[1])
		} else if m := fcName.FindStringSubmatch(base); m != nil {
			f.fc, f.conv = true, number(m[1])
		} else if base != "conv0" {
			continue
		}
		t, err := src.Tensor(name)
		if err != nil {
			return nil, err
		}
		f.shape = t.Shape
		want := 4
		if f.fc {
			want = 2
			fcs = append(fcs, f)
		} else {
			convs = append(convs, f)
		}
		if len(f.shape) != want {
			return nil, fmt.Errorf("vgg: %s: tensor %s has shape %v, want %d dimensions: %w", src.Name(), name, f.shape, want, ErrShape)
		}
	}
	order := func(a, b found) int {
		return (a.block-b.block)<<20 + (a.conv-b.conv)<<10 + a.index - b.index
	}
	slices.SortStableFunc(convs, order)
	slices.SortStableFunc(fcs, order)
	return append(convs, fcs...), nil
}

// fileNames maps the names of cfg's tensors to those of the file: its layers
// with weights in their order.
func fileNames(cfg Config, layers []found) map[string]string {
	names := map[string]string{}
	pairs := func(fc bool) {
		i := 0
		var has []found
		for _, f := range layers {
			if f.fc == fc {
				has = append(has, f)
			}
		}
		for _, l := range cfg.Layers {
			if fc && l.Kind == FC || !fc && l.Kind == Conv {
				if i < len(has) {
					names[l.Name+".weight"], names[l.Name+".bias"] = has[i].base+".weight", has[i].base+".bias"
				}
				i++
			}
		}
	}
	pairs(false)
	pairs(true)
	// Names that agree go before the order: a file may hold more than is wanted.
	for _, f := range layers {
		if !f.fc && f.block > 0 {
			name := fmt.Sprintf("conv%d_%d", f.block, f.conv)
			if slices.ContainsFunc(cfg.Layers, func(l Layer) bool { return l.Name == name }) {
				names[name+".weight"], names[name+".bias"] = f.base+".weight", f.base+".bias"
			}
		}
	}
	return names
}

// errNoNetwork is what inferring ends with for files of other things.
var errNoNetwork = errors.New("no network of VGG's shape")

// inferConfig makes a configuration from the layers of a file: a pool ends each
// block, and the columns of the first fully connected layer give the size of the
// input. It cannot see what has no weights: normalisation, missing padding.
func inferConfig(name string, layers []found) (Config, error) {
	var words []string
	pools, channels := 0, 0
	cfg := Config{Name: "custom", Channels: 3, Size: 224, Pad: 1}
	for i, f := range layers {
		if i > 0 {
			last := layers[i-1]
			// torchvision: convolution, ReLU, and a pool if one more is between.
			if newBlock := f.block != last.block && last.block > 0 || f.index >= 0 && f.index-last.index > 2; newBlock || f.fc && !last.fc {
				words = append(words, "M")
				pools++
			}
		} else if len(f.shape) == 4 {
			cfg.Channels = f.shape[1]
		}
		switch {
		case f.fc:
			if i > 0 && !layers[i-1].fc {
				side := 1
				for channels*side*side < f.shape[1] {
					side++
				}
				if channels*side*side != f.shape[1] || side<<pools > maxSide {
					return cfg, fmt.Errorf("vgg: %s: tensor %s.weight has shape %v, whose columns are no square of %d channels: %w", name, f.base, f.shape, channels, ErrShape)
				}
				cfg.Size = side << pools
			}
			words = append(words, fmt.Sprintf("F%d", f.shape[0]))
		default:
			channels = f.shape[0]
			word := strconv.Itoa(channels)
			if f.base == "conv0" {
				word = "=" + word
			}
			if f.shape[2] == 1 {
				word += "/1"
			}
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return cfg, fmt.Errorf("vgg: %s: %w: it has no tensor called conv1_1.weight or features.0.weight", name, errNoNetwork)
	}
	var err error
	cfg.Layers, err = ParseLayers(strings.Join(words, " "))
	if err != nil {
		return cfg, fmt.Errorf("%w (in %s)", err, name)
	}
	cfg.Name = knownName(cfg)
	return cfg, nil
}

// knownName returns the letter of the paper's configuration with the same layers
// but for widths and classes, or "custom".
func knownName(cfg Config) string {
	shape := func(c Config) (s []Layer) {
		for _, l := range c.Layers {
			l.Out = 0
			s = append(s, l)
		}
		return s
	}
	for _, name := range Names() {
		known, err := Lookup(name)
		if err == nil && slices.Equal(shape(known), shape(cfg)) {
			return name
		}
	}
	return "custom"
}
