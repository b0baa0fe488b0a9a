package vgg

import (
	"context"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// endsAfter is a context that has ended once it was asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (c *endsAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// endsAnywhere runs with contexts that end at ever later moments, until one does not end. A
// run whose context has ended returns its error, or has come to its end: then result is that of
// a run that nothing disturbs.
func endsAnywhere(t *testing.T, what string, result [][]float32, run func(ctx context.Context) error) {
	t.Helper()
	require.NoError(t, run(context.Background()))
	var want [][]float32
	for _, r := range result {
		want = append(want, slices.Clone(r))
	}
	ended := 0
	for n := 0; ; n += 1 + n/8 {
		for _, r := range result {
			testutil.Poison(r)
		}
		ctx := &endsAfter{context.Background(), n}
		err := run(ctx)
		if err == nil {
			for i := range result {
				testutil.CheckBits(t, what, n, result[i], want[i])
			}
			if ctx.n >= 0 {
				break
			}
			continue
		}
		ended++
		require.ErrorIs(t, err, context.Canceled, what)
	}
	require.Greater(t, ended, 3, what)
}

const everyKind = "8 S+ A =8 N 16/2 M 16/1 G =F24 S+ F12 S F3"

func everyKindConfig(t *testing.T) Config {
	layers, err := ParseLayers(everyKind)
	require.NoError(t, err)
	return Config{Name: "test", Channels: 3, Size: 32, Pad: 1, Layers: layers}
}

// TestEndsAnywhere: whenever its context ends, a run returns the context's error, and not a part
// of the result.
func TestEndsAnywhere(t *testing.T) {
	every := kindModel(t, everyKindConfig(t))
	x := testutil.Normal(1, 3*3*48*48)
	for name, s := range map[string]struct {
		m    *Model
		opts []SessionOption
	}{
		"every kind": {every, []SessionOption{Batch(3), Outputs("pool1", "conv3_1", "")}},
		"fixed":      {small(t, "B", Fixed()), []SessionOption{Batch(2), Outputs("relu1_2", "pool3", "fc8")}},
		"dense":      {small(t, "A"), []SessionOption{InputSize(48, 48), Dense()}},
	} {
		session, err := s.m.NewSession(append(s.opts, Workers(1))...)
		require.NoError(t, err, name)
		var result [][]float32
		for _, shape := range session.OutputShapes() {
			result = append(result, make([]float32, session.batch*shape.Len()))
		}
		src := x[:session.batch*session.inputLen()]
		endsAnywhere(t, name, result, func(ctx context.Context) error { return session.RunOutputs(ctx, result, src) })
	}

	g := newGradient(t, every, Batch(2), Workers(1), Outputs("pool3", ""), Wrt("input", "conv1_1", "fc5"))
	outputs, grads := operandsOf(2, g.OutputShapes()), operandsOf(2, g.GradShapes())
	src := x[:2*g.in.Len()]
	endsAnywhere(t, "Forward", outputs, func(ctx context.Context) error { return g.Forward(ctx, outputs, src) })
	require.NoError(t, g.Forward(context.Background(), outputs, src))
	endsAnywhere(t, "Backward", grads, func(ctx context.Context) error { return g.Backward(ctx, grads, outputs) })

	source, err := Initial(every.cfg, InitHe, 1)
	require.NoError(t, err)
	tr, err := NewTrainer(every.cfg, source, 2, TrainWorkers(1), InputGrad())
	require.NoError(t, err)
	logits := make([]float32, 2*3)
	endsAnywhere(t, "Logits", [][]float32{logits}, func(ctx context.Context) error { return tr.Logits(ctx, logits, src) })
	result := operandsOf(1, []Shape{every.cfg.nominalInput(t), every.cfg.nominalInput(t)})
	for _, p := range tr.Params() {
		result = append(result, make([]float32, p.Len()))
	}
	endsAnywhere(t, "Gradients", result, func(ctx context.Context) error {
		tr.Update(SGD{}) // drops the gradients, and changes no weight
		_, err := tr.Gradients(ctx, src, []int{1, 2})
		if err == nil {
			copy(result[0], tr.InputGradient())
			copy(result[1], tr.InputGradient()[tr.in.Len():])
			for i, g := range tr.Grads() {
				copy(result[2+i], g)
			}
		}
		return err
	})
}

func (c Config) nominalInput(t *testing.T) Shape {
	in, _, err := c.nominal()
	require.NoError(t, err)
	return in
}

// operandsOf allocates a slice for each shape.
func operandsOf(n int, shapes []Shape) (list [][]float32) {
	for _, s := range shapes {
		list = append(list, make([]float32, n*s.Len()))
	}
	return list
}
