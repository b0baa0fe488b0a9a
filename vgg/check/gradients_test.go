package check

import (
	"context"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

func TestGradients(t *testing.T) {
	for _, name := range append(vgg.Names(), "RepVGG-A0") {
		rows, err := Gradients(context.Background(), name)
		requirePassed(t, rows, err)
	}
}

// TestDifferences compares slopes of functions of each layer, by the pictures, and of the
// last layer, by each, with central differences of the reference in float64.
func TestDifferences(t *testing.T) {
	for i, name := range vgg.Names() {
		if testing.Short() && i%2 == 0 {
			continue // A-LRN, B...
		}
		cfg, err := Small(name)
		require.NoError(t, err)
		src, err := vgg.Seeded(cfg, 1)
		require.NoError(t, err)
		m, err := vgg.New(cfg, src)
		require.NoError(t, err)
		c := &gradientCheck{ctx: context.Background(), cfg: cfg, src: src, model: m}
		require.NoError(t, c.prepare())
		net, err := reference64(cfg, src)
		require.NoError(t, err)
		last := c.layers[len(c.layers)-1]
		for i, layer := range c.layers {
			c.differ(t, net, []string{layer}, "input", ref.Float64(c.input))
			if layer != last {
				s := c.run.Shape[layer]
				rest := &ref.Net[float64]{C: s[1], H: s[2], W: s[3], Layers: net.Layers[i+1:]}
				c.differ(t, rest, []string{last}, layer, c.run.Act[layer])
			}
		}
	}
}

// differ compares the gradient of a function of the output by wrt, whose activations x
// the net begins with.
func (c *gradientCheck) differ(t *testing.T, net *ref.Net[float64], output []string, wrt string, x []float64) {
	t.Helper()
	const step = 1e-7
	g, err := c.gradient(output, []string{wrt})
	require.NoError(t, err)
	grads := c.memory(g.GradShapes())
	require.NoError(t, g.Forward(c.ctx, nil, c.input))
	require.NoError(t, g.Backward(c.ctx, grads, [][]float32{c.cotangents[output[0]]}))
	direction := testutil.Normal(7, len(x))
	up, down, slope, size := make([]float64, len(x)), make([]float64, len(x)), 0.0, 0.0
	for i, d := range direction {
		if x[i] == 0 { // of several zeros a pool takes the first: it has no slope there
			d = 0
		}
		up[i], down[i] = x[i]+step*float64(d), x[i]-step*float64(d)
		slope += float64(d) * float64(grads[0][i])
		size += float64(grads[0][i]) * float64(grads[0][i])
	}
	a, b := net.Forward(gradientPictures, up).Act[output[0]], net.Forward(gradientPictures, down).Act[output[0]]
	want := 0.0
	for i, v := range c.cotangents[output[0]] {
		want += float64(v) * (a[i] - b[i]) / (2 * step)
	}
	require.InDelta(t, want, slope, 1e-3*math.Sqrt(size), "%s: %s by %s", c.cfg.Name, output[0], wrt)
}
