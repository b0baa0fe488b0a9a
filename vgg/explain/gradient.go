package explain

import (
	"context"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/vgg"
)

// planGradient plans Saliency or Guided.
func (e *Explainer) planGradient(o options) error {
	opts := append(o.workers, vgg.Wrt("input"))
	if e.method == Guided {
		opts = append(opts, vgg.GuidedReLU())
	}
	g, err := e.model.NewGradient(opts...)
	if err != nil {
		return err
	}
	e.run = func(ctx context.Context, input []float32) error { return g.Forward(ctx, [][]float32{e.logits}, input) }
	e.explain = func(ctx context.Context, m *Map, input []float32) error {
		m.Gradient = make([]float32, len(input))
		if err := g.Backward(ctx, [][]float32{m.Gradient}, [][]float32{e.oneHot(m.Class)}); err != nil {
			return err
		}
		m.Heat = largest(m.Gradient, e.h*e.w)
		return nil
	}
	return nil
}

// oneHot is the gradient of a class's logit with respect to all logits.
func (e *Explainer) oneHot(class int) []float32 {
	y := make([]float32, e.classes)
	y[class] = 1
	return y
}

// largest returns the largest magnitude of each pixel over the channels.
func largest(x []float32, plane int) []float32 {
	heat := make([]float32, plane)
	for i, v := range x {
		heat[i%plane] = max(heat[i%plane], v, -v)
	}
	return heat
}

// planCAM plans GradCAM.
func (e *Explainer) planCAM(o options) error {
	cfg := e.model.Config()
	layer := o.layer
	if layer == "" {
		var err error
		if layer, err = lastConvolution(cfg); err != nil {
			return err
		}
	}
	last := cfg.Layers[len(cfg.Layers)-1].Name
	g, err := e.model.NewGradient(append(o.workers, vgg.Outputs(layer, last), vgg.Wrt(layer))...)
	if err != nil {
		return err
	}
	shape := g.OutputShapes()[0]
	act := make([]float32, shape.Len())
	grad := make([]float32, shape.Len())
	e.run = func(ctx context.Context, input []float32) error {
		return g.Forward(ctx, [][]float32{act, e.logits}, input)
	}
	e.explain = func(ctx context.Context, m *Map, _ []float32) error {
		if err := g.Backward(ctx, [][]float32{grad}, [][]float32{nil, e.oneHot(m.Class)}); err != nil {
			return err
		}
		m.Heat = resize(cam(act, grad, shape.C, shape.H*shape.W), shape.H, shape.W, e.h, e.w)
		return nil
	}
	return nil
}

// lastConvolution returns the last layer before those that make classes of the
// activations: the last convolution, or the scale behind it.
func lastConvolution(cfg vgg.Config) (string, error) {
	head := slices.IndexFunc(cfg.Layers, func(l vgg.Layer) bool { return l.Kind == vgg.FC || l.Kind == vgg.GlobalPool })
	for i := head - 1; i >= 0; i-- {
		if l := cfg.Layers[i]; l.Kind == vgg.Conv && l.Out == cfg.Classes() && l.Kernel == 1 && cfg.Layers[head].Kind == vgg.GlobalPool {
			continue // it gives the classes
		}
		if k := cfg.Layers[i].Kind; k == vgg.Conv || k == vgg.Scale {
			return cfg.Layers[i].Name, nil
		}
	}
	return "", fmt.Errorf("explain: %s has no convolution before its classes: %w", cfg.LayerString(), vgg.ErrConfig)
}

// cam returns max(0, Σ_k α_k·A_k).
func cam(act, grad []float32, channels, plane int) []float32 {
	sums := make([]float64, plane)
	for k := range channels {
		alpha := 0.0
		for _, v := range grad[k*plane:][:plane] {
			alpha += float64(v) / float64(plane)
		}
		for i, v := range act[k*plane:][:plane] {
			sums[i] += alpha * float64(v)
		}
	}
	heat := make([]float32, plane)
	for i, v := range sums {
		heat[i] = float32(max(0, v))
	}
	return heat
}

// resize interpolates a map bilinearly. Pixels are squares: the centre of the first is half
// a pixel from the edge.
func resize(src []float32, h, w, toH, toW int) []float32 {
	dst := make([]float32, toH*toW)
	ys, xs := spots(h, toH), spots(w, toW)
	for y, a := range ys {
		for x, b := range xs {
			at := func(r, c int) float64 { return float64(src[r*w+c]) }
			top := at(a.first, b.first)*(1-b.part) + at(a.first, b.second)*b.part
			low := at(a.second, b.first)*(1-b.part) + at(a.second, b.second)*b.part
			dst[y*toW+x] = float32(top*(1-a.part) + low*a.part)
		}
	}
	return dst
}

// spot lies between two pixels, part of the way from the first to the second.
type spot struct {
	first, second int
	part          float64
}

// spots returns where the pixels of a row of n lie in one of size.
func spots(size, n int) []spot {
	list := make([]spot, n)
	for i := range list {
		x := min(max((float64(i)+0.5)*float64(size)/float64(n)-0.5, 0), float64(size-1))
		first := int(x)
		list[i] = spot{first, min(first+1, size-1), x - float64(first)}
	}
	return list
}
