package conv3x3

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestForgets: nothing keeps its operands after a run.
func TestForgets(t *testing.T) {
	ctx, team := context.Background(), parallel.NewTeam(2)
	for _, c := range []struct {
		Shape
		opts []Option
	}{
		{Shape{1, 3, 9, 9, 20, 1, 1}, []Option{Direct()}}, {Shape{1, 20, 9, 9, 20, 1, 1}, nil}, {Shape{1, 20, 9, 9, 20, 1, 1}, []Option{Fixed()}},
		{Shape{1, 20, 9, 9, 20, 1, 2}, nil}, {Shape{1, 20, 9, 9, 20, 1, 2}, []Option{Fixed()}},
	} {
		s := c.Shape
		w, bias := testutil.Normal(1, s.K*s.C*9), make([]float32, s.K)
		f, err := NewFilter(s.C, s.K, w, bias, team, append(c.opts, Stride(s.stride()))...)
		require.NoError(t, err)
		spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}
		n, err := f.ScratchLen(spec, 2)
		require.NoError(t, err)
		e, err := f.NewExec(spec, make([]float32, n), team)
		require.NoError(t, err)
		dst, src, mask := make([]float32, e.dstLen), make([]float32, e.srcLen), make([]float32, e.dstLen)
		require.NoError(t, e.RunMasked(ctx, dst, src, mask))
		testutil.Forgets(t, "Exec", e, dst, src, mask, w, bias)

		d, err := NewWeightGrad(s)
		require.NoError(t, err)
		g, err := d.NewExec(make([]float32, d.ScratchLen(2)), team)
		require.NoError(t, err)
		blocked, dw := make([]float32, s.N*s.H*s.W*32), make([]float32, len(w))
		if s.C <= 16 {
			blocked = blocked[:len(blocked)/2]
		}
		require.NoError(t, g.Run(ctx, dw, bias, blocked, dst))
		testutil.Forgets(t, "WeightGradExec", g, dw, bias, blocked, dst)

		p, err := NewPlan(s, w, bias, Workers(2))
		require.NoError(t, err)
		x, y := make([]float32, s.N*s.C*s.H*s.W), make([]float32, s.N*s.K*s.OH()*s.OW())
		require.NoError(t, p.Forward(y, x))
		testutil.Forgets(t, "Plan", p, x, y, w, bias)

		back, err := NewGradPlan(s, w, Workers(2))
		require.NoError(t, err)
		require.NoError(t, back.InputGrad(x, y))
		testutil.Forgets(t, "GradPlan after InputGrad", back, x, y, w)
		require.NoError(t, back.WeightGrad(dw, x, y))
		testutil.Forgets(t, "GradPlan after WeightGrad", back, dw, x, y)
		require.NoError(t, back.BiasGrad(bias, y))
		testutil.Forgets(t, "GradPlan after BiasGrad", back, bias, y)
	}
}
