package vgg

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nonet-go/nonet/vgg/weights"
)

// fileSource reads tensors from a file under the names, and in the form, that the
// file has.
type fileSource struct {
	file   weights.Source
	layers map[string]found // by the names of the configuration
}

func (s *fileSource) Name() string { return s.file.Name() }
func (s *fileSource) Release()     { s.file.Release() }

// trim releases pages again and again until stop is called: those of a large
// tensor that is being packed need not all be resident. What is still wanted is
// mapped again.
func (s *fileSource) trim() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				s.Release()
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (s *fileSource) Tensor(name string, want []int) ([]float32, error) {
	layer, kind, _ := strings.Cut(name, ".")
	f, ok := s.layers[layer]
	if !ok {
		return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Err: weights.ErrNotFound}
	}
	if kind == "bias" {
		return s.bias(f, want)
	}
	w, err := s.read(f.base+f.form.weight, f.form.inFile(want, f.shape))
	if err != nil {
		return nil, err
	}
	w = f.form.convert(w, want, f.channels)
	if f.norm == "" {
		return w, nil
	}
	scale, _, err := s.normalization(f, want[0])
	if err != nil {
		return nil, err
	}
	folded := make([]float32, len(w))
	each := len(w) / want[0]
	for i, v := range w {
		folded[i] = float32(float64(v) * scale[i/each])
	}
	return folded, nil
}

// bias reads the biases of a layer. A convolution with batch normalisation may
// have none of its own.
func (s *fileSource) bias(f found, want []int) ([]float32, error) {
	name := f.base + f.form.bias
	if f.norm == "" {
		return s.read(name, want)
	}
	b := make([]float32, want[0])
	if slices.Contains(s.file.Names(), name) {
		var err error
		if b, err = s.read(name, want); err != nil {
			return nil, err
		}
	}
	scale, shift, err := s.normalization(f, want[0])
	if err != nil {
		return nil, err
	}
	folded := make([]float32, len(b))
	for i, v := range b {
		folded[i] = float32(float64(float64(v)*scale[i]) + shift[i]) // not fused: the same anywhere
	}
	return folded, nil
}

// normEpsilon is what torchvision's batch normalisation adds to the variance.
const normEpsilon = 1e-5

// normalization returns batch normalisation as y = scale·x + shift, in float64:
// what comes of it is rounded once.
func (s *fileSource) normalization(f found, n int) (scale, shift []float64, err error) {
	var p [4][]float32
	for i, kind := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		if p[i], err = s.read(f.norm+kind, []int{n}); err != nil {
			return nil, nil, err
		}
	}
	scale, shift = make([]float64, n), make([]float64, n)
	for i := range scale {
		if !(p[3][i] >= 0) {
			return nil, nil, fmt.Errorf("vgg: %s: tensor %s.running_var: element %d is %v, want a variance: %w", s.Name(), f.norm, i, p[3][i], weights.ErrFormat)
		}
		scale[i] = float64(p[0][i]) / math.Sqrt(float64(p[3][i])+normEpsilon)
		shift[i] = float64(p[1][i]) - float64(float64(p[2][i])*scale[i])
	}
	return scale, shift, nil
}

// read returns a tensor of the file, which must have the given shape there.
func (s *fileSource) read(name string, want []int) ([]float32, error) {
	t, err := s.file.Tensor(name)
	if err != nil {
		return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Err: err}
	}
	if !slices.Equal(t.Shape, want) {
		return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Got: t.Shape, Err: ErrShape}
	}
	if view, ok := t.Float32View(); ok {
		return view, nil
	}
	w := make([]float32, t.Len())
	if err := t.Float32s(w); err != nil {
		return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Got: t.Shape, Err: err}
	}
	return w, nil
}

// A form is how a file lays out the weights of a layer.
type form struct {
	weight, bias string // how the tensors' names end
	keras        bool   // [3][3][in][out]; columns of the first fully connected layer in the order HWC
}

var (
	// [out][in][3][3] and [out][in]; timm keeps fully connected layers as
	// convolutions of 7×7 and 1×1, whose elements lie in the same order.
	formTorch = form{weight: ".weight", bias: ".bias"}
	// Keras's: the names that h5py and Keras's own savers give them.
	formKeras = []form{
		{".kernel", ".bias", true}, {"/kernel", "/bias", true}, {"/kernel:0", "/bias:0", true}, {"_W_1:0", "_b_1:0", true},
	}
	// [in][out], columns CHW: a product that an ONNX file does not transpose.
	formPlain = form{".kernel", ".bias", false}
)

// transposed reports whether weights are [in][out].
func (f form) transposed() bool { return f.weight != ".weight" }

// inFile returns the shape that weights of shape want have in the file, where
// they have the shape have.
func (f form) inFile(want, have []int) []int {
	switch {
	case !f.transposed() && len(want) == 2 && len(have) == 4 && have[0] == want[0] && have[1]*have[2]*have[3] == want[1]:
		return have
	case f.transposed() && len(want) == 4:
		return []int{want[2], want[3], want[1], want[0]}
	case f.transposed():
		return []int{want[1], want[0]}
	}
	return want
}

// convert brings weights into OIHW or [out][in]. channels is the number of those
// that a fully connected layer's columns come from.
func (f form) convert(w []float32, want []int, channels int) []float32 {
	if !f.transposed() {
		return w
	}
	out := make([]float32, len(w))
	if len(want) == 4 { // HWIO
		o, i, taps := want[0], want[1], want[2]*want[3]
		for t := range taps {
			for c := range i {
				for k, v := range w[(t*i+c)*o:][:o] {
					out[(k*i+c)*taps+t] = v
				}
			}
		}
		return out
	}
	o, in := want[0], want[1]
	plane := 1
	if f.keras && channels > 0 {
		plane = in / channels
	}
	for from := range in {
		to := from
		if plane > 1 { // HWC → CHW
			to = from%channels*plane + from/channels
		}
		for k, v := range w[from*o:][:o] {
			out[k*in+to] = v
		}
	}
	return out
}

// A found is a layer with weights, as a file's tensors show it.
type found struct {
	base        string // the tensors' names without the end
	form        form
	block, conv int    // of a convolution; conv0 has block 0
	index       int    // place among the modules of torchvision, -1 in other files
	norm        string // of the batch normalisation behind it, or empty
	fc          bool
	shape       []int // of the weights, as the file has them
	out, in     int   // of the weights
	kernel      int   // of a convolution
	channels    int   // of the activation that a first fully connected layer flattens
}

// The names of layers, by their part before .weight:
//
//	nonet, Caffe          conv1_1 … fc8
//	torchvision           features.0 … classifier.6; batch normalisation is features.1 …
//	timm                  features.0 … pre_logits.fc1, pre_logits.fc2, head.fc
//	Keras                 block1_conv1 … fc1, fc2, predictions
//	ONNX                  torchvision's, given by package weights
//	others                conv11, conv_1_1, output
//
// Keras repeats a layer's name (block1_conv1/block1_conv1/kernel:0), and keeps those
// of a whole model apart from its optimizer's (optimizer_weights/…). Networks that
// were trained further call their last layer anything: see withHead.
var (
	blockName      = regexp.MustCompile(`^conv_?([1-9])_?([1-9][0-9]?)$`)
	kerasName      = regexp.MustCompile(`^(?:.*/)?block([1-9])_conv([1-9][0-9]?)$`)
	fcName         = regexp.MustCompile(`^(?:.*/)?(?:fc_?([1-9][0-9]?)|output|predictions)$`)
	featureName    = regexp.MustCompile(`^features\.([0-9]{1,3})$`)
	classifierName = regexp.MustCompile(`^classifier\.([0-9]{1,3})$`)
	timmName       = regexp.MustCompile(`^(?:pre_logits\.fc([12])|head\.fc)$`)
)

// place reads a layer's place from its name.
func (f *found) place() bool {
	number := func(s string, otherwise int) int {
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		return otherwise
	}
	const last = 1 << 9 // behind all that have a number
	if m := blockName.FindStringSubmatch(f.base); m != nil {
		f.block, f.conv = number(m[1], 0), number(m[2], 0)
	} else if m := kerasName.FindStringSubmatch(f.base); m != nil {
		f.block, f.conv = number(m[1], 0), number(m[2], 0)
	} else if m := featureName.FindStringSubmatch(f.base); m != nil {
		f.index = number(m[1], 0)
	} else if m := classifierName.FindStringSubmatch(f.base); m != nil {
		f.fc, f.conv = true, number(m[1], 0)
	} else if m := timmName.FindStringSubmatch(f.base); m != nil {
		f.fc, f.conv = true, number(m[1], last)
	} else if m := fcName.FindStringSubmatch(f.base); m != nil {
		f.fc, f.conv = true, number(m[1], last)
	} else {
		return f.base == "conv0"
	}
	return true
}

// findLayers lists the layers of a file in the order of computation. Tensors of
// other names are left alone; heads are those among them that may be weights of a
// fully connected layer.
func findLayers(src weights.Source) (layers, heads []found, err error) {
	var convs, fcs []found
	names := src.Names()
	for _, name := range names {
		f := found{index: -1, form: formTorch}
		var ok bool
		if f.base, ok = strings.CutSuffix(name, ".weight"); !ok {
			for _, form := range formKeras {
				if base, has := strings.CutSuffix(name, form.weight); has {
					f.base, f.form, ok = base, form, true
					break
				}
			}
		}
		if !ok || strings.HasPrefix(f.base, "optimizer_weights/") {
			continue
		}
		known := f.place()
		if f.form == formKeras[0] && strings.HasPrefix(f.base, "classifier.") {
			f.form = formPlain
		}
		if f.index >= 0 {
			if norm := fmt.Sprintf("features.%d", f.index+1); slices.Contains(names, norm+".running_mean") {
				f.norm = norm
			}
			if slices.Contains(names, f.base+".running_mean") {
				continue // the batch normalisation itself
			}
		}
		t, err := src.Tensor(name)
		if err != nil {
			return nil, nil, err
		}
		if f.fc = f.fc || !known; known || len(t.Shape) == 2 {
			if err := f.setShape(src.Name(), name, t.Shape); err != nil {
				return nil, nil, err
			}
		}
		if !known {
			heads = append(heads, f)
		} else if f.fc {
			fcs = append(fcs, f)
		} else {
			convs = append(convs, f)
		}
	}
	order := func(a, b found) int {
		return (a.block-b.block)<<20 + (a.conv-b.conv)<<10 + a.index - b.index
	}
	for _, list := range [][]found{convs, fcs} {
		slices.SortStableFunc(list, order)
		for i := 1; i < len(list); i++ {
			if a, b := list[i-1], list[i]; order(a, b) == 0 {
				return nil, nil, fmt.Errorf("vgg: %s: tensors %s%s and %s%s are of one layer: %w", src.Name(), a.base, a.form.weight, b.base, b.form.weight, weights.ErrFormat)
			}
		}
	}
	if n := len(convs); n > 0 && len(fcs) > 0 {
		fcs[0].channels = convs[n-1].out
	}
	return append(convs, fcs...), heads, nil
}

// withHead appends the last layer of a network that was trained further, whose name
// is known to nobody: the one whose columns are the outputs of the layer before.
func withHead(file string, layers, heads []found) ([]found, error) {
	if len(layers) == 0 || !layers[len(layers)-1].fc {
		return layers, nil
	}
	last := layers[len(layers)-1]
	heads = slices.DeleteFunc(heads, func(f found) bool { return f.in != last.out })
	if len(heads) > 1 {
		return nil, fmt.Errorf("vgg: %s: both tensors %s%s and %s%s fit behind %s: %w", file,
			heads[0].base, heads[0].form.weight, heads[1].base, heads[1].form.weight, last.base, ErrConfig)
	}
	return append(layers, heads...), nil
}

// setShape takes outputs and inputs from the shape of the weights.
func (f *found) setShape(file, tensor string, shape []int) error {
	f.shape = shape
	switch {
	case f.fc && len(shape) == 2:
		f.out, f.in = shape[0], shape[1]
		if f.form.transposed() {
			f.out, f.in = f.in, f.out
		}
		return nil
	case len(shape) == 4 && f.fc && !f.form.transposed():
		f.out, f.in = shape[0], shape[1]*shape[2]*shape[3]
		return nil
	case len(shape) == 4 && !f.fc:
		f.out, f.in, f.kernel = shape[0], shape[1], shape[2]
		if f.form.transposed() {
			f.out, f.in, f.kernel = shape[3], shape[2], shape[0]
		}
		return nil
	}
	want := 4
	if f.fc {
		want = 2
	}
	return fmt.Errorf("vgg: %s: tensor %s has shape %v, want %d dimensions: %w", file, tensor, shape, want, ErrShape)
}

// size returns the side of the input of padded convolutions and some pools that the
// columns of a first fully connected layer fit.
func (f found) size(pools int) (int, bool) {
	if f.channels < 1 || pools > 15 {
		return 0, false
	}
	side := int(math.Sqrt(float64(f.in / f.channels)))
	return side << pools, side >= 1 && f.channels*side*side == f.in && side <= maxSide>>pools
}

// isKeras reports whether a file's names are those of Keras, whose VGGs take
// pictures as Caffe's do.
func isKeras(layers []found) bool {
	return slices.ContainsFunc(layers, func(f found) bool { return f.form.keras })
}

// matchLayers finds the file's layer for each of cfg's that has weights: the
// layers of each kind in their order.
func matchLayers(cfg Config, layers []found) map[string]found {
	match := map[string]found{}
	for _, fc := range []bool{false, true} {
		var has []found
		for _, f := range layers {
			if f.fc == fc {
				has = append(has, f)
			}
		}
		i := 0
		for _, l := range cfg.Layers {
			if fc && l.Kind == FC || !fc && l.Kind == Conv {
				if i < len(has) {
					match[l.Name] = has[i]
				}
				i++
			}
		}
	}
	// Names that agree go before the order: a file may hold more than is wanted.
	for _, f := range layers {
		if !f.fc && f.block > 0 {
			name := fmt.Sprintf("conv%d_%d", f.block, f.conv)
			if slices.ContainsFunc(cfg.Layers, func(l Layer) bool { return l.Name == name }) {
				match[name] = f
			}
		}
	}
	return match
}

// errNoNetwork is what inferring ends with for files of other things.
var errNoNetwork = errors.New("no network of VGG's shape")

// inferConfig makes a configuration from the layers of a file: a pool ends each
// block, and the columns of the first fully connected layer give the size of the
// input. It cannot see what has no weights: normalisation, missing padding.
func inferConfig(name string, layers []found) (Config, error) {
	var words []string
	pools := 0
	cfg := Config{Name: "custom", Channels: 3, Size: 224, Pad: 1}
	for i, f := range layers {
		if i > 0 {
			last := layers[i-1]
			// torchvision: convolution, batch normalisation if there is one, ReLU, and
			// a pool if one more is between.
			apart := f.index - last.index
			if last.norm != "" {
				apart--
			}
			if newBlock := f.block != last.block && last.block > 0 || f.index >= 0 && apart > 2; newBlock || f.fc && !last.fc {
				words = append(words, "M")
				pools++
			}
		} else if !f.fc {
			cfg.Channels = f.in
		}
		switch {
		case f.fc:
			if i > 0 && !layers[i-1].fc {
				size, ok := f.size(pools)
				if !ok {
					return cfg, fmt.Errorf("vgg: %s: tensor %s%s has shape %v, whose columns are no square of %d channels: %w", name, f.base, f.form.weight, f.shape, f.channels, ErrShape)
				}
				cfg.Size = size
			}
			words = append(words, fmt.Sprintf("F%d", f.out))
		default:
			word := strconv.Itoa(f.out)
			if f.base == "conv0" {
				word = "=" + word
			}
			if f.kernel == 1 {
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
