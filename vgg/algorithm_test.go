package vgg

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAlgorithmIsChosenByShape: the summary of a model names what each
// convolution is computed by. That is a matter of its shape alone, which the
// configuration's own summary shows as well, unless an option says otherwise.
func TestAlgorithmIsChosenByShape(t *testing.T) {
	t.Parallel()
	layers, err := ParseLayers("15 16 M 32/1 48 M F10")
	require.NoError(t, err)
	cfg := Config{Name: "mixed", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	names := func(sum Summary) (list []string) {
		for _, l := range sum.Layers {
			if strings.HasPrefix(l.Name, "conv") {
				list = append(list, l.Algorithm)
			}
		}
		return list
	}
	const direct = "direct" // 3 and 15 channels fill no block of 16
	for _, c := range []struct {
		opts []Option
		want []string
	}{
		{nil, []string{direct, direct, "", "F(4×4,3×3)"}},
		{[]Option{Winograd(4)}, []string{direct, direct, "", "F(4×4,3×3)"}},
		{[]Option{Winograd(2)}, []string{direct, direct, "", "F(2×2,3×3)"}},
		{[]Option{Fixed()}, []string{direct, direct, "", "F(4×4,3×3) int16"}},
		{[]Option{Direct()}, []string{direct, direct, "", direct}},
	} {
		m, err := New(cfg, src, c.opts...)
		require.NoError(t, err)
		require.Equal(t, c.want, names(m.Summary()))
	}
	sum, err := cfg.Summary()
	require.NoError(t, err)
	require.Equal(t, []string{direct, direct, "", "F(4×4,3×3)"}, names(sum))
}
