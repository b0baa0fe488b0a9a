package style

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// model is a small network with random weights, whose colours are as preset says.
func model(t testing.TB, preset picture.Preset) *vgg.Model {
	t.Helper()
	layers, err := vgg.ParseLayers("8 8 M 16 M 16")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 24, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 5)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src, vgg.Pictures(vgg.Picture{Side: 24, Preset: preset}))
	require.NoError(t, err)
	return m
}

// photo is a picture of smooth noise.
func photo(seed uint64, w, h int) *picture.RGB {
	p := picture.NewRGB(5, 5)
	for i, v := range testutil.Uniform(seed, len(p.Pix)) {
		p.Pix[i] = uint8(127.5 * (1 + v))
	}
	return picture.Resize(p, w, h)
}

func recipe() Recipe {
	return Recipe{Content: []Term{{"conv2_1", 0.1}}, Style: []Term{{"conv1_1", 0.5}, {"conv2_1", 0.5}, {"conv3_1", 0.3}},
		TotalVariation: 0.1, Start: FromContent, Method: LBFGS, Rate: 0.02, History: 4}
}

func newTransfer(t testing.TB, r Recipe, workers int) *Transfer {
	t.Helper()
	tr, err := New(context.Background(), model(t, picture.Torch), r, photo(1, 30, 21), photo(2, 17, 26), vgg.Workers(workers))
	require.NoError(t, err)
	return tr
}

func steps(t testing.TB, tr *Transfer, n int) Progress {
	t.Helper()
	for range n {
		_, err := tr.Step(context.Background())
		require.NoError(t, err)
	}
	return tr.Progress()
}

// TestGradient compares with central differences, for presets of each kind. ReLUs that open
// and close on the way make them uncertain.
func TestGradient(t *testing.T) {
	ctx := context.Background()
	for _, preset := range []picture.Preset{picture.Torch, picture.Caffe, picture.Unit, picture.None} {
		tr, err := New(ctx, model(t, preset), recipe(), photo(1, 30, 21), photo(2, 17, 26))
		require.NoError(t, err)
		o := tr.objective
		x := tr.pixels(photo(3, 30, 21))
		dx, scratch := make([]float32, len(x)), make([]float32, len(x))
		_, err = o.evaluate(ctx, dx, x)
		require.NoError(t, err)
		direction, most := slices.Clone(dx), float32(0) // of most change
		for _, v := range dx {
			most = max(most, v, -v)
		}
		at := func(step float32) float64 {
			y := make([]float32, len(x))
			for i, v := range x {
				y[i] = v + step*direction[i]/most
			}
			l, err := o.evaluate(ctx, scratch, y)
			require.NoError(t, err)
			return l.Total()
		}
		const step = 1.0 / 16384
		want, got := (at(step)-at(-step))/(2*step), 0.0
		for i, v := range dx {
			got += float64(v) * float64(direction[i]) / float64(most)
		}
		require.InDelta(t, want, got, 2e-3*math.Abs(want)+1e-6, preset.String())
	}
}

// TestPictures: what is set is what is got, for presets of each kind.
func TestPictures(t *testing.T) {
	for _, preset := range []picture.Preset{picture.Torch, picture.Caffe, picture.Unit, picture.None} {
		p := photo(1, 30, 21)
		tr, err := New(context.Background(), model(t, preset), recipe(), p, photo(2, 17, 26))
		require.NoError(t, err)
		require.Equal(t, p.Pix, tr.Picture().Pix, preset.String())
	}
}

// TestDescent: each step lowers the loss, by both methods from each start.
func TestDescent(t *testing.T) {
	for _, method := range []Method{LBFGS, Adam} {
		for _, start := range []Start{FromContent, FromStyle, FromNoise} {
			r := recipe()
			r.Method, r.Start = method, start
			tr := newTransfer(t, r, 2)
			first := tr.Progress()
			require.Zero(t, first.Iteration)
			last := steps(t, tr, 40)
			require.Equal(t, 40, last.Iteration)
			require.InDelta(t, last.Loss, last.Content+last.Style+last.TotalVariation, 1e-12)
			require.Less(t, last.Loss, first.Loss/2, "%s from %s", method, start)
		}
	}
}

// TestWorkers: the same bits for any number of workers.
func TestWorkers(t *testing.T) {
	a, b := newTransfer(t, recipe(), 1), newTransfer(t, recipe(), 3)
	require.Equal(t, steps(t, a, 5), steps(t, b, 5))
	testutil.CheckBits(t, "picture", 3, b.at.x, a.at.x)
}

// TestRestore: a transfer that is restored after any number of steps goes on with the same
// bits.
func TestRestore(t *testing.T) {
	for _, method := range []Method{LBFGS, Adam} {
		r := recipe()
		r.Method = method
		whole := newTransfer(t, r, 2)
		steps(t, whole, 12)
		for _, n := range []int{0, 1, 3, 4, 5, 9} {
			path := filepath.Join(t.TempDir(), "checkpoint")
			first := newTransfer(t, r, 1)
			steps(t, first, n)
			require.NoError(t, first.Save(path))
			second := newTransfer(t, r, 3)
			steps(t, second, 2) // forgotten
			require.NoError(t, second.Restore(path))
			require.Equal(t, first.Progress(), second.Progress())
			steps(t, second, 12-n)
			require.Equal(t, whole.Progress(), second.Progress(), "%s, restored after %d", method, n)
			testutil.CheckBits(t, string(method), n, second.at.x, whole.at.x)
		}
	}
}

func TestRestoreRefusals(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "checkpoint")
	tr := newTransfer(t, recipe(), 1)
	steps(t, tr, 1)
	require.NoError(t, tr.Save(path))
	other := recipe()
	other.TotalVariation = 0.2
	require.ErrorIs(t, newTransfer(t, other, 1).Restore(path), ErrCheckpoint)
	pictures, err := New(ctx, model(t, picture.Torch), recipe(), photo(1, 30, 21), photo(4, 17, 26))
	require.NoError(t, err)
	require.ErrorIs(t, pictures.Restore(path), ErrCheckpoint)
	require.ErrorContains(t, pictures.Restore(filepath.Join(t.TempDir(), "absent")), "absent")
}

// TestCancel: a step that is stopped leaves the transfer as it was.
func TestCancel(t *testing.T) {
	tr := newTransfer(t, recipe(), 2)
	steps(t, tr, 3)
	before := append([]float32(nil), tr.at.x...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p, err := tr.Step(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, p.Iteration)
	testutil.CheckBits(t, "picture", 0, tr.at.x, before)
	whole := newTransfer(t, recipe(), 2)
	require.Equal(t, steps(t, whole, 6), steps(t, tr, 3))
}

// TestInversion finds a picture with the activation that it was given.
func TestInversion(t *testing.T) {
	r := Inversion("conv1_2")
	r.TotalVariation = 0
	tr, err := New(context.Background(), model(t, picture.Torch), r, photo(1, 24, 24), nil)
	require.NoError(t, err)
	first := tr.Progress().Loss
	require.Less(t, steps(t, tr, 60).Loss, first/20)
}

// TestTexture has no content picture.
func TestTexture(t *testing.T) {
	r := recipe()
	r.Content, r.Start = nil, FromNoise
	tr, err := New(context.Background(), model(t, picture.Torch), r, nil, photo(2, 17, 26))
	require.NoError(t, err)
	require.Equal(t, 17, tr.Picture().W)
	first := tr.Progress().Loss
	require.Less(t, steps(t, tr, 20).Loss, first/5)
}

func TestParseTerms(t *testing.T) {
	terms, err := ParseTerms("conv1_1:0.5, conv2_1,conv3_1")
	require.NoError(t, err)
	require.Equal(t, []Term{{"conv1_1", 0.5}, {"conv2_1", 0.25}, {"conv3_1", 0.25}}, terms)
	terms, err = ParseTerms("a:2,b")
	require.NoError(t, err)
	require.Equal(t, []Term{{"a", 2}, {"b", 1}}, terms)
	for _, s := range []string{"", "a,", "a:x", "a:-1", "a:0", "a:NaN", "a:1e99"} {
		_, err := ParseTerms(s)
		require.ErrorIs(t, err, vgg.ErrConfig, s)
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	m := model(t, picture.Torch)
	for name, change := range map[string]func(*Recipe){
		"no layers": func(r *Recipe) { r.Content, r.Style = nil, nil },
		"layer":     func(r *Recipe) { r.Style[0].Layer = "conv9_1" },
		"weight":    func(r *Recipe) { r.Style[0].Weight = math.NaN() },
		"variation": func(r *Recipe) { r.TotalVariation = -1 },
		"start":     func(r *Recipe) { r.Start = "x" },
		"method":    func(r *Recipe) { r.Method = "sgd" },
		"rate":      func(r *Recipe) { r.Method, r.Rate = Adam, 0 },
		"history":   func(r *Recipe) { r.History = 0 },
	} {
		r := recipe()
		change(&r)
		_, err := New(ctx, m, r, photo(1, 24, 24), photo(2, 24, 24))
		require.ErrorIs(t, err, vgg.ErrConfig, name)
	}
	_, err := New(ctx, m, recipe(), nil, photo(2, 24, 24))
	require.ErrorIs(t, err, vgg.ErrConfig)
	_, err = New(ctx, m, recipe(), photo(1, 24, 24), nil)
	require.ErrorIs(t, err, vgg.ErrConfig)
	_, err = New(ctx, m, recipe(), photo(1, 24, 1), photo(2, 24, 24))
	require.ErrorIs(t, err, vgg.ErrShape)
	r := recipe()
	r.Content, r.Start = nil, FromContent
	_, err = New(ctx, m, r, nil, photo(2, 24, 24))
	require.ErrorIs(t, err, vgg.ErrConfig)
}

// TestTrained: on a trained VGG-19 of a quarter of the width the loss falls tenfold in a
// hundred iterations.
func TestTrained(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred iterations")
	}
	layers, err := vgg.ParseLayers("=3/1 16 16 M 32 32 M 64 64 64 64 M 128 128 128 128 M 128")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "E", Channels: 3, Size: 224, Pad: 1, Layers: layers}
	m, err := vgg.Open(testutil.Shared(t, "data", "nets", "vgg19_16x_encoder_relu5_1.safetensors"),
		vgg.Configuration(cfg), vgg.Pictures(vgg.Picture{Side: 224, Preset: picture.Unit}))
	require.NoError(t, err)
	read := func(name string) *picture.RGB {
		img, err := picture.Open(testutil.Shared(t, "data", "photos", name))
		require.NoError(t, err)
		p, err := picture.ResizeShort(picture.FromImage(img), 128)
		require.NoError(t, err)
		return p
	}
	tr, err := New(context.Background(), m, Gatys(), read("chelsea.png"), read("coffee.png"))
	require.NoError(t, err)
	first := tr.Progress().Loss
	last := steps(t, tr, 100).Loss
	t.Logf("%.4f, then %.4f: %.1f times", first, last, first/last)
	require.Less(t, last, first/10)
}

// BenchmarkEvaluate computes the loss and its gradient once at 512×512 with VGG-19: an
// iteration takes one of them, and more where the line search tries several. bench/style has
// the same in PyTorch.
func BenchmarkEvaluate(b *testing.B) {
	cfg, err := vgg.Lookup("E")
	require.NoError(b, err)
	cfg, err = cfg.Until("conv5_1")
	require.NoError(b, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(b, err)
	m, err := vgg.New(cfg, src)
	require.NoError(b, err)
	t, err := New(context.Background(), m, Gatys(), photo(1, 512, 512), photo(2, 512, 512))
	require.NoError(b, err)
	for b.Loop() {
		_, err := t.objective.evaluate(context.Background(), t.at.dx, t.at.x)
		require.NoError(b, err)
	}
}
