package check

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/vgg"
)

// kinks returns how much each element of each gradient may change because an activation is
// at the kink of a ReLU, or two are at that of a pool: there rounding decides which way the
// gradient goes, and neither way is wrong. It is the difference of the reference's gradients
// at its own activations and at nonet's. If those activations differ by more than rounding,
// nothing is explained, and kinks returns nil.
func kinks(ctx context.Context, cfg vgg.Config, src vgg.Source, input []float32, targets []int) (map[string][]float64, error) {
	net, err := reference64(cfg, src)
	if err != nil {
		return nil, err
	}
	m, err := vgg.New(cfg, src)
	if err != nil {
		return nil, err
	}
	forward := net.Forward(len(targets), ref.Float64(input))
	_, dLogits := ref.SoftmaxCrossEntropy(len(targets), cfg.Classes(), forward.Output(), targets)
	changed := forward.Backward(dLogits)
	act := map[string][]float64{}
	for _, l := range cfg.Layers {
		got, err := run(ctx, m, l.Name, len(targets), input)
		if err != nil {
			return nil, err
		}
		if !newRow(cfg.Name, "", l.Name, got, forward.Act[l.Name]).OK {
			return nil, nil
		}
		act[l.Name] = ref.Float64(got)
	}
	forward.Replace(act)
	for name, other := range forward.Backward(dLogits) {
		for i, v := range other {
			changed[name][i] = math.Abs(changed[name][i] - v)
		}
	}
	return changed, nil
}
