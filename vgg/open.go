package vgg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/internal/netfile"
	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Configuration gives the network of a file, in place of what the file says or shows. Its
// Channels may be 0: then they are those of the file's first convolution.
func Configuration(cfg Config) Option { return func(o *modelOptions) { o.config = &cfg } }

// Key chooses one of several networks in a file: the tensors whose names begin with prefix,
// such as model_ema, and a dot. An error lists the possible names. They are those of package
// weights: keys of dictionaries and indices of lists, joined by dots.
func Key(prefix string) Option { return func(o *modelOptions) { o.key = prefix } }

// Open reads a network from a file of weights. The content of the file tells its format:
//
//	format                    names of tensors                            pictures
//	safetensors               nonet's, as Config.Params lists them        as the metadata say, else torch
//	                          torchvision's: features.0.weight            torch
//	                          timm's: pre_logits.fc1.weight, head.fc      torch
//	                          Keras's: block1_conv1/kernel                caffe
//	PyTorch .pth, of tensors  as those of safetensors; keys of            torch
//	in dictionaries or lists  dictionaries become prefixes
//	Caffe .caffemodel         the paper's: conv1_1 … fc8                  caffe
//	ONNX                      any: the graph is followed                  torch
//
// docs/weights.md has the table of all formats and says where to get weights. path may be
// a folder or an index, see [weights.Open].
//
// A common prefix of the names and what wrappers such as DataParallel insert are left out.
// Key chooses one of several networks in a file. Every tensor belongs to a layer, or is of
// a kind that does not matter (see Describe). A file with another tensor is refused, and
// the error names the tensor.
//
// The configuration comes from the option Configuration, from the file's metadata or
// graph, or from the tensors. The tensors settle it if their names tell the blocks of a
// configuration of the paper, or if indices and widths are exactly torchvision's. Pools,
// dropout and ReLU have no tensors. So for other networks the error wraps ErrConfig and
// shows what the file looks like, as flags of the command. Labels and the preparation of
// pictures come from options or metadata, or by the table above.
//
// Batch normalisation right after a layer is folded into it, in float64 and rounded once.
// After a ReLU it is a Scale of the configuration. Pruned layers, weight normalisation and
// spectral normalisation are computed. Layers without bias are read if all of their kind
// have none. Keras's convolutions [3][3][in][out] become [out][in][3][3], and the columns
// of its fc1 are brought from the order HWC to CHW. The last fully connected layer may have
// any name.
//
// Errors name the file, the tensor and both shapes. They wrap ErrShape, ErrConfig, or the
// errors of package weights. The file is not needed after Open.
func Open(path string, opts ...Option) (*Model, error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("vgg: %w", err)
	}
	m, err := FromFile(file, opts...)
	return m, errors.Join(err, file.Close())
}

// FromFile is Open for an open file. It does not close it.
func FromFile(file weights.Source, opts ...Option) (*Model, error) {
	n, err := Describe(file, opts...)
	if err != nil {
		return nil, err
	}
	defer trim(file)()
	return n.Model(opts...)
}

// Network is the content of a file of weights, see Describe.
type Network struct {
	Config  Config
	Labels  []string // of the classes, or nil
	Picture Picture
	// Source gives the tensors by the names of Config, while the file is open. It reads each
	// tensor of the file at most once if each of its own tensors is asked for once. One
	// goroutine at a time may use it.
	Source Source
	// Ignored are tensors of the file that do not matter to the network.
	Ignored []IgnoredTensor
}

// IgnoredTensor is a tensor of a file that does not matter to its network, with the reason.
type IgnoredTensor struct{ Name, Reason string }

// Model is New for the network, with its labels and preparation of pictures. A file of whole
// numbers gives a model with Fixed if it has convolutions of them, else with FixedFC.
func (n *Network) Model(opts ...Option) (*Model, error) {
	own := []Option{Labels(n.Labels), Pictures(n.Picture)}
	if s, ok := n.Source.(*fileSource); ok {
		switch f, ok := s.file.(*fixedFile); {
		case ok && len(f.convs) > 0:
			own = append(own, Fixed())
		case ok:
			own = append(own, FixedFC())
		}
	}
	return New(n.Config, n.Source, append(own, opts...)...)
}

// Describe says what network a file holds, without reading its weights. Of the options,
// Configuration, Key, Labels and Pictures count.
//
// Every tensor of the file belongs to a layer of the configuration or is listed as Ignored.
// Otherwise, and where the file leaves open which network it is, Describe returns an error.
func Describe(file weights.Source, opts ...Option) (*Network, error) {
	var o modelOptions
	for _, f := range opts {
		f(&o)
	}
	file, err := unpacked(file)
	if err != nil {
		return nil, fmt.Errorf("vgg: %w", err)
	}
	layers, err := netfile.Read(file, o.key)
	if err != nil {
		return nil, fileError(file, err)
	}
	meta, err := evidence(file)
	if err != nil {
		return nil, fileError(file, err)
	}
	cfg, err := o.choose(meta, layers)
	if err != nil {
		return nil, fileError(file, err)
	}
	if layers.Keras() {
		cfg.HWC = false // columns are brought into the order CHW as they are read
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, file.Name())
	}
	cfg.takeNorms(layers.Norms(), meta.Norms)
	wants, err := cfg.wants()
	if err != nil {
		return nil, err
	}
	tensors, err := layers.Match(wants)
	if err != nil {
		return nil, fileError(file, err)
	}
	n := &Network{Config: cfg, Source: &fileSource{file, tensors}}
	for _, i := range layers.Ignored() {
		n.Ignored = append(n.Ignored, IgnoredTensor(i))
	}
	return n, n.present(file, meta, layers, opts)
}

// takeNorms says which convolutions and fully connected layers had a batch normalisation
// behind them: those of the file, in their order, or those whose names the metadata have.
func (c *Config) takeNorms(norms []bool, names []string) {
	layers := slices.Clone(c.Layers)
	var weighted []*Layer
	for i := range layers {
		if l := &layers[i]; l.Kind == Conv || l.Kind == FC {
			l.Norm = slices.Contains(names, l.Name)
			weighted = append(weighted, l)
		}
	}
	if len(weighted) == len(norms) {
		for i, l := range weighted {
			l.Norm = l.Norm || norms[i]
		}
	}
	c.Layers = layers
}

// evidence is what a file says of its network apart from the tensors.
func evidence(file weights.Source) (weights.Meta, error) {
	return weights.ParseMeta(file.Metadata())
}

// choose returns the configuration that an option or the metadata gives, or that the
// tensors leave no doubt of.
func (o *modelOptions) choose(meta weights.Meta, layers *netfile.File) (Config, error) {
	switch {
	case o.config != nil:
		cfg := *o.config
		if cfg.Channels == 0 {
			cfg.Channels = max(layers.Channels(), 1)
		}
		return cfg, nil
	case meta.Layers != "" || meta.Config != "":
		return metaConfig(meta, layers)
	case meta.Architecture != "":
		return architectureConfig(meta, layers)
	}
	found, err := layers.Network()
	if err != nil {
		return Config{}, err
	}
	cfg := Config{Name: "custom", Channels: found.Channels, Size: found.Size, Width: found.Width, HWC: found.HWC, Pad: 1}
	if cfg.Layers, err = ParseLayers(found.Layers); err == nil {
		cfg.Name = knownName(cfg)
	}
	if err == nil {
		err = cfg.takeSize(meta)
	}
	return cfg, err
}

// takeSize sets the size of the input to what the metadata say, which must be that
// of the tensors, if these have one, as the number of classes.
func (c *Config) takeSize(meta weights.Meta) error {
	switch {
	case meta.Classes != 0 && c.Classes() != 0 && meta.Classes != c.Classes():
		return fmt.Errorf("the metadata say %d classes, and the tensors %d: %w", meta.Classes, c.Classes(), ErrShape)
	case meta.Labels != nil && c.Classes() != 0 && len(meta.Labels) != c.Classes():
		return fmt.Errorf("the metadata name %d classes, and the tensors have %d: %w", len(meta.Labels), c.Classes(), ErrShape)
	case meta.Size == 0:
	case max(meta.Size, meta.Width) > maxFileSize:
		return fmt.Errorf("pictures of %d×%d, want at most %d: %w", meta.Size, max(meta.Size, meta.Width), maxFileSize, weights.ErrFormat)
	case c.Size != 0 && (meta.Size != c.Size || meta.Width != 0):
		return fmt.Errorf("the metadata say pictures of %d×%d, and the tensors %d×%d: %w", meta.Size, cmp.Or(meta.Width, meta.Size), c.Size, c.Size, ErrShape)
	default:
		c.Size, c.Width = meta.Size, meta.Width
	}
	return nil
}

// architectureConfig is the configuration of the paper, or of RepVGG, that an architecture of
// timm's or torchvision's is, with the widths of the tensors.
func architectureConfig(meta weights.Meta, layers *netfile.File) (Config, error) {
	letter := weights.Architectures[strings.TrimSuffix(meta.Architecture, "_bn")]
	cfg, err := Lookup(letter)
	if err != nil {
		return cfg, err
	}
	convs, fcs := layers.Widths()
	wrong := func(what string, have, want int) (Config, error) {
		return cfg, fmt.Errorf("%s has %d %s, and the file %d: %w", meta.Architecture, want, what, have, ErrConfig)
	}
	all, pools := cfg.Layers, 0
	cfg.Layers = nil
	for _, l := range all {
		switch {
		case l.Kind == Pool:
			pools++
		case l.Kind == Conv && len(convs) == 0:
			n, _ := layers.Widths()
			return wrong("convolutions", len(n), countKind(all, Conv))
		case l.Kind == Conv:
			l.Out, convs = convs[0], convs[1:]
		case l.Kind == FC && len(fcs) == 0: // saved without its classifier
			continue
		case l.Kind == FC:
			l.Out, fcs = fcs[0], fcs[1:]
		}
		cfg.Layers = append(cfg.Layers, l)
	}
	if len(convs) > 0 {
		return wrong("convolutions", len(convs)+countKind(all, Conv), countKind(all, Conv))
	}
	if len(fcs) > 0 {
		return wrong("fully connected layers", len(fcs)+countKind(all, FC), countKind(all, FC))
	}
	if c := layers.Channels(); c > 0 {
		cfg.Channels = c
	}
	if countKind(all, GlobalPool) == 0 {
		cfg.Size = layers.Size(pools)
	} else {
		cfg.Size = 0 // any
	}
	if err := cfg.takeSize(meta); err != nil {
		return cfg, err
	}
	cfg.Size = cmp.Or(cfg.Size, 224)
	return cfg, nil
}

func countKind(layers []Layer, kind Kind) (n int) {
	for _, l := range layers {
		if l.Kind == kind {
			n++
		}
	}
	return n
}

// present fills in labels and the preparation of pictures.
func (n *Network) present(file weights.Source, meta weights.Meta, layers *netfile.File, opts []Option) error {
	if meta.Preset == "" && layers.Keras() {
		meta.Preset = weights.PresetCaffe
	}
	o := modelOptions{}
	var err error
	if o.picture, err = metaPicture(meta, n.Config); err != nil {
		return fileError(file, err)
	}
	switch {
	case meta.Labels != nil:
		o.labels = meta.Labels
	case n.Config.Classes() == ilsvrcClasses && meta.Config == "":
		o.labels = labels.ILSVRC2012()
	}
	for _, f := range opts {
		f(&o)
	}
	n.Labels, n.Picture = o.labels, o.picture
	return nil
}

// ilsvrcClasses is how many classes the networks of ILSVRC-2012 have. Files of
// others with so many, and nothing said of them, are of those.
const ilsvrcClasses = 1000

// maxFileSize bounds the side of the input that a file may say. Options may say more.
const maxFileSize = 2048

// metaConfig reads the configuration that our own files name, and that of an ONNX
// file's graph. What they do not say comes from the tensors.
func metaConfig(meta weights.Meta, layers *netfile.File) (Config, error) {
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
	if c := layers.Channels(); c > 0 {
		cfg.Channels = c
	}
	pools, global := 0, false
	for _, l := range cfg.Layers {
		if l.Kind == Pool || l.Kind == AvgPool {
			pools++
		}
		global = global || l.Kind == GlobalPool
	}
	if max(meta.Size, meta.Width) > maxFileSize {
		return cfg, fmt.Errorf("the file says pictures of %d×%d, want at most %d: %w", meta.Size, max(meta.Size, meta.Width), maxFileSize, weights.ErrFormat)
	}
	if meta.Size != 0 {
		cfg.Size, cfg.Width = meta.Size, meta.Width
	} else if size := layers.Size(pools); size > 0 && !meta.Unpadded && !global {
		cfg.Size = size
	}
	if meta.Unpadded {
		cfg.Pad = 0
	}
	cfg.HWC = meta.Flatten == weights.FlattenHWC
	if meta.Classes != 0 {
		cfg = cfg.WithClasses(meta.Classes)
	}
	return cfg, nil
}

// knownName returns the letter of the paper's configuration with the same layers
// but for widths and classes, the name of RepVGG's with the same but for classes, or
// "custom".
func knownName(cfg Config) string {
	for _, name := range RepVGGNames() {
		known, err := Lookup(name)
		if err == nil && slices.Equal(known.WithClasses(1).Layers, cfg.WithClasses(1).Layers) {
			return name
		}
	}
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

// metaPicture reads how a file wants its pictures.
func metaPicture(meta weights.Meta, cfg Config) (Picture, error) {
	pic := cfg.DefaultPicture()
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

// Metadata returns the metadata with which Open reads a file of weights without options. Of
// the options, Labels and Pictures count.
func Metadata(cfg Config, opts ...Option) (map[string]string, error) {
	o := modelOptions{picture: cfg.DefaultPicture()}
	for _, f := range opts {
		f(&o)
	}
	about := weights.Meta{Config: cfg.Name, Layers: cfg.LayerString(), Labels: o.labels, Size: cfg.Size, Width: cfg.Width, Unpadded: cfg.Pad == 0}
	if cfg.HWC {
		about.Flatten = weights.FlattenHWC
	}
	for _, l := range cfg.Layers {
		if l.Norm {
			about.Norms = append(about.Norms, l.Name)
		}
	}
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

// Save writes the tensors of src as a safetensors file with everything that Open needs:
// configuration, labels, preparation of pictures. half stores weights in IEEE half
// precision, and biases in float32. path keeps its old content, or does not exist, until the
// new file is complete and on the disk. Of the options, Labels, Pictures, FixedFC and Fixed
// count.
//
// With FixedFC the weights of fully connected layers are stored as gemm.Fixed packs them: a byte
// each, and a float32 for each output. With Fixed the filters of convolutions in fixed point are
// stored transformed as well: 8 bytes for each of their weights. Such a file opens without
// rounding, and gives a model with that option. To what reads it otherwise, it has the rounded
// weights.
func Save(path string, cfg Config, src Source, half bool, opts ...Option) error {
	return SaveContext(context.Background(), path, cfg, src, half, opts...)
}

// SaveContext is Save until ctx ends, which it looks at for each tensor and every 256 KiB that it
// writes. Then it returns an error that wraps ctx's, and path is as it was.
func SaveContext(ctx context.Context, path string, cfg Config, src Source, half bool, opts ...Option) error {
	params, err := cfg.Params()
	if err != nil {
		return err
	}
	meta, err := Metadata(cfg, opts...)
	if err != nil {
		return err
	}
	fixed, err := saveFixed(ctx, cfg, src, meta, opts)
	if err != nil {
		return err
	}
	var out []weights.Out
	for _, p := range params {
		if packed := fixed[p.Name]; packed != nil {
			out = append(out, packed...)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
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
	if err := unchanged(src); err != nil {
		return err
	}
	return weights.WriteFileContext(ctx, path, out, meta)
}

// saveFixed returns the tensors that are stored in whole numbers by the names of the weights, and
// adds to the metadata.
func saveFixed(ctx context.Context, cfg Config, src Source, meta map[string]string, opts []Option) (map[string][]weights.Out, error) {
	var o modelOptions
	for _, f := range opts {
		f(&o)
	}
	if !o.fixedFC && !o.algorithm.fixed {
		return nil, nil
	}
	tensors, text, err := fixedTensors(ctx, cfg, src, &o)
	if text != "" {
		meta[weights.KeyFixed] = text
	}
	return tensors, err
}
