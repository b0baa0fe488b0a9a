package vgg

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"

	"github.com/nonet-go/nonet/vgg/labels"
)

// Prediction is one class of a picture.
type Prediction struct {
	Class       int     `json:"class"`
	ID          string  `json:"wnid,omitempty"` // the WordNet id that the label begins with, if it does
	Label       string  `json:"label"`          // the name; the class's number if the model has no labels
	Probability float64 `json:"probability"`
}

// Tensor is the activation of a layer for one picture, in CHW order.
type Tensor struct {
	Shape Shape
	Data  []float32
}

// Prepare resizes and crops a picture, and converts it to the network's input
// [channels][height][width] in dst. It returns an error that wraps ErrShape if dst has
// another length, and package picture's error for an empty picture. A network with other
// than three channels has no preparation.
func (m *Model) Prepare(dst []float32, img image.Image) error {
	if m.cfg.Channels != 3 {
		return fmt.Errorf("vgg: the network takes %d channels, a picture has 3: %w", m.cfg.Channels, ErrShape)
	}
	t := m.transform()
	return t.Apply(dst, img)
}

// Classify returns the top most probable classes of a picture, best first. If the network's
// result is NaN or infinite, the error wraps ErrNotFinite and names the first layer with
// such an activation. Any number of goroutines may call Classify, see Features.
func (m *Model) Classify(ctx context.Context, img image.Image, top int) ([]Prediction, error) {
	if m.cfg.Classes() == 0 {
		return nil, fmt.Errorf("vgg: configuration %s ends with %s and has no classes: %w", m.cfg.Name, m.cfg.Layers[len(m.cfg.Layers)-1].Name, ErrConfig)
	}
	out, err := m.Features(ctx, img, "")
	if err != nil {
		return nil, err
	}
	if !finite(out.Data) {
		return nil, m.notFinite(ctx, img)
	}
	return m.Top(out.Data, top), nil
}

// finite reports whether no element is NaN or infinite.
func finite(x []float32) bool {
	return !slices.ContainsFunc(x, func(v float32) bool { return math.IsNaN(float64(v - v)) })
}

// notFinite finds the first layer where a picture's activations are not finite.
func (m *Model) notFinite(ctx context.Context, img image.Image) error {
	for _, l := range m.cfg.Layers {
		out, err := m.Features(ctx, img, l.Name)
		if err != nil {
			return err
		}
		if !finite(out.Data) {
			return fmt.Errorf("vgg: the result is NaN or infinite; the first layer whose activation is, is %s: %w", l.Name, ErrNotFinite)
		}
	}
	return fmt.Errorf("vgg: the result is NaN or infinite: %w", ErrNotFinite)
}

// Features returns the activation of a layer for a picture: conv3_2, relu5_1, pool5, fc7 …,
// or the network's result if layer is empty. The activations of convolutions and fully
// connected layers are taken after their ReLU; the last layer has none. Any number of
// goroutines may call Features. MaxSessions of them compute at a time; the others wait until
// one is done or their ctx ends.
func (m *Model) Features(ctx context.Context, img image.Image, layer string) (Tensor, error) {
	list, err := m.FeaturesOf(ctx, img, layer)
	if err != nil {
		return Tensor{}, err
	}
	return list[0], nil
}

// FeaturesOf is Features for several layers in one pass. It takes about the time of the last
// of them. A name must not be given twice.
func (m *Model) FeaturesOf(ctx context.Context, img image.Image, layers ...string) ([]Tensor, error) {
	h, w := m.cfg.Input()
	input := make([]float32, m.cfg.Channels*h*w)
	if err := m.Prepare(input, img); err != nil {
		return nil, err
	}
	s, err := m.borrow(ctx, layers...)
	if err != nil {
		return nil, err
	}
	defer m.giveBack(s)
	var list []Tensor
	var data [][]float32
	for _, shape := range s.OutputShapes() {
		data = append(data, make([]float32, shape.Len()))
		list = append(list, Tensor{shape, data[len(data)-1]})
	}
	return list, s.RunOutputs(ctx, data, input)
}

// Top returns the n most probable classes for the logits of one picture, best
// first.
func (m *Model) Top(logits []float32, n int) []Prediction {
	p := make([]float64, len(logits))
	Softmax(p, logits)
	return m.Rank(p, n)
}

// Rank returns the n most probable classes, best first; p gives the probability of each.
// Equal ones stay in the order of the classes, and NaN comes last.
func (m *Model) Rank(p []float64, n int) []Prediction {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	list := make([]Prediction, min(max(n, 0), len(p)))
	for i := range list {
		id, name := labels.Split(m.Label(order[i]))
		list[i] = Prediction{Class: order[i], ID: id, Label: cmp.Or(name, id), Probability: p[order[i]]}
	}
	return list
}

// Label returns the label of a class, with its WordNet id if it has one. If the model has no
// labels it returns the number of the class.
func (m *Model) Label(class int) string {
	if class < len(m.opts.labels) {
		return m.opts.labels[class]
	}
	return strconv.Itoa(class)
}

// Softmax sets dst[i] = exp(logits[i]) / Σ exp(logits[j]), in float64 and without
// overflow. dst has as many elements as logits, and may be the same slice.
func Softmax[F float32 | float64](dst []float64, logits []F) {
	if len(logits) == 0 {
		return
	}
	largest, sum := float64(slices.Max(logits)), 0.0
	for i, v := range logits {
		dst[i] = math.Exp(float64(v) - largest)
		sum += dst[i]
	}
	for i := range logits {
		dst[i] /= sum
	}
}
