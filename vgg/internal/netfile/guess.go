package netfile

import (
	"fmt"
	"slices"
	"strings"
)

// unclear returns the error of a file with an unknown network: what is open, and what it
// looks like.
func (f *File) unclear(why string) error {
	text := "the tensors do not tell the network: " + why
	if lines := f.guesses(); len(lines) > 0 {
		text += ". Say what it is (option Configuration). It looks like " + strings.Join(lines, ", or ")
	}
	return refusef("%s", text)
}

// guesses lists the networks that the layers look like, the most likely first, as flags of
// the command.
func (f *File) guesses() (lines []string) {
	if len(f.features) == 0 {
		return nil
	}
	every, wider := f.pools(f.mayPool), f.pools(func(i int) bool { return f.mayPool(i) && f.grows(i) })
	places := [][]bool{every, wider}
	if f.allAlike() {
		slices.Reverse(places)
	}
	if f.features[0].block {
		places = [][]bool{every}
	}
	if paper := f.paperPools(); paper != nil {
		places = append([][]bool{paper}, places...)
		if _, why := f.blocks(); why == "" { // the fully connected layers alone are open
			places = places[:1]
		}
	}
	for i, pools := range places {
		if !slices.ContainsFunc(places[:i], func(p []bool) bool { return slices.Equal(p, pools) }) {
			lines = append(lines, f.lines(pools)...)
		}
	}
	return lines
}

// paperPools marks the features that end a block in the configuration of the paper with as
// many convolutions, of widths in the same proportion. It is nil if there is none, or if a
// pool is impossible at one of these places.
func (f *File) paperPools() []bool {
	first := slices.IndexFunc(f.features, func(l *Layer) bool { return l.Kind == Conv })
	for _, blocks := range known {
		marks, i := make([]bool, len(f.features)), 0
		fits := true
		for b, n := range blocks {
			for range n {
				for i < len(f.features) && f.features[i].Kind != Conv {
					i++
				}
				fits = fits && i < len(f.features) && first >= 0 && f.features[i].Out*knownWidths[0] == f.features[first].Out*knownWidths[b]
				i++
			}
			for i < len(f.features) && f.features[i].Kind == Scale {
				i++
			}
			if fits = fits && i <= len(f.features) && f.mayPool(i-1); !fits {
				break
			}
			marks[i-1] = true
		}
		if fits && i == len(f.features) {
			return marks
		}
	}
	return nil
}

// pools marks the features that a pool follows. The last one has one if fully
// connected layers follow.
func (f *File) pools(at func(i int) bool) []bool {
	marks := make([]bool, len(f.features))
	for i := range marks {
		marks[i] = at(i)
	}
	return marks
}

// mayPool reports whether a pool may follow feature i: there are modules without tensors
// after it, and more than the ReLU.
func (f *File) mayPool(i int) bool {
	l := f.features[i]
	if i == len(f.features)-1 {
		return true
	}
	next := f.features[i+1]
	if l.block {
		return l.at[0] != next.at[0] && l.at[0] > 0
	}
	gap := between(l.end(), next)
	switch {
	case gap < 0: // their names do not say
		return next.Kind == Conv
	case l.Kind == Scale, l.style == "N.part":
		return gap >= 1
	}
	return next.Kind == Conv && gap >= 2
}

// grows reports whether the convolution after feature i has more channels, or none
// follows.
func (f *File) grows(i int) bool {
	for _, l := range f.features[i+1:] {
		if l.Kind == Conv {
			return l.Out > f.features[i].Out
		}
	}
	return true
}

// allAlike reports whether a pool might follow each convolution.
func (f *File) allAlike() bool {
	for i, l := range f.features {
		if l.Kind == Conv && !f.mayPool(i) && (i+1 == len(f.features) || f.features[i+1].Kind == Conv) {
			return false
		}
	}
	return true
}

// lines are the flags of a network with pools at some places. If at most one pixel is left,
// they include a network with the mean of all pixels.
func (f *File) lines(pools []bool) []string {
	var words []string
	n := 0
	for i, l := range f.features {
		word := l.word()
		linear := i+1 < len(f.features) && !l.block && between(l.end(), f.features[i+1]) == 0
		if l.Kind == Conv && (linear || l.block && l.at[0] == 0) {
			word = "=" + word
		}
		if l.Kind != Scale || i == 0 || between(f.features[i-1].end(), l) >= 0 { // else it is folded
			words = append(words, word)
		}
		if pools[i] {
			words, n = append(words, "M"), n+1
		}
	}
	if n > 7 { // nothing would be left of 224×224
		return nil
	}
	if len(f.dense) == 0 {
		return []string{"--net '" + strings.Join(words[:len(words)-1], " ") + "' (perhaps with a last M)"}
	}
	head := f.denseWords()
	var lines []string
	if size, ok := f.size(n); ok {
		lines = append(lines, fmt.Sprintf("--net '%s %s' --size %d", strings.Join(words, " "), head, size))
	}
	if size, ok := f.unpadded(pools); ok {
		lines = append(lines, fmt.Sprintf("--net '%s %s' --size %d --no-pad", strings.Join(words, " "), head, size))
	}
	if s, ok := f.side(); ok && s == 1 {
		lines = append(lines, fmt.Sprintf("--net '%s G %s' --size %d (the mean of all pixels; any size)", strings.Join(words, " "), head, min(7<<n, 224)))
	}
	return lines
}

// unpadded returns the side of the input of convolutions without padding, if their output
// has an uneven size that padded ones seldom have.
func (f *File) unpadded(pools []bool) (int, bool) {
	s, ok := f.side()
	if !ok || s%2 == 0 || s == 1 || s == 7 {
		return 0, false
	}
	for i := len(pools) - 1; i >= 0 && s <= maxSize; i-- {
		if pools[i] {
			s *= 2
		}
		if f.features[i].Kernel == 3 {
			s += 2
		}
	}
	return s, s <= maxSize
}

func (f *File) denseWords() string {
	var words []string
	for i, l := range f.dense {
		word := l.word()
		if l.Kind == FC && i+1 < len(f.dense) && joined(l, f.dense[i+1]) == 0 {
			word = "=" + word
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
