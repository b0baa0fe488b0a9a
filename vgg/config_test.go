package vgg

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPaperTable2 checks the parameters against table 2 of the paper (in
// millions), and the exact counts that follow from table 1.
func TestPaperTable2(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		millions int64
		exact    int64
	}{
		{"A", 133, 132863336}, {"A-LRN", 133, 132863336}, {"B", 133, 133047848},
		{"C", 134, 133638952}, {"D", 138, 138357544}, {"E", 144, 143667240},
	} {
		cfg, err := Lookup(c.name)
		require.NoError(t, err)
		require.NoError(t, cfg.Validate())
		sum, err := cfg.Summary()
		require.NoError(t, err)
		require.Equal(t, c.exact, sum.Params, c.name)
		require.Equal(t, c.millions, (sum.Params+500_000)/1_000_000, c.name)
		params, err := cfg.Params()
		require.NoError(t, err)
		total := int64(0)
		for _, p := range params {
			total += int64(p.Len())
		}
		require.Equal(t, sum.Params, total)
	}
	d, err := Lookup("vgg16")
	require.NoError(t, err)
	require.Equal(t, "D", d.Name)
	sum, err := d.Summary()
	require.NoError(t, err)
	require.Equal(t, int64(15470264320), sum.MACs)
}

func TestParseLayers(t *testing.T) {
	t.Parallel()
	for _, c := range configs {
		layers, err := ParseLayers(c.layers)
		require.NoError(t, err)
		require.Equal(t, c.layers, Config{Layers: layers}.LayerString())
	}
	const encoder = "=3/1 16 16 M 32 32 M 64"
	layers, err := ParseLayers(encoder)
	require.NoError(t, err)
	require.Equal(t, encoder, Config{Layers: layers}.LayerString())
	var names []string
	for _, l := range layers {
		names = append(names, l.Name)
	}
	require.Equal(t, []string{"conv0", "conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1"}, names)

	layers, err = ParseLayers("10 10 M 10 10 M F10")
	require.NoError(t, err)
	require.Equal(t, Layer{Kind: FC, Name: "fc3", Out: 10}, layers[len(layers)-1])

	for _, bad := range []string{"", "x", "64/2", "F", "F0", "-3", "64 F10 64", "99999999"} {
		_, err := ParseLayers(bad)
		require.ErrorIs(t, err, ErrConfig, "%q", bad)
	}
}

func TestShapesRefuse(t *testing.T) {
	t.Parallel()
	d, err := Lookup("D")
	require.NoError(t, err)
	_, err = d.Shapes(16, 16)
	require.ErrorIs(t, err, ErrShape)
	require.ErrorContains(t, err, "pool5")
	_, err = d.Shapes(0, 224)
	require.ErrorIs(t, err, ErrShape)
	_, err = d.Shapes(1<<20, 224)
	require.ErrorIs(t, err, ErrShape)
	_, err = Lookup("F")
	require.ErrorIs(t, err, ErrConfig)
}

func TestDivide(t *testing.T) {
	t.Parallel()
	c, err := Lookup("C")
	require.NoError(t, err)
	small := c.Divide(16).WithClasses(10).WithSize(32)
	require.Equal(t, "4 4 M 8 8 M 16 16 16/1 M 32 32 32/1 M 32 32 32/1 M F256 F256 F10", small.LayerString())
	require.Equal(t, 10, small.Classes())
	require.Equal(t, 1000, c.Classes(), "the original is unchanged")
}
