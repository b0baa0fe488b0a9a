package netfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg/weights"
)

// Kind says what a layer with tensors computes.
type Kind uint8

const (
	Conv  Kind = iota // a convolution
	FC                // a fully connected layer
	Scale             // a scale and shift of each channel: batch normalisation, or that alone
)

// tensor is a tensor of a layer, as the file names it.
type tensor struct {
	name  string
	dtype weights.DType
	shape []int
}

// Layer is a layer, as the tensors of a file show it.
type Layer struct {
	Name    string // of its module
	Kind    Kind
	Out, In int
	Kernel  int // of a convolution

	path   []string // components of the name
	group  string   // modules of one group are in the order of at
	style  string   // of the names in the group, without their numbers
	at     []int
	block  bool // at is block and number
	own    bool // a bare name that a configuration's layer may have
	layout layout
	parts  map[part]tensor
	// norm is batch normalisation right behind a Conv or FC, to be folded.
	norm *Layer
	rep  *branches // of a block of RepVGG, to be folded
}

// A File is the layers of a file of tensors.
type File struct {
	src      weights.Source
	features []*Layer // convolutions and their normalisations, in order
	dense    []*Layer // fully connected layers and theirs, in order
	scales   []*Layer // scales and shifts that are no batch normalisation
	ignored  []Ignored
}

// Ignored lists the tensors that do not matter, in the order of their names.
func (f *File) Ignored() []Ignored { return f.ignored }

// Read finds the layers of a file. It reads no data. In a file with several networks it
// takes the tensors whose names begin with key.
func Read(src weights.Source, key string) (*File, error) {
	f := &File{src: src}
	modules, err := f.modules(key)
	if err != nil {
		return nil, err
	}
	var all []*Layer
	var left []string
	known := prefixes(modules)
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := modules[name]
		if m.outside(known) {
			f.ignored = append(f.ignored, Ignored{name, "integers, of no module of a network"})
			continue
		}
		if why := m.classify(src.Format()); why != "" {
			left = append(left, why)
			continue
		}
		all = append(all, m)
	}
	slices.SortFunc(f.ignored, func(a, b Ignored) int { return strings.Compare(a.Name, b.Name) })
	if len(left) > 0 && hasConv(all) {
		return nil, refusef("beside the network, %s", leftover(left))
	}
	if err := f.arrange(all, left); err != nil {
		return nil, err
	}
	return f, nil
}

// prefixes are the beginnings of the names of known modules, up to each dot. A module's own
// name has the value true.
func prefixes(modules map[string]*Layer) map[string]bool {
	set := map[string]bool{}
	for name, m := range modules {
		if _, unknown := m.parts[255]; unknown {
			continue
		}
		set[name] = true
		for at := parent(name); at != ""; at = parent(at) {
			if _, has := set[at]; !has {
				set[at] = false
			}
		}
	}
	return set
}

func parent(name string) string { return name[:max(0, strings.LastIndexAny(name, "./"))] }

// outside reports whether l is one tensor of integers outside of all modules: the state of a
// random generator, a counter.
func (l *Layer) outside(known map[string]bool) bool {
	t, single := l.parts[255]
	if !single || t.dtype.IsFloat() || t.dtype.Size() == 0 {
		return false
	}
	beside := parent(l.Name)
	if _, holds := known[beside]; holds && beside != "" {
		return false
	}
	for at := beside; at != ""; at = parent(at) {
		if known[at] { // of a part of a module
			return false
		}
	}
	return true
}

func leftover(left []string) string {
	const most = 4
	text := strings.Join(left[:min(most, len(left))], "; ")
	if more := len(left) - most; more > 0 {
		text += fmt.Sprintf("; and %d more are not understood", more)
	}
	return text
}

func hasConv(list []*Layer) bool {
	return slices.ContainsFunc(list, func(l *Layer) bool { return l.Kind == Conv })
}

// Checkpoints of VGG-19 with their optimizer have some hundred tensors.
const (
	maxTensors = 1 << 15
	maxName    = 1 << 10 // bytes
)

// modules collects the tensors of a file by their modules. It sets aside tensors that do not
// matter or are outside of key.
func (f *File) modules(key string) (map[string]*Layer, error) {
	modules := map[string]*Layer{}
	inside := 0
	names := f.src.Names()
	if len(names) > maxTensors {
		return nil, refusef("the file has %d tensors, want at most %d", len(names), maxTensors)
	}
	for _, name := range names {
		if len(name) > maxName {
			return nil, refusef("the name %s has %d bytes, want at most %d", Quote(name), len(name), maxName)
		}
		dtype, shape, err := f.src.Info(name)
		if err != nil {
			return nil, err
		}
		rest, ok := cutKey(name, key)
		if !ok {
			f.ignored = append(f.ignored, Ignored{name, "outside of the chosen key"})
			continue
		}
		inside++
		if why := whyIgnored(rest, dtype, shape); why != "" {
			f.ignored = append(f.ignored, Ignored{name, why})
			continue
		}
		module, p, l, ok := ending(name)
		if !ok {
			module, p = name, part(255) // of no layer that is known
		}
		m := modules[module]
		if m == nil {
			m = &Layer{Name: module, layout: l, parts: map[part]tensor{}}
			m.path = components(module[min(len(module), len(name)-len(rest)):], l)
			modules[module] = m
		}
		if l != outIn {
			m.layout = l
		}
		if other, twice := m.parts[p]; twice {
			return nil, refusef("tensors %s and %s are of one layer", Quote(other.name), Quote(name))
		}
		m.parts[p] = tensor{name, dtype, shape}
	}
	if inside == 0 && key != "" {
		return nil, refusef("no tensor has a name that begins with %s; the first names are %s", Quote(key), list(f.src.Names()))
	}
	return modules, nil
}

// cutKey removes a key and the dot after it from the beginning of a name.
func cutKey(name, key string) (string, bool) {
	if key == "" {
		return name, true
	}
	rest, ok := strings.CutPrefix(name, strings.TrimRight(key, "./"))
	if !ok || rest == "" || rest[0] != '.' && rest[0] != '/' {
		return name, false
	}
	return rest[1:], true
}

// names lists the tensors of a layer.
func (l *Layer) names() []string {
	var names []string
	for _, p := range slices.Sorted(maps.Keys(l.parts)) {
		names = append(names, l.parts[p].name)
	}
	return names
}

// shape returns the shape of the weights, whatever they are computed from.
func (l *Layer) shape() []int {
	for _, p := range []part{weight, weightOrig, weightV} {
		if t, ok := l.parts[p]; ok {
			return t.shape
		}
	}
	return nil
}

// main returns the name of the tensor that errors about the layer name.
func (l *Layer) main() string {
	for _, p := range []part{weight, weightOrig, weightV} {
		if t, ok := l.parts[p]; ok {
			return t.name
		}
	}
	return l.Name
}

// recipes are the sets of parts that make weights, apart from bias parts.
var recipes = [][]part{{weight}, {weightOrig, weightMask}, {weightOrig, weightU, weightV}, {weightG, weightV}}

// classify says what kind of layer the tensors of a module make. It returns why, if they
// make none.
func (l *Layer) classify(format string) string {
	if l.layout == keras && (format == "ONNX" || len(l.path) > 0 && l.path[0] == "classifier") {
		l.layout = inOut
	}
	if t, unknown := l.parts[255]; unknown {
		return fmt.Sprintf("%s (%s %v) is not understood", Quote(t.name), t.dtype, t.shape)
	}
	for _, t := range l.parts {
		if !t.dtype.IsFloat() {
			return fmt.Sprintf("%s has elements of type %s, want floating point", Quote(t.name), Quote(string(t.dtype)))
		}
	}
	_, mean := l.parts[runningMean]
	_, variance := l.parts[runningVar]
	if mean || variance {
		return l.classifyNorm()
	}
	var have []part
	for _, p := range []part{weight, weightOrig, weightMask, weightG, weightU, weightV} {
		if _, ok := l.parts[p]; ok {
			have = append(have, p)
		}
	}
	known := slices.ContainsFunc(recipes, func(r []part) bool {
		return len(r) == len(have) && !slices.ContainsFunc(r, func(p part) bool { return !slices.Contains(have, p) })
	})
	if len(have) == 0 {
		return fmt.Sprintf("there are no weights for %s", list(l.names()))
	}
	if !known {
		return fmt.Sprintf("%s make no weights of a layer", list(l.names()))
	}
	_, orig := l.parts[biasOrig]
	_, mask := l.parts[biasMask]
	if _, plain := l.parts[bias]; orig != mask || orig && plain {
		return fmt.Sprintf("%s make no bias of a layer", list(l.names()))
	}
	return l.classifyWeights()
}

func (l *Layer) classifyNorm() string {
	n := -1
	for p, t := range l.parts {
		if p > runningVar || len(t.shape) != 1 || n >= 0 && t.shape[0] != n {
			return fmt.Sprintf("%s has shape %v and makes no batch normalisation with the others of %s", Quote(t.name), t.shape, Quote(l.Name))
		}
		n = t.shape[0]
	}
	_, mean := l.parts[runningMean]
	_, variance := l.parts[runningVar]
	_, gamma := l.parts[weight]
	_, beta := l.parts[bias]
	if !mean || !variance || gamma != beta {
		return fmt.Sprintf("%s are not all tensors of a batch normalisation", list(l.names()))
	}
	l.Kind, l.In, l.Out = Scale, n, n
	return ""
}

// fcNames are fully connected layers that some files keep as convolutions.
var fcNames = regexp.MustCompile(`(?:^|\.)(?:fc_?[1-9][0-9]?|pre_logits\.fc[12]|head\.fc)$`)

func (l *Layer) classifyWeights() string {
	s := l.shape()
	switch {
	case len(s) == 4 && l.layout == keras:
		l.Kind, l.Out, l.In, l.Kernel = Conv, s[3], s[2], s[0]
		s = []int{s[3], s[2], s[0], s[1]}
	case len(s) == 4 && fcNames.MatchString(strings.Join(l.path, ".")):
		if s[2] != s[3] || s[1]*s[2]*s[3] < 1 || s[1] > 1<<24 || s[2] > 1<<10 {
			return fmt.Sprintf("%s has shape %v, want a square kernel", Quote(l.main()), s)
		}
		l.Kind, l.Out, l.In = FC, s[0], s[1]*s[2]*s[3]
	case len(s) == 4:
		l.Kind, l.Out, l.In, l.Kernel = Conv, s[0], s[1], s[2]
	case len(s) == 2 && l.layout != outIn:
		l.Kind, l.Out, l.In = FC, s[1], s[0]
	case len(s) == 2:
		l.Kind, l.Out, l.In = FC, s[0], s[1]
	case len(s) == 1 && len(l.parts) == 2 && len(l.parts[bias].shape) == 1 && l.parts[bias].shape[0] == s[0] && l.layout == outIn:
		l.Kind, l.Out, l.In, l.own = Scale, s[0], s[0], true
		return ""
	default:
		return fmt.Sprintf("%s has shape %v, want 4 dimensions for a convolution or 2 for a fully connected layer", Quote(l.main()), s)
	}
	if l.Kind == Conv && (s[2] != s[3] || s[2] != 1 && s[2] != 3) {
		return fmt.Sprintf("%s has shape %v, a convolution of %d×%d, want 3×3 or 1×1", Quote(l.main()), s, s[2], s[3])
	}
	if l.Out < 1 || l.In < 1 {
		return fmt.Sprintf("%s has shape %v", Quote(l.main()), l.shape())
	}
	for _, p := range []part{bias, biasOrig, biasMask} {
		if t, ok := l.parts[p]; ok && (len(t.shape) != 1 || t.shape[0] != l.Out) {
			return fmt.Sprintf("%s has shape %v, want [%d]", Quote(t.name), t.shape, l.Out)
		}
	}
	return ""
}

// hasBias reports whether a layer has a bias of its own.
func (l *Layer) hasBias() bool {
	_, plain := l.parts[bias]
	_, pruned := l.parts[biasOrig]
	return plain || pruned
}

// The last components of a layer's name tell its place: numbers, and words for a part of a
// block. The components before them name the group.
var (
	blockNames = regexp.MustCompile(`^(?:conv|block)_?([1-9])_?(?:_conv)?([1-9][0-9]?)$`)
	normNames  = regexp.MustCompile(`^(?:bn|norm|conv)_?([1-9])_([1-9][0-9]?)(?:_?(?:bn|norm))?$`)
	numbered   = regexp.MustCompile(`^([a-z][a-z_]*?)_?([0-9]{1,3})$`)
	number     = regexp.MustCompile(`^[0-9]{1,4}$`)
	parts      = map[string]int{"conv": 0, "conv2d": 0, "bn": 1, "norm": 1, "batchnorm": 1}
)

// place reads a layer's group and its place in it from its name.
func (l *Layer) place() {
	if l.style == "repvgg" {
		return
	}
	n := len(l.path)
	last := ""
	if n > 0 {
		last = l.path[n-1]
	}
	pattern := blockNames
	if l.Kind == Scale {
		pattern = normNames
	}
	if last == "conv0" {
		l.at, l.block, l.style, l.group = []int{0, 0}, true, "conv_", strings.Join(l.path[:n-1], ".")
		return
	}
	if m := pattern.FindStringSubmatch(last); m != nil && l.Kind != FC {
		l.at, l.block, l.style = []int{atoi(m[1]), atoi(m[2])}, true, "conv_"
		l.group = strings.Join(l.path[:n-1], ".")
		return
	}
	var at []int
	var style []string
	i := n
	for ; i > 0; i-- {
		p := l.path[i-1]
		if number.MatchString(p) {
			at, style = append(at, atoi(p)), append(style, "N")
			continue
		}
		if v, ok := parts[p]; ok && i == n && n > 1 {
			at, style = append(at, v), append(style, "part")
			continue
		}
		if m := numbered.FindStringSubmatch(p); m != nil && (len(at) == 0 || at != nil && stages[m[1]] && style[len(style)-1] == "N") {
			at, style = append(at, atoi(m[2])), append(style, m[1])
			i--
		} else if len(at) == 0 && l.Kind == FC {
			i-- // a name alone
			style = append(style, p)
		}
		break
	}
	slices.Reverse(at)
	slices.Reverse(style)
	l.at, l.style = at, strings.Join(style, ".")
	l.group = strings.Join(l.path[:i], ".")
	if len(style) > 0 && style[0] != "N" {
		l.group = strings.TrimPrefix(l.group+"."+style[0], ".")
	}
}

// stages are words whose number, before that of a module, is the number of a part of
// the network.
var stages = map[string]bool{"slice": true, "stage": true, "block": true, "layer": true, "group": true, "features": true, "conv": true, "relu": true}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
