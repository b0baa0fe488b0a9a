package vgg

import (
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestFixed compares networks in fixed point with those of float32: in every configuration,
// in the middle and at the end, dense, and with odd sizes.
func TestFixed(t *testing.T) {
	for _, name := range Names() {
		full, fixed := small(t, name), small(t, name, Fixed())
		require.Less(t, fixed.Bytes(), small(t, name, Winograd(4)).Bytes(), name)
		for _, c := range []struct {
			pixels int
			opts   []SessionOption
		}{{2 * 32 * 32, []SessionOption{Batch(2)}}, {32 * 32, []SessionOption{Output("conv4_1")}}, {48 * 41, []SessionOption{Dense(), InputSize(48, 41)}}} {
			x := testutil.Normal(1, 3*c.pixels)
			largest, rms := testutil.RelErrors(runSession(t, fixed, x, c.opts...), ref.Float64(runSession(t, full, x, c.opts...)))
			require.Less(t, largest, 2e-2, name)
			require.Less(t, rms, 3e-3, name)
			require.NotZero(t, rms, name)
		}
	}
}

// TestFixedExcludes: no other algorithm is in fixed point.
func TestFixedExcludes(t *testing.T) {
	cfg := small(t, "D").cfg
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	for _, o := range []Option{Direct(), Winograd(2)} {
		_, err := New(cfg, src, Fixed(), o)
		require.ErrorIs(t, err, ErrShape)
		require.ErrorContains(t, err, "fixed point is for F(4×4,3×3) alone")
	}
	_, err = New(cfg, src, Fixed(), Winograd(4))
	require.NoError(t, err)
}
