package netfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// role is the role of a module of a RepVGG block. In training a block adds a 3×3
// convolution, a 1×1 convolution and, if the size does not change, the input itself, each
// with its batch normalisation. For inference it is one 3×3 convolution.
type role uint8

const (
	plain role = iota // the one convolution
	dense             // the 3×3 convolution
	denseNorm
	point // the 1×1 convolution
	pointNorm
	identity // the input's batch normalisation
	roles
)

// repModules are the modules of a block, by its authors' names and by timm's, after the
// block's own name.
var repModules = []struct {
	text string
	role role
}{
	{"rbr_reparam", plain},
	{"rbr_dense.conv", dense},
	{"rbr_dense.bn", denseNorm},
	{"rbr_1x1.conv", point},
	{"rbr_1x1.bn", pointNorm},
	{"rbr_identity", identity},
	{"reparam_conv", plain},
	{"conv_kxk.conv", dense},
	{"conv_kxk.bn", denseNorm},
	{"conv_1x1.conv", point},
	{"conv_1x1.bn", pointNorm},
	{"identity", identity},
}

// repBlocks are the names of blocks: stage0 and stage1.0, or stem and stages.0.0.
var repBlocks = []struct {
	name  *regexp.Regexp
	first int // the number of the first stage behind the stem
}{
	{regexp.MustCompile(`^(?:(.*)\.)?stage([1-9])\.([0-9]{1,2})$`), 0},
	{regexp.MustCompile(`^(?:(.*)\.)?stages\.([0-9])\.([0-9]{1,2})$`), 1},
	{regexp.MustCompile(`^(?:(.*)\.)?(?:stage0|stem)()$`), 0},
}

// branches are the modules of a block in training.
type branches [roles]*Layer

// blockRole splits the name of a module of a RepVGG block into its network, its stage and
// block, and its role.
func (l *Layer) blockRole() (group string, at []int, r role, ok bool) {
	name := strings.Join(l.path, ".")
	for _, m := range repModules {
		block, is := strings.CutSuffix(name, "."+m.text)
		if !is {
			continue
		}
		for _, b := range repBlocks {
			if n := b.name.FindStringSubmatch(block); n != nil {
				at := []int{0, 0}
				if n[2] != "" {
					at = []int{atoi(n[2]) + b.first, atoi(n[3])}
				}
				return n[1], at, m.role, true
			}
		}
	}
	return "", nil, 0, false
}

// mergeBranches puts a layer in the place of the modules of each RepVGG block.
func mergeBranches(all []*Layer) ([]*Layer, error) {
	var out []*Layer
	blocks := map[string]*branches{}
	for _, l := range all {
		group, at, r, ok := l.blockRole()
		if !ok {
			out = append(out, l)
			continue
		}
		key := fmt.Sprint(group, at)
		b := blocks[key]
		if b == nil {
			b = &branches{}
			blocks[key] = b
			out = append(out, &Layer{Kind: Conv, group: strings.TrimPrefix(group+".repvgg", "."), style: "repvgg", at: at, rep: b})
		}
		if b[r] != nil {
			return nil, refusef("tensors %s and %s are of one layer", Quote(b[r].main()), Quote(l.main()))
		}
		b[r] = l
	}
	for _, l := range out {
		if l.rep != nil {
			if err := l.merge(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// merge completes the layer of a block from its modules.
func (l *Layer) merge() error {
	b := l.rep
	if p := b[plain]; p != nil {
		for _, other := range b[plain+1:] {
			if other != nil {
				return refusef("%s is of a block for inference, and %s of one for training", Quote(p.Name), Quote(other.Name))
			}
		}
		if p.Kind != Conv || p.Kernel != 3 {
			return refusef("%s has shape %v, want a convolution of 3×3", Quote(p.main()), p.shape())
		}
		l.Name, l.path, l.layout, l.parts, l.Out, l.In, l.Kernel, l.rep = p.Name, p.path, p.layout, p.parts, p.Out, p.In, 3, nil
		return nil
	}
	for _, r := range []role{dense, denseNorm, point, pointNorm} {
		if b[r] == nil {
			return refusef("the block of %s lacks its %s", list(b.names()), roleNames[r])
		}
	}
	l.Name, l.path, l.layout, l.parts = b[dense].Name, b[dense].path, b[dense].layout, b[dense].parts
	l.Out, l.In, l.Kernel = b[dense].Out, b[dense].In, 3
	for r, side := range map[role]int{dense: 3, point: 1} {
		if m := b[r]; m.Kind != Conv || m.Kernel != side || m.layout != outIn || m.Out != l.Out || m.In != l.In {
			return refusef("%s has shape %v, want [%d %d %d %d]", Quote(m.main()), m.shape(), l.Out, l.In, side, side)
		}
	}
	for _, r := range []role{denseNorm, pointNorm, identity} {
		m := b[r]
		if r == identity && m == nil {
			continue
		}
		if m.Kind != Scale || m.own || m.Out != l.Out {
			return refusef("%s is no batch normalisation of %d channels", list(m.names()), l.Out)
		}
	}
	if b[identity] != nil && l.In != l.Out {
		return refusef("%s adds the input of %d channels to %d", Quote(b[identity].Name), l.In, l.Out)
	}
	return nil
}

var roleNames = [roles]string{dense: "3×3 convolution", denseNorm: "batch normalisation of the 3×3 convolution", point: "1×1 convolution", pointNorm: "batch normalisation of the 1×1 convolution"}

// names lists the modules that a block has.
func (b *branches) names() (names []string) {
	for _, l := range b {
		if l != nil {
			names = append(names, l.Name)
		}
	}
	return names
}

// isRepVGG reports whether the convolutions are RepVGG's blocks.
func (f *File) isRepVGG() bool { return len(f.features) > 0 && f.features[0].style == "repvgg" }

// repVGG returns the network of RepVGG's blocks. Each stage begins with stride 2, and the
// one fully connected layer takes the mean of all pixels. The identities must agree with the
// strides.
func (f *File) repVGG() (Network, string) {
	var words []string
	stage, next := -1, 0
	for _, l := range f.features {
		if l.style != "repvgg" {
			return Network{}, fmt.Sprintf("%s is no block of RepVGG, and the others are", Quote(l.Name))
		}
		switch {
		case l.at[0] == stage+1:
			stage, next = l.at[0], 0
			words = append(words, l.word()+"/2")
		case l.at[0] == stage:
			words = append(words, l.word())
		}
		if l.at[0] != stage || l.at[1] != next {
			return Network{}, fmt.Sprintf("the block before that of %s is missing", Quote(l.Name))
		}
		if l.rep != nil && (l.rep[identity] != nil) != (next > 0 && l.In == l.Out) {
			return Network{}, fmt.Sprintf("the identities of the blocks show other strides than RepVGG's at %s", Quote(l.Name))
		}
		next++
	}
	if len(f.dense) != 1 || f.dense[0].In != f.last().Out {
		return Network{}, "RepVGG has one fully connected layer behind the mean of all pixels"
	}
	words = append(words, "G", f.dense[0].word())
	return Network{Layers: strings.Join(words, " "), Channels: f.features[0].In, Size: repVGGSize}, ""
}

// repVGGSize is the side of RepVGG's training pictures. Other sides work too.
const repVGGSize = 224

// checkGroups refuses grouped convolutions by name.
func (f *File) checkGroups() error {
	for i, l := range f.features {
		have := f.features[max(i-1, 0)].Out
		if i > 0 && l.style == "repvgg" && l.In < have && have%l.In == 0 {
			return refusef("tensor %s has shape %v: a convolution of %d groups, and here all have one", Quote(l.main()), l.shape(), have/l.In)
		}
	}
	return nil
}

// repFilter is a block as one convolution, in float64.
type repFilter struct{ weight, bias []float64 }

// fold adds up the branches of a block, each with its batch normalisation, in float64.
func (t *Tensors) fold(layer string, l *Layer) (*repFilter, error) {
	if f := t.folded[layer]; f != nil {
		delete(t.folded, layer) // both halves were asked for
		return f, nil
	}
	f := &repFilter{make([]float64, 9*l.Out*l.In), make([]float64, l.Out)}
	if err := t.addBranch(f, l, l.rep[dense], l.rep[denseNorm]); err != nil {
		return nil, err
	}
	if err := t.addBranch(f, l, l.rep[point], l.rep[pointNorm]); err != nil {
		return nil, err
	}
	if id := l.rep[identity]; id != nil {
		a, err := t.readAffine(id)
		if err != nil {
			return nil, err
		}
		for k := range l.Out {
			f.weight[(k*l.In+k)*9+4] += a.scale[k]
			f.bias[k] += a.shift[k]
		}
	}
	t.folded[layer] = f
	return f, nil
}

// addBranch adds a convolution of 3×3, or one of 1×1 at the centre, with its normalisation.
func (t *Tensors) addBranch(f *repFilter, l, conv, norm *Layer) error {
	w, err := t.weights(conv)
	if err != nil {
		return err
	}
	b, err := t.ownBias(conv)
	if err != nil {
		return err
	}
	a, err := t.readAffine(norm)
	if err != nil {
		return err
	}
	taps := conv.Kernel * conv.Kernel
	for k := range l.Out {
		for i, v := range w[k*l.In*taps:][:l.In*taps] {
			at := i
			if taps == 1 {
				at = i*9 + 4
			}
			f.weight[k*l.In*9+at] += float64(float64(v) * a.scale[k]) // not fused: the same anywhere
		}
		f.bias[k] += float64(float64(b[k])*a.scale[k]) + a.shift[k]
	}
	return nil
}

// repTensor returns the weights or the bias of a block.
func (t *Tensors) repTensor(layer string, l *Layer, kind string, want []int) ([]float32, error) {
	shape := []int{l.Out, l.In, 3, 3}
	if kind == "bias" {
		shape = shape[:1]
	}
	if !slices.Equal(want, shape) {
		return nil, &TensorError{Tensor: l.main(), Want: want, Got: shape}
	}
	f, err := t.fold(layer, l)
	if err != nil {
		return nil, err
	}
	from := f.weight
	if kind == "bias" {
		from = f.bias
	}
	out := make([]float32, len(from))
	for i, v := range from {
		out[i] = float32(v)
	}
	return out, nil
}
