package weights

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMetaTexts reads the values of each key in every spelling, and refuses those that are none.
func TestMetaTexts(t *testing.T) {
	long := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	for _, c := range []struct {
		key, value string
		want       Meta
	}{
		{KeyConfig, strings.Repeat("x", 1<<16), Meta{Config: strings.Repeat("x", 1<<16)}},
		{KeyWidths, "64, 128", Meta{Widths: []int{64, 128}}}, {KeyWidths, " [64,128] ", Meta{Widths: []int{64, 128}}}, {KeyWidths, "1048576", Meta{Widths: []int{1 << 20}}},
		{KeyClasses, "1048576", Meta{Classes: 1 << 20}}, {KeySize, "32768x32768", Meta{Size: 1 << 15}}, {KeySize, "32768x1", Meta{Size: 1 << 15, Width: 1}}, {KeyResize, "32768", Meta{Resize: 1 << 15}},
		{KeyMean, "[-1e3,0.5]", Meta{Mean: []float64{-1000, 0.5}}}, {KeyStd, "1e-3", Meta{Std: []float64{0.001}}}, {KeyMean, long(maxChannels), Meta{Mean: slicesOf(maxChannels, 1)}},
		{KeyPad, "0", Meta{Unpadded: true}}, {KeyPad, "1", Meta{}},
		{KeyLabels, `["a","b\nc"]`, Meta{Labels: []string{"a", "b\nc"}}}, {KeyLabels, " [\"a\"]", Meta{Labels: []string{"a"}}},
		{KeyLabels, "a\nb\n", Meta{Labels: []string{"a", "b"}}}, {KeyLabels, "a\r\nb\r\n", Meta{Labels: []string{"a", "b"}}}, {KeyLabels, "a\n\nb", Meta{Labels: []string{"a", "", "b"}}}, {KeyLabels, "a", Meta{Labels: []string{"a"}}},
		{KeyNorms, "conv1_1,conv2_1", Meta{Norms: []string{"conv1_1", "conv2_1"}}}, {KeyArchitecture, "vgg16_bn", Meta{Architecture: "vgg16_bn"}},
		{KeyNorms, strings.Repeat("x,", maxLayers-1) + "x", Meta{Norms: strings.Split(strings.Repeat("x,", maxLayers-1)+"x", ",")}},
		{"another", "", Meta{}},
	} {
		got, err := ParseMeta(map[string]string{c.key: c.value})
		require.NoError(t, err, "%s %.40q", c.key, c.value)
		require.Equal(t, c.want, got, "%s %.40q", c.key, c.value)
	}
	for _, c := range [][2]string{
		{KeyConfig, strings.Repeat("x", 1<<16+1)}, {KeyLayers, "\xff"}, {KeyConfig, ""},
		{KeyWidths, "0"}, {KeyWidths, "1048577"}, {KeyWidths, "[64"}, {KeyWidths, "64]"}, {KeyWidths, "64,,64"}, {KeyWidths, "64,x"}, {KeyWidths, "[]"},
		{KeyClasses, "1048577"}, {KeyClasses, "0"}, {KeyClasses, "4294967296"}, {KeySize, "32769"}, {KeySize, "1x32769"}, {KeyResize, "32769"},
		{KeyMean, "x"}, {KeyMean, "Inf"}, {KeyMean, "1,-inf"}, {KeyMean, "NaN"}, {KeyStd, "-1"}, {KeyStd, "1,0"}, {KeyStd, "NaN"}, {KeyMean, long(maxChannels + 1)},
		{KeyPad, "00"}, {KeyLabels, `["a",null]`}, {KeyLabels, `["a"`}, {KeyLabels, "\xff"}, {KeyNorms, strings.Repeat("x,", maxLayers) + "x"}, {KeyArchitecture, "resnet18"}, {KeyPreset, "Torch"},
	} {
		_, err := ParseMeta(map[string]string{c[0]: c[1]})
		require.ErrorIs(t, err, ErrFormat, "%s %.40q", c[0], c[1])
		require.ErrorContains(t, err, "metadata nonet.", "%s", c[0])
	}
}

// slicesOf returns n numbers v.
func slicesOf(n int, v float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// TestMetaFits: fields that do not fit each other are refused, in both directions.
func TestMetaFits(t *testing.T) {
	for _, good := range []Meta{
		{Mean: []float64{1, 2, 3}}, {Std: []float64{1, 2, 3}}, {Mean: []float64{1, 2}, Std: []float64{1, 2}}, {Mean: []float64{math.MaxFloat64}},
		{Size: 96, Width: 64, Resize: 64}, {Size: 64, Width: 96, Resize: 64}, {Size: 96, Resize: 96}, {Size: 96}, {Resize: 96}, {Labels: []string{"a", "b"}}, {Classes: 2, Labels: []string{"a", "b"}}, {Labels: []string{}},
	} {
		text, err := good.Encode()
		require.NoError(t, err, "%+v", good)
		back, err := ParseMeta(text)
		require.NoError(t, err, "%+v", good)
		require.Equal(t, good, back)
	}
	for _, bad := range []Meta{
		{Mean: []float64{1, 2, 3}, Std: []float64{1, 2}}, {Mean: []float64{1}, Std: []float64{1, 2}}, {Size: 96, Width: 64, Resize: 63}, {Size: 64, Width: 96, Resize: 63}, {Size: 96, Resize: 95},
		{Width: 5}, {Size: -1}, {Classes: -1}, {Resize: -1}, {Classes: 1, Labels: []string{"a", "b"}}, {Classes: 3, Labels: []string{"a", "b"}}, {Classes: 1, Labels: []string{}},
		{Widths: []int{1, 0}}, {Widths: []int{1<<20 + 1}}, {Std: []float64{1, 0}}, {Std: []float64{math.Inf(1)}}, {Mean: []float64{math.NaN()}}, {Labels: make([]string, maxClasses+1)}, {Labels: []string{"a", "\xff"}},
	} {
		_, err := bad.Encode()
		require.ErrorIs(t, err, ErrFormat, "%.80v", bad)
	}
	text, err := Meta{}.Encode()
	require.NoError(t, err)
	require.Empty(t, text, "nothing is said")
	text, err = Meta{Config: "x", Unpadded: true, Classes: 2, Resize: 9, Mean: []float64{0.5, 1e-7}}.Encode()
	require.NoError(t, err)
	require.Equal(t, map[string]string{KeyConfig: "x", KeyPad: "0", KeyClasses: "2", KeyResize: "9", KeyMean: "0.5,0.0000001"}, text)
}
