package vgg

import (
	"context"
	"image"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestOutputs: several outputs of one pass are the bits of a pass for each, for any
// number of pictures up to the batch.
func TestOutputs(t *testing.T) {
	const size, batch = 3 * 32 * 32, 7
	x := testutil.Normal(1, batch*size)
	names := []string{"fc7", "relu1_2", "pool2", "conv5_1", "fc6"}
	for _, m := range []*Model{small(t, "D"), small(t, "A-LRN"), small(t, "E", Direct()), small(t, "E", Fixed())} {
		if m.cfg.Name == "A-LRN" {
			names[1] = "lrn1"
		} else {
			names[1] = "relu1_2"
		}
		var want [][]float32
		for _, name := range names {
			want = append(want, runSession(t, m, x, Batch(batch), Output(name)))
		}
		for _, workers := range []int{1, 3} {
			s, err := m.NewSession(Batch(batch), Workers(workers), Outputs(names...))
			require.NoError(t, err)
			for _, n := range []int{batch, 1, 4, 6, 3} {
				got := make([][]float32, len(names))
				for i, shape := range s.OutputShapes() {
					got[i] = testutil.NaNGuarded(t, n*shape.Len())
				}
				require.NoError(t, s.RunOutputs(context.Background(), got, x[:n*size]))
				for i := range got {
					testutil.CheckBits(t, m.cfg.Name+" "+names[i], []int{workers, n}, got[i], want[i][:len(got[i])])
				}
			}
		}
	}
}

// TestRunN: fewer pictures than the batch have the same bits, dense or not.
func TestRunN(t *testing.T) {
	const batch = 9
	m := small(t, "D")
	for _, opts := range [][]SessionOption{{Batch(batch)}, {Batch(batch), Output("conv3_1")}, {Batch(batch), Dense(), InputSize(48, 70)}} {
		s, err := m.NewSession(opts...)
		require.NoError(t, err)
		in, out := s.inputLen(), s.OutputShape().Len()
		x := testutil.Normal(2, batch*in)
		want := make([]float32, batch*out)
		require.NoError(t, s.Run(context.Background(), want, x))
		for n := 1; n <= batch; n++ {
			for begin := 0; begin+n <= batch; begin += n {
				got := testutil.NaNGuarded(t, n*out)
				require.NoError(t, s.RunN(context.Background(), n, got, x[begin*in:][:n*in]))
				testutil.CheckBits(t, "logits", []int{n, begin}, got, want[begin*out:][:n*out])
			}
		}
		require.Zero(t, testutil.AllocsPerRun(3, func() { _ = s.RunN(context.Background(), 5, want[:5*out], x[:5*in]) }))
		for _, n := range []int{0, -1, batch + 1} {
			require.ErrorIs(t, s.RunN(context.Background(), n, want, x), ErrShape)
		}
	}
}

func TestOutputsErrors(t *testing.T) {
	m := small(t, "D")
	_, err := m.NewSession(Outputs("conv1_1", "relu1_1"))
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "conv1_1 is there twice")
	_, err = m.NewSession(Outputs("conv1_1", "conv9_9"))
	require.ErrorIs(t, err, ErrConfig)
	_, err = m.NewSession(Dense(), Outputs("fc6", "fc7"))
	require.ErrorIs(t, err, ErrConfig)

	s, err := m.NewSession(Dense(), InputSize(64, 64), Outputs("conv2_1", "fc8"))
	require.NoError(t, err)
	x := testutil.Normal(3, s.inputLen())
	got := [][]float32{make([]float32, s.OutputShapes()[0].Len()), make([]float32, s.OutputShapes()[1].Len())}
	require.NoError(t, s.RunOutputs(context.Background(), got, x))
	testutil.CheckBits(t, "conv2_1", nil, got[0], runSession(t, m, x, Dense(), InputSize(64, 64), Output("conv2_1")))
	testutil.CheckBits(t, "fc8", nil, got[1], runSession(t, m, x, Dense(), InputSize(64, 64)))
	require.ErrorIs(t, s.RunOutputs(context.Background(), got[:1], x), ErrShape)
	require.ErrorIs(t, s.RunOutputs(context.Background(), [][]float32{got[1], got[0]}, x), ErrShape)
	require.ErrorIs(t, s.Run(context.Background(), got[1], x), ErrConfig)
	require.Zero(t, testutil.AllocsPerRun(3, func() { _ = s.RunOutputs(context.Background(), got, x) }))
}

// TestFeaturesOf: several layers of a picture, by sessions that are kept for the next
// caller with the same layers.
func TestFeaturesOf(t *testing.T) {
	m := small(t, "D")
	picture := image.NewRGBA(image.Rect(0, 0, 40, 50))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(i * 7)
	}
	for range 2 {
		list, err := m.FeaturesOf(context.Background(), picture, "conv4_1", "fc8", "relu2_2")
		require.NoError(t, err)
		for i, name := range []string{"conv4_1", "fc8", "conv2_2"} {
			one, err := m.Features(context.Background(), picture, name)
			require.NoError(t, err)
			require.Equal(t, one.Shape, list[i].Shape)
			testutil.CheckBits(t, name, nil, list[i].Data, one.Data)
		}
	}
	_, err := m.FeaturesOf(context.Background(), picture, "conv4_1", "conv4_1")
	require.ErrorIs(t, err, ErrConfig)
}
