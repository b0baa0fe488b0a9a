package perceptual

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// seeded is configuration D's convolutions with the weights of a seed.
func seeded(t testing.TB, seed uint64) *vgg.Network {
	t.Helper()
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	cfg, err = cfg.Until("conv5_3")
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, seed)
	require.NoError(t, err)
	return &vgg.Network{Config: cfg, Picture: vgg.DefaultPicture(224), Source: src}
}

// authors opens a file of the metrics' authors.
func authors(t testing.TB, name string) *weights.File {
	t.Helper()
	f, err := weights.Open(testutil.Shared(t, "data", "perceptual", name))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// made are both metrics with the weights of seed 11.
var made = map[string]*Metric{}

// metrics returns both, with the weights of seed 11.
func metrics(t testing.TB) map[string]*Metric {
	t.Helper()
	if len(made) > 0 {
		return made
	}
	n := seeded(t, 11)
	m, err := n.Model()
	require.NoError(t, err)
	lpips, err := NewLPIPS(m, authors(t, "lpips_vgg.pth"))
	require.NoError(t, err)
	dists, err := NewDISTS(n, authors(t, "dists_weights.pt"))
	require.NoError(t, err)
	made["lpips"], made["dists"] = lpips, dists
	return made
}

// pair reads two pictures of the golden values.
func pair(t testing.TB, golden map[string][]float64, i int) (a, b *picture.RGB) {
	t.Helper()
	read := func(name string) *picture.RGB {
		p := picture.NewRGB(64, 64)
		for j, v := range golden[fmt.Sprintf("%d.%s", i, name)] {
			p.Pix[j] = uint8(v)
		}
		return p
	}
	return read("a"), read("b")
}

// TestGolden compares distances with PyTorch's in float64.
func TestGolden(t *testing.T) {
	golden := testutil.Tensors(t, testutil.Shared(t, "data", "perceptual", "golden.safetensors"))
	for name, m := range metrics(t) {
		s, err := m.NewSession(64, 64)
		require.NoError(t, err)
		for i := range 3 {
			a, b := pair(t, golden, i)
			want := golden[fmt.Sprintf("%d.%s", i, name)][0]
			got, err := m.Distance(context.Background(), a, b)
			require.NoError(t, err)
			t.Logf("%s %d: %.9f, relative error %.1e", m, i, got, got/want-1)
			require.InEpsilon(t, want, got, 1e-5, "%s of pair %d", m, i)

			x, y := unit(a), unit(b)
			parts := make([]float64, s.Stages())
			require.NoError(t, s.Parts(context.Background(), parts, x, y))
			require.Equal(t, got, sum(parts))
			for l, want := range golden[fmt.Sprintf("%d.%s.layers", i, name)] {
				require.InEpsilon(t, want, parts[l], 1e-5, "%s of pair %d, stage %d", m, i, l)
			}
			same, err := s.Distance(context.Background(), x, x)
			require.NoError(t, err)
			require.Zero(t, same)
			back, err := s.Distance(context.Background(), y, x)
			require.NoError(t, err)
			require.InEpsilon(t, got, back, 1e-12)
		}
	}
}

func unit(p *picture.RGB) []float32 {
	x := make([]float32, len(p.Pix))
	picture.Unit.Tensor(x, p)
	return x
}

// TestWorkers: the same bits for any number of workers, and no allocation.
func TestWorkers(t *testing.T) {
	ctx := context.Background()
	a, b := testutil.Uniform(1, 3*33*47), testutil.Uniform(2, 3*33*47)
	for _, m := range metrics(t) {
		var first float64
		for workers := 1; workers <= 3; workers++ {
			s, err := m.NewSession(33, 47, vgg.Workers(workers))
			require.NoError(t, err)
			d, err := s.Distance(ctx, a, b)
			require.NoError(t, err)
			if workers == 1 {
				first = d
				require.Zero(t, testutil.AllocsPerRun(2, func() { _, _ = s.Distance(ctx, a, b) }))
			}
			require.Equal(t, first, d)
		}
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	n := seeded(t, 1)
	m, err := n.Model()
	require.NoError(t, err)
	lpips, dists := authors(t, "lpips_vgg.pth"), authors(t, "dists_weights.pt")
	_, err = NewLPIPS(m, dists)
	require.ErrorIs(t, err, weights.ErrNotFound)
	_, err = NewDISTS(n, lpips)
	require.ErrorIs(t, err, weights.ErrNotFound)

	metric, err := NewLPIPS(m, lpips)
	require.NoError(t, err)
	_, err = metric.Distance(ctx, picture.NewRGB(40, 32), picture.NewRGB(32, 40))
	require.ErrorIs(t, err, ErrShape)
	require.EqualError(t, err, "perceptual: LPIPS of pictures of 40×32 and 32×40 pixels, want one size")
	_, err = metric.NewSession(3, 3)
	require.ErrorIs(t, err, ErrShape)
	s, err := metric.NewSession(16, 16)
	require.NoError(t, err)
	_, err = s.Distance(ctx, make([]float32, 3*16*16), make([]float32, 16*16))
	require.ErrorIs(t, err, ErrShape)
	require.ErrorIs(t, s.Parts(ctx, make([]float64, 4), make([]float32, 3*16*16), make([]float32, 3*16*16)), ErrShape)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Distance(ended, make([]float32, 3*16*16), make([]float32, 3*16*16))
	require.ErrorIs(t, err, context.Canceled)

	n.Picture.Preset = picture.Caffe
	_, err = NewDISTS(n, dists)
	require.ErrorIs(t, err, vgg.ErrConfig)
	n.Picture.Preset, n.Config = picture.Torch, n.Config.Divide(2)
	_, err = NewDISTS(n, dists)
	require.ErrorIs(t, err, vgg.ErrConfig)
}
