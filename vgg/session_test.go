package vgg

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// small is configuration D at a sixteenth of its channels, for 32×32 pictures.
func small(t testing.TB, name string, opts ...Option) *Model {
	t.Helper()
	cfg, err := Lookup(name)
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithClasses(10).WithSize(32)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

func runSession(t testing.TB, m *Model, x []float32, opts ...SessionOption) []float32 {
	t.Helper()
	s, err := m.NewSession(opts...)
	require.NoError(t, err)
	out := testutil.NaNGuarded(t, s.batch*s.OutputShape().Len())
	require.NoError(t, s.Run(context.Background(), out, x))
	return append([]float32(nil), out...)
}

// TestBits compares batches and numbers of workers bit for bit, for every kind of
// layer and storage.
func TestBits(t *testing.T) {
	const n, size = 9, 3 * 32 * 32
	x := testutil.Normal(1, n*size)
	for _, m := range []*Model{small(t, "D"), small(t, "A-LRN"), small(t, "C"), small(t, "B", Direct()), small(t, "E", Winograd(2)), small(t, "A", HalfFC())} {
		for _, layer := range []string{"", "conv3_2", "pool4", "fc7"} {
			want := runSession(t, m, x, Batch(n), Workers(1), Output(layer))
			length := len(want) / n
			for _, batch := range []int{1, 3, 8} {
				for _, workers := range []int{1, 2, 3} {
					got := runSession(t, m, x[:batch*size], Batch(batch), Workers(workers), Output(layer))
					testutil.CheckBits(t, m.cfg.Name+" "+layer, []int{batch, workers}, got, want[:batch*length])
				}
			}
		}
	}
}

// TestSharedModel runs eight sessions of one model at the same time.
func TestSharedModel(t *testing.T) {
	m := small(t, "D")
	x := testutil.Normal(1, 3*32*32)
	want := runSession(t, m, x)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := m.NewSession(Workers(2))
			if err != nil {
				t.Error(err)
				return
			}
			out := make([]float32, 10)
			for range 5 {
				if err := s.Run(context.Background(), out, x); err != nil {
					t.Error(err)
				}
				testutil.CheckBits(t, "shared", "logits", out, want)
			}
		})
	}
	wg.Wait()
}

func TestRunAllocates(t *testing.T) {
	for _, name := range []string{"A-LRN", "C", "E"} {
		s, err := small(t, name).NewSession(Batch(5), Workers(2))
		require.NoError(t, err)
		x, out := testutil.Normal(1, 5*3*32*32), make([]float32, 50)
		ctx := context.Background()
		require.Zero(t, testing.AllocsPerRun(10, func() { _ = s.Run(ctx, out, x) }), name)
	}
}

// TestCancel stops a network of the paper's size in the middle.
func TestCancel(t *testing.T) {
	if testing.Short() {
		t.Skip("packs 230 MB of weights")
	}
	cfg, err := Lookup("D")
	require.NoError(t, err)
	cfg, err = cfg.Until("pool5")
	require.NoError(t, err)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src)
	require.NoError(t, err)
	s, err := m.NewSession(Batch(8), Workers(2))
	require.NoError(t, err)
	x, out := make([]float32, 8*3*224*224), make([]float32, 8*s.OutputShape().Len())
	ctx, cancel := context.WithCancel(context.Background())
	var stopped time.Time
	time.AfterFunc(20*time.Millisecond, func() { stopped = time.Now(); cancel() })
	require.ErrorIs(t, s.Run(ctx, out, x), context.Canceled)
	require.Less(t, time.Since(stopped), 50*time.Millisecond) // 5 ms on a quiet machine
	require.NoError(t, s.Run(context.Background(), out, x), "the session stays usable")
}

func TestSessionErrors(t *testing.T) {
	m := small(t, "D")
	_, err := m.NewSession(Output("conv9_1"))
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "conv3_2", "the message lists the layers")
	_, err = m.NewSession(Batch(0))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(64, 64))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(1<<40, 1))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(64, 48), Output("pool5"))
	require.NoError(t, err, "without the fully connected layers any size does")
	_, err = m.NewSession(InputSize(16, 16), Output("pool3"))
	require.NoError(t, err, "what comes after the output does not matter")
	s, err := m.NewSession()
	require.NoError(t, err)
	require.ErrorIs(t, s.Run(context.Background(), make([]float32, 9), make([]float32, 3072)), ErrShape)
	require.ErrorIs(t, s.Run(context.Background(), make([]float32, 10), make([]float32, 3071)), ErrShape)
}

// TestHalfFC bounds the error of half-precision weights: each is rounded by
// 2⁻¹², relatively, and the errors of a sum average out.
func TestHalfFC(t *testing.T) {
	x := testutil.Normal(1, 3*32*32)
	full, half := small(t, "D"), small(t, "D", HalfFC())
	want := runSession(t, full, x)
	got := runSession(t, half, x)
	wide := make([]float64, len(want))
	for i, v := range want {
		wide[i] = float64(v)
	}
	largest, rms := testutil.RelErrors(got, wide)
	require.NotZero(t, rms, "half precision is not float32")
	require.Less(t, largest, 2e-3)
	require.Less(t, half.Bytes(), full.Bytes())
}
