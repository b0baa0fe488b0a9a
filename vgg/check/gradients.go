package check

import (
	"context"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/vgg"
)

// Gradients compares the gradients of the small form of a configuration with the
// reference: with respect to the pictures and every layer, of functions of every layer
// and of all layers together, and guided ones.
func Gradients(ctx context.Context, name string) ([]Row, error) {
	cfg, err := Small(name)
	if err != nil {
		return nil, err
	}
	return gradients(ctx, cfg)
}

// gradients compares the gradients of a network, by each algorithm.
func gradients(ctx context.Context, cfg vgg.Config) ([]Row, error) {
	src, err := vgg.Seeded(cfg, 1)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, v := range []struct {
		name string
		opts []vgg.Option
	}{{"gradient", nil}, {"direct gradient", []vgg.Option{vgg.Direct()}}} {
		m, err := vgg.New(cfg, src, v.opts...)
		if err != nil {
			return nil, err
		}
		c := &gradientCheck{ctx: ctx, cfg: cfg, src: src, model: m, variant: v.name}
		for _, run := range []func() error{c.prepare, c.together, c.starts, c.ends} {
			if err := run(); err != nil {
				return nil, err
			}
		}
		rows = append(rows, c.rows...)
	}
	return rows, nil
}

// gradientPictures is the batch of gradientCheck.
const gradientPictures = 2

// gradientCheck compares gradients of a Model with the reference's. The reference takes
// them at the Model's own activations: where a ReLU or a pool stands at its kink, rounding
// decides which way the gradient goes, and neither is wrong.
type gradientCheck struct {
	ctx     context.Context
	cfg     vgg.Config
	src     vgg.Source
	model   *vgg.Model
	variant string

	layers     []string // all of them
	input      []float32
	cotangents map[string][]float32 // random, of each layer
	run        *ref.Run[float64]
	rows       []Row
}

func (c *gradientCheck) prepare() error {
	for _, l := range c.cfg.Layers {
		c.layers = append(c.layers, l.Name)
	}
	c.input = pictureInput(c.cfg, gradientPictures, 1)
	net, err := reference64(c.cfg, c.src)
	if err != nil {
		return err
	}
	c.run = net.Forward(gradientPictures, ref.Float64(c.input))
	g, err := c.gradient(c.layers, []string{"input"})
	if err != nil {
		return err
	}
	got := c.memory(g.OutputShapes())
	if err := g.Forward(c.ctx, got, c.input); err != nil {
		return err
	}
	act := map[string][]float64{}
	c.cotangents = map[string][]float32{}
	for i, name := range c.layers {
		c.rows = append(c.rows, newRow(c.cfg.Name, c.variant, name, got[i], c.run.Act[name]))
		act[name] = ref.Float64(got[i])
		c.cotangents[name] = make([]float32, len(got[i]))
		seeded.Fill(c.cotangents[name], 2, uint64(i), 1)
	}
	c.run.Replace(act)
	return nil
}

// gradient makes a Gradient of the Model.
func (c *gradientCheck) gradient(outputs, wrt []string, opts ...vgg.SessionOption) (*vgg.Gradient, error) {
	return c.model.NewGradient(append(opts, vgg.Batch(gradientPictures), vgg.Outputs(outputs...), vgg.Wrt(wrt...))...)
}

func (c *gradientCheck) memory(shapes []vgg.Shape) [][]float32 {
	var m [][]float32
	for _, s := range shapes {
		m = append(m, make([]float32, gradientPictures*s.Len()))
	}
	return m
}

// compare adds a row for each gradient of a Gradient after a Backward from the cotangents
// of the layers that want was computed from.
func (c *gradientCheck) compare(g *vgg.Gradient, what string, cotangents [][]float32, wrt []string, want ref.Grads) error {
	if err := g.Forward(c.ctx, nil, c.input); err != nil {
		return err
	}
	grads := c.memory(g.GradShapes())
	if err := g.Backward(c.ctx, grads, cotangents); err != nil {
		return err
	}
	for i, name := range wrt {
		c.rows = append(c.rows, gradientRow(c.cfg.Name, c.variant, what+" by "+name, grads[i], want["act."+name], nil))
	}
	return nil
}

// of returns the cotangents of some layers, and what the reference makes of them.
func (c *gradientCheck) of(layers []string, relu func(y, dy []float64) []float64) ([][]float32, ref.Grads) {
	var list [][]float32
	wide := map[string][]float64{}
	for _, name := range layers {
		list = append(list, c.cotangents[name])
		wide[name] = ref.Float64(c.cotangents[name])
	}
	return list, c.run.BackwardFrom(wide, relu)
}

// together takes all layers as starts and as ends, guided and not.
func (c *gradientCheck) together() error {
	wrt := append([]string{"input"}, c.layers...)
	for _, o := range []struct {
		what string
		opts []vgg.SessionOption
		relu func(y, dy []float64) []float64
	}{{"all layers", nil, ref.ReLUGrad[float64, float64]}, {"guided", []vgg.SessionOption{vgg.GuidedReLU()}, ref.GuidedReLUGrad[float64, float64]}} {
		g, err := c.gradient(c.layers, wrt, o.opts...)
		if err != nil {
			return err
		}
		cotangents, want := c.of(c.layers, o.relu)
		if err := c.compare(g, o.what, cotangents, wrt, want); err != nil {
			return err
		}
	}
	return nil
}

// starts takes each layer as the only start, and the pictures as the end.
func (c *gradientCheck) starts() error {
	for _, name := range c.layers {
		g, err := c.gradient([]string{name}, []string{"input"})
		if err != nil {
			return err
		}
		cotangents, want := c.of([]string{name}, ref.ReLUGrad)
		if err := c.compare(g, name, cotangents, []string{"input"}, want); err != nil {
			return err
		}
	}
	return nil
}

// ends takes the last layer as the start, and each as the only end.
func (c *gradientCheck) ends() error {
	last := c.layers[len(c.layers)-1:]
	cotangents, want := c.of(last, ref.ReLUGrad)
	for _, name := range c.layers {
		g, err := c.gradient(last, []string{name})
		if err != nil {
			return err
		}
		if err := c.compare(g, last[0], cotangents, []string{name}, want); err != nil {
			return err
		}
	}
	return nil
}
