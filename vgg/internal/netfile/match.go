package netfile

import (
	"fmt"
	"slices"
)

// A Want is a layer with tensors of a configuration, in the order of computation.
type Want struct {
	Name  string
	Kind  Kind
	Shape []int // of its weights: OIHW, out×in, or out
}

// Match pairs the layers of a configuration with those of the file, in order. There must be
// as many of each kind, of the same shapes, and none may be left over. Batch normalisation
// right after a layer is folded into it, or is a Scale of the configuration.
func (f *File) Match(wants []Want) (*Tensors, error) {
	t := &Tensors{file: f, layers: map[string]*Layer{}, norms: map[string]*affine{}, folded: map[string]*repFilter{}}
	rest := f.layers()
	var last *Layer
	for _, w := range wants {
		l, left, err := f.next(w, last, rest)
		if err != nil {
			return nil, err
		}
		if err := l.fits(w); err != nil {
			return nil, err
		}
		t.layers[w.Name], rest = l, left
		if l.Kind != Scale {
			last = l
		}
	}
	if len(rest) > 0 && rest[0].Kind == Scale && last != nil && between(last, rest[0]) < 0 && last.norm == nil {
		last.norm, rest = rest[0], rest[1:]
	}
	for _, l := range f.scales {
		if !t.uses(l) {
			rest = append(rest, l)
		}
	}
	if len(rest) > 0 {
		var names []string
		for _, l := range rest {
			names = append(names, l.Name)
		}
		return nil, refusef("the network ends before %s, of which nothing would be used", list(names))
	}
	t.findChannels(wants)
	return t, nil
}

// next finds the layer for w at the beginning of rest.
func (f *File) next(w Want, last *Layer, rest []*Layer) (*Layer, []*Layer, error) {
	if w.Kind == Scale {
		for _, l := range f.scales {
			if l.Name == w.Name || len(l.path) > 0 && l.path[len(l.path)-1] == w.Name {
				return l, rest, nil
			}
		}
		if last != nil && last.norm != nil { // not to be folded
			l := last.norm
			last.norm = nil
			return l, rest, nil
		}
	}
	if len(rest) > 0 && w.Kind != Scale && rest[0].Kind == Scale {
		norm := rest[0]
		if last == nil || last.norm != nil || between(last, norm) >= 0 {
			return nil, nil, refusef("the batch normalisation %s does not stand right behind a layer: write S for it before %s", Quote(norm.Name), w.Name)
		}
		last.norm, rest = norm, rest[1:]
	}
	switch {
	case len(rest) == 0:
		return nil, nil, &Error{fmt.Sprintf("the network wants %s of shape %v, and the file has no more layers", w.Name, w.Shape), errNotFound}
	case rest[0].Kind != w.Kind:
		return nil, nil, refusef("the network wants %s for %s, and the next tensor is %s of shape %v", kindNames[w.Kind], w.Name, Quote(rest[0].main()), rest[0].shape())
	}
	return rest[0], rest[1:], nil
}

var kindNames = [...]string{"a convolution", "a fully connected layer", "a batch normalisation"}

// fits compares a layer's shape with the one that is wanted.
func (l *Layer) fits(w Want) error {
	if l.Kind == Scale {
		if l.Out != w.Shape[0] {
			return &TensorError{Tensor: l.scaleName(), Want: w.Shape, Got: []int{l.Out}}
		}
		return nil
	}
	if want := l.inFile(w.Shape); !slices.Equal(want, l.shape()) {
		return &TensorError{Tensor: l.main(), Want: want, Got: l.shape()}
	}
	return nil
}

func (l *Layer) scaleName() string {
	if t, ok := l.parts[weight]; ok {
		return t.name
	}
	return l.parts[runningMean].name
}

// inFile returns the shape that weights of shape want have in the file.
func (l *Layer) inFile(want []int) []int {
	have := l.shape()
	switch {
	case l.layout == outIn && len(want) == 2 && len(have) == 4 && have[0] == want[0] && have[1]*have[2]*have[3] == want[1]:
		return have
	case l.layout == keras && len(want) == 4:
		return []int{want[2], want[3], want[1], want[0]}
	case l.layout != outIn && len(want) == 2:
		return []int{want[1], want[0]}
	}
	return want
}

// MatchLoose pairs the layers that agree: by their names, or else those of each kind in
// their order. If convs is not negative, only the first convs convolutions count. Layers
// that do not agree are left out.
func (f *File) MatchLoose(wants []Want, convs int) *Tensors {
	t := &Tensors{file: f, layers: map[string]*Layer{}, norms: map[string]*affine{}, folded: map[string]*repFilter{}}
	next := map[Kind][]*Layer{}
	named := map[string]*Layer{}
	for _, l := range f.layers() {
		if l.Kind == Conv {
			if convs == 0 {
				continue
			}
			convs--
			if l.block {
				named[fmt.Sprintf("conv%d_%d", l.at[0], l.at[1])] = l
			}
		}
		next[l.Kind] = append(next[l.Kind], l)
	}
	for _, w := range wants {
		var l *Layer
		if list := next[w.Kind]; len(list) > 0 {
			l, next[w.Kind] = list[0], list[1:]
		}
		if own := named[w.Name]; own != nil {
			l = own
		}
		if l != nil && l.fits(w) == nil {
			t.layers[w.Name] = l
		}
	}
	t.findChannels(wants)
	return t
}
