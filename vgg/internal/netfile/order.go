package netfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/weights"
)

// arrange puts the layers in order. left are the tensors of no layer.
func (f *File) arrange(all []*Layer, left []string) error {
	all, err := mergeBranches(all)
	if err != nil {
		return err
	}
	convs, dense, norms := map[string][]*Layer{}, map[string][]*Layer{}, map[string][]*Layer{}
	for _, l := range all {
		l.place()
	}
	renumber(all)
	for _, l := range all {
		switch {
		case l.Kind == Conv:
			convs[l.group] = append(convs[l.group], l)
		case l.Kind == FC:
			dense[l.group] = append(dense[l.group], l)
		case l.own:
			f.scales = append(f.scales, l)
		default:
			norms[l.group] = append(norms[l.group], l)
		}
	}
	if len(convs) == 0 && (len(dense) == 0 || len(left) > 0) {
		return f.noNetwork(left)
	}
	if len(convs) > 1 {
		return severalNetworks(convs)
	}
	for group, list := range convs {
		f.features = append(list, norms[group]...)
		delete(norms, group)
		f.addNumbered(norms)
	}
	if err := sortGroup(f.features); err != nil {
		return err
	}
	if err := f.checkGroups(); err != nil {
		return err
	}
	if err := f.chainFeatures(); err != nil {
		return err
	}
	for group, list := range norms {
		if dense[group] == nil {
			return refusef("the batch normalisation %s belongs to no layer", list0(list))
		}
		dense[group] = append(dense[group], list...)
	}
	if err := f.chainDense(dense); err != nil {
		return err
	}
	f.features, f.dense = foldNorms(f.features), foldNorms(f.dense)
	return checkBiases(f.layers())
}

// renumber reads conv11 as the eleventh convolution, not the first of block 1, if there is a
// conv1.
func renumber(all []*Layer) {
	single := map[string]bool{}
	for _, l := range all {
		if l.Kind == Conv && l.style == "conv" {
			single[l.group] = true
		}
	}
	for _, l := range all {
		if !l.block || l.Kind != Conv || l.at[0] == 0 {
			continue
		}
		m := numbered.FindStringSubmatch(l.path[len(l.path)-1])
		group := strings.Join(append(slices.Clone(l.path[:len(l.path)-1]), "conv"), ".")
		if m != nil && m[1] == "conv" && single[group] {
			l.at, l.block, l.style, l.group = []int{atoi(m[2])}, false, "conv", group
		}
	}
}

// addNumbered reads bn1, bn2, … as the normalisations of conv1, conv2, …
func (f *File) addNumbered(norms map[string][]*Layer) {
	number := map[string]bool{}
	for _, l := range f.features {
		if l.style == "conv" && len(l.at) == 1 {
			number[fmt.Sprint(strings.Join(l.path[:len(l.path)-1], "."), l.at)] = true
		}
	}
	for _, group := range slices.Sorted(maps.Keys(norms)) {
		others := slices.ContainsFunc(norms[group], func(l *Layer) bool {
			named := l.style == "bn" || l.style == "norm" || l.style == "batchnorm"
			return !named || !number[fmt.Sprint(strings.Join(l.path[:len(l.path)-1], "."), l.at)]
		})
		if !others {
			f.features = append(f.features, norms[group]...)
			delete(norms, group)
		}
	}
}

func list0(list []*Layer) string { return Quote(list[0].Name) }

// layers lists convolutions, fully connected layers and normalisations that are not
// folded in their order.
func (f *File) layers() []*Layer { return append(slices.Clone(f.features), f.dense...) }

// noNetwork returns the error of a file without convolutions, with what it has.
func (f *File) noNetwork(left []string) error {
	switch {
	case len(f.src.Names()) == 0:
		return refusef("the file has no tensors: want conv1_1.weight or features.0.weight, …")
	case len(left) > 0:
		return refusef("no tensor is a 3×3 or 1×1 convolution, such as conv1_1.weight or features.0.weight: %s", leftover(left))
	}
	return refusef("no tensor is a 3×3 or 1×1 convolution, such as conv1_1.weight or features.0.weight; the first names are %s", list(f.src.Names()))
}

// severalNetworks returns the error of a file with several networks, with their names and
// how to choose.
func severalNetworks(convs map[string][]*Layer) error {
	var keys []string
	for _, group := range slices.Sorted(maps.Keys(convs)) {
		keys = append(keys, fmt.Sprintf("--key %s (%s and %d more convolutions)", Quote(ownPrefix(group, convs)), Quote(convs[group][0].main()), len(convs[group])-1))
		if len(keys) == 6 {
			break
		}
	}
	return refusef("the file has convolutions in %d places; choose one: %s", len(convs), strings.Join(keys, ", "))
}

// ownPrefix returns the shortest beginning of a group's names that no other group's
// have.
func ownPrefix(group string, convs map[string][]*Layer) string {
	name := convs[group][0].Name
	for i, r := range name + "." {
		if r != '.' && r != '/' {
			continue
		}
		prefix := name[:i]
		shared := false
		for other, list := range convs {
			shared = shared || other != group && slices.ContainsFunc(list, func(l *Layer) bool { return strings.HasPrefix(l.Name+".", prefix+".") })
		}
		if !shared {
			return prefix
		}
	}
	return name
}

// sortGroup sorts layers of one group by their places.
func sortGroup(list []*Layer) error {
	slices.SortStableFunc(list, func(a, b *Layer) int {
		if c := slices.Compare(a.at, b.at); c != 0 {
			return c
		}
		return int(a.Kind) - int(b.Kind)
	})
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; a.Kind == b.Kind && slices.Equal(a.at, b.at) {
			return refusef("tensors %s and %s are of one layer", Quote(a.main()), Quote(b.main()))
		}
	}
	flatten(list)
	return nil
}

// flatten leaves the number of the part out of the places of modules that are
// numbered through all parts: slice1.0, slice2.5.
func flatten(list []*Layer) {
	for i, l := range list {
		if len(l.at) != 2 || !strings.HasSuffix(l.style, ".N") || strings.HasPrefix(l.style, "N") || i > 0 && l.at[1] <= list[i-1].at[1] {
			return
		}
	}
	for _, l := range list {
		l.at, l.style = l.at[1:], "N"
	}
}

// chainFeatures checks that the inputs of each layer are the outputs of the one before.
func (f *File) chainFeatures() error {
	for i, l := range f.features[min(1, len(f.features)):] {
		if err := l.takes(f.features[i].Out); err != nil {
			return err
		}
	}
	return nil
}

// takes checks the inputs of a layer.
func (l *Layer) takes(n int) error {
	if l.In == n {
		return nil
	}
	want := slices.Clone(l.shape())
	switch {
	case l.Kind == Scale:
		for _, p := range []part{weight, runningMean} {
			if t, ok := l.parts[p]; ok {
				return &TensorError{Tensor: t.name, Want: []int{n}, Got: t.shape}
			}
		}
	case len(want) == 4 && l.layout == keras:
		want[2] = n
	case l.layout != outIn:
		want[0] = n
	default:
		want[1] = n
	}
	return &TensorError{Tensor: l.main(), Want: want, Got: l.shape()}
}

// foldNorms attaches normalisations to the layers right before them.
func foldNorms(list []*Layer) []*Layer {
	var out []*Layer
	for i, l := range list {
		if i > 0 && l.Kind == Scale && list[i-1].Kind != Scale && between(list[i-1], l) == 0 {
			list[i-1].norm = l
			continue
		}
		out = append(out, l)
	}
	return out
}

// between returns how many modules stand between two layers of a group, or -1 if
// their names do not say.
func between(a, b *Layer) int {
	n := len(a.at)
	switch {
	case a.group != b.group || n == 0 || len(b.at) != n || a.block:
		return -1
	case strings.HasSuffix(a.style, "part"):
		if slices.Equal(a.at[:n-1], b.at[:n-1]) {
			return b.at[n-1] - a.at[n-1] - 1
		}
		if n > 1 && slices.Equal(a.at[:n-2], b.at[:n-2]) {
			return b.at[n-2] - a.at[n-2] - 1
		}
		return -1
	case a.style != "N" && strings.HasSuffix(a.style, "N") || a.style == "N":
		if slices.Equal(a.at[:n-1], b.at[:n-1]) {
			return b.at[n-1] - a.at[n-1] - 1
		}
	}
	return -1
}

// end returns the last module of a layer: its normalisation, if it has one.
func (l *Layer) end() *Layer {
	if l.norm != nil {
		return l.norm
	}
	return l
}

// checkBiases returns an error if one bias is missing. Layers without bias are read if no
// layer of their kind has one.
func checkBiases(list []*Layer) error {
	with, without := map[Kind]*Layer{}, map[Kind]*Layer{}
	count := map[Kind]int{}
	normed, bare := [2]*Layer{}, [2]*Layer{} // convolutions with normalisation
	for _, l := range list {
		if l.rep != nil { // its normalisations give it a bias
			normed[Conv] = l
			continue
		}
		if l.Kind == Scale {
			continue
		}
		if l.norm != nil {
			if l.hasBias() {
				normed[l.Kind] = l
			} else {
				bare[l.Kind] = l
			}
			continue
		}
		count[l.Kind]++
		if l.hasBias() {
			with[l.Kind] = l
		} else {
			without[l.Kind] = l
		}
	}
	for _, k := range []Kind{Conv, FC} {
		if with[k] != nil && without[k] != nil {
			return missingBias(without[k], with[k])
		}
		if normed[k] != nil && bare[k] != nil {
			return missingBias(bare[k], normed[k])
		}
	}
	if without[FC] != nil && count[FC] == 1 && (with[Conv] != nil || normed[Conv] != nil) {
		return missingBias(without[FC], cmpOr(with[Conv], normed[Conv]))
	}
	return nil
}

func cmpOr(a, b *Layer) *Layer {
	if a != nil {
		return a
	}
	return b
}

func missingBias(without, with *Layer) error {
	return &Error{fmt.Sprintf("there is no tensor %s, and %s has a bias", Quote(without.Name+".bias"), Quote(with.Name)), weights.ErrNotFound}
}
