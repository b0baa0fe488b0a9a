package netfile

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg/weights"
)

var errNotFound = weights.ErrNotFound

// Tensors reads a network's tensors from a file, under the names of a configuration and in
// the form of package vgg. It reads each tensor of the file at most once if each of its own
// is asked for once. One goroutine at a time may use it.
type Tensors struct {
	Team *parallel.Team // shares the reading; nil is one worker

	file     *File
	layers   map[string]*Layer
	norms    map[string]*affine // of layers of which one of weights and bias was read
	folded   map[string]*repFilter
	channels map[*Layer]int // of the activation that a first fully connected layer flattens
}

// affine is y = scale·x + shift of each channel, in float64. A result is rounded once.
type affine struct{ scale, shift []float64 }

// Plain returns the name of the tensor that holds a layer's weights in the form of the
// network. ok is false if they are computed from other tensors.
func (t *Tensors) Plain(layer string) (name string, ok bool) {
	l := t.layers[layer]
	if l == nil || l.Kind == Scale || l.norm != nil || l.rep != nil || l.layout != outIn {
		return "", false
	}
	from, ok := l.parts[weight]
	return from.name, ok
}

// Has reports whether there is a layer for one of the configuration.
func (t *Tensors) Has(layer string) bool { return t.layers[layer] != nil }

func (t *Tensors) uses(l *Layer) bool {
	for _, other := range t.layers {
		if other == l {
			return true
		}
	}
	return false
}

// findChannels finds the fully connected layers that flatten an activation.
func (t *Tensors) findChannels(wants []Want) {
	t.channels = map[*Layer]int{}
	channels := 0
	for _, w := range wants {
		if l := t.layers[w.Name]; w.Kind == FC && l != nil && channels > 0 {
			t.channels[l] = channels
		}
		channels = 0
		if w.Kind != FC {
			channels = w.Shape[0]
		}
	}
}

// Tensor returns the elements of NAME.weight or NAME.bias of a configuration's layer.
// They are finite.
func (t *Tensors) Tensor(name string, want []int) ([]float32, error) {
	layer, kind, _ := strings.Cut(name, ".")
	w, err := t.tensor(name, layer, kind, want)
	if _, plain := t.Plain(layer); plain {
		return w, err
	}
	return finite(name, w, err)
}

func (t *Tensors) tensor(name, layer, kind string, want []int) ([]float32, error) {
	l := t.layers[layer]
	switch {
	case l == nil:
		return nil, &TensorError{Tensor: name, Want: want, Err: weights.ErrNotFound}
	case l.Kind == Scale:
		return t.scale(layer, l, kind, want)
	case l.rep != nil:
		return t.repTensor(layer, l, kind, want)
	case kind == "bias":
		return t.bias(layer, l, want)
	}
	if err := l.fits(Want{layer, l.Kind, want}); err != nil {
		return nil, err
	}
	w, err := t.weights(l)
	if err != nil {
		return nil, err
	}
	w = l.convert(w, want, t.channels[l])
	if l.norm == nil {
		return w, nil
	}
	a, err := t.affine(layer, l.norm)
	if err != nil {
		return nil, err
	}
	folded := make([]float32, len(w))
	each := len(w) / want[0]
	for i, v := range w {
		folded[i] = float32(float64(v) * a.scale[i/each])
	}
	return folded, nil
}

// scale returns one half of a scale and shift.
func (t *Tensors) scale(layer string, l *Layer, kind string, want []int) ([]float32, error) {
	if len(want) != 1 || want[0] != l.Out {
		return nil, &TensorError{Tensor: l.scaleName(), Want: want, Got: []int{l.Out}}
	}
	if l.own {
		return t.read(l.parts[map[string]part{"weight": weight, "bias": bias}[kind]])
	}
	a, err := t.affine(layer, l)
	if err != nil {
		return nil, err
	}
	from := a.scale
	if kind == "bias" {
		from = a.shift
	}
	out := make([]float32, len(from))
	for i, v := range from {
		out[i] = float32(v)
	}
	return out, nil
}

// bias returns the bias of a layer, or zeros if it has none.
func (t *Tensors) bias(layer string, l *Layer, want []int) ([]float32, error) {
	if len(want) != 1 || want[0] != l.Out {
		return nil, &TensorError{Tensor: l.Name + ".bias", Want: want, Got: []int{l.Out}}
	}
	b, err := t.ownBias(l)
	if err != nil || l.norm == nil {
		return b, err
	}
	a, err := t.affine(layer, l.norm)
	if err != nil {
		return nil, err
	}
	folded := make([]float32, len(b))
	for i, v := range b {
		folded[i] = float32(float64(float64(v)*a.scale[i]) + a.shift[i]) // not fused: the same anywhere
	}
	return folded, nil
}

// ownBias returns the bias that a layer has in the file, or zeros if it has none.
func (t *Tensors) ownBias(l *Layer) ([]float32, error) {
	switch {
	case len(l.parts[biasOrig].shape) > 0:
		return t.product(l.parts[biasOrig], l.parts[biasMask])
	case l.hasBias():
		return t.read(l.parts[bias])
	}
	return make([]float32, l.Out), nil
}

// normEpsilon is what torch's batch normalisation adds to the variance.
const normEpsilon = 1e-5

// affine returns batch normalisation as a scale and shift, which it keeps for the other half
// of the layer.
func (t *Tensors) affine(layer string, norm *Layer) (*affine, error) {
	if a := t.norms[layer]; a != nil {
		delete(t.norms, layer) // both halves were asked for
		return a, nil
	}
	a, err := t.readAffine(norm)
	if err == nil {
		t.norms[layer] = a
	}
	return a, err
}

// readAffine computes a scale and shift from the tensors of batch normalisation.
func (t *Tensors) readAffine(norm *Layer) (*affine, error) {
	p := map[part][]float32{}
	for _, kind := range []part{weight, bias, runningMean, runningVar} {
		from, ok := norm.parts[kind]
		if !ok {
			continue
		}
		var err error
		if p[kind], err = t.read(from); err != nil {
			return nil, err
		}
	}
	a := &affine{make([]float64, norm.Out), make([]float64, norm.Out)}
	for i := range a.scale {
		v := p[runningVar][i]
		if !(v >= 0) {
			return nil, &Error{fmt.Sprintf("tensor %s: element %d is %v, want a variance", Quote(norm.parts[runningVar].name), i, v), weights.ErrFormat}
		}
		gamma, beta := 1.0, 0.0
		if p[weight] != nil {
			gamma, beta = float64(p[weight][i]), float64(p[bias][i])
		}
		a.scale[i] = gamma / math.Sqrt(float64(v)+normEpsilon)
		a.shift[i] = beta - float64(float64(p[runningMean][i])*a.scale[i])
	}
	return a, nil
}

// weights returns a layer's weights in the order of the file, computed from the tensors of
// the file.
func (t *Tensors) weights(l *Layer) ([]float32, error) {
	if plain, ok := l.parts[weight]; ok {
		return t.read(plain)
	}
	if mask, ok := l.parts[weightMask]; ok {
		return t.product(l.parts[weightOrig], mask)
	}
	if _, ok := l.parts[weightU]; ok {
		return t.spectral(l)
	}
	return t.normalized(l)
}

// product returns a tensor times its mask.
func (t *Tensors) product(orig, mask tensor) ([]float32, error) {
	if !slices.Equal(orig.shape, mask.shape) {
		return nil, &TensorError{Tensor: mask.name, Want: orig.shape, Got: mask.shape}
	}
	w, err := t.read(orig)
	if err != nil {
		return nil, err
	}
	m, err := t.read(mask)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(w))
	for i, v := range w {
		out[i] = v * m[i]
	}
	return out, nil
}

// normalized returns the weights of weight normalisation: each row of v scaled to its
// length in g, or all of v to the one length g.
func (t *Tensors) normalized(l *Layer) ([]float32, error) {
	length := l.parts[weightG]
	rows := l.Out
	if len(length.shape) == 0 {
		rows = 1
	} else if want := append([]int{l.Out}, slices.Repeat([]int{1}, len(l.shape())-1)...); !slices.Equal(length.shape, want) {
		return nil, &TensorError{Tensor: length.name, Want: want, Got: length.shape}
	}
	g, err := t.read(length)
	if err != nil {
		return nil, err
	}
	v, err := t.read(l.parts[weightV])
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(v))
	each := len(v) / rows
	for k := range rows {
		row, sum := v[k*each:][:each], 0.0
		for _, x := range row {
			sum += float64(float64(x) * float64(x))
		}
		scale := float64(g[k]) / math.Sqrt(sum)
		for i, x := range row {
			out[k*each+i] = float32(float64(x) * scale)
		}
	}
	return out, nil
}

// spectral returns the weights of spectral normalisation: W / (uᵀ·W·v), with the rows
// of W as the file has them.
func (t *Tensors) spectral(l *Layer) ([]float32, error) {
	w, err := t.read(l.parts[weightOrig])
	if err != nil {
		return nil, err
	}
	each := len(w) / l.Out
	var uv [2][]float32
	for i, p := range []part{weightU, weightV} {
		if from := l.parts[p]; len(from.shape) != 1 || from.shape[0] != []int{l.Out, each}[i] {
			return nil, &TensorError{Tensor: from.name, Want: []int{[]int{l.Out, each}[i]}, Got: from.shape}
		}
		if uv[i], err = t.read(l.parts[p]); err != nil {
			return nil, err
		}
	}
	sigma := 0.0
	for k, u := range uv[0] {
		sum := 0.0
		for i, v := range uv[1] {
			sum += float64(float64(w[k*each+i]) * float64(v))
		}
		sigma += float64(float64(u) * sum)
	}
	if sigma == 0 || math.IsNaN(sigma) {
		return nil, &Error{fmt.Sprintf("tensor %s: its spectral norm is %v", Quote(l.main()), sigma), weights.ErrFormat}
	}
	out := make([]float32, len(w))
	for i, v := range w {
		out[i] = float32(float64(v) / sigma)
	}
	return out, nil
}

// convert changes weights to OIHW or [out][in]. channels is the number of channels that a
// fully connected layer's columns come from.
func (l *Layer) convert(w []float32, want []int, channels int) []float32 {
	if l.layout == outIn || l.layout == inOut && len(want) == 4 {
		return w
	}
	out := make([]float32, len(w))
	if len(want) == 4 { // HWIO
		o, i, taps := want[0], want[1], want[2]*want[3]
		for t := range taps {
			for c := range i {
				for k, v := range w[(t*i+c)*o:][:o] {
					out[(k*i+c)*taps+t] = v
				}
			}
		}
		return out
	}
	o, in := want[0], want[1]
	plane := 1
	if l.layout == keras && channels > 0 {
		plane = in / channels
	}
	for from := range in {
		to := from
		if plane > 1 { // HWC → CHW
			to = from%channels*plane + from/channels
		}
		for k, v := range w[from*o:][:o] {
			out[k*in+to] = v
		}
	}
	return out
}
