package gemm

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestForgets: nothing keeps its operands after a run.
func TestForgets(t *testing.T) {
	ctx, team := context.Background(), parallel.NewTeam(2)
	g := NewMultiplier(team)
	for _, m := range []int{1, 8, 300} { // each variant
		for _, alpha := range []float32{1, 2} {
			a, b, c := make([]float32, m*100), make([]float32, 100*300), make([]float32, max(m, 2)*300)
			for _, transB := range []bool{false, true} {
				ldb := 300
				if transB {
					ldb = 100
				}
				require.NoError(t, g.SGEMM(ctx, false, transB, m, 300, 100, alpha, a, 100, b, ldb, 1, c[:m*300], 300))
				testutil.Forgets(t, "Multiplier", g, a, b, c)
			}
			require.NoError(t, g.Batch(ctx, Batch{2, 0, 0, 300}, false, false, 1, 300, 100, alpha, a, 100, b, 300, 1, c, 300))
			testutil.Forgets(t, "Multiplier of a batch", g, a, b, c)
		}
	}

	const n, in, out, side = 2, 40, 70, 4
	for _, opts := range [][]Option{nil, {Half()}, {Fixed()}} {
		w := testutil.Normal(1, in*out)
		l, err := NewLinear(in, out, w, nil, team, opts...)
		require.NoError(t, err)
		e, err := l.NewExec(n, team)
		require.NoError(t, err)
		dst, src := make([]float32, n*out), make([]float32, n*in)
		require.NoError(t, e.Run(ctx, n, dst, src))
		testutil.Forgets(t, "LinearExec", e, dst, src, w)
		d, err := l.NewInputGrad(n, team)
		require.NoError(t, err)
		require.NoError(t, d.Run(ctx, n, src, dst))
		testutil.Forgets(t, "LinearInputGrad", d, dst, src, w)
	}

	w := make([]float32, in*out)
	p, err := NewPointwise(in, out, w, nil)
	require.NoError(t, err)
	dst, src, residual := make([]float32, n*layout.Len(out, side, side)), make([]float32, n*layout.Len(in, side, side)), make([]float32, n*layout.Len(out, side, side))
	e, err := p.NewExec(n, side, side, fuse.Epilogue{Add: true}, team)
	require.NoError(t, err)
	require.NoError(t, e.RunAdd(ctx, dst, src, residual))
	testutil.Forgets(t, "PointwiseExec", e, dst, src, residual, w)
	d, err := NewPointwiseWeightGrad(n, in, side, side, out, team)
	require.NoError(t, err)
	dw, db := make([]float32, in*out), make([]float32, out)
	require.NoError(t, d.Run(ctx, dw, db, src, dst))
	testutil.Forgets(t, "PointwiseWeightGrad", d, dw, db, src, dst)
}
