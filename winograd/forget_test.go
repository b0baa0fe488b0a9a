package winograd

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestForgets: nothing keeps its operands after a run.
func TestForgets(t *testing.T) {
	const c, k, side = 20, 40, 9
	ctx, team := context.Background(), parallel.NewTeam(2)
	w := testutil.Normal(1, k*c*9)
	f, err := NewFilter(4, c, k, w, team)
	require.NoError(t, err)
	for _, add := range []bool{false, true} {
		conv, err := f.NewConv(1, side, side, 1, nil, fuse.Epilogue{Add: add})
		require.NoError(t, err)
		e, err := conv.NewExec(make([]float32, conv.ScratchLen(2)), team)
		require.NoError(t, err)
		dst, src, third := make([]float32, conv.dstLen()), make([]float32, conv.srcLen()), make([]float32, conv.dstLen())
		if add {
			require.NoError(t, e.RunAdd(ctx, dst, src, third))
		} else {
			require.NoError(t, e.RunMasked(ctx, dst, src, third))
		}
		testutil.Forgets(t, "Exec", e, dst, src, third, w)
	}
	g, err := NewWeightGrad(1, c, side, side, k, 1)
	require.NoError(t, err)
	e, err := g.NewExec(make([]float32, g.ScratchLen(2)), team)
	require.NoError(t, err)
	dw, db, src, dy := make([]float32, k*c*9), make([]float32, k), make([]float32, g.conv.srcLen()), make([]float32, g.dy.srcLen())
	require.NoError(t, e.Run(ctx, dw, db, src, dy))
	testutil.Forgets(t, "WeightGradExec", e, dw, db, src, dy)
	require.Nil(t, e.ctx)
}
