package vgg

import (
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestFixedVGG16 holds the accuracy of VGG-16 of 224×224 with seeded weights: logits in fixed
// point beside those of float32, with the convolutions alone and with the fully connected
// layers.
func TestFixedVGG16(t *testing.T) {
	if testing.Short() {
		t.Skip("packs VGG-16 three times")
	}
	cfg, err := Lookup("D")
	require.NoError(t, err)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	x := testutil.Uniform(1, 3*224*224)
	logits := func(opts ...Option) []float32 {
		m, err := New(cfg, src, opts...)
		require.NoError(t, err)
		return runSession(t, m, x)
	}
	want := ref.Float64(logits())
	for _, c := range []struct {
		name         string
		opt          Option
		largest, rms float64
	}{
		{"convolutions", func(o *modelOptions) { o.algorithm.fixed = true }, 2e-2, 5e-3},
		{"fully connected layers", FixedFC(), 4e-2, 1e-2},
		{"both", Fixed(), 4e-2, 1e-2},
	} {
		largest, rms := testutil.RelErrors(logits(c.opt), want)
		t.Logf("%s: largest error %.2g, rms %.2g of the logits' root mean square", c.name, largest, rms)
		require.Less(t, largest, c.largest, c.name)
		require.Less(t, rms, c.rms, c.name)
	}
}

// TestFixedRepVGG holds the accuracy of RepVGG-A0, whose stages begin with stride 2, with
// seeded weights: logits in fixed point beside those of float32. Four convolutions with stride
// 2 are in fixed point; the first layer is not.
func TestFixedRepVGG(t *testing.T) {
	if testing.Short() {
		t.Skip("packs RepVGG-A0 twice")
	}
	cfg, err := Lookup("RepVGG-A0")
	require.NoError(t, err)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	x := testutil.Uniform(1, 3*224*224)
	m, err := New(cfg, src)
	require.NoError(t, err)
	want := ref.Float64(runSession(t, m, x))
	fixed, err := New(cfg, src, Fixed())
	require.NoError(t, err)
	strided := 0
	for _, l := range fixed.Summary().Layers {
		if l.Algorithm == "direct int16" {
			strided++
		}
	}
	require.Equal(t, 4, strided)
	require.Less(t, fixed.Bytes(), m.Bytes()*6/10)
	largest, rms := testutil.RelErrors(runSession(t, fixed, x), want)
	t.Logf("largest error %.2g, rms %.2g of the logits' root mean square; %d of %d bytes", largest, rms, fixed.Bytes(), m.Bytes())
	require.Less(t, largest, 4e-2)
	require.Less(t, rms, 1e-2)
}
