package conv3x3

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// blockEach converts n pictures to blocks, with poison around them.
func blockEach(t testing.TB, x []float32, n, c, h, w int) []float32 {
	b := testutil.NaNGuarded(t, n*layout.Len(c, h, w))
	for i := range n {
		layout.FromNCHW(c, h, w, b[i*layout.Len(c, h, w):], x[i*c*h*w:])
	}
	return b
}

func directWeightGrad(t testing.TB, kern *ukernel.Indirect, s Shape, x, dy []float32, workers int) (dw, db []float32) {
	team := parallel.NewTeam(workers)
	team.Begin()
	defer team.End()
	g := newDirectGrad(kern, s)
	dw, db = testutil.NaNGuarded(t, s.K*s.C*9), testutil.NaNGuarded(t, s.K)
	e := g.bind(team, testutil.NaNGuarded(t, g.scratchLen(workers)))
	require.NoError(t, e.run(context.Background(), dw, db, blockEach(t, x, s.N, s.C, s.H, s.W), blockEach(t, dy, s.N, s.K, s.OH(), s.OW())))
	return dw, db
}

// testDirectGrad compares with the reference: exactly for small integers, and
// within a bound for random numbers.
func testDirectGrad(t *testing.T, kern *ukernel.Indirect, s Shape, seed uint64) {
	t.Helper()
	shape := problem{s: s}.ref()
	x, dy := testutil.Ints(seed, s.N*s.C*s.H*s.W, -3, 3), testutil.Ints(seed+1, s.N*s.K*s.OH()*s.OW(), -3, 3)
	want, _ := ref.Conv2DWeightGrad(shape, x, dy)
	got, bias := directWeightGrad(t, kern, s, x, dy, 1)
	testutil.CheckExact(t, "weight gradient", s, got, want)
	wantBias, _ := ref.BiasGrad(s.N, s.K, s.OH()*s.OW(), dy)
	testutil.CheckExact(t, "bias gradient", s, bias, wantBias)

	x, dy = testutil.Normal(seed, len(x)), testutil.Normal(seed+1, len(dy))
	want, mag := ref.Conv2DWeightGrad(shape, x, dy)
	got, bias = directWeightGrad(t, kern, s, x, dy, 1)
	// A band is one chain, and the sums of bands are rounded once.
	testutil.Check(t, "weight gradient", s, got, want, ref.Bound(min(s.OH(), gradPixels*gradChunks)*s.OW()+1, mag))
	wantBias, mag = ref.BiasGrad(s.N, s.K, s.OH()*s.OW(), dy)
	testutil.Check(t, "bias gradient", s, bias, wantBias, ref.Bound(min(s.OH(), gradPixels*gradChunks)*s.OW()+1, mag))
	got3, bias3 := directWeightGrad(t, kern, s, x, dy, 3)
	testutil.CheckBits(t, "3 workers", s, got3, got)
	testutil.CheckBits(t, "bias, 3 workers", s, bias3, bias)
}

func TestDirectGrad(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []Shape{{1, 1, 3, 3, 1, 0, 0}, {2, 3, 5, 7, 16, 1, 0}, {3, 3, 33, 32, 70, 1, 0}, {1, 15, 9, 20, 130, 0, 0}, {2, 2, 40, 230, 5, 1, 0},
			{1, 1, 3, 3, 1, 0, 2}, {2, 3, 6, 7, 16, 1, 2}, {3, 3, 63, 66, 70, 1, 2}, {1, 15, 9, 20, 130, 0, 2}, {1, 3, 2, 1, 5, 1, 2}, {1, 3, 80, 60, 5, 0, 2}} {
			testDirectGrad(t, kern, s, uint64(3*i))
		}
	})
}

func TestWeightGradErrors(t *testing.T) {
	_, err := NewWeightGrad(Shape{1, 3, 2, 2, 1, 0, 0})
	require.ErrorIs(t, err, ErrShape)
	for _, c := range []int{3, 16} {
		g, err := NewWeightGrad(Shape{1, c, 4, 4, 16, 1, 0})
		require.NoError(t, err)
		_, err = g.NewExec(make([]float32, g.ScratchLen(1)-1), nil)
		require.Error(t, err)
		e, err := g.NewExec(make([]float32, g.ScratchLen(1)), nil)
		require.NoError(t, err)
		dw, x, dy := make([]float32, 16*c*9), make([]float32, 16*16), make([]float32, 16*16)
		require.Error(t, e.Run(context.Background(), dw[1:], nil, x, dy))
		require.Error(t, e.Run(context.Background(), dw, dw[:15], x, dy))
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = e.Run(context.Background(), dw, nil, x, dy) }))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		require.ErrorIs(t, e.Run(ctx, dw, nil, x, dy), context.Canceled)
	}
}

func FuzzDirectGrad(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(9), uint8(7), uint8(20), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, pad uint8) {
		s := Shape{1, 1 + int(c)%15, 3 + int(h)%20, 3 + int(w)%20, 1 + int(k)%80, int(pad) % 2, int(pad) / 2 % 3}
		for i := range ukernel.IndirectKernels {
			if cpu.Has(ukernel.IndirectKernels[i].ISA) {
				testDirectGrad(t, &ukernel.IndirectKernels[i], s, seed)
			}
		}
	})
}

// TestRunMasked: what the mask does not let through is 0, all else is as without.
func TestRunMasked(t *testing.T) {
	for i, s := range []Shape{{2, 20, 9, 11, 33, 1, 0}, {1, 5, 6, 7, 3, 0, 0}} { // Winograd and direct
		w, dy := testutil.Normal(uint64(i), s.K*s.C*9), blockEach(t, testutil.Normal(1, s.N*s.K*s.OH()*s.OW()), s.N, s.K, s.OH(), s.OW())
		mask := blockEach(t, testutil.Ints(2, s.N*s.C*s.H*s.W, -1, 1), s.N, s.C, s.H, s.W)
		f, err := NewInputGradFilter(s.C, s.K, w, nil)
		require.NoError(t, err)
		spec := Spec{N: s.N, H: s.OH(), W: s.OW(), Pad: 2 - s.Pad}
		need, err := f.ScratchLen(spec, 1)
		require.NoError(t, err)
		e, err := f.NewExec(spec, make([]float32, need), nil)
		require.NoError(t, err)
		want, got := make([]float32, len(mask)), testutil.NaNGuarded(t, len(mask))
		require.NoError(t, e.Run(context.Background(), want, dy))
		ReLUGrad(want, mask)
		require.NoError(t, e.RunMasked(context.Background(), got, dy, mask))
		testutil.CheckBits(t, "masked", s, got, want)
		require.ErrorIs(t, e.RunMasked(context.Background(), got, dy, mask[1:]), ErrShape)
	}
}

// TestSetBias: an Exec whose biases were replaced computes what one made with them does.
func TestSetBias(t *testing.T) {
	for _, c := range []int{3, 16} { // direct and Winograd
		w, b := testutil.Normal(1, 5*c*9), testutil.Normal(2, 5)
		spec := Spec{N: 1, H: 4, W: 4, Pad: 1}
		exec := func(bias []float32) *Exec {
			f, err := NewFilter(c, 5, w, bias, nil)
			require.NoError(t, err)
			need, err := f.ScratchLen(spec, 1)
			require.NoError(t, err)
			e, err := f.NewExec(spec, make([]float32, need), nil)
			require.NoError(t, err)
			return e
		}
		e, with := exec(nil), exec(b)
		require.ErrorIs(t, e.SetBias(b[:4]), ErrShape)
		require.ErrorIs(t, e.SetBias(make([]float32, 6)), ErrShape)
		require.NoError(t, e.SetBias(b))
		x := blockEach(t, testutil.Normal(3, c*16), 1, c, 4, 4)
		got, want := testutil.NaNGuarded(t, 16*16), make([]float32, 16*16)
		require.NoError(t, e.Run(context.Background(), got, x))
		require.NoError(t, with.Run(context.Background(), want, x))
		testutil.CheckBits(t, "biases", c, got, want)
	}
}
