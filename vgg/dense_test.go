package vgg

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// narrow is a configuration of the paper at a sixteenth of its channels.
func narrow(t testing.TB, name string, opts ...Option) (*Model, Source) {
	t.Helper()
	cfg, err := Lookup(name)
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithClasses(10)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src, opts...)
	require.NoError(t, err)
	return m, src
}

// convolutional is a model's network with its fully connected layers as
// convolutions, in float64.
func convolutional(t testing.TB, m *Model, src Source, h, w int) *ref.Net[float32] {
	t.Helper()
	cfg := m.cfg
	params, err := cfg.Params()
	require.NoError(t, err)
	nominal, err := cfg.Shapes(cfg.Size, cfg.Size)
	require.NoError(t, err)
	net := &ref.Net[float32]{C: cfg.Channels, H: h, W: w}
	kernel := 0 // of the first fully connected layer
	for i, l := range cfg.Layers {
		r := ref.Layer[float32]{Name: l.Name, Out: l.Out, ReLU: l.ReLU, Kernel: l.Kernel}
		switch l.Kind {
		case Pool:
			r.Kind = ref.KindMaxPool
		case LRN:
			r.Kind, r.LRN = ref.KindLRN, ref.VGGLRN
		case Conv:
			r.Pad = cfg.Pad * (l.Kernel / 3)
		case FC:
			r.Kernel = 1
			if kernel == 0 {
				kernel = nominal[i-1].H
				r.Kernel = kernel
			}
		}
		if l.Kind == Conv || l.Kind == FC {
			for _, p := range params[:2] {
				x, err := src.Tensor(p.Name, p.Shape)
				require.NoError(t, err)
				if r.Weight == nil {
					r.Weight = append(r.Weight, x...)
				} else {
					r.Bias = append(r.Bias, x...)
				}
			}
			params = params[2:]
		}
		net.Layers = append(net.Layers, r)
	}
	return net
}

// TestDenseNominal: at the network's own size the class map has one position, and
// its bits are those of the fully connected layers.
func TestDenseNominal(t *testing.T) {
	const n, size = 5, 3 * 32 * 32
	x := testutil.Normal(1, n*size)
	for _, m := range []*Model{small(t, "D"), small(t, "A-LRN"), small(t, "C"), small(t, "E", Direct()), small(t, "A", HalfFC()), small(t, "B", FixedFC()), small(t, "D", Fixed())} {
		for _, layer := range []string{"", "fc6", "fc7", "pool5"} {
			want := runSession(t, m, x, Batch(n), Output(layer))
			got := runSession(t, m, x, Batch(n), Output(layer), Dense())
			testutil.CheckBits(t, m.cfg.Name, layer, got, want)
		}
	}
	m, _ := narrow(t, "D")
	x = testutil.Normal(2, 3*224*224)
	testutil.CheckBits(t, "D", "7×7", runSession(t, m, x, Dense()), runSession(t, m, x))
}

// TestDense compares class maps with the same network as convolutions in float64.
func TestDense(t *testing.T) {
	for _, c := range []struct {
		name string
		h, w int
	}{{"D", 384, 512}, {"A-LRN", 260, 347}, {"C", 225, 500}} {
		if testing.Short() && c.name != "C" {
			continue
		}
		m, src := narrow(t, c.name)
		x := testutil.Normal(3, 3*c.h*c.w)
		run := convolutional(t, m, src, c.h, c.w).Forward(1, x)
		s, err := m.NewSession(Dense(), InputSize(c.h, c.w))
		require.NoError(t, err)
		shape := s.OutputShape()
		require.Equal(t, Shape{10, c.h/32 - 6, c.w/32 - 6}, shape)
		got := runSession(t, m, x, Dense(), InputSize(c.h, c.w))
		largest, rms := testutil.RelErrors(got, run.Output())
		require.Less(t, largest, 1e-5, "%s: class map", c.name)
		require.Less(t, rms, 5e-6, c.name)

		// The mean over the map, which evaluation takes.
		plane := shape.H * shape.W
		mean := func(at func(i int) float64) (list []float64) {
			for c := range shape.C {
				sum := 0.0
				for p := range plane {
					sum += at(c*plane + p)
				}
				list = append(list, sum/float64(plane))
			}
			return list
		}
		var narrowed []float32
		for _, v := range mean(func(i int) float64 { return float64(got[i]) }) {
			narrowed = append(narrowed, float32(v))
		}
		largest, _ = testutil.RelErrors(narrowed, mean(func(i int) float64 { return run.Output()[i] }))
		require.Less(t, largest, 1e-5, "%s: mean", c.name)
	}
}

// TestResize takes pictures of changing sizes with one session: the bits are
// those of a session of each size, whatever came before, for any batch and any
// number of workers.
func TestResize(t *testing.T) {
	m := small(t, "D")
	s, err := m.NewSession(Dense(), Batch(3), Workers(2))
	require.NoError(t, err)
	for i, size := range [][2]int{{32, 32}, {97, 64}, {33, 47}, {64, 97}, {400, 353}, {32, 32}, {64, 64}} {
		h, w := size[0], size[1]
		x := testutil.Normal(uint64(i), 3*3*h*w)
		require.NoError(t, s.Resize(h, w))
		length := s.OutputShape().Len()
		got := testutil.NaNGuarded(t, 3*length)
		require.NoError(t, s.Run(context.Background(), got, x))
		for p := range 3 {
			want := runSession(t, m, x[p*3*h*w:][:3*h*w], Dense(), InputSize(h, w), Workers(1))
			testutil.CheckBits(t, "resized", size, got[p*length:][:length], want)
		}
		require.Zero(t, testutil.AllocsPerRun(1, func() { _ = s.Run(context.Background(), got, x) }))
	}
	x, out := testutil.Normal(1, 3*3*64*64), make([]float32, 3*s.OutputShape().Len())
	require.ErrorIs(t, s.Resize(31, 64), ErrShape, "less than the network's size")
	require.ErrorIs(t, s.Resize(1<<20, 64), ErrShape)
	require.NoError(t, s.Run(context.Background(), out, x), "as it was before")

	fixed, err := m.NewSession()
	require.NoError(t, err)
	require.ErrorIs(t, fixed.Resize(64, 64), ErrShape, "not dense")
	require.NoError(t, fixed.Run(context.Background(), make([]float32, 10), x[:3*32*32]))
}
