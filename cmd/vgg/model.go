package main

import (
	"fmt"
	"math"
	"os"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/weights"
)

// networkFlags describe a network if the weights do not.
type networkFlags struct {
	Config   string    `placeholder:"NAME" help:"Configuration of the paper: A, A-LRN, B, C, D or E; or of RepVGG: RepVGG-A0 to A2, B0 to B3. Without it, that of the weights."`
	Net      string    `placeholder:"LAYERS" help:"Layers of another network, such as '64 64 M 128 F10': channels of 3×3 convolutions (64/2 for stride 2, 64/1 for 1×1, =64 without ReLU), M for a pool, A for a 2×2 mean, G for the mean of each channel, N for normalisation, S for a scale and shift of each channel (S+ with ReLU), F for fully connected (=F64 without ReLU, as the last is)."`
	Size     inputSize `placeholder:"PIXELS" help:"Side of the network's input, or its height and width: 96x64."`
	Channels int       `placeholder:"N" min:"0" help:"Channels of the network's input; 3 if not given."`
	Flatten  string    `placeholder:"ORDER" enum:",chw,hwc" default:"" help:"Order of the columns of the first fully connected layer in the weights: chw if not given, or hwc."`
	Classes  int       `placeholder:"N" min:"0" help:"Number of classes."`
	Divide   int       `placeholder:"N" default:"1" min:"1" help:"Take 1/N of the channels."`
	NoPad    bool      `help:"Convolutions without padding."`
}

// inputSize is the height and width of a network's input: 224, or 96x64. It is 0, 0 if
// not given.
type inputSize struct{ h, w int }

// UnmarshalText reads a flag.
func (s *inputSize) UnmarshalText(text []byte) (err error) {
	if s.h, s.w, err = weights.ParseSize(string(text)); err == nil && s.w == 0 {
		s.w = s.h
	}
	return err
}

func (f networkFlags) given() bool { return f.Config != "" || f.Net != "" }

// alone returns an error for flags that describe a part of a network if neither --net nor
// --config gives the rest: they do not change the network of a file or the small model.
func (f networkFlags) alone() error {
	for _, flag := range []struct {
		name string
		set  bool
	}{{"--size", f.Size.h != 0}, {"--channels", f.Channels != 0}, {"--flatten", f.Flatten != ""}, {"--classes", f.Classes != 0},
		{"--divide", f.Divide > 1}, {"--no-pad", f.NoPad}} {
		if flag.set && !f.given() {
			return fmt.Errorf("%s goes with --net or --config, and neither is given", flag.name)
		}
	}
	return nil
}

// network returns the configuration that the flags describe.
func (f networkFlags) network() (vgg.Config, error) {
	cfg := vgg.Config{Name: "custom", Channels: 3, Size: 224, Pad: 1}
	var err error
	if f.Net != "" {
		cfg.Layers, err = vgg.ParseLayers(f.Net)
	} else {
		cfg, err = vgg.Lookup(f.Config)
	}
	if err != nil {
		return cfg, err
	}
	if f.Divide < 1 {
		return cfg, fmt.Errorf("--divide %d: want at least 1", f.Divide)
	}
	cfg = cfg.Divide(f.Divide)
	if f.Size.h != 0 {
		cfg = cfg.WithInput(f.Size.h, f.Size.w)
	}
	if f.Channels != 0 {
		cfg.Channels = f.Channels
	}
	cfg.HWC = f.Flatten == weights.FlattenHWC
	if f.Classes != 0 {
		cfg = cfg.WithClasses(f.Classes)
	}
	if f.NoPad {
		cfg.Pad = 0
	}
	return cfg, cfg.Validate()
}

// modelFlags choose a network, its weights and its algorithms.
type modelFlags struct {
	networkFlags `embed:""`
	Weights      string    `short:"w" placeholder:"FILE" help:"File of weights: safetensors, PyTorch .pth, Caffe .caffemodel or ONNX; an index of several files, or a folder with config.json. Without it, the small model that comes with nonet, or random weights for --config."`
	Key          string    `placeholder:"PREFIX" help:"Of a file with several networks, the one whose tensors' names begin so."`
	Labels       string    `placeholder:"FILE" help:"Names of the classes: one a line, with or without WordNet ids in front, a list, or numbers and names, as JSON or Python write them; or a config.json."`
	Preset       string    `placeholder:"NAME" help:"Preparation of pictures: torch, caffe, unit or none. Without it, that of the weights' metadata, else caffe for files of Caffe and Keras and torch for others."`
	Mean         []float64 `placeholder:"R,G,B" help:"Mean of each channel, subtracted from pictures in place of the preset's and after its division by 255: 0.485,0.456,0.406, or one number for all. B,G,R if the preset is caffe."`
	Std          []float64 `placeholder:"R,G,B" help:"Divisor of each channel of pictures after the mean, likewise."`
	Side         int       `placeholder:"PIXELS" min:"0" help:"Shorter side of pictures before the crop."`
	computeFlags `embed:""`
}

// computeFlags say how a network is computed.
type computeFlags struct {
	Algorithm string `default:"auto" enum:"auto,direct,winograd2,winograd4" help:"Algorithm of 3×3 convolutions: ${enum}."`
	HalfFC    bool   `name:"half-fc" help:"Keep the weights of fully connected layers in half precision."`
	FixedFC   bool   `name:"fixed-fc" help:"Keep the weights of fully connected layers as whole numbers of 8 bits, and multiply them by activations of 16 bits."`
	Fixed     bool   `help:"Compute in fixed point: --fixed-fc, and 3×3 convolutions with whole numbers of 16 bits. A third of the memory, errors of some 5e-3."`
}

// fixedPoint names what is in fixed point, for fingerprints.
func (f computeFlags) fixedPoint() (list []any) {
	if f.FixedFC {
		list = append(list, "fixed-fc")
	}
	if f.Fixed {
		list = append(list, "fixed")
	}
	return list
}

// weightBytes returns the bytes of a weight of a fully connected layer.
func (f computeFlags) weightBytes() float64 {
	switch {
	case f.FixedFC || f.Fixed:
		return 1
	case f.HalfFC:
		return 2
	}
	return 4
}

// options are those of a model.
func (f computeFlags) options() (opts []vgg.Option) {
	switch f.Algorithm {
	case "direct":
		opts = append(opts, vgg.Direct())
	case "winograd2":
		opts = append(opts, vgg.Winograd(2))
	case "winograd4":
		opts = append(opts, vgg.Winograd(4))
	}
	if f.HalfFC {
		opts = append(opts, vgg.HalfFC())
	}
	if f.FixedFC {
		opts = append(opts, vgg.FixedFC())
	}
	if f.Fixed {
		opts = append(opts, vgg.Fixed())
	}
	return opts
}

// open reads the model, or makes one of random weights and says so.
func (f modelFlags) open(s streams) (*vgg.Model, error) {
	opts, err := f.options()
	if err == nil {
		err = f.alone()
	}
	if err != nil {
		return nil, err
	}
	switch {
	case f.Weights != "":
		return f.openWeights(opts)
	case f.given():
		n, err := f.random(s)
		if err != nil {
			return nil, err
		}
		return n.Model(opts...)
	}
	m, err := pretrained.CIFAR10(opts...)
	if err != nil {
		return nil, err
	}
	if pic := f.pictures(m.Picture()); pic != m.Picture() {
		return pretrained.CIFAR10(append(opts, vgg.Pictures(pic))...)
	}
	return m, nil
}

// random returns the network of --net or --config with random weights, and says so.
func (f modelFlags) random(s streams) (*vgg.Network, error) {
	cfg, err := f.network()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(s.err, "vgg: NO WEIGHTS GIVEN: configuration %s has random weights, and its results mean nothing.\n", cfg.Name)
	src, err := vgg.Seeded(cfg, 1)
	return &vgg.Network{Config: cfg, Source: src, Picture: f.pictures(cfg.DefaultPicture())}, err
}

// openWeights reads the model of the file of weights.
func (f modelFlags) openWeights(opts []vgg.Option) (m *vgg.Model, err error) {
	err = f.describeWeights(opts, func(n *vgg.Network) error {
		m, err = n.Model(opts...)
		return err
	})
	return m, err
}

// describeWeights calls use with the network of the file of weights while it is open.
func (f modelFlags) describeWeights(opts []vgg.Option, use func(n *vgg.Network) error) error {
	file, err := weights.Open(f.Weights)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := vgg.Describe(file, opts...)
	if err != nil {
		return err
	}
	n.Picture = f.pictures(n.Picture)
	return use(n)
}

// describe calls use with the network of the file of weights, or with one of random weights,
// and with the options for its model.
func (f modelFlags) describe(s streams, use func(n *vgg.Network, opts []vgg.Option) error) error {
	opts, err := f.options()
	if err == nil {
		err = f.alone()
	}
	if err != nil {
		return err
	}
	if f.Weights != "" {
		return f.describeWeights(opts, func(n *vgg.Network) error { return use(n, opts) })
	}
	n, err := f.random(s)
	if err != nil {
		return err
	}
	return use(n, opts)
}

// options turns the flags into options of a model.
func (f modelFlags) options() ([]vgg.Option, error) {
	var opts []vgg.Option
	if f.given() {
		cfg, err := f.network()
		if err != nil {
			return nil, err
		}
		if f.Channels == 0 {
			cfg.Channels = 0 // the file's
		}
		opts = append(opts, vgg.Configuration(cfg))
	}
	if f.Labels != "" {
		labels, err := readLabels(f.Labels)
		if err != nil {
			return nil, err
		}
		opts = append(opts, vgg.Labels(labels))
	}
	if f.Preset != "" {
		if _, err := picture.ParsePreset(f.Preset); err != nil {
			return nil, err
		}
	}
	if err := f.checkChannels(); err != nil {
		return nil, err
	}
	if f.Key != "" {
		opts = append(opts, vgg.Key(f.Key))
	}
	return append(opts, f.computeFlags.options()...), nil
}

// pictures changes the preparation of pictures by the flags.
func (f modelFlags) pictures(pic vgg.Picture) vgg.Picture {
	if f.Preset != "" {
		pic.Preset, _ = picture.ParsePreset(f.Preset) // checked by options
	}
	setChannels(&pic.Preset, &pic.Preset.Mean, f.Mean)
	setChannels(&pic.Preset, &pic.Preset.Std, f.Std)
	if f.Side != 0 {
		pic.Side = f.Side
	}
	return pic
}

// setChannels replaces the numbers of a preset by those of a flag, if it was given.
func setChannels(p *picture.Preset, to *[3]float32, numbers []float64) {
	for c := range to {
		if len(numbers) > 0 {
			to[c] = float32(numbers[c%len(numbers)])
			p.Name = ""
		}
	}
}

func (f modelFlags) checkChannels() error {
	for _, flag := range []struct {
		name    string
		numbers []float64
		least   float64
	}{{"mean", f.Mean, -math.MaxFloat32}, {"std", f.Std, math.SmallestNonzeroFloat32}} {
		if n := len(flag.numbers); n != 0 && n != 1 && n != 3 {
			return fmt.Errorf("--%s: %d numbers, want three, or one for all channels", flag.name, n)
		}
		for _, v := range flag.numbers {
			if !(v >= flag.least && v <= math.MaxFloat32) {
				return fmt.Errorf("--%s %v: want a finite number, for --std more than 0", flag.name, v)
			}
		}
	}
	return nil
}

// readLabels reads a file of labels.
func readLabels(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return labels.Read(path, file)
}
