package check

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/vgg"
)

// Training compares the loss, every gradient and two steps of gradient descent of
// the small form of a configuration with the reference.
func Training(ctx context.Context, name string) ([]Row, error) {
	cfg, err := Small(name)
	if err != nil {
		return nil, err
	}
	return training(ctx, cfg)
}

// training compares two steps of a network with at least 8 classes.
func training(ctx context.Context, cfg vgg.Config) ([]Row, error) {
	const seed, pictures = 1, 3
	name, rule := cfg.Name, vgg.SGD{Rate: 0.01, Momentum: 0.9, Decay: 5e-4}
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		return nil, err
	}
	net, err := reference64(cfg, src)
	if err != nil {
		return nil, err
	}
	t, err := vgg.NewTrainer(cfg, src, pictures)
	if err != nil {
		return nil, err
	}
	input := pictureInput(cfg, pictures, seed)
	targets := []int{2, 0, 7}
	momentum := map[string][]float64{}
	var rows []Row
	for step := 1; step <= 2; step++ {
		r, err := t.Gradients(ctx, input, targets)
		if err != nil {
			return nil, err
		}
		run := net.Forward(pictures, ref.Float64(input))
		loss, dLogits := ref.SoftmaxCrossEntropy(pictures, cfg.Classes(), run.Output(), targets)
		grads := run.Backward(dLogits)
		if step == 1 {
			rows = append(rows, newRow(name, "training", "loss", []float32{float32(r.Loss)}, []float64{loss}))
			for i, p := range t.Params() {
				rows = append(rows, gradientRow(name, "training", "gradient of "+p.Name, t.Grads()[i], grads[p.Name], nil))
			}
		}
		t.Update(rule)
		updated := descend(net, grads, momentum, rule)
		for i, p := range t.Params() {
			rows = append(rows, newRow(name, "training", fmt.Sprintf("%s after step %d", p.Name, step), t.Weights()[i], updated[p.Name]))
		}
	}
	return rows, nil
}

// descend takes a step of gradient descent and returns the weights by name.
func descend(net *ref.Net[float64], grads, momentum map[string][]float64, rule vgg.SGD) map[string][]float64 {
	weights := map[string][]float64{}
	for i := range net.Layers {
		l := &net.Layers[i]
		weights[l.Name+".weight"], weights[l.Name+".bias"] = l.Weight, l.Bias
	}
	for name, w := range weights {
		if len(w) == 0 {
			continue
		}
		if momentum[name] == nil {
			momentum[name] = make([]float64, len(w))
		}
		ref.SGD(w, momentum[name], grads[name], rule.Rate, rule.Momentum, rule.Decay)
	}
	return weights
}

// reference64 is reference with its own weights in float64, which training changes.
func reference64(cfg vgg.Config, src vgg.Source) (*ref.Net[float64], error) {
	net, err := reference(cfg, src)
	if err != nil {
		return nil, err
	}
	wide := &ref.Net[float64]{C: net.C, H: net.H, W: net.W}
	for _, l := range net.Layers {
		wide.Layers = append(wide.Layers, ref.Layer[float64]{Kind: l.Kind, Name: l.Name, Out: l.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad,
			ReLU: l.ReLU, HWC: l.HWC, Weight: ref.Float64(l.Weight), Bias: ref.Float64(l.Bias), LRN: l.LRN})
	}
	return wide, nil
}
