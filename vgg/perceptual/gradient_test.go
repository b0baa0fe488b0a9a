package perceptual

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// TestGoldenGradients compares gradients with PyTorch's in float64. Those of LPIPS are with
// respect to 2x−1.
//
// A gradient jumps where a ReLU closes and where a pool chooses another maximum. Pair 1 has
// an activation before a ReLU of conv1_2 that is 4.8e-8 in float64, where the root of the
// mean square is 0.9, and others of its kind: float32 can't tell their signs. Both metrics
// agree with float64 at the choices that they made themselves.
func TestGoldenGradients(t *testing.T) {
	ctx := context.Background()
	golden := testutil.Tensors(t, testutil.Shared(t, "data", "perceptual", "golden.safetensors"))
	for name, m := range metrics(t) {
		g, err := m.NewGradient(64, 64)
		require.NoError(t, err)
		for i := range 3 {
			a, b := pair(t, golden, i)
			x := unit(a)
			grad := make([]float32, len(x))
			d, err := g.Run(ctx, grad, x, unit(b))
			require.NoError(t, err)
			require.InEpsilon(t, golden[fmt.Sprintf("%d.%s", i, name)][0], d, 1e-5)
			want := golden[fmt.Sprintf("%d.%s.grad_a", i, name)]
			if name == "lpips" {
				for j := range want {
					want[j] *= 2
				}
			}
			most, rms := testutil.RelErrors(grad, want)
			t.Logf("%s of pair %d: errors relative to the rms: largest %.1e, rms %.1e", m, i, most, rms)
			if most > 2e-4 { // at a kink
				require.Less(t, rms, 2e-2)
				if testing.Short() {
					continue
				}
				own := map[string]func(*testing.T, *Metric, []float32, []float32) []float64{"lpips": lpipsGradient, "dists": distsGradient}[name]
				most, rms = testutil.RelErrors(grad, own(t, m, x, unit(b)))
				t.Logf("the same at its own choices: largest %.1e, rms %.1e", most, rms)
			}
			require.Less(t, rms, 1e-4, "%s of pair %d", m, i)
			require.Less(t, most, 2e-4, "%s of pair %d", m, i)
		}
	}
}

// lpipsGradient computes the gradient of LPIPS with respect to a in float64, with the
// ReLUs and pools as the activations of the metric's network have them.
func lpipsGradient(t *testing.T, m *Metric, a, b []float32) []float64 {
	t.Helper()
	ctx := context.Background()
	n, model := seeded(t, 11), m.net.(*tapped).model
	input := make([]float32, len(a))
	acts := func(x []float32, layer string) ([]float32, vgg.Shape) {
		normalise(input, x)
		s, err := model.NewSession(vgg.InputSize(64, 64), vgg.Output(layer))
		require.NoError(t, err)
		y := make([]float32, s.OutputShape().Len())
		require.NoError(t, s.Run(ctx, y, input))
		return y, s.OutputShape()
	}
	var f, g, df [][]float32
	var shapes []vgg.Shape
	for _, name := range stages {
		y, s := acts(a, name)
		z, _ := acts(b, name)
		f, g, df, shapes = append(f, y), append(g, z), append(df, make([]float32, len(y))), append(shapes, s)
	}
	require.NoError(t, m.head.newPass(shapes, nil).gradient(ctx, df, f, g))
	dy := make([]float64, len(df[4]))
	last := len(n.Config.Layers)
	for k := len(stages) - 1; k >= 0; k-- {
		for i, v := range df[k] {
			dy[i] += float64(v)
		}
		first := 0
		net := &ref.Net[float32]{C: 3, H: 64, W: 64}
		normalise(input, a)
		x := input
		if k > 0 {
			first = slices.IndexFunc(n.Config.Layers, func(l vgg.Layer) bool { return l.Name == stages[k-1] }) + 1
			net.C, net.H, net.W = shapes[k-1].C, shapes[k-1].H, shapes[k-1].W
			x = f[k-1]
		}
		own := map[string][]float64{"input": ref.Float64(x)}
		for _, l := range n.Config.Layers[first:last] {
			y, _ := acts(a, l.Name)
			own[l.Name] = ref.Float64(y)
			net.Layers = append(net.Layers, refLayer(t, n, l))
		}
		run := net.Forward(1, x)
		run.Replace(own)
		dy, last = run.Backward(dy)["act.input"], first
	}
	for i := range dy {
		dy[i] /= float64(picture.Torch.Std[i/(64*64)])
	}
	return dy
}

// distsGradient is lpipsGradient for DISTS.
func distsGradient(t *testing.T, m *Metric, a, b []float32) []float64 {
	t.Helper()
	ctx := context.Background()
	n, blocks := seeded(t, 11), m.net.(*staged)
	net, err := blocks.forward(64, 64, nil)
	require.NoError(t, err)
	shapes, input := net.shapes(), make([]float32, len(a))
	f, g, df := activations(shapes), activations(shapes), activations(shapes)
	require.NoError(t, compute(ctx, net, g, input, b))
	require.NoError(t, compute(ctx, net, f, input, a))
	pooled := net.(*stagedForward).pooled
	require.NoError(t, m.head.newPass(shapes, nil).gradient(ctx, df, f, g))
	dy := make([]float64, len(df[5]))
	for k := len(blocks.blocks) - 1; k >= 0; k-- {
		for i, v := range df[k+1] {
			dy[i] += float64(v)
		}
		in, x := shapes[k+1], input // the size of a block's stage is that of its input
		in.C = 3
		if k > 0 {
			x, in.C = pooled[k-1], shapes[k].C
		}
		own := map[string][]float64{"input": ref.Float64(x)}
		net := &ref.Net[float32]{C: in.C, H: in.H, W: in.W}
		for _, l := range blocks.blocks[k].Config().Layers {
			s, err := blocks.blocks[k].NewSession(vgg.InputSize(in.H, in.W), vgg.Output(l.Name))
			require.NoError(t, err)
			y := make([]float32, s.OutputShape().Len())
			require.NoError(t, s.Run(ctx, y, x))
			own[l.Name] = ref.Float64(y)
			net.Layers = append(net.Layers, refLayer(t, n, l))
		}
		run := net.Forward(1, x)
		run.Replace(own)
		dy = run.Backward(dy)["act.input"]
		if k > 0 {
			dy = l2Gradient(shapes[k], f[k], pooled[k-1], dy)
		}
	}
	for i := range dy {
		dy[i] = dy[i]/float64(picture.Torch.Std[i/(64*64)]) + float64(df[0][i])
	}
	return dy
}

// l2Gradient computes the gradient of L2 pooling of x of a shape to y in float64: of
// y = √(g∗x²+ε) it is g·x/y.
func l2Gradient(s vgg.Shape, x, y []float32, dy []float64) []float64 {
	dx, oh, ow := make([]float64, len(x)), (s.H+1)/2, (s.W+1)/2
	g := [3]float64{1, 2, 1}
	for i := range x {
		plane, r, c := i/(s.H*s.W), i/s.W%s.H, i%s.W
		for p := r / 2; p <= min((r+1)/2, oh-1); p++ {
			for q := c / 2; q <= min((c+1)/2, ow-1); q++ {
				o := (plane*oh+p)*ow + q
				dx[i] += dy[o] / float64(y[o]) * g[r-2*p+1] * g[c-2*q+1] / 16 * float64(x[i])
			}
		}
	}
	return dx
}

// refLayer is a layer for package ref.
func refLayer(t *testing.T, n *vgg.Network, l vgg.Layer) ref.Layer[float32] {
	t.Helper()
	if l.Kind == vgg.Pool {
		return ref.Layer[float32]{Kind: ref.KindMaxPool, Name: l.Name}
	}
	params, err := n.Config.Params()
	require.NoError(t, err)
	r := ref.Layer[float32]{Kind: ref.KindConv, Name: l.Name, Out: l.Out, Kernel: 3, Pad: 1, ReLU: true}
	for _, p := range params {
		w, err := n.Source.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		switch p.Name {
		case l.Name + ".weight":
			r.Weight = w
		case l.Name + ".bias":
			r.Bias = w
		}
	}
	return r
}

// TestGradientWorkers: the same bits for any number of workers, and no allocation; grad may
// be a.
func TestGradientWorkers(t *testing.T) {
	ctx := context.Background()
	a, b := testutil.Uniform(1, 3*33*47), testutil.Uniform(2, 3*33*47)
	for _, m := range metrics(t) {
		var first []float32
		for workers := 1; workers <= 3; workers++ {
			g, err := m.NewGradient(33, 47, vgg.Workers(workers))
			require.NoError(t, err)
			grad := append([]float32(nil), a...)
			_, err = g.Run(ctx, grad, grad, b)
			require.NoError(t, err)
			if workers == 1 {
				first = grad
				scratch := make([]float32, len(a))
				require.Zero(t, testutil.AllocsPerRun(2, func() { _, _ = g.Run(ctx, scratch, a, b) }))
			}
			testutil.CheckBits(t, m.String(), workers, grad, first)
		}
	}
}

func TestGradientRefusals(t *testing.T) {
	ctx := context.Background()
	m := metrics(t)["lpips"]
	g, err := m.NewGradient(16, 16)
	require.NoError(t, err)
	x := make([]float32, 3*16*16)
	_, err = g.Run(ctx, x[1:], x, x)
	require.ErrorIs(t, err, ErrShape)
	_, err = g.Run(ctx, x, x, x[1:])
	require.ErrorIs(t, err, ErrShape)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = g.Run(ended, x, x, x)
	require.ErrorIs(t, err, context.Canceled)
}
