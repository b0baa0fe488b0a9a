package vgg_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	repTrain  = "testdata/repvgg/small_train.pth"
	repDeploy = "testdata/repvgg/small_deploy.pth"
	repLayers = "16/2 16/2 16 24/2 24 24 40/2 40 40 40 56/2 G F10"
)

// repLogits computes pictures of a size in one batch.
func repLogits(t testing.TB, m *vgg.Model, input []float64, h, w int, opts ...vgg.SessionOption) []float32 {
	t.Helper()
	n := len(input) / (3 * h * w)
	s, err := m.NewSession(append([]vgg.SessionOption{vgg.Batch(n), vgg.InputSize(h, w)}, opts...)...)
	require.NoError(t, err)
	x, y := make([]float32, len(input)), make([]float32, n*10)
	for i, v := range input {
		x[i] = float32(v)
	}
	require.NoError(t, s.Run(context.Background(), y, x))
	return y
}

// TestRepVGGGolden compares the form for training, whose branches are folded, and that for
// inference with PyTorch's logits in float64, for square and for odd pictures.
func TestRepVGGGolden(t *testing.T) {
	golden := testutil.Tensors(t, "testdata/repvgg/golden.safetensors")
	for _, path := range []string{repTrain, repDeploy} {
		for _, opts := range [][]vgg.Option{nil, {vgg.Direct()}, {vgg.Winograd(2)}} {
			m, err := vgg.Open(path, opts...)
			require.NoError(t, err)
			require.Equal(t, repLayers, m.Config().LayerString())
			for _, c := range []struct {
				input, logits string
				h, w          int
			}{{"input", "logits64", 96, 96}, {"odd_input", "odd_logits64", 75, 91}} {
				want := golden[c.logits]
				largest := 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(v))
				}
				got := repLogits(t, m, golden[c.input], c.h, c.w)
				testutil.Check(t, path, c.input, got, want, func(int) float64 { return 1e-5 * largest })
				testutil.CheckBits(t, "3 workers", c.input, repLogits(t, m, golden[c.input], c.h, c.w, vgg.Workers(3)), got)
				one := repLogits(t, m, golden[c.input][:3*c.h*c.w], c.h, c.w, vgg.Workers(2))
				testutil.CheckBits(t, "batch of 1", c.input, one, got[:10])
			}
		}
	}
}

// TestRepVGGPaper checks the parameters and multiply-adds against tables 4 and 5 of the
// paper, in millions and billions.
func TestRepVGGPaper(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]float64{
		"RepVGG-A0": {8.30, 1.4}, "RepVGG-A1": {12.78, 2.4}, "RepVGG-A2": {25.49, 5.1}, "RepVGG-B0": {14.33, 3.1},
		"RepVGG-B1": {51.82, 11.8}, "RepVGG-B2": {80.31, 18.4}, "RepVGG-B3": {110.96, 26.2},
	} {
		cfg, err := vgg.Lookup(name)
		require.NoError(t, err)
		require.NoError(t, cfg.Validate())
		sum, err := cfg.Summary()
		require.NoError(t, err)
		require.InDelta(t, want[0], float64(sum.Params)/1e6, 0.011, name)
		require.InDelta(t, want[1], float64(sum.MACs)/1e9, 0.051, name)
		layers, err := vgg.ParseLayers(cfg.LayerString())
		require.NoError(t, err)
		require.Equal(t, cfg.Layers, layers)
		timm, err := vgg.Lookup(strings.ReplaceAll(strings.ToLower(name), "-", "_"))
		require.NoError(t, err)
		require.Equal(t, cfg, timm)
	}
	require.Len(t, vgg.RepVGGNames(), 7)
	for name, text := range map[string]string{"RepVGG-B1g2": "grouped", "repvgg_b3g4": "grouped", "RepVGG-D2se": "squeeze", "RepVGG-A7": "RepVGG-B3", "repvgg": "RepVGG-A0"} {
		_, err := vgg.Lookup(name)
		require.ErrorIs(t, err, vgg.ErrConfig)
		require.ErrorContains(t, err, text)
	}
}

// TestRepVGGShared: goroutines share a network, each with a session or a gradient of its
// own and pictures of its own size, and get the bits that one alone gets.
func TestRepVGGShared(t *testing.T) {
	m, err := vgg.Open(repTrain)
	require.NoError(t, err)
	ctx := context.Background()
	gradient := func(h, w int) ([]float32, error) {
		g, err := m.NewGradient(vgg.InputSize(h, w), vgg.Workers(2))
		if err != nil {
			return nil, err
		}
		dx := make([]float32, 3*h*w)
		if err := g.Forward(ctx, nil, testutil.Normal(1, 3*h*w)); err != nil {
			return nil, err
		}
		return dx, g.Backward(ctx, [][]float32{dx}, [][]float32{testutil.Normal(2, 10)})
	}
	logits := func(h, w int) ([]float32, error) {
		s, err := m.NewSession(vgg.InputSize(h, w), vgg.Workers(2))
		if err != nil {
			return nil, err
		}
		y := make([]float32, 10)
		return y, s.Run(ctx, y, testutil.Normal(1, 3*h*w))
	}
	var wg sync.WaitGroup
	for i := range 6 {
		for _, work := range []func(h, w int) ([]float32, error){logits, gradient} {
			h, w := 33+7*(i%3), 40-5*(i%2)
			want, err := work(h, w)
			require.NoError(t, err)
			wg.Go(func() {
				for range 3 {
					got, err := work(h, w)
					assert.NoError(t, err)
					testutil.CheckBits(t, "shared", [2]int{h, w}, got, want)
				}
			})
		}
	}
	wg.Wait()
}

// tensorsOf returns the tensors of a file, in float32.
func tensorsOf(t testing.TB, path string) []weights.Out {
	t.Helper()
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var list []weights.Out
	for _, n := range f.Names() {
		tensor, err := f.Tensor(n)
		require.NoError(t, err)
		o := weights.Out{Name: n, DType: tensor.DType, Shape: tensor.Shape, Data: bytes.Clone(tensor.Data)}
		if tensor.DType == weights.F32 {
			o.Data, o.Floats = nil, make([]float32, tensor.Len())
			require.NoError(t, tensor.Float32s(o.Floats))
		}
		list = append(list, o)
	}
	return list
}

// timmNames are the names that timm gives the modules of RepVGG.
func timmNames(name string) string {
	return strings.NewReplacer("stage0.", "stem.", "stage1.", "stages.0.", "stage2.", "stages.1.", "stage3.", "stages.2.", "stage4.", "stages.3.", "linear.", "head.fc.",
		"rbr_dense.", "conv_kxk.", "rbr_1x1.", "conv_1x1.", "rbr_identity.", "identity.", "rbr_reparam.", "reparam_conv.").Replace(name)
}

// smallPicture returns logits for a picture of 33×40.
func smallPicture(t testing.TB, m *vgg.Model) []float32 {
	t.Helper()
	return repLogits(t, m, float64s(testutil.Normal(1, 3*33*40)), 33, 40)
}

// TestRepVGGNames: the same network under other names has the same logits; in half
// precision nearly so.
func TestRepVGGNames(t *testing.T) {
	for _, path := range []string{repTrain, repDeploy} {
		m, err := vgg.Open(path)
		require.NoError(t, err)
		want, list := smallPicture(t, m), tensorsOf(t, path)
		for what, name := range map[string]func(string) string{
			"timm": timmNames, "a wrapper": func(n string) string { return "module." + n }, "of a model": func(n string) string { return "model.backbone." + n },
			"timm, in a wrapper": func(n string) string { return "state_dict._orig_mod." + timmNames(n) },
		} {
			m, err := vgg.FromFile(written(t, renamed(list, name), nil))
			if assertNoError(t, err, what) {
				testutil.CheckBits(t, what, path, smallPicture(t, m), want)
			}
		}
		about := map[string]string{weights.KeyLabels: `["a","b","c","d","e","f","g","h","i","j"]`, weights.KeyLayers: repLayers, weights.KeySize: "96"}
		m, err = vgg.FromFile(written(t, renamed(list, timmNames), about))
		require.NoError(t, err)
		require.Equal(t, 96, m.Config().Size)
		own, err := vgg.FromFile(written(t, list, about)) // the algorithms are those of 96×96
		require.NoError(t, err)
		testutil.CheckBits(t, "with metadata", path, smallPicture(t, m), smallPicture(t, own))
		half := slices.Clone(list)
		for i := range half {
			if half[i].DType == weights.F32 && len(half[i].Shape) > 1 {
				half[i].DType = weights.F16
			}
		}
		m, err = vgg.FromFile(written(t, half, nil))
		require.NoError(t, err)
		largest, _ := testutil.RelErrors(smallPicture(t, m), float64s(want))
		require.Less(t, largest, 5e-3)
	}
}

// TestRepVGGMutations: a file with one tensor fewer, or under another name, is refused, or
// is the same network.
func TestRepVGGMutations(t *testing.T) {
	for _, path := range []string{repTrain, repDeploy} {
		for dialect, name := range map[string]func(string) string{"authors": func(n string) string { return n }, "timm": timmNames} {
			list := renamed(tensorsOf(t, path), name)
			m, err := vgg.FromFile(written(t, list, nil))
			require.NoError(t, err)
			want, same := smallPicture(t, m), 0
			check := func(what string, list []weights.Out) {
				m, err := vgg.FromFile(written(t, list, nil))
				if err != nil {
					return
				}
				same++
				testutil.CheckBits(t, dialect, what, smallPicture(t, m), want)
			}
			for i, l := range list {
				if testing.Short() && i%3 > 0 {
					continue
				}
				check("without "+l.Name, slices.Delete(slices.Clone(list), i, i+1))
				end := l.Name[strings.LastIndex(l.Name, ".")+1:]
				others := []string{"x." + end, "stage9.0.rbr_reparam." + end, "stage1.9.rbr_identity." + end, "stages.3.1.conv_kxk.conv." + end, "module." + l.Name, "features.0." + end}
				if testing.Short() {
					others = others[i%5 : i%5+2]
				}
				for _, to := range others {
					moved := slices.Clone(list)
					moved[i].Name = to
					check(l.Name+" is called "+to, moved)
					if to != "module."+l.Name {
						check("a second "+l.Name+" called "+to, append(slices.Clone(list), moved[i]))
					}
				}
			}
			t.Logf("%s, %s: %d of the changes leave the network as it is", path, dialect, same)
		}
	}
}

// TestRepVGGRefused: what is open or cannot be computed is said by name.
func TestRepVGGRefused(t *testing.T) {
	train, deploy := tensorsOf(t, repTrain), tensorsOf(t, repDeploy)
	without := func(list []weights.Out, part string) []weights.Out {
		return slices.DeleteFunc(slices.Clone(list), func(o weights.Out) bool { return strings.Contains(o.Name, part) })
	}
	grouped := slices.Clone(deploy)
	for i, o := range grouped {
		if o.Name == "stage3.1.rbr_reparam.weight" {
			grouped[i].Shape, grouped[i].Floats = []int{40, 20, 3, 3}, o.Floats[:40*20*9]
		}
	}
	nan := slices.Clone(train)
	for i, o := range nan {
		if o.Name == "stage2.0.rbr_1x1.bn.running_var" {
			nan[i].Floats = slices.Clone(o.Floats)
			nan[i].Floats[3] = -1
		}
	}
	for what, c := range map[string]struct {
		list []weights.Out
		text string
	}{
		"groups":                  {grouped, "a convolution of 2 groups"},
		"no head":                 {without(deploy, "linear"), "one fully connected layer"},
		"no identity":             {without(train, "stage3.1.rbr_identity"), "other strides"},
		"no 1×1":                  {without(train, "stage3.1.rbr_1x1"), "lacks its 1×1 convolution"},
		"a block is missing":      {without(deploy, "stage3.1."), "stage3.2"},
		"both forms":              {append(slices.Clone(train), deploy[len(deploy)-1]), "for inference"},
		"a variance below 0":      {nan, "want a variance"},
		"another network besides": {append(slices.Clone(deploy), renamed(deploy, func(n string) string { return "teacher." + n })...), "--key"},
	} {
		_, err := vgg.FromFile(written(t, c.list, nil))
		require.ErrorContains(t, err, c.text, what)
	}
	m, err := vgg.FromFile(written(t, append(slices.Clone(deploy), renamed(deploy, func(n string) string { return "teacher." + n })...), nil), vgg.Key("teacher"))
	require.NoError(t, err)
	require.Equal(t, repLayers, m.Config().LayerString())
}

// TestRepVGGSaved: what is saved opens again as the same network.
func TestRepVGGSaved(t *testing.T) {
	f, err := weights.Open(repTrain)
	require.NoError(t, err)
	defer f.Close()
	n, err := vgg.Describe(f)
	require.NoError(t, err)
	require.NotEmpty(t, n.Ignored)
	path := t.TempDir() + "/folded.safetensors"
	require.NoError(t, vgg.Save(path, n.Config, n.Source, false))
	m, err := vgg.Open(repTrain)
	require.NoError(t, err)
	saved, err := vgg.Open(path)
	require.NoError(t, err)
	require.Equal(t, m.Config(), saved.Config())
	testutil.CheckBits(t, "logits", path, smallPicture(t, saved), smallPicture(t, m))
}
