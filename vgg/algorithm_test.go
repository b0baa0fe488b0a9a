package vgg

import (
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestAlgorithmIsChosenByShape: the summary of a model names what each
// convolution is computed by. That is a matter of its shape alone, for pictures of the
// configuration's size, which the configuration's own summary shows as well, unless an option
// says otherwise.
func TestAlgorithmIsChosenByShape(t *testing.T) {
	t.Parallel()
	layers, err := ParseLayers("6 15 16 M 32/1 48 48/2 M 64 F10")
	require.NoError(t, err)
	cfg := Config{Name: "mixed", Channels: 3, Size: 32, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	names := func(sum Summary) (list []string) {
		for _, l := range sum.Layers {
			if strings.HasPrefix(l.Kind, "conv3") {
				list = append(list, l.Algorithm)
			}
		}
		return list
	}
	const direct, f2, f4 = "direct", "F(2×2,3×3)", "F(4×4,3×3)"
	chosen := []string{direct, direct, f4, f4, direct, f2} // 3 and 6 channels, 32×32, 16×16, a stride of 2, 4×4
	for _, c := range []struct {
		opts []Option
		want []string
	}{
		{nil, chosen},
		{[]Option{Winograd(4)}, []string{direct, direct, f4, f4, direct, f4}},
		{[]Option{Winograd(2)}, []string{direct, direct, f2, f2, direct, f2}},
		{[]Option{Fixed()}, []string{direct, direct, "F(4×4,3×3)", "F(4×4,3×3) int16", "direct int16", "F(4×4,3×3) int16"}},
		{[]Option{Direct()}, []string{direct, direct, direct, direct, direct, direct}},
	} {
		m, err := New(cfg, src, c.opts...)
		require.NoError(t, err)
		require.Equal(t, c.want, names(m.Summary()))
	}
	sum, err := cfg.Summary()
	require.NoError(t, err)
	require.Equal(t, chosen, names(sum))
}

// TestNominalMapDecides: pictures of another size are computed by the algorithm of the
// configuration's size. So the bits of what a network sees depend on nothing but itself.
func TestNominalMapDecides(t *testing.T) {
	t.Parallel()
	layers, err := ParseLayers("16 M 32 M 32 G F10")
	require.NoError(t, err)
	src, err := Seeded(Config{Name: "global", Channels: 3, Size: 16, Pad: 1, Layers: layers}, 1)
	require.NoError(t, err)
	x := testutil.Uniform(1, 5*3*24*24)
	var logits [2][]float32
	for i, size := range []int{16, 64} {
		m, err := New(Config{Name: "global", Channels: 3, Size: size, Pad: 1, Layers: layers}, src)
		require.NoError(t, err)
		logits[i] = runSession(t, m, x, Batch(5), InputSize(24, 24))
		one := runSession(t, m, x[:len(x)/5], InputSize(24, 24), Workers(2))
		testutil.CheckBits(t, "one of a batch", size, one, logits[i][:10])
	}
	require.NotEqual(t, logits[0], logits[1], "F(2×2,3×3) and F(4×4,3×3)")
	for i, v := range logits[0] {
		require.InDelta(t, v, logits[1][i], 1e-4)
	}
}
