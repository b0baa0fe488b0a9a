package vgg

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
)

// ErrConfig is wrapped by errors about the description of a network.
var ErrConfig = errors.New("bad network configuration")

// Kind says what a layer computes.
type Kind uint8

const (
	Conv       Kind = iota // 3×3 convolution, stride 1 or 2, or 1×1
	LRN                    // local response normalisation over 5 channels
	Pool                   // 2×2 maximum, stride 2
	FC                     // fully connected
	AvgPool                // 2×2 mean, stride 2
	GlobalPool             // mean of each channel
	Scale                  // y = weight[c]·x + bias[c]: batch normalisation that no layer before can take over
)

var kindNames = [...]string{"conv", "lrn", "pool", "fc", "avgpool", "globalpool", "scale"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Layer is one layer of a network.
type Layer struct {
	Kind   Kind
	Name   string // the paper's: conv3_2, lrn1, pool5, fc6; and gap, scale1
	Kernel int    // Conv: 3 or 1
	Stride int    `json:",omitempty"` // Conv of 3×3: 1 or 2; 0 is 1
	Out    int    // Conv: output channels; FC: outputs
	ReLU   bool   // Conv, FC, Scale: followed by max(x, 0)
	Norm   bool   `json:",omitempty"` // Conv, FC: a batch normalisation behind it was folded into it, which changes nothing but the names that others give to layers
}

// side returns how many rows or columns a 3×3 convolution makes of n. It returns 0 or less
// if there are fewer than 3 with the padding.
func (l Layer) side(n, pad int) int {
	if n += 2*pad - 2; l.Stride == 2 {
		return (n + 1) >> 1
	}
	return n
}

// weighted reports whether the layer has a weight and a bias.
func (l Layer) weighted() bool { return l.Kind == Conv || l.Kind == FC || l.Kind == Scale }

// Config describes a network of VGG's shape: a stack of convolutions and pools, and then
// fully connected layers. A Config is a value; its methods return changed copies.
type Config struct {
	Name     string // "A" … "E" for the paper's, else free
	Channels int    // of the input: 3
	Size     int    // side, or height, of the input pictures that the FC layers fit: 224
	Width    int    `json:",omitempty"` // of the input pictures; 0: as Size
	Pad      int    // zero padding of the 3×3 convolutions: 1, or 0 for none
	HWC      bool   `json:",omitempty"` // the columns of the first FC layer are the last activation in HWC order, not CHW
	Layers   []Layer
}

// The configurations of Simonyan & Zisserman (ICLR 2015), table 1, in the
// notation of ParseLayers.
var configs = []struct{ name, layers string }{
	{"A", "64 M 128 M 256 256 M 512 512 M 512 512 M F4096 F4096 F1000"},
	{"A-LRN", "64 N M 128 M 256 256 M 512 512 M 512 512 M F4096 F4096 F1000"},
	{"B", "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M F4096 F4096 F1000"},
	{"C", "64 64 M 128 128 M 256 256 256/1 M 512 512 512/1 M 512 512 512/1 M F4096 F4096 F1000"},
	{"D", "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M F4096 F4096 F1000"},
	{"E", "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M F4096 F4096 F1000"},
}

// Names lists the paper's configurations: A, A-LRN, B, C, D, E.
func Names() []string {
	var names []string
	for _, c := range configs {
		names = append(names, c.name)
	}
	return names
}

// Lookup returns a configuration by name: a letter of the paper; vgg11, vgg13, vgg16 and
// vgg19, the common names of A, B, D and E; or one of RepVGGNames, which may be written like
// timm's repvgg_a0. Its error wraps ErrConfig.
func Lookup(name string) (Config, error) {
	if cfg, ok, err := lookupRepVGG(name); ok {
		return cfg, err
	}
	letter := strings.ToUpper(name)
	if alias, ok := map[string]string{"VGG11": "A", "VGG13": "B", "VGG16": "D", "VGG19": "E"}[letter]; ok {
		letter = alias
	}
	for _, c := range configs {
		if c.name != letter {
			continue
		}
		layers, err := ParseLayers(c.layers)
		return Config{Name: c.name, Channels: 3, Size: 224, Pad: 1, Layers: layers}, err
	}
	return Config{}, fmt.Errorf("vgg: configuration %q: want one of %s: %w", name, strings.Join(append(Names(), RepVGGNames()...), ", "), ErrConfig)
}

// ParseLayers reads a network from a line of words, one a layer:
//
//	64      3×3 convolution to 64 channels, with ReLU
//	256/1   1×1 convolution
//	64/2    3×3 convolution with stride 2
//	M       2×2 maximum pool
//	A       2×2 mean, stride 2
//	G       global average pool: the mean of each channel
//	N       local response normalisation
//	S       scale and shift of each channel, without ReLU: batch normalisation
//	S+      the same with ReLU
//	F4096   fully connected layer with ReLU
//	=3/1    a leading = leaves the ReLU of a convolution or an F out
//
// The last F has no ReLU, with or without =, even if an S follows: it gives the logits. F10+
// is a last F with ReLU. Only F and S may follow an F.
//
// Layers are named as in the paper: conv3_2 is the second convolution after the second pool
// (M, A or G). The numbers of fully connected layers continue those of the blocks: after
// five blocks the first is fc6. A convolution with stride 2 begins a block. A 1×1 convolution
// without ReLU at the very start is conv0. G is gap, and the S are scale1, scale2, … in
// order.
func ParseLayers(s string) ([]Layer, error) {
	words := strings.Fields(s)
	p := layerParser{block: 1}
	for i, word := range words {
		l, err := p.layer(word)
		if err != nil {
			return nil, fmt.Errorf("vgg: layer %d %q: %v: %w", i+1, word, err, ErrConfig)
		}
		p.layers = append(p.layers, l)
	}
	if len(p.layers) == 0 {
		return nil, fmt.Errorf("vgg: no layers: %w", ErrConfig)
	}
	if i := (Config{Layers: p.layers}).lastFC(); i >= 0 {
		p.layers[i].ReLU = strings.HasSuffix(words[i], "+")
	}
	return p.layers, nil
}

// layerParser counts layers for their names.
type layerParser struct {
	layers                 []Layer
	block, conv, fc, scale int
	global                 bool
}

// layer reads the next word.
func (p *layerParser) layer(word string) (Layer, error) {
	spec, linear := strings.CutPrefix(word, "=")
	first, _ := utf8.DecodeRuneInString(spec)
	if p.fc > 0 && first != 'F' && first != 'S' {
		return Layer{}, errors.New("only fully connected layers and scales may follow a fully connected one")
	}
	if linear && strings.ContainsRune("MAGNS", first) {
		return Layer{}, errors.New("= leaves out the ReLU of a convolution or fully connected layer, and no other has one")
	}
	switch {
	case spec == "M", spec == "A":
		l := Layer{Kind: Pool, Name: fmt.Sprintf("pool%d", p.block)}
		if spec == "A" {
			l.Kind = AvgPool
		}
		p.block, p.conv = p.block+1, 0
		return l, nil
	case spec == "G":
		if p.global {
			return Layer{}, errors.New("there is a global pool before")
		}
		p.global = true
		if p.conv > 0 {
			p.block, p.conv = p.block+1, 0
		}
		return Layer{Kind: GlobalPool, Name: "gap"}, nil
	case spec == "N":
		return Layer{Kind: LRN, Name: fmt.Sprintf("lrn%d", p.block)}, nil
	case spec == "S", spec == "S+":
		p.scale++
		return Layer{Kind: Scale, Name: fmt.Sprintf("scale%d", p.scale), ReLU: spec == "S+"}, nil
	case first == 'F':
		return p.connected(spec[1:], linear)
	}
	return p.convolution(spec, linear)
}

// connected reads what follows an F.
func (p *layerParser) connected(spec string, linear bool) (Layer, error) {
	outputs, relu := strings.CutSuffix(spec, "+")
	n, err := strconv.Atoi(outputs)
	if err != nil || n < 1 || n > maxWidth || relu && linear {
		return Layer{}, errors.New("want F and the number of outputs")
	}
	if p.conv > 0 && p.fc == 0 {
		p.block++ // the last block has no pool
	}
	l := Layer{Kind: FC, Name: fmt.Sprintf("fc%d", p.block+p.fc), Out: n, ReLU: !linear}
	p.fc++
	return l, nil
}

// convolution reads a number of channels and perhaps a kernel.
func (p *layerParser) convolution(spec string, linear bool) (Layer, error) {
	width, kernel, found := strings.Cut(spec, "/")
	n, err := strconv.Atoi(width)
	if err != nil || n < 1 || n > maxWidth {
		return Layer{}, errors.New("want a number of channels")
	}
	l := Layer{Kind: Conv, Kernel: 3, Out: n, ReLU: !linear}
	if found {
		switch kernel {
		case "1":
			l.Kernel = 1
		case "2":
			l.Stride = 2
		case "3":
		default:
			return Layer{}, errors.New("the kernel is 3 or 1, or /2 is the stride of one of 3×3")
		}
	}
	if len(p.layers) == 0 && l.Kernel == 1 && linear {
		l.Name = "conv0"
		return l, nil
	}
	if l.Stride == 2 && p.conv > 0 {
		p.block, p.conv = p.block+1, 0
	}
	p.conv++
	l.Name = fmt.Sprintf("conv%d_%d", p.block, p.conv)
	return l, nil
}

// lastIndex returns the index of the last element that f accepts, or −1.
func lastIndex[T any](list []T, f func(T) bool) int {
	for i := len(list) - 1; i >= 0; i-- {
		if f(list[i]) {
			return i
		}
	}
	return -1
}

// lastFC returns the index of the last fully connected layer, which gives the logits, or −1.
func (c Config) lastFC() int {
	return lastIndex(c.Layers, func(l Layer) bool { return l.Kind == FC })
}

// firstFC returns the index of the first fully connected layer, or the number of layers.
func (c Config) firstFC() int {
	if i := slices.IndexFunc(c.Layers, func(l Layer) bool { return l.Kind == FC }); i >= 0 {
		return i
	}
	return len(c.Layers)
}

// maxWidth bounds the channels and outputs of a layer that a file may ask for.
const maxWidth = 1 << 20

// LayerString is the inverse of ParseLayers.
func (c Config) LayerString() string {
	words := make([]string, len(c.Layers))
	last := c.lastFC()
	for i, l := range c.Layers {
		words[i] = l.word(i == last)
	}
	return strings.Join(words, " ")
}

// word returns the word of a layer; last says that it is the last fully connected one.
func (l Layer) word(last bool) string {
	linear, relu := "", ""
	switch {
	case last && l.ReLU, l.Kind == Scale && l.ReLU:
		relu = "+"
	case !last && !l.ReLU:
		linear = "="
	}
	switch l.Kind {
	case Pool:
		return "M"
	case AvgPool:
		return "A"
	case GlobalPool:
		return "G"
	case LRN:
		return "N"
	case Scale:
		return "S" + relu
	case FC:
		return linear + "F" + strconv.Itoa(l.Out) + relu
	}
	switch {
	case l.Kernel == 1:
		return linear + strconv.Itoa(l.Out) + "/1"
	case l.Stride == 2:
		return linear + strconv.Itoa(l.Out) + "/2"
	}
	return linear + strconv.Itoa(l.Out)
}

// Divide returns c with 1/div of the channels and of the fully connected outputs,
// except those of the layer that gives the classes: small networks of the same
// shape, for tests.
func (c Config) Divide(div int) Config {
	c.Layers = slices.Clone(c.Layers)
	head := c.head()
	for i := range c.Layers {
		if i != head {
			c.Layers[i].Out = max(c.Layers[i].Out/div, min(c.Layers[i].Out, 1))
		}
	}
	return c
}

// head returns the index of the layer whose outputs are the classes, or -1: see
// Classes.
func (c Config) head() int {
	skip := func(i int) int {
		for i >= 0 && c.Layers[i].Kind == Scale {
			i--
		}
		return i
	}
	i := skip(len(c.Layers) - 1)
	if i >= 0 && c.Layers[i].Kind == GlobalPool {
		if i = skip(i - 1); i >= 0 && c.Layers[i].Kind == Conv && c.Layers[i].Kernel == 1 {
			return i
		}
		return -1
	}
	if i >= 0 && c.Layers[i].Kind == FC {
		return i
	}
	return -1
}

// WithClasses returns c with n outputs of the last fully connected layer.
func (c Config) WithClasses(n int) Config {
	if i := c.head(); i >= 0 {
		c.Layers = slices.Clone(c.Layers)
		c.Layers[i].Out = n
	}
	return c
}

// WithSize returns c for pictures of size×size.
func (c Config) WithSize(size int) Config { return c.WithInput(size, size) }

// WithInput returns c for pictures of h×w.
func (c Config) WithInput(h, w int) Config {
	c.Size, c.Width = h, w
	if w == h {
		c.Width = 0
	}
	return c
}

// Input returns the height and width of the pictures.
func (c Config) Input() (h, w int) {
	if c.Width == 0 {
		return c.Size, c.Size
	}
	return c.Size, c.Width
}

// nominal returns the shape of a picture and those after each layer.
func (c Config) nominal() (in Shape, shapes []Shape, err error) {
	h, w := c.Input()
	shapes, err = c.Shapes(h, w)
	return Shape{c.Channels, h, w}, shapes, err
}

// Classes returns the number of outputs of a network that ends with a fully connected layer,
// or with a 1×1 convolution and a global pool as in Network in Network (Lin, Chen & Yan
// 2013). Scales may follow either. Other networks have 0, because their last activation is
// no vector of classes.
func (c Config) Classes() int {
	if i := c.head(); i >= 0 {
		return c.Layers[i].Out
	}
	return 0
}

// Shape is the size of one picture's activations: channels, height, width. A
// fully connected layer's outputs are C×1×1.
type Shape struct{ C, H, W int }

// Len returns C·H·W.
func (s Shape) Len() int { return s.C * s.H * s.W }

func (s Shape) String() string { return fmt.Sprintf("%d×%d×%d", s.C, s.H, s.W) }

// Shapes returns the shape after each layer for an h×w input. It returns an error that wraps
// ErrShape if a layer would have no output, or if no memory holds an activation.
func (c Config) Shapes(h, w int) ([]Shape, error) {
	if h < 1 || w < 1 || h > maxSide || w > maxSide {
		return nil, fmt.Errorf("vgg: input of %d×%d, want sides of 1 to %d: %w", h, w, maxSide, ErrShape)
	}
	s := Shape{c.Channels, h, w}
	shapes := make([]Shape, len(c.Layers))
	for i, l := range c.Layers {
		in := s
		switch l.Kind {
		case Conv:
			s.C = l.Out
			if l.Kernel == 3 {
				s.H, s.W = l.side(s.H, c.Pad), l.side(s.W, c.Pad)
			}
		case Pool, AvgPool:
			s.H, s.W = s.H/2, s.W/2
		case GlobalPool:
			s.H, s.W = 1, 1
		case FC:
			s = Shape{l.Out, 1, 1}
		}
		if s.H < 1 || s.W < 1 {
			return nil, fmt.Errorf("vgg: %s: nothing is left of %v for an input of %d×%d: %w", l.Name, in, h, w, ErrShape)
		}
		if layout.Len(s.C, s.H, s.W) == shape.TooMany || l.Kind == Conv && !shape.Fits(s.C, in.C, l.Kernel, l.Kernel) || l.Kind == FC && !shape.Fits(s.C, in.C, in.H, in.W) {
			return nil, shape.Errorf("vgg: %s: no memory holds its weights or its %v of %v", l.Name, s, in)
		}
		shapes[i] = s
	}
	return shapes, nil
}

// maxSide bounds the side of an input: the activations of 1 << 15 squared fit no machine
// today.
const maxSide = 1 << 15

// Validate checks that c can be computed. Its errors wrap ErrConfig or ErrShape.
func (c Config) Validate() error {
	if c.Channels < 1 || c.Channels > maxWidth || c.Pad < 0 || c.Pad > 1 {
		return fmt.Errorf("vgg: %d input channels and padding %d, want at least 1 channel and padding 0 or 1: %w", c.Channels, c.Pad, ErrConfig)
	}
	if c.Width < 0 {
		return fmt.Errorf("vgg: input width of %d: %w", c.Width, ErrConfig)
	}
	if len(c.Layers) == 0 {
		return fmt.Errorf("vgg: no layers: %w", ErrConfig)
	}
	seen, connected := map[string]bool{}, false
	for i, l := range c.Layers {
		switch {
		case l.Name == "" || seen[l.Name]:
			return fmt.Errorf("vgg: layer %d has the name %q of another: %w", i+1, l.Name, ErrConfig)
		case l.Kind > Scale, l.Kind == Conv && l.Kernel != 1 && l.Kernel != 3:
			return fmt.Errorf("vgg: %s: unknown kind of layer: %w", l.Name, ErrConfig)
		case l.Stride < 0 || l.Stride > 2 || l.Stride == 2 && (l.Kind != Conv || l.Kernel != 3):
			return fmt.Errorf("vgg: %s: stride %d, want 1, or 2 for a 3×3 convolution: %w", l.Name, l.Stride, ErrConfig)
		case (l.Kind == Conv || l.Kind == FC) && (l.Out < 1 || l.Out > maxWidth):
			return fmt.Errorf("vgg: %s: %d outputs: %w", l.Name, l.Out, ErrConfig)
		case connected && l.Kind != FC && l.Kind != Scale:
			return fmt.Errorf("vgg: %s stands after a fully connected layer: %w", l.Name, ErrConfig)
		}
		connected = connected || l.Kind == FC
		seen[l.Name] = true
	}
	_, _, err := c.nominal()
	return err
}

// Param is a weight or bias tensor of a layer.
type Param struct {
	Name  string // conv1_1.weight, fc8.bias
	Shape []int  // OIHW, out×in, or out
	FanIn int    // inputs that each output sums over
}

// Len returns the number of elements.
func (p Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Params lists the network's tensors in the order of computation: weight, bias, weight,
// bias, … The columns of the first fully connected layer are the last activation in CHW
// order, or in HWC order if c says so. A scale has one weight and one bias for each channel.
func (c Config) Params() ([]Param, error) {
	in, shapes, err := c.nominal()
	if err != nil {
		return nil, err
	}
	var ps []Param
	for i, l := range c.Layers {
		var weight []int
		switch l.Kind {
		case Conv:
			weight = []int{l.Out, in.C, l.Kernel, l.Kernel}
		case FC:
			weight = []int{l.Out, in.Len()}
		case Scale:
			weight = []int{in.C}
		}
		if weight != nil {
			fan := Param{Shape: weight[1:]}.Len()
			ps = append(ps, Param{l.Name + ".weight", weight, fan}, Param{l.Name + ".bias", weight[:1], fan})
		}
		in = shapes[i]
	}
	return ps, nil
}
