package vgg

import (
	"context"
	"math"
	"sync"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func newGradient(t testing.TB, m *Model, opts ...SessionOption) *Gradient {
	t.Helper()
	g, err := m.NewGradient(opts...)
	require.NoError(t, err)
	return g
}

// operands allocates a slice for each shape, with NaNs around.
func operands(t testing.TB, n int, shapes []Shape) (list [][]float32) {
	for _, s := range shapes {
		list = append(list, testutil.NaNGuarded(t, n*s.Len()))
	}
	return list
}

// backward computes outputs and gradients for n pictures.
func backward(t testing.TB, g *Gradient, x []float32, cotangents [][]float32) (outputs, grads [][]float32) {
	t.Helper()
	outputs, grads = operands(t, g.batch, g.OutputShapes()), operands(t, g.batch, g.GradShapes())
	require.NoError(t, g.Forward(context.Background(), outputs, x))
	require.NoError(t, g.Backward(context.Background(), grads, cotangents))
	return outputs, grads
}

// firsts returns the first n pictures of operands of batch pictures.
func firsts(list [][]float32, n, batch int) (cut [][]float32) {
	for _, x := range list {
		cut = append(cut, x[:len(x)/batch*n])
	}
	return cut
}

// TestGradientBits: a picture's activations are a Session's, and its gradients are the
// same bits in any batch and for any team, in every kind of network.
func TestGradientBits(t *testing.T) {
	const batch = 5
	models := []*Model{small(t, "A-LRN"), small(t, "C"), small(t, "D", Direct()), small(t, "E", HalfFC()), small(t, "B", Fixed())}
	for _, cfg := range kindNets {
		models = append(models, kindModel(t, cfg))
	}
	for _, m := range models {
		layers := m.cfg.Layers
		end := layers[len(layers)-1].Name
		opts := []SessionOption{Outputs(end, layers[1].Name, layers[2].Name), Wrt(layers[0].Name, "input", layers[2].Name)}
		g := newGradient(t, m, append(opts, Batch(batch), Workers(1))...)
		x := testutil.Normal(1, batch*m.cfg.inputLen())
		var cotangents [][]float32
		for i, s := range g.OutputShapes() {
			cotangents = append(cotangents, testutil.Normal(uint64(i), batch*s.Len()))
		}
		outputs, want := backward(t, g, x, cotangents)
		for i, name := range []string{end, layers[1].Name, layers[2].Name} {
			testutil.CheckBits(t, m.cfg.LayerString(), name, outputs[i], runSession(t, m, x, Batch(batch), Output(name)))
		}
		for _, n := range []int{1, 3} {
			for workers := 1; workers <= 3; workers++ {
				g := newGradient(t, m, append(opts, Batch(n), Workers(workers))...)
				for range 2 {
					_, got := backward(t, g, x[:len(x)/batch*n], firsts(cotangents, n, batch))
					for i, w := range firsts(want, n, batch) {
						testutil.CheckBits(t, m.cfg.LayerString(), []int{i, n, workers}, got[i], w)
					}
				}
			}
		}
	}
}

// TestGradientTrainer: the gradient of the loss by the pictures is the Trainer's, but for
// rounding.
func TestGradientTrainer(t *testing.T) {
	const batch = 3
	for _, name := range Names() {
		tr := newTrainer(t, name, 16, batch, InputGrad())
		m, err := New(tr.cfg, tr.Source())
		require.NoError(t, err)
		x := testutil.Normal(1, batch*3*32*32)
		_, err = tr.Gradients(context.Background(), x, []int{1, 2, 3})
		require.NoError(t, err)
		_, grads := backward(t, newGradient(t, m, Batch(batch)), x, [][]float32{tr.prob})
		want := make([]float64, len(x))
		for i, v := range tr.InputGradient() {
			want[i] = float64(v)
		}
		largest, _ := testutil.RelErrors(grads[0], want)
		require.Less(t, largest, 3e-5, name)
	}
}

// TestGradientPartial: outputs and gradients that are nil are left out, cotangents that
// are nil are zeros, and what is given does not depend on what is asked for beside it.
func TestGradientPartial(t *testing.T) {
	m := small(t, "D")
	ctx := context.Background()
	g := newGradient(t, m, Outputs("fc8", "conv3_2", "relu1_1"), Wrt("input", "conv3_2", "pool4", "fc7"))
	x := testutil.Normal(1, 3*32*32)
	require.NoError(t, g.Forward(ctx, nil, x))
	outputs := operands(t, 1, g.OutputShapes())
	require.NoError(t, g.Forward(ctx, [][]float32{nil, outputs[1], nil}, x))
	testutil.CheckBits(t, "conv3_2", nil, outputs[1], runSession(t, m, x, Output("conv3_2")))

	cotangent := testutil.Normal(2, len(outputs[1]))
	grads := operands(t, 1, g.GradShapes())
	require.NoError(t, g.Backward(ctx, grads, [][]float32{nil, cotangent, nil}))
	testutil.CheckBits(t, "its own", nil, grads[1], cotangent)
	testutil.CheckBits(t, "behind", "pool4", grads[2], make([]float32, len(grads[2])))
	testutil.CheckBits(t, "behind", "fc7", grads[3], make([]float32, len(grads[3])))
	_, alone := backward(t, newGradient(t, m, Outputs("conv3_2")), x, [][]float32{cotangent})
	testutil.CheckBits(t, "input", nil, grads[0], alone[0])
	require.NotZero(t, alone[0][0])

	first := operands(t, 1, g.GradShapes())[:1]
	require.NoError(t, g.Backward(ctx, [][]float32{first[0], nil, nil, nil}, [][]float32{nil, cotangent, nil}))
	testutil.CheckBits(t, "input alone", nil, first[0], alone[0])
	require.NoError(t, g.Backward(ctx, grads, [][]float32{nil, nil, nil}))
	for i := range grads {
		testutil.CheckBits(t, "nothing", i, grads[i], make([]float32, len(grads[i])))
	}

	// Of a layer before the last one that is wanted, no cotangent matters.
	late := newGradient(t, m, Outputs("conv1_1", "fc8"), Wrt("fc6"))
	y := testutil.Normal(3, 10)
	require.NoError(t, late.Forward(ctx, nil, x))
	a, b := operands(t, 1, late.GradShapes()), operands(t, 1, late.GradShapes())
	require.NoError(t, late.Backward(ctx, a, [][]float32{nil, y}))
	require.NoError(t, late.Backward(ctx, b, [][]float32{testutil.Normal(4, late.OutputShapes()[0].Len()), y}))
	testutil.CheckBits(t, "fc6", nil, a[0], b[0])
}

// TestGradientSizes: the convolutions alone take pictures of any size, and a network
// with a global pool does as a whole.
func TestGradientSizes(t *testing.T) {
	m := small(t, "A")
	g := newGradient(t, m, InputSize(45, 70), Outputs("conv4_2"), Batch(2))
	require.Equal(t, []Shape{{32, 5, 8}}, g.OutputShapes())
	require.Equal(t, []Shape{{3, 45, 70}}, g.GradShapes())
	x := testutil.Normal(1, 2*3*45*70)
	outputs, _ := backward(t, g, x, [][]float32{testutil.Normal(2, 2*32*5*8)})
	testutil.CheckBits(t, "conv4_2", nil, outputs[0], runSession(t, m, x, Batch(2), InputSize(45, 70), Output("conv4_2")))
	_, err := m.NewGradient(InputSize(45, 70))
	require.ErrorIs(t, err, ErrShape)

	pooled := kindModel(t, kindNets[0])
	g = newGradient(t, pooled, InputSize(40, 24))
	_, grads := backward(t, g, testutil.Normal(1, 3*40*24), [][]float32{testutil.Normal(2, 10)})
	require.NotZero(t, grads[0][0])
}

// TestGradientMemory: filters are packed by the first Gradient that needs them, for all.
func TestGradientMemory(t *testing.T) {
	m := small(t, "D")
	before := m.Bytes()
	newGradient(t, m, Outputs("fc8"), Wrt("pool5"))
	require.Equal(t, before, m.Bytes(), "fully connected layers have no second copy")
	newGradient(t, m, Wrt("conv5_2"))
	one := m.Bytes()
	require.Greater(t, one, before)
	newGradient(t, m, Wrt("conv5_2"))
	require.Equal(t, one, m.Bytes())
	var wg sync.WaitGroup
	x := testutil.Normal(1, 3*32*32)
	want := operands(t, 1, []Shape{{3, 32, 32}})
	for i := range 4 {
		wg.Go(func() {
			g, err := m.NewGradient()
			if err != nil {
				t.Error(err)
				return
			}
			grads := [][]float32{make([]float32, len(x))}
			for range 3 {
				err = g.Forward(context.Background(), nil, x)
				if err == nil {
					err = g.Backward(context.Background(), grads, [][]float32{testutil.Normal(2, 10)})
				}
				if err != nil {
					t.Error(err)
				}
			}
			if i == 0 {
				copy(want[0], grads[0])
			}
		})
	}
	wg.Wait()
	require.NotZero(t, want[0][0])
}

func TestGradientAllocates(t *testing.T) {
	ctx := context.Background()
	for _, m := range []*Model{small(t, "A-LRN"), small(t, "C", HalfFC()), small(t, "A", FixedFC()), small(t, "B", Fixed()), kindModel(t, kindNets[0]), kindModel(t, kindNets[2]), kindModel(t, kindNets[4])} {
		layers := m.cfg.Layers
		for _, opts := range [][]SessionOption{{Workers(1)}, {Workers(2), Batch(3), Wrt("input", layers[1].Name)}, {Workers(2), GuidedReLU(), Outputs(layers[2].Name, layers[len(layers)-1].Name)}} {
			g := newGradient(t, m, opts...)
			x := testutil.Normal(1, g.batch*m.cfg.inputLen())
			outputs, grads := operands(t, g.batch, g.OutputShapes()), operands(t, g.batch, g.GradShapes())
			require.Zero(t, testutil.AllocsPerRun(5, func() {
				if err := g.Forward(ctx, outputs, x); err != nil {
					t.Error(err)
				}
				if err := g.Backward(ctx, grads, outputs); err != nil {
					t.Error(err)
				}
			}), m.cfg.LayerString())
		}
	}
}

func TestGradientErrors(t *testing.T) {
	m := small(t, "D")
	for _, opts := range [][]SessionOption{
		{Dense()}, {Profiled()}, {Wrt()}, {Wrt("conv9_9")}, {Wrt("input", "input")}, {Wrt("conv1_1", "relu1_1")},
		{Outputs("conv3_1"), Wrt("conv3_2")}, {Outputs("input")}, {Outputs("fc8", "fc8")},
	} {
		_, err := m.NewGradient(opts...)
		require.ErrorIs(t, err, ErrConfig)
	}
	for _, opts := range [][]SessionOption{{Batch(0)}, {Workers(0)}, {InputSize(0, 3)}, {InputSize(33, 64)}, {Batch(math.MaxInt)}} {
		_, err := m.NewGradient(opts...)
		require.ErrorIs(t, err, ErrShape)
	}
	_, err := m.NewSession(Wrt("input"))
	require.ErrorIs(t, err, ErrConfig)
	_, err = m.NewSession(GuidedReLU())
	require.ErrorIs(t, err, ErrConfig)

	ctx := context.Background()
	g := newGradient(t, m)
	x, dx, y := make([]float32, 3*32*32), make([]float32, 3*32*32), make([]float32, 10)
	require.ErrorContains(t, g.Backward(ctx, [][]float32{dx}, [][]float32{y}), "a Forward that came to its end")
	require.ErrorIs(t, g.Forward(ctx, nil, x[1:]), ErrShape)
	require.ErrorIs(t, g.Forward(ctx, [][]float32{}, x), ErrShape)
	require.ErrorIs(t, g.Forward(ctx, [][]float32{y[1:]}, x), ErrShape)
	require.NoError(t, g.Forward(ctx, nil, x))
	require.ErrorIs(t, g.Backward(ctx, nil, [][]float32{y}), ErrShape)
	require.ErrorIs(t, g.Backward(ctx, [][]float32{dx}, nil), ErrShape)
	require.ErrorIs(t, g.Backward(ctx, [][]float32{dx[1:]}, [][]float32{y}), ErrShape)
	require.ErrorIs(t, g.Backward(ctx, [][]float32{dx}, [][]float32{y[1:]}), ErrShape)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, g.Backward(ended, [][]float32{dx}, [][]float32{y}), context.Canceled)
	require.NoError(t, g.Backward(ctx, [][]float32{dx}, [][]float32{y}), "the activations are still there")
	require.ErrorIs(t, g.Forward(ended, nil, x), context.Canceled)
	require.ErrorIs(t, g.Backward(ctx, [][]float32{dx}, [][]float32{y}), errNoForward)
}

// TestGradientCancel stops both passes of a network of the paper's size.
func TestGradientCancel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: needs a run without -short")
	}
	cfg, err := Lookup("D")
	require.NoError(t, err)
	cut, err := cfg.Until("pool5")
	require.NoError(t, err)
	g := newGradient(t, kindModel(t, cut))
	x := testutil.Normal(1, 3*224*224)
	grads, cotangents := operands(t, 1, g.GradShapes()), operands(t, 1, g.OutputShapes())
	ctx := context.Background()
	require.NoError(t, g.Forward(ctx, cotangents, x))
	checkCancel(t, g.team, func(ctx context.Context) error { return g.Backward(ctx, grads, cotangents) })
	checkCancel(t, g.team, func(ctx context.Context) error { return g.Forward(ctx, nil, x) })
	g = newGradient(t, g.model, Workers(1))
	require.NoError(t, g.Forward(ctx, cotangents, x))
	checkItems(t, g.team, func(ctx context.Context) error { return g.Backward(ctx, grads, cotangents) })
}
