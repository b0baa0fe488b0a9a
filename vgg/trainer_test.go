package vgg

import (
	"context"
	"runtime"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func newTrainer(t testing.TB, name string, width, batch int, opts ...TrainerOption) *Trainer {
	t.Helper()
	cfg, err := Lookup(name)
	require.NoError(t, err)
	cfg = cfg.Divide(width).WithClasses(10).WithSize(32)
	src, err := Initial(cfg, InitHe, 1)
	require.NoError(t, err)
	tr, err := NewTrainer(cfg, src, batch, opts...)
	require.NoError(t, err)
	return tr
}

// TestOverfit lets each configuration learn 16 pictures by heart.
func TestOverfit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some ten seconds: needs a run without -short")
	}
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		const n = 16
		tr := newTrainer(t, name, 8, n)
		x := testutil.Normal(5, n*3*32*32)
		targets := make([]int, n)
		for i := range targets {
			targets[i] = i % 10
		}
		loss := 0.0
		for range 800 {
			r, err := tr.Gradients(context.Background(), x, targets)
			require.NoError(t, err)
			if loss = r.Loss; loss < 0.01 {
				break
			}
			tr.Update(SGD{Rate: 0.005, Momentum: 0.9})
		}
		require.Less(t, loss, 0.01, name)
	}
}

// TestTrainWorkers compares gradients for several teams bit for bit, with dropout.
func TestTrainWorkers(t *testing.T) {
	x, targets := testutil.Normal(5, 3*3*32*32), []int{1, 2, 3}
	var want [][]float32
	for _, workers := range []int{1, 2, 3} {
		for _, name := range []string{"A-LRN", "C"} {
			tr := newTrainer(t, name, 16, 3, TrainWorkers(workers), Dropout(0.5, 9))
			_, err := tr.Gradients(context.Background(), x, targets)
			require.NoError(t, err)
			if workers == 1 {
				want = append(want, tr.Grads()...)
				continue
			}
			for i, p := range tr.Params() {
				w := want[i]
				if name == "C" {
					w = want[len(want)-len(tr.Params())+i]
				}
				testutil.CheckBits(t, name, p.Name, tr.Grads()[i], w)
			}
		}
	}
}

// TestStepBits takes steps of training on one worker, and on four beside
// goroutines that want the processors for themselves, and compares all weights.
func TestStepBits(t *testing.T) {
	x, targets := testutil.Normal(5, 5*3*32*32), []int{1, 2, 3, 4, 5}
	step := func(workers int) [][]float32 {
		tr := newTrainer(t, "C", 16, 5, TrainWorkers(workers), Dropout(0.5, 9))
		for range 3 {
			_, err := tr.Gradients(context.Background(), x, targets)
			require.NoError(t, err)
			tr.Update(SGD{Rate: 0.01, Momentum: 0.9, Decay: 5e-4})
		}
		return tr.Weights()
	}
	want := step(1)
	defer burn(2 * runtime.GOMAXPROCS(0))()
	for range 5 {
		for i, w := range step(4) {
			testutil.CheckBits(t, "weights", i, w, want[i])
		}
	}
}

// TestTrainerLogits compares a picture's logits in a trainer's batch of 1, 7 and 32.
func TestTrainerLogits(t *testing.T) {
	const size = 3 * 32 * 32
	x := testutil.Normal(5, 32*size)
	for _, name := range []string{"A-LRN", "C"} {
		var want []float32
		for _, batch := range []int{32, 7, 1} {
			got := make([]float32, batch*10)
			require.NoError(t, newTrainer(t, name, 16, batch).Logits(context.Background(), got, x[:batch*size]))
			if want == nil {
				want = got
			}
			testutil.CheckBits(t, name, batch, got, want[:batch*10])
		}
	}
}

// TestStepAllocates: a step of training allocates the closures that it shares
// among the workers, and nothing that grows with the network's width.
func TestStepAllocates(t *testing.T) {
	x, targets := testutil.Normal(5, 3*3*32*32), []int{1, 2, 3}
	for _, name := range []string{"A-LRN", "C", "E"} {
		tr := newTrainer(t, name, 16, 3, TrainWorkers(2), Dropout(0.5, 9))
		got := testutil.AllocsPerRun(5, func() {
			_, err := tr.Gradients(context.Background(), x, targets)
			if err != nil {
				t.Error(err)
			}
			tr.Update(SGD{Rate: 0.01, Momentum: 0.9})
		})
		t.Logf("%s: %v", name, got)
		require.LessOrEqual(t, got, float64(8*len(tr.cfg.Layers)), name)
	}
}

// TestAccumulate adds the gradients of two halves and compares them with those of
// the whole.
func TestAccumulate(t *testing.T) {
	x, targets := testutil.Normal(5, 4*3*32*32), []int{1, 2, 3, 4}
	whole, halves := newTrainer(t, "C", 16, 4), newTrainer(t, "C", 16, 2)
	_, err := whole.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	for i := range 2 {
		_, err := halves.Gradients(context.Background(), x[i*len(x)/2:][:len(x)/2], targets[2*i:][:2])
		require.NoError(t, err)
	}
	for i, p := range whole.Params() {
		sum := halves.Grads()[i]
		want := ref.Float64(whole.Grads()[i])
		for j := range want {
			want[j] *= 2
		}
		largest, _ := testutil.RelErrors(sum, want)
		require.Less(t, largest, 3e-5, p.Name)
	}
	whole.Update(SGD{Rate: 0.1})
	halves.Update(SGD{Rate: 0.1})
	for i, p := range whole.Params() {
		largest, _ := testutil.RelErrors(halves.Weights()[i], ref.Float64(whole.Weights()[i]))
		require.Less(t, largest, 3e-5, p.Name)
	}
}

// TestInputGradient compares the gradient of the input with the reference.
func TestInputGradient(t *testing.T) {
	tr := newTrainer(t, "A", 16, 2, InputGrad())
	x, targets := testutil.Normal(5, 2*3*32*32), []int{1, 2}
	r, err := tr.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	// By central differences of the loss, in the directions of a few pixels.
	grad := tr.InputGradient()
	rms := 0.0
	for _, g := range grad {
		rms += float64(g) * float64(g) / float64(len(grad))
	}
	require.NotZero(t, rms)
	step, direction, slope := float32(1e-2), testutil.Normal(6, len(x)), 0.0
	for i, d := range direction {
		slope += float64(d) * float64(grad[i])
		x[i] += step * d
	}
	up, err := tr.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	for i, d := range direction {
		x[i] -= 2 * step * d
	}
	down, err := tr.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	require.InDelta(t, slope, (up.Loss-down.Loss)/float64(2*step), 0.05*max(1, r.Loss))
}

func TestTrainerErrors(t *testing.T) {
	tr := newTrainer(t, "A", 16, 2)
	_, err := tr.Gradients(context.Background(), make([]float32, 3), []int{1, 2})
	require.ErrorIs(t, err, ErrShape)
	_, err = tr.Gradients(context.Background(), make([]float32, 2*3*32*32), []int{1, 10})
	require.ErrorIs(t, err, ErrShape)
	cfg, err := Lookup("A")
	require.NoError(t, err)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	cut, err := cfg.Until("pool5")
	require.NoError(t, err)
	_, err = NewTrainer(cut, src, 1)
	require.ErrorIs(t, err, ErrConfig)
	small := cfg.Divide(16).WithSize(32)
	src, err = Seeded(small, 1)
	require.NoError(t, err)
	_, err = NewTrainer(small, src, 0)
	require.ErrorIs(t, err, ErrShape)
}

// TestLazyGradients: whether someone looks at the gradients does not change a bit of
// the weights, with several batches to a step or one, and frozen layers stay.
func TestLazyGradients(t *testing.T) {
	x, targets := testutil.Normal(5, 2*3*32*32), []int{1, 2}
	for _, batches := range []int{1, 2, longestUpdate + 1} { // the last in one
		look, blind := newTrainer(t, "A", 16, 2, Dropout(0.5, 1)), newTrainer(t, "A", 16, 2, Dropout(0.5, 1), TrainWorkers(3))
		x, targets := x, targets
		if n := batches; n > longestUpdate {
			look, blind = newTrainer(t, "A", 16, n, Features("pool5")), newTrainer(t, "A", 16, n, Features("pool5"), TrainWorkers(3))
			x, targets, batches = testutil.Normal(5, n*32), make([]int, n), 1
		}
		for range 2 {
			for range batches {
				for _, tr := range []*Trainer{look, blind} {
					_, err := tr.Gradients(context.Background(), x, targets)
					require.NoError(t, err)
				}
				look.Grads()
			}
			rule := SGD{Rate: 0.1, Momentum: 0.9, Decay: 5e-4}
			look.Update(rule)
			blind.Update(rule)
		}
		for i, p := range look.Params() {
			testutil.CheckBits(t, p.Name, batches, blind.Weights()[i], look.Weights()[i])
			testutil.CheckBits(t, p.Name, batches, blind.Momentum()[i], look.Momentum()[i])
		}
	}
	frozen := newTrainer(t, "A", 16, 2, Freeze("fc8"), InputGrad())
	before := append([]float32(nil), frozen.Weights()[len(frozen.Params())-2]...)
	_, err := frozen.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	frozen.Update(SGD{Rate: 0.1})
	testutil.CheckBits(t, "frozen", "fc8", frozen.Weights()[len(frozen.Params())-2], before)
	require.NotZero(t, frozen.InputGradient()[0])

	// An Update without gradients, and one after a batch that was broken off.
	idle := newTrainer(t, "A", 16, 2)
	idle.Update(SGD{Rate: 0.1})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = idle.Gradients(ctx, x, targets)
	require.ErrorIs(t, err, context.Canceled)
	idle.Update(SGD{Rate: 0.1})
}

// TestFeatures trains a classifier on activations and compares it with the same
// training on pictures, whose convolutions are frozen.
func TestFeatures(t *testing.T) {
	x, targets := testutil.Normal(5, 2*3*32*32), []int{1, 2}
	whole, head := newTrainer(t, "C", 16, 2, Freeze("pool5"), Dropout(0.5, 3)), newTrainer(t, "C", 16, 2, Features("pool5"), Dropout(0.5, 3))
	m, err := New(whole.Config(), whole.Source())
	require.NoError(t, err)
	s, err := m.NewSession(Batch(2), Output("pool5"))
	require.NoError(t, err)
	f := make([]float32, 2*s.OutputShape().Len())
	require.NoError(t, s.Run(context.Background(), f, x))
	for range 2 {
		a, err := whole.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		b, err := head.Gradients(context.Background(), f, targets)
		require.NoError(t, err)
		require.Equal(t, a, b)
		whole.Update(SGD{Rate: 0.1, Momentum: 0.9})
		head.Update(SGD{Rate: 0.1, Momentum: 0.9})
	}
	for i, p := range whole.Params() {
		testutil.CheckBits(t, "head", p.Name, head.Weights()[i], whole.Weights()[i])
	}
	_, err = head.Gradients(context.Background(), x, targets)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewTrainer(whole.Config(), whole.Source(), 1, Features("fc6"))
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewTrainer(whole.Config(), whole.Source(), 1, Features("conv9_9"))
	require.ErrorIs(t, err, ErrConfig)

	rest, err := Initial(whole.Config(), InitHe, 9)
	require.NoError(t, err)
	src, err := NewClassifier(whole.Config(), whole.Source(), rest)
	require.NoError(t, err)
	for i, p := range whole.Params() {
		w, err := src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		fresh, err := rest.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		want := whole.Weights()[i]
		if p.Name == "fc8.weight" || p.Name == "fc8.bias" {
			want = fresh
		}
		testutil.CheckBits(t, "new classifier", p.Name, w, want)
	}
}

// TestStepTimes: the times of all steps since the last call are those of the layers, and with
// them the loss and the change of the weights.
func TestStepTimes(t *testing.T) {
	tr := newTrainer(t, "A", 16, 2, TrainWorkers(1))
	x, targets := testutil.Normal(5, 2*3*32*32), []int{1, 2}
	for range 2 {
		_, err := tr.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		tr.Update(SGD{Rate: 0.1})
	}
	all, layers := tr.Times()
	var sum StepTimes
	for i, l := range layers {
		require.Equal(t, tr.Config().Layers[i].Name, l.Layer)
		sum.Forward += l.Forward
		sum.BackwardData += l.BackwardData
		sum.BackwardWeights += l.BackwardWeights
		sum.Update += l.Update
	}
	require.Len(t, layers, len(tr.Config().Layers))
	require.GreaterOrEqual(t, all.Forward, sum.Forward)
	require.GreaterOrEqual(t, all.Update, sum.Update)
	require.Equal(t, sum.BackwardData, all.BackwardData)
	require.Equal(t, sum.BackwardWeights, all.BackwardWeights)
	all, layers = tr.Times()
	require.Zero(t, all)
	for _, l := range layers {
		require.Zero(t, l.StepTimes, l.Layer)
	}
}

// TestTrainerRefusals: numbers may be their limits, and what is beyond is an error that says so.
func TestTrainerRefusals(t *testing.T) {
	cfg := newTrainer(t, "A", 16, 2).Config()
	src, err := Initial(cfg, InitHe, 1)
	require.NoError(t, err)
	for _, c := range []struct {
		opt   TrainerOption
		is    error
		words string
	}{
		{Dropout(0, 1), nil, ""}, {Dropout(0.99, 1), nil, ""},
		{Dropout(1, 1), ErrConfig, "dropout of 1"}, {Dropout(-0.1, 1), ErrConfig, "dropout of -0.1"},
		{TrainWorkers(1), nil, ""}, {TrainWorkers(0), ErrShape, "0 workers"},
		{Freeze("fc8"), nil, ""}, {Freeze("conv9_9"), ErrConfig, "conv9_9"},
		{Features("pool5"), nil, ""}, {Features("fc6"), ErrConfig, "features of fc6"},
	} {
		tr, err := NewTrainer(cfg, src, 1, c.opt)
		if c.is == nil {
			require.NoError(t, err)
			continue
		}
		require.Nil(t, tr)
		require.ErrorIs(t, err, c.is)
		require.ErrorContains(t, err, c.words)
	}
	headless, err := cfg.Until("pool5")
	require.NoError(t, err)
	for want, bad := range map[error]Config{ErrConfig: headless, ErrShape: cfg.WithClasses(11)} {
		tr, err := NewTrainer(bad, src, 1)
		require.ErrorIs(t, err, want)
		require.Nil(t, tr)
	}
	_, err = NewTrainer(cfg, failing{}, 1)
	require.ErrorIs(t, err, errFailing)

	tr := newTrainer(t, "A", 16, 2)
	require.Nil(t, tr.InputGradient())
	x, logits := make([]float32, 2*3*32*32), make([]float32, 20)
	ctx := context.Background()
	require.NoError(t, tr.Logits(ctx, logits, x))
	require.ErrorIs(t, tr.Logits(ctx, logits[1:], x), ErrShape)
	require.ErrorIs(t, tr.Logits(ctx, logits, x[1:]), ErrShape)
	for _, targets := range [][]int{{1}, {1, 2, 3}, {-1, 0}, {0, 10}} {
		_, err = tr.Gradients(ctx, x, targets)
		require.ErrorIs(t, err, ErrShape, targets)
	}
	_, err = tr.Gradients(ctx, x[1:], []int{0, 9})
	require.ErrorIs(t, err, ErrShape)
	_, err = tr.Gradients(ctx, x, []int{0, 9})
	require.NoError(t, err)
}

// TestSetBatches: with the seed and the number of batches a Trainer goes on with the dropout of
// another one.
func TestSetBatches(t *testing.T) {
	x, targets := testutil.Normal(5, 2*3*32*32), []int{1, 2}
	a, b := newTrainer(t, "A", 16, 2, Dropout(0.5, 3)), newTrainer(t, "A", 16, 2, Dropout(0.5, 3))
	loss := func(tr *Trainer) float64 {
		r, err := tr.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		return r.Loss
	}
	first, second := loss(a), loss(a)
	require.NotEqual(t, first, second)
	require.EqualValues(t, 2, a.Batches())
	b.SetBatches(1)
	require.Equal(t, second, loss(b))
	b.SetBatches(0)
	require.Equal(t, first, loss(b))
}

// TestNoDropout: there is none behind the last fully connected layer, also where that has a
// ReLU, nor where outputs are wanted that are not those of training.
func TestNoDropout(t *testing.T) {
	layers, err := ParseLayers("8 M F10")
	require.NoError(t, err)
	layers[len(layers)-1].ReLU = true
	cfg := Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	x := testutil.Normal(1, 3*8*8)
	var results []Result
	for _, fraction := range []float64{0, 0.9} {
		tr, err := NewTrainer(cfg, src, 1, Dropout(fraction, 1))
		require.NoError(t, err)
		r, err := tr.Gradients(context.Background(), x, []int{1})
		require.NoError(t, err)
		results = append(results, r)
	}
	require.Equal(t, results[0], results[1])

	a, b := newTrainer(t, "A", 16, 1), newTrainer(t, "A", 16, 1, Dropout(0.9, 1))
	x = testutil.Normal(1, 3*32*32)
	want, got := make([]float32, 10), make([]float32, 10)
	require.NoError(t, a.Logits(context.Background(), want, x))
	require.NoError(t, b.Logits(context.Background(), got, x))
	testutil.CheckBits(t, "logits", 1, got, want)
}
