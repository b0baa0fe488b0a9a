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

	for _, bad := range []string{"", "x", "64/4", "=3/0", "64/", "M/2", "F", "F0", "-3", "64 F10 64", "99999999"} {
		_, err := ParseLayers(bad)
		require.ErrorIs(t, err, ErrConfig, "%q", bad)
	}
}

// TestParseLimits: a layer has up to 2²⁰ channels or outputs, and a network one global pool.
func TestParseLimits(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"1048576", "F1048576", "1/1", "F1", "8 G F1"} {
		_, err := ParseLayers(good)
		require.NoError(t, err, good)
	}
	for _, bad := range []string{"1048577", "F1048577", "0", "0/1", "F-1", "8 G G", "=M", "=S+", "=F3+", "8 F3 N", "8 F3 3/1", "8/1/1", "8/0"} {
		_, err := ParseLayers(bad)
		require.ErrorIs(t, err, ErrConfig, bad)
	}
}

// TestValidate accepts what can be computed up to its limits, and refuses what is beyond.
func TestValidate(t *testing.T) {
	t.Parallel()
	conv, fc := Layer{Kind: Conv, Name: "a", Kernel: 3, Out: 1}, Layer{Kind: FC, Name: "b", Out: 1}
	with := func(l Layer, change func(*Layer)) Layer { change(&l); return l }
	named := func(name string, l Layer) Layer { return with(l, func(l *Layer) { l.Name = name }) }
	of := func(layers ...Layer) Config { return Config{Channels: 1, Size: 4, Pad: 1, Layers: layers} }
	for name, c := range map[string]Config{
		"most channels":  {Channels: maxWidth, Size: 4, Layers: []Layer{{Kind: Pool, Name: "a"}}},
		"most outputs":   of(with(conv, func(l *Layer) { l.Out = maxWidth })),
		"most of FC":     of(with(fc, func(l *Layer) { l.Out = maxWidth })),
		"no padding":     {Channels: 1, Size: 3, Layers: []Layer{conv}},
		"width":          {Channels: 1, Size: 2, Width: 1, Pad: 1, Layers: []Layer{conv}},
		"strides":        of(with(conv, func(l *Layer) { l.Stride = 2 }), named("c", with(conv, func(l *Layer) { l.Stride = 1 }))),
		"1×1":            of(with(conv, func(l *Layer) { l.Kernel, l.Stride = 1, 1 })),
		"FC at the end":  of(conv, fc, named("c", fc), Layer{Kind: Scale, Name: "d"}, named("e", fc)),
		"a pool's Out":   of(Layer{Kind: Pool, Name: "a", Out: -1}),
		"the last kinds": of(Layer{Kind: Scale, Name: "a"}, Layer{Kind: GlobalPool, Name: "b"}),
	} {
		require.NoError(t, c.Validate(), name)
	}
	for name, c := range map[string]Config{
		"no channels":       {Size: 4, Layers: []Layer{conv}},
		"too many channels": {Channels: maxWidth + 1, Size: 4, Layers: []Layer{conv}},
		"negative padding":  {Channels: 1, Size: 4, Pad: -1, Layers: []Layer{conv}},
		"padding":           {Channels: 1, Size: 4, Pad: 2, Layers: []Layer{conv}},
		"negative width":    {Channels: 1, Size: 4, Width: -1, Layers: []Layer{conv}},
		"no layers":         of(),
		"no name":           of(named("", conv)),
		"one name twice":    of(conv, conv),
		"unknown kind":      of(Layer{Kind: Scale + 1, Name: "a"}),
		"kernel of 2":       of(with(conv, func(l *Layer) { l.Kernel = 2 })),
		"no kernel":         of(with(conv, func(l *Layer) { l.Kernel = 0 })),
		"FC with stride":    of(with(fc, func(l *Layer) { l.Stride, l.Kernel = 2, 3 })),
		"no outputs":        of(with(conv, func(l *Layer) { l.Out = 0 })),
		"too many outputs":  of(with(conv, func(l *Layer) { l.Out = maxWidth + 1 })),
		"too many of FC":    of(with(fc, func(l *Layer) { l.Out = maxWidth + 1 })),
		"FC without any":    of(with(fc, func(l *Layer) { l.Out = 0 })),
		"conv after FC":     of(fc, conv),
		"pool after FC":     of(conv, fc, Layer{Kind: Pool, Name: "c"}),
		"pool after scale":  of(conv, fc, Layer{Kind: Scale, Name: "d"}, Layer{Kind: AvgPool, Name: "c"}),
	} {
		require.ErrorIs(t, c.Validate(), ErrConfig, name)
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

// TestStrides: a convolution with stride 2 begins a block.
func TestStrides(t *testing.T) {
	t.Parallel()
	const text = "48/2 48/2 48 =96/2 96 M 96/2 G F10"
	layers, err := ParseLayers(text)
	require.NoError(t, err)
	cfg := Config{Channels: 3, Size: 45, Width: 50, Pad: 1, Layers: layers}
	require.NoError(t, cfg.Validate())
	require.Equal(t, text, cfg.LayerString())
	var names []string
	for _, l := range layers {
		names = append(names, l.Name)
	}
	require.Equal(t, []string{"conv1_1", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "pool3", "conv4_1", "gap", "fc5"}, names)
	shapes, err := cfg.Shapes(45, 50)
	require.NoError(t, err)
	require.Equal(t, []Shape{{48, 23, 25}, {48, 12, 13}, {48, 12, 13}, {96, 6, 7}, {96, 6, 7}, {96, 3, 3}, {96, 2, 2}, {96, 1, 1}, {10, 1, 1}}, shapes)
	cfg.Pad, cfg.Layers = 0, layers[:3]
	shapes, err = cfg.Shapes(45, 50)
	require.NoError(t, err)
	require.Equal(t, []Shape{{48, 22, 24}, {48, 10, 11}, {48, 8, 9}}, shapes)
	_, err = cfg.Shapes(6, 6)
	require.ErrorIs(t, err, ErrShape)
	for _, bad := range []Layer{{Kind: Conv, Name: "a", Kernel: 3, Out: 1, Stride: 3}, {Kind: Conv, Name: "a", Kernel: 1, Out: 1, Stride: 2}, {Kind: Pool, Name: "a", Stride: 2}, {Kind: Conv, Name: "a", Kernel: 3, Out: 1, Stride: -1}} {
		require.ErrorIs(t, Config{Channels: 1, Size: 9, Pad: 1, Layers: []Layer{bad}}.Validate(), ErrConfig)
	}
}

// TestParseKinds reads the words of every kind of layer, and names them.
func TestParseKinds(t *testing.T) {
	t.Parallel()
	const text = "S 64 S+ A =32 N M 16/1 G =F24 S+ F12 S F10 S"
	layers, err := ParseLayers(text)
	require.NoError(t, err)
	cfg := Config{Channels: 3, Size: 32, Pad: 1, Layers: layers}
	require.Equal(t, text, cfg.LayerString())
	var names []string
	var kinds []Kind
	for _, l := range layers {
		names, kinds = append(names, l.Name), append(kinds, l.Kind)
	}
	require.Equal(t, []string{"scale1", "conv1_1", "scale2", "pool1", "conv2_1", "lrn2", "pool2", "conv3_1", "gap", "fc4", "scale3", "fc5", "scale4", "fc6", "scale5"}, names)
	require.Equal(t, []Kind{Scale, Conv, Scale, AvgPool, Conv, LRN, Pool, Conv, GlobalPool, FC, Scale, FC, Scale, FC, Scale}, kinds)
	require.False(t, layers[0].ReLU)
	require.True(t, layers[2].ReLU)
	require.False(t, layers[9].ReLU, "=F24")
	require.True(t, layers[11].ReLU, "F12")
	require.False(t, layers[13].ReLU, "the last F")
	require.NoError(t, cfg.Validate())
	require.Equal(t, 10, cfg.Classes())
	params, err := cfg.Params()
	require.NoError(t, err)
	require.Equal(t, Param{"scale1.weight", []int{3}, 1}, params[0])
	require.Equal(t, Param{"scale2.bias", []int{64}, 1}, params[5])
	require.Equal(t, Param{"fc4.weight", []int{24, 16}, 16}, params[10])

	layers, err = ParseLayers("8 F4+ S")
	require.NoError(t, err)
	require.True(t, layers[1].ReLU, "a last F with a ReLU")
	require.Equal(t, "8 F4+ S", Config{Layers: layers}.LayerString())
	for _, bad := range []string{"=M", "=A", "=G", "=N", "=S", "=S+", "G G", "S2", "A2", "F4 G", "F4 A F2", "F4 8", "=F4+", "8+", "=", "F+"} {
		_, err := ParseLayers(bad)
		require.ErrorIs(t, err, ErrConfig, "%q", bad)
	}
}

// TestClasses: which networks have classes, and how many; and what Divide and
// WithClasses make of them.
func TestClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		layers string
		want   int
		other  string // Divide(2).WithClasses(7)
	}{
		{"8 M F6 F10", 10, "4 M F3 F7"},
		{"8 M F6 S F10 S S+", 10, "4 M F3 S F7 S S+"},
		{"8 M 10/1 G", 10, "4 M 7/1 G"},
		{"8 M =10/1 S G S", 10, "4 M =7/1 S G S"},
		{"8 M 16 G", 0, "4 M 8 G"},
		{"8 M 16/1 M G", 0, "4 M 8/1 M G"},
		{"8 M 16 G S", 0, "4 M 8 G S"},
		{"8 M 16/1", 0, "4 M 8/1"},
		{"S", 0, "S"},
	} {
		layers, err := ParseLayers(c.layers)
		require.NoError(t, err)
		cfg := Config{Channels: 3, Size: 8, Pad: 1, Layers: layers}
		require.Equal(t, c.want, cfg.Classes(), c.layers)
		require.Equal(t, c.other, cfg.Divide(2).WithClasses(7).LayerString())
		require.Equal(t, c.layers, cfg.LayerString(), "the original is unchanged")
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	layers, err := ParseLayers("4 M F2")
	require.NoError(t, err)
	cfg := Config{Channels: 1, Size: 8, Pad: 1, Layers: layers}
	wide := cfg.WithInput(96, 64)
	h, w := wide.Input()
	require.Equal(t, [2]int{96, 64}, [2]int{h, w})
	params, err := wide.Params()
	require.NoError(t, err)
	require.Equal(t, []int{2, 4 * 48 * 32}, params[2].Shape)
	require.Equal(t, cfg, wide.WithSize(8))
	require.Equal(t, cfg, wide.WithInput(8, 8))
	sum, err := wide.Summary()
	require.NoError(t, err)
	require.Equal(t, Shape{4, 48, 32}, sum.Layers[1].Output)
	wide.Width = -1
	require.ErrorIs(t, wide.Validate(), ErrConfig)
}
