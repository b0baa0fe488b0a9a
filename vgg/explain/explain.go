package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/vgg"
)

// ErrShape is wrapped by errors about inputs of the wrong size. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err

// Method says how a class is explained.
type Method string

// The methods of the package's comment.
const (
	Saliency  Method = "saliency"
	Guided    Method = "guided"
	GradCAM   Method = "gradcam"
	Occlusion Method = "occlusion"
)

// Methods lists them.
func Methods() []Method { return []Method{GradCAM, Saliency, Guided, Occlusion} }

// ParseMethod returns the method of that name. The error wraps vgg.ErrConfig.
func ParseMethod(name string) (Method, error) {
	if m := Method(name); slices.Contains(Methods(), m) {
		return m, nil
	}
	var names []string
	for _, m := range Methods() {
		names = append(names, string(m))
	}
	return "", fmt.Errorf("explain: method %q: want one of %s: %w", name, strings.Join(names, ", "), vgg.ErrConfig)
}

// options are what Options change.
type options struct {
	layer         string
	patch, stride int
	batch         int
	workers       []vgg.SessionOption
}

// An Option changes how a method computes.
type Option func(*options)

// Layer sets the layer of GradCAM; without it, it is the last convolution before those
// that make classes of the activations.
func Layer(name string) Option { return func(o *options) { o.layer = name } }

// Patch sets the side of the square of Occlusion, and the distance of two squares, in
// pixels of the network's input. Without it they are a seventh and a twenty-eighth of its
// shorter side, but at least one pixel.
func Patch(side, stride int) Option { return func(o *options) { o.patch, o.stride = side, stride } }

// Batch sets how many pictures Occlusion computes together; 32 if not given. Results do
// not depend on it.
func Batch(n int) Option { return func(o *options) { o.batch = n } }

// Workers sets how many goroutines compute; GOMAXPROCS if not given. Results do not
// depend on it.
func Workers(n int) Option {
	return func(o *options) { o.workers = []vgg.SessionOption{vgg.Workers(n)} }
}

// Map says how much each pixel of the network's input counts for a class.
type Map struct {
	Method      Method
	Class       int
	Probability float64   // of the class
	H, W        int       // of the network's input
	Heat        []float32 // [H][W]
	// Gradient is ∂y/∂x, [3][H][W] in the network's order of channels, of Saliency and
	// Guided; nil for others.
	Gradient []float32
}

// Explainer explains classes of a network by one method. One goroutine at a time may use
// it.
type Explainer struct {
	model   *vgg.Model
	method  Method
	h, w    int
	classes int
	logits  []float32
	p       []float64
	explain func(ctx context.Context, m *Map, input []float32) error
	run     func(ctx context.Context, input []float32) error // sets logits
}

// New plans the explanation of a network that has classes, else the error wraps
// vgg.ErrConfig.
func New(m *vgg.Model, method Method, opts ...Option) (*Explainer, error) {
	if _, err := ParseMethod(string(method)); err != nil {
		return nil, err
	}
	cfg := m.Config()
	e := &Explainer{model: m, method: method, classes: cfg.Classes()}
	if e.classes == 0 {
		return nil, fmt.Errorf("explain: configuration %s has no classes: %w", cfg.Name, vgg.ErrConfig)
	}
	e.h, e.w = cfg.Input()
	e.logits, e.p = make([]float32, e.classes), make([]float64, e.classes)
	o := options{batch: 32}
	for _, opt := range opts {
		opt(&o)
	}
	if o.layer != "" && method != GradCAM {
		return nil, fmt.Errorf("explain: a layer goes with %s: %w", GradCAM, vgg.ErrConfig)
	}
	switch method {
	case GradCAM:
		return e, e.planCAM(o)
	case Occlusion:
		return e, e.planOcclusion(o)
	}
	return e, e.planGradient(o)
}

// Explain returns the map of a class, or of the most probable one if class is negative.
// input is one prepared picture, see vgg.Model.Prepare. Errors wrap ErrShape for a wrong
// length, vgg.ErrConfig for a class that the network does not have, vgg.ErrNotFinite if
// its result for the picture is NaN or infinite, or are ctx's.
func (e *Explainer) Explain(ctx context.Context, input []float32, class int) (*Map, error) {
	if len(input) != e.model.Config().Channels*e.h*e.w {
		return nil, shape.Errorf("explain: an input of %d values, want %d×%d×%d", len(input), e.model.Config().Channels, e.h, e.w)
	}
	if class >= e.classes {
		return nil, fmt.Errorf("explain: class %d of a network with %d: %w", class, e.classes, vgg.ErrConfig)
	}
	if err := e.run(ctx, input); err != nil {
		return nil, err
	}
	vgg.Softmax(e.p, e.logits)
	if e.p[0] != e.p[0] { // then all are NaN
		return nil, fmt.Errorf("explain: the network's result is NaN or infinite: %w", vgg.ErrNotFinite)
	}
	if class < 0 {
		class = e.model.Rank(e.p, 1)[0].Class
	}
	m := &Map{Method: e.method, Class: class, Probability: e.p[class], H: e.h, W: e.w}
	return m, e.explain(ctx, m, input)
}
