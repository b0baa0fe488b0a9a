package vgg

import "github.com/nonet-go/nonet/internal/optimiser"

// SGD is one step of gradient descent with momentum and weight decay.
type SGD struct{ Rate, Momentum, Decay float64 }

// step takes a step for some weights.
func (rule SGD) step(w, v, g []float32) {
	optimiser.SGD(w, v, g, rule.float32())
}

// float32 rounds the numbers for the kernels.
func (rule SGD) float32() optimiser.Rule {
	return optimiser.Rule{Rate: float32(rule.Rate), Momentum: float32(rule.Momentum), Decay: float32(rule.Decay)}
}
