package netfile

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxDense bounds the number of groups of fully connected layers that are put in order.
const maxDense = 8

// chainDense puts the groups of fully connected layers into the one order in which the
// inputs of each are the outputs of the one before.
func (f *File) chainDense(groups map[string][]*Layer) error {
	if len(groups) == 0 {
		return nil
	}
	var chains [][]*Layer
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		list := groups[group]
		if err := sortGroup(list); err != nil {
			return err
		}
		if list[0].Kind == Scale {
			return refusef("the batch normalisation %s stands before all fully connected layers", Quote(list[0].Name))
		}
		for i := 1; i < len(list); i++ {
			if err := list[i].takes(list[i-1].Out); err != nil {
				return err
			}
		}
		chains = append(chains, list)
	}
	if len(chains) > maxDense {
		return refusef("fully connected layers in %d places, such as %s", len(chains), list0(chains[0]))
	}
	orders := f.orders(nil, chains)
	switch {
	case len(orders) == 1:
		f.dense = slices.Concat(orders[0]...)
		return nil
	case len(orders) > 1:
		return refusef("%s fit behind the network in more than one order", list(mainNames(chains)))
	case len(chains) == 1:
		first, last := chains[0][0], f.features[len(f.features)-1]
		return refusef("tensor %s has shape %v: %d columns, which are no square of the %d channels of %s", Quote(first.main()), first.shape(), first.In, last.Out, Quote(last.Name))
	}
	return refusef("%s fit behind each other and the network in no order", list(mainNames(chains)))
}

func mainNames(chains [][]*Layer) (names []string) {
	for _, c := range chains {
		names = append(names, c[0].main())
	}
	return names
}

// orders lists the possible orders of the remaining chains after the placed ones.
func (f *File) orders(placed, rest [][]*Layer) (found [][][]*Layer) {
	if len(rest) == 0 {
		return [][][]*Layer{slices.Clone(placed)}
	}
	for i, c := range rest {
		if !f.fits(placed, c[0]) {
			continue
		}
		others := slices.Delete(slices.Clone(rest), i, i+1)
		found = append(found, f.orders(append(slices.Clone(placed), c), others)...)
		if len(found) > 1 {
			return found
		}
	}
	return found
}

// fits reports whether l can follow chains: its inputs are their outputs, or all pixels of
// the last convolution.
func (f *File) fits(placed [][]*Layer, l *Layer) bool {
	if len(placed) > 0 {
		last := placed[len(placed)-1]
		return l.In == last[len(last)-1].Out
	}
	return len(f.features) == 0 || l.In%f.features[len(f.features)-1].Out == 0
}

// joined reports whether the names of two successive fully connected layers tell of an
// activation between them: 1 if so, as in every known network with these names; 0 if there
// is none; -1 if the names do not tell.
func joined(a, b *Layer) int {
	switch gap := between(a.end(), b); {
	case gap == 0:
		return 0
	case gap >= 2: // the activation and dropout
		return 1
	case gap == 1:
		return -1
	}
	if nested := nestedAt(b); nested != nil && a.style == "N" && a.group == b.group {
		return nested(a.end())
	}
	return -1
}

// nestedAt: classifier.6.0 begins a Sequential in the place of classifier.6.
func nestedAt(b *Layer) func(a *Layer) int {
	if b.style != "N.N" || b.at[1] != 0 {
		return nil
	}
	return func(a *Layer) int {
		switch gap := b.at[0] - a.at[0] - 1; {
		case gap == 0:
			return 0
		case gap >= 2:
			return 1
		}
		return -1
	}
}

// knownHead reports whether names are those of the paper's fully connected layers in Caffe,
// Keras, timm or nonet. These have a ReLU between them.
func knownHead(l *Layer) bool {
	return paperNames.MatchString(strings.Join(l.path, "."))
}

var paperNames = regexp.MustCompile(`(?:^|\.)(?:fc_?[12678]|predictions|pre_logits\.fc[12]|head\.fc)$`)
