package vgg

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Configuration says what network a file holds, instead of what the file says
// or shows of itself.
func Configuration(cfg Config) Option { return func(o *modelOptions) { o.config = &cfg } }

// Open reads a network from a file of weights, whose format is told by its content:
//
//	format                    names of tensors                            pictures
//	safetensors               nonet's, as Config.Params lists them        as the metadata say, else torch
//	                          torchvision's: features.0.weight            torch
//	                          timm's: pre_logits.fc1.weight, head.fc      torch
//	                          Keras's: block1_conv1/kernel                caffe
//	PyTorch .pth, of a        torchvision's or timm's                     torch
//	state_dict, both kinds
//	Caffe .caffemodel         the paper's: conv1_1 … fc8                  caffe
//	ONNX                      any: the graph is followed                  torch
//
// Batch normalisation is folded into the convolutions before it: in float64, rounded
// once. Keras's convolutions [3][3][in][out] become [out][in][3][3], and the columns
// of its fc1 go from the order HWC to CHW. The last fully connected layer may have
// any name.
//
// The configuration comes from the option Configuration, from the file's metadata or
// graph, or from the tensors' names and shapes; labels and the way of preparing
// pictures come from options or metadata, or by the table above.
//
// Errors name the file, the tensor and both shapes; they wrap ErrShape,
// ErrConfig, or those of package weights. The file is not needed afterwards.
func Open(path string, opts ...Option) (*Model, error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("vgg: %w", err)
	}
	m, err := FromFile(file, opts...)
	return m, errors.Join(err, file.Close())
}

// FromFile is Open for a file that is open already. It does not close it.
func FromFile(file weights.Source, opts ...Option) (*Model, error) {
	cfg, src, fromFile, err := Describe(file, opts...)
	if err != nil {
		return nil, err
	}
	return New(cfg, src, append(fromFile, opts...)...)
}

// Describe says what network a file holds, without reading its weights: the
// configuration, the tensors under our names, and options for New with the
// labels and the preparation of pictures that the metadata gives.
func Describe(file weights.Source, opts ...Option) (Config, Source, []Option, error) {
	var o modelOptions
	for _, f := range opts {
		f(&o)
	}
	fail := func(err error) (Config, Source, []Option, error) { return Config{}, nil, nil, err }
	meta, err := weights.ParseMeta(file.Metadata())
	if err != nil {
		return fail(fmt.Errorf("vgg: %s: %w", file.Name(), err))
	}
	layers, heads, err := findLayers(file)
	if err == nil && meta.Layers == "" && meta.Config == "" {
		layers, err = withHead(file.Name(), layers, heads)
	}
	if err != nil {
		return fail(err)
	}
	var cfg Config
	switch {
	case o.config != nil:
		cfg = *o.config
	case meta.Layers != "" || meta.Config != "":
		cfg, err = metaConfig(meta, layers)
	default:
		cfg, err = inferConfig(file.Name(), layers)
	}
	if err != nil {
		return fail(fmt.Errorf("vgg: %s: %w", file.Name(), err))
	}
	if err := cfg.Validate(); err != nil {
		return fail(fmt.Errorf("%w (in %s)", err, file.Name()))
	}
	if meta.Preset == "" && isKeras(layers) {
		meta.Preset = weights.PresetCaffe
	}
	pic, err := metaPicture(meta, cfg.Size)
	if err != nil {
		return fail(fmt.Errorf("vgg: %s: %w", file.Name(), err))
	}
	fromFile := []Option{Pictures(pic)}
	switch {
	case meta.Labels != nil:
		fromFile = append(fromFile, Labels(meta.Labels))
	case cfg.Classes() == ilsvrcClasses && meta.Config == "":
		fromFile = append(fromFile, Labels(labels.ILSVRC2012()))
	}
	return cfg, &fileSource{file, matchLayers(cfg, layers)}, fromFile, nil
}

// ilsvrcClasses is how many classes the networks of ILSVRC-2012 have. Files of
// others with so many, and nothing said of them, are of those.
const ilsvrcClasses = 1000

// metaConfig reads the configuration that our own files name, and that of an ONNX
// file's graph. What they do not say comes from the tensors.
func metaConfig(meta weights.Meta, layers []found) (Config, error) {
	cfg := Config{Name: meta.Config, Channels: 3, Size: 224, Pad: 1}
	var err error
	if meta.Layers != "" {
		cfg.Layers, err = ParseLayers(meta.Layers)
	} else {
		cfg, err = Lookup(meta.Config)
	}
	if err != nil {
		return cfg, err
	}
	if cfg.Name == "" {
		cfg.Name = knownName(cfg)
	}
	if len(layers) > 0 && !layers[0].fc {
		cfg.Channels = layers[0].in
	}
	pools := 0
	for _, l := range cfg.Layers {
		if l.Kind == Pool {
			pools++
		}
	}
	if i := slices.IndexFunc(layers, func(f found) bool { return f.fc }); meta.Size != 0 {
		cfg.Size = meta.Size
	} else if i > 0 && !meta.Unpadded {
		if size, ok := layers[i].size(pools); ok {
			cfg.Size = size
		}
	}
	if meta.Unpadded {
		cfg.Pad = 0
	}
	if meta.Classes != 0 {
		cfg = cfg.WithClasses(meta.Classes)
	}
	return cfg, nil
}

// metaPicture reads how a file wants its pictures.
func metaPicture(meta weights.Meta, size int) (Picture, error) {
	pic := DefaultPicture(size)
	if meta.Resize != 0 {
		pic.Side = meta.Resize
	}
	if meta.Preset != "" {
		var err error
		if pic.Preset, err = picture.ParsePreset(meta.Preset); err != nil {
			return pic, err
		}
	}
	for _, own := range []struct {
		from []float64
		to   *[3]float32
	}{{meta.Mean, &pic.Preset.Mean}, {meta.Std, &pic.Preset.Std}} {
		switch len(own.from) {
		case 0:
		case 3:
			pic.Preset.Name = ""
			*own.to = [3]float32{float32(own.from[0]), float32(own.from[1]), float32(own.from[2])}
		default:
			return pic, fmt.Errorf("%d means or deviations of channels, want 3: %w", len(own.from), weights.ErrFormat)
		}
	}
	return pic, nil
}

// FilePicture says how the network in a file wants its pictures, by the file's
// metadata or, without them, by its format and size. Of the options, Configuration
// counts.
func FilePicture(file weights.Source, options ...Option) (Picture, error) {
	var o modelOptions
	cfg, _, opts, err := Describe(file, options...)
	if err != nil {
		return Picture{}, err
	}
	o.picture = DefaultPicture(cfg.Size)
	for _, f := range opts {
		f(&o)
	}
	return o.picture, nil
}

// pictureMeta is the inverse of metaPicture.
func pictureMeta(meta *weights.Meta, pic Picture) error {
	meta.Resize = pic.Side
	p := pic.Preset
	if p.Name != "" {
		meta.Preset = p.Name
		return nil
	}
	switch {
	case p.BGR && p.Unit:
		return fmt.Errorf("vgg: a file cannot name a preset of BGR in [0, 1]: %w", ErrConfig)
	case p.BGR:
		meta.Preset = weights.PresetCaffe
	case p.Unit:
		meta.Preset = weights.PresetUnit
	default:
		meta.Preset = weights.PresetNone
	}
	for c := range 3 {
		std := p.Std[c]
		if std == 0 {
			std = 1
		}
		meta.Mean, meta.Std = append(meta.Mean, float64(p.Mean[c])), append(meta.Std, float64(std))
	}
	return nil
}

// Metadata returns what a file of weights says of a network so that Open needs
// no options. Of the options, Labels and Pictures count.
func Metadata(cfg Config, opts ...Option) (map[string]string, error) {
	o := modelOptions{picture: DefaultPicture(cfg.Size)}
	for _, f := range opts {
		f(&o)
	}
	about := weights.Meta{Config: cfg.Name, Layers: cfg.LayerString(), Labels: o.labels, Size: cfg.Size, Unpadded: cfg.Pad == 0}
	if err := pictureMeta(&about, o.picture); err != nil {
		return nil, err
	}
	meta, err := about.Encode()
	if err != nil {
		return nil, err
	}
	meta["format"] = "pt" // what other readers of safetensors look for
	return meta, nil
}

// Save writes the tensors of src as a safetensors file with everything that Open
// wants to know: configuration, labels, preparation of pictures. half stores
// weights in IEEE half precision, and biases in full. path names the old file,
// or none, until the new one is whole and on the disk. Of the options, Labels
// and Pictures count.
func Save(path string, cfg Config, src Source, half bool, opts ...Option) error {
	params, err := cfg.Params()
	if err != nil {
		return err
	}
	meta, err := Metadata(cfg, opts...)
	if err != nil {
		return err
	}
	var out []weights.Out
	for _, p := range params {
		w, err := src.Tensor(p.Name, p.Shape)
		if err != nil {
			return err
		}
		t := weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: w}
		if half && len(p.Shape) > 1 {
			t.DType = weights.F16
		}
		out = append(out, t)
	}
	return weights.WriteFile(path, out, meta)
}
