package gemm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/quantise"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

func forEachInt8(t *testing.T, f func(t *testing.T, kern *ukernel.BlockedInt8)) {
	testutil.EachKernel(t, ukernel.BlockedInt8Kernels, func(kern *ukernel.BlockedInt8) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// newFixedLinear packs a layer of whole numbers for a kernel: the layout is the same for all.
func newFixedLinear(t testing.TB, kern *ukernel.BlockedInt8, in, out int, w, bias []float32, opts ...Option) *Linear {
	t.Helper()
	l, err := NewLinear(in, out, w, bias, nil, append(opts, Fixed())...)
	require.NoError(t, err)
	l.fixed.kernel = kern
	return l
}

// runFixed computes n inputs; the memory around the operands is poisoned.
func runFixed(t testing.TB, l *Linear, n, workers int, x []float32) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	e, err := l.NewExec(n, team)
	require.NoError(t, err)
	src := testutil.NaNGuarded(t, len(x))
	copy(src, x)
	dst := testutil.NaNGuarded(t, n*l.out)
	team.Begin()
	defer team.End()
	require.NoError(t, e.Run(context.Background(), n, dst, src))
	testutil.CheckBits(t, "src", n, src, x)
	return append([]float32(nil), dst...)
}

// fixedBound returns how far each result may be from the exact one: with a and w the largest
// errors of an element of an input and of a weight, Σ|weight|·a + |x|·w + a·w, and the last
// rounding.
func fixedBound(n, in, out int, x, w []float32, want []float64) func(i int) float64 {
	sums := func(rows int, m []float32, levels, most float64) (sum, e []float64) {
		sum, e = make([]float64, rows), make([]float64, rows)
		for r := range rows {
			largest := 0.0
			for _, v := range m[r*in:][:in] {
				sum[r] += math.Abs(float64(v))
				largest = max(largest, math.Abs(float64(v)))
			}
			e[r] = most * largest / levels
		}
		return sum, e
	}
	sumX, a := sums(n, x, quantise.Levels16, 0.5+0x1p-7)
	sumW, b := sums(out, w, quantise.Levels8, 0.5+0x1p-20)
	return func(k int) float64 {
		i, r := k/out, k%out
		return sumW[r]*a[i] + sumX[i]*b[r] + float64(in)*a[i]*b[r] + 0x1p-23*math.Abs(want[k]) + float64(in+1)*0x1p-149
	}
}

// testFixed compares every kernel with the definition, and bit by bit with the portable one.
func testFixed(t *testing.T, kern *ukernel.BlockedInt8, n, out, in int, seed uint64) {
	t.Helper()
	shape := fmt.Sprintf("n%d out%d in%d", n, out, in)
	// Whole numbers come out exactly: the largest of each row is the number of levels.
	x, w, b := testutil.Ints(seed, n*in, -9, 9), testutil.Ints(seed+1, out*in, -quantise.Levels8, quantise.Levels8), testutil.Ints(seed+2, out, -4, 4)
	for i := range n {
		x[i*in+i%in] = quantise.Levels16
	}
	for r := range out {
		w[r*in+(r+1)%in] = -quantise.Levels8
	}
	want, _ := ref.Linear(n, in, out, x, w, b)
	for k := range want {
		want[k] = float64(float32(want[k]))
	}
	testutil.CheckExact(t, "integers", shape, runFixed(t, newFixedLinear(t, kern, in, out, w, b), n, 1, x), want)

	x, w, b = testutil.Normal(seed, n*in), testutil.Normal(seed+1, out*in), testutil.Normal(seed+2, out)
	want, _ = ref.Linear(n, in, out, x, w, b)
	got := runFixed(t, newFixedLinear(t, kern, in, out, w, b, ReLU()), n, 1, x)
	testutil.Check(t, "normal", shape, got, ref.ReLU(want), fixedBound(n, in, out, x, w, want))
	portable := &ukernel.BlockedInt8Kernels[len(ukernel.BlockedInt8Kernels)-1]
	testutil.CheckBits(t, "portable", shape, got, runFixed(t, newFixedLinear(t, portable, in, out, w, b, ReLU()), n, 1, x))
}

func TestFixedRemainders(t *testing.T) {
	forEachInt8(t, func(t *testing.T, kern *ukernel.BlockedInt8) {
		seed := uint64(1)
		for n := 1; n <= 2*kern.MR+1; n++ {
			for _, out := range []int{1, 16, 31, 32, 33, 65} {
				testFixed(t, kern, n, out, 40, seed)
				seed += 3
			}
		}
		for _, in := range []int{1, 15, 16, 17, 512, 513, 2048, 2100} {
			testFixed(t, kern, 1, 20, in, seed)
			testFixed(t, kern, 3, 20, in, seed)
			seed += 3
		}
	})
}

// TestFixedBits compares batches and workers bit for bit.
func TestFixedBits(t *testing.T) {
	forEachInt8(t, func(t *testing.T, kern *ukernel.BlockedInt8) {
		const n, out, in = 9, 70, 1040
		x, w, b := testutil.Normal(1, n*in), testutil.Normal(2, out*in), testutil.Normal(3, out)
		l := newFixedLinear(t, kern, in, out, w, b)
		want := runFixed(t, l, n, 1, x)
		for i := range n {
			testutil.CheckBits(t, "one input", i, runFixed(t, l, 1, 2, x[i*in:][:in]), want[i*out:][:out])
		}
		testutil.CheckBits(t, "3 workers", n, runFixed(t, l, n, 3, x), want)
	})
}

// TestFixedAdversarial: rows of which all elements are as large as they get, of one sign and
// of alternating ones, outliers, tiny and subnormal numbers, zeros.
func TestFixedAdversarial(t *testing.T) {
	const n, out, in = 7, 5, 1100
	x, w := testutil.Normal(1, n*in), testutil.Normal(2, out*in)
	fill := func(row []float32, f func(i int, v float32) float32) {
		for i, v := range row {
			row[i] = f(i, v)
		}
	}
	fill(x[0*in:][:in], func(int, float32) float32 { return 3 })
	fill(x[1*in:][:in], func(i int, _ float32) float32 { return float32(i%2*2 - 1) })
	x[2*in+7] = 1e6
	fill(x[3*in:][:in], func(_ int, v float32) float32 { return v * 1e-40 })
	fill(x[4*in:][:in], func(int, float32) float32 { return 0 })
	fill(x[5*in:][:in], func(_ int, v float32) float32 { return max(v, 0) })
	fill(x[6*in:][:in], func(_ int, v float32) float32 { return v * 1e30 })
	fill(w[0*in:][:in], func(int, float32) float32 { return -2 })
	fill(w[1*in:][:in], func(i int, _ float32) float32 { return float32(i%2*2 - 1) })
	w[2*in+7] = -1e4
	fill(w[3*in:][:in], func(_ int, v float32) float32 { return v * 1e-42 })
	want, _ := ref.Linear(n, in, out, x, w, nil)
	forEachInt8(t, func(t *testing.T, kern *ukernel.BlockedInt8) {
		got := runFixed(t, newFixedLinear(t, kern, in, out, w, nil), n, 2, x)
		testutil.Check(t, "adversarial", "7×5×1100", got, want, fixedBound(n, in, out, x, w, want))
		require.InEpsilon(t, -6600, got[0], 1e-6, "the largest sum")
		require.Zero(t, got[1])
	})
}

// TestFixedNonFinite: an input with a NaN or an infinity gives NaN, and touches no other; a
// row of weights likewise.
func TestFixedNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	forEachInt8(t, func(t *testing.T, kern *ukernel.BlockedInt8) {
		l := newFixedLinear(t, kern, 2, 3, []float32{127, 127, 0, 0, inf, 1}, []float32{0, 1, 2}, ReLU())
		got := runFixed(t, l, 4, 1, []float32{nan, 1, inf, 1, -inf, 1, quantise.Levels16, 0})
		testutil.CheckExact(t, "NaN and Inf", "4×3×2", got, []float32{nan, nan, nan, nan, nan, nan, nan, nan, nan, 127 * quantise.Levels16, 1, nan})
		l = newFixedLinear(t, kern, 2, 1, []float32{nan, 1}, nil)
		testutil.CheckExact(t, "NaN of a weight", "1×1×2", runFixed(t, l, 1, 1, []float32{0, 0}), []float32{nan})
	})
}

// TestFixedColumns permutes columns, drops one and adds a zero one.
func TestFixedColumns(t *testing.T) {
	const n, out, in = 2, 40, 7
	perm := []int32{3, -1, 0, 6, 5, 2, 4, -1}
	w, x := testutil.Normal(1, out*in), testutil.Normal(2, n*len(perm))
	straight := make([]float32, n*in)
	for i := range n {
		for j, c := range perm {
			if c >= 0 {
				straight[i*in+int(c)] = x[i*len(perm)+j]
			} else {
				x[i*len(perm)+j] = 0
			}
		}
	}
	kern := ukernel.BestBlockedInt8()
	want := runFixed(t, newFixedLinear(t, kern, in, out, w, nil), n, 1, straight)
	testutil.CheckBits(t, "columns", perm, runFixed(t, newFixedLinear(t, kern, in, out, w, nil, Columns(perm)), n, 1, x), want)
}

// TestFixedMemory: a byte a weight, and a scale for each output.
func TestFixedMemory(t *testing.T) {
	l := newFixedLinear(t, ukernel.BestBlockedInt8(), 48, 64, testutil.Normal(1, 48*64), nil)
	require.Equal(t, int64(48*64+4*64), l.Bytes())
	e, err := l.NewExec(3, parallel.NewTeam(2))
	require.NoError(t, err)
	dst, src := make([]float32, 3*64), make([]float32, 3*48)
	require.Zero(t, testutil.AllocsPerRun(20, func() { _ = e.Run(context.Background(), 3, dst, src) }))
}

// TestFixedStored takes packed weights and makes the same layer of them.
func TestFixedStored(t *testing.T) {
	for _, s := range []struct{ in, out int }{{1, 1}, {40, 33}, {2100, 65}} {
		w, b, x := testutil.Normal(1, s.out*s.in), testutil.Normal(2, s.out), testutil.Normal(3, 2*s.in)
		l := newFixedLinear(t, ukernel.BestBlockedInt8(), s.in, s.out, w, b, ReLU())
		q, scale := l.FixedWeights()
		n, err := FixedLen(s.in, s.out)
		require.NoError(t, err)
		require.Len(t, q, n)
		read := func(dst []int8, first int) error { copy(dst, q[first:]); return nil }
		again, err := NewFixedLinear(s.in, s.out, read, scale, b, parallel.NewTeam(2), ReLU())
		require.NoError(t, err)
		testutil.CheckBits(t, "stored", s, runFixed(t, again, 2, 1, x), runFixed(t, l, 2, 1, x))
		require.Equal(t, l.Bytes(), again.Bytes())
		row := make([]float32, s.in)
		for k := range s.out {
			UnpackFixed(k, row, q, scale[k])
			for i, v := range row {
				require.InDelta(t, w[k*s.in+i], v, 0.51*float64(scale[k]), "row %d, column %d", k, i)
			}
		}
		bad := errors.New("bad")
		_, err = NewFixedLinear(s.in, s.out, func([]int8, int) error { return bad }, scale, b, nil)
		require.ErrorIs(t, err, bad)
		_, err = NewFixedLinear(s.in, s.out, read, scale[1:], b, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewFixedLinear(s.in, s.out, read, scale, make([]float32, s.out+1), nil)
		require.ErrorIs(t, err, ErrShape)
	}
	l, err := NewLinear(3, 2, make([]float32, 6), nil, nil)
	require.NoError(t, err)
	q, scale := l.FixedWeights()
	require.Nil(t, q)
	require.Nil(t, scale)
	for _, s := range [][2]int{{0, 1}, {1, 0}, {math.MaxInt / 64, math.MaxInt / 64}} {
		_, err := FixedLen(s[0], s[1])
		require.ErrorIs(t, err, ErrShape)
	}
}

func FuzzFixed(f *testing.F) {
	f.Add(uint64(1), uint8(7), uint8(64), uint16(40))
	f.Fuzz(func(t *testing.T, seed uint64, n, out uint8, in uint16) {
		for i := range ukernel.BlockedInt8Kernels {
			if kern := &ukernel.BlockedInt8Kernels[i]; cpu.Has(kern.ISA) {
				testFixed(t, kern, 1+int(n)%16, 1+int(out), 1+int(in)%2100, seed)
			}
		}
	})
}
