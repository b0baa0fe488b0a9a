package pool

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
	const n, c, h, w = 1, 20, 4, 6
	ctx, team := context.Background(), parallel.NewTeam(2)
	large, small := func() []float32 { return make([]float32, n*layout.Len(c, h, w)) }, func() []float32 { return make([]float32, n*layout.Len(c, h/2, w/2)) }
	e, err := NewMaxPool(n, c, h, w, team)
	require.NoError(t, err)
	dst, src := small(), large()
	require.NoError(t, e.Run(ctx, dst, src))
	testutil.Forgets(t, "Exec", e, dst, src)

	g, err := NewMaxPoolGrad(n, c, h, w, fuse.Epilogue{}, team)
	require.NoError(t, err)
	dx, x, y, dy := large(), large(), small(), small()
	require.NoError(t, g.Run(ctx, dx, x, y, dy))
	testutil.Forgets(t, "MaxPoolGradExec", g, dx, x, y, dy)

	l, err := NewLRNGrad(n, c, h, w, team)
	require.NoError(t, err)
	dy = large()
	require.NoError(t, l.Run(ctx, dx, x, dy))
	testutil.Forgets(t, "LRNGradExec", l, dx, x, dy)

	s, err := NewScaleGrad(n, c, h, w, team)
	require.NoError(t, err)
	dw, db, weight := make([]float32, c), make([]float32, c), make([]float32, c)
	require.NoError(t, s.Run(ctx, dx, dw, db, weight, x, dy))
	testutil.Forgets(t, "ScaleGradExec", s, dx, dw, db, weight, x, dy)

	cat, err := NewConcat(n, c, c, h, w, team)
	require.NoError(t, err)
	both := make([]float32, n*layout.Len(2*c, h, w))
	require.NoError(t, cat.Run(ctx, both, x, dy))
	testutil.Forgets(t, "ConcatExec", cat, both, x, dy)
}
