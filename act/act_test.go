package act

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

func testAdd(t *testing.T, n int, relu bool, seed uint64) {
	t.Helper()
	a, b := testutil.Normal(seed, n), testutil.Normal(seed+1, n)
	want := make([]float64, n)
	for i := range want {
		want[i] = float64(a[i]) + float64(b[i])
	}
	if relu {
		want = ref.ReLU(want)
	}
	testutil.Unchanged(t, "a", a)
	testutil.Unchanged(t, "b", b)
	var first []float32
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		e, err := NewAdd(n, fuse.Epilogue{ReLU: relu}, team)
		require.NoError(t, err)
		team.Begin()
		dst := testutil.NaNGuarded(t, n)
		require.NoError(t, e.Run(context.Background(), dst, a, b))
		testutil.Check(t, "sum", n, dst, want, ref.Bound(1, ref.Abs(want)))
		if first == nil {
			first = dst
		}
		testutil.CheckBits(t, "workers", workers, dst, first)
		for _, operand := range []int{0, 1} { // in place
			x := [][]float32{testutil.GuardedCopy(t, a), testutil.GuardedCopy(t, b)}
			require.NoError(t, e.Run(context.Background(), x[operand], x[0], x[1]))
			testutil.CheckBits(t, "in place of operand", operand, x[operand], first)
		}
		team.End()
	}
}

func TestAdd(t *testing.T) {
	for i, n := range []int{1, 15, 16, 17, 1000, addPiece, addPiece + 1, addItem - 1, addItem, 2*addItem + 33} {
		testAdd(t, n, i%2 == 0, uint64(i))
		testAdd(t, n, i%2 == 1, uint64(i))
	}
}

func TestAddSpecials(t *testing.T) {
	var a, b []float32
	for _, x := range testutil.Specials() {
		for _, y := range testutil.Specials() {
			a, b = append(a, x), append(b, y)
		}
	}
	for _, relu := range []bool{false, true} {
		e, err := NewAdd(len(a), fuse.Epilogue{ReLU: relu}, nil)
		require.NoError(t, err)
		got, want := make([]float32, len(a)), make([]float64, len(a))
		require.NoError(t, e.Run(context.Background(), got, a, b))
		for i := range want {
			if want[i] = float64(a[i] + b[i]); relu && want[i] <= 0 {
				want[i] = 0
			}
		}
		testutil.CheckExact(t, "sum", relu, got, want)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(uint64(1), uint16(17), true)
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, relu bool) { testAdd(t, 1+int(n), relu, seed) })
}

// softmax is the reference, NCHW: of the rows of the transposed planes.
func softmax(n, c, plane int, x []float32) []float64 {
	want, row := make([]float64, len(x)), make([]float32, c)
	for i := range n * plane {
		at := i/plane*c*plane + i%plane
		for ch := range row {
			row[ch] = x[at+ch*plane]
		}
		for ch, v := range ref.Softmax(1, c, row) {
			want[at+ch*plane] = v
		}
	}
	return want
}

func testSoftmax(t *testing.T, n, c, h, w int, seed uint64) {
	t.Helper()
	x := testutil.Normal(seed, n*c*h*w)
	for i := range x {
		x[i] *= 30
	}
	want := softmax(n, c, h*w, x)
	var first []float32
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		e, err := NewSoftmax(n, c, h, w, team)
		require.NoError(t, err)
		team.Begin()
		dst := testutil.NaNGuarded(t, len(x))
		require.NoError(t, e.Run(context.Background(), dst, x))
		testutil.Check(t, "softmax", []int{n, c, h, w}, dst, want, ref.Bound(3, want))
		if first == nil {
			first = dst
		}
		testutil.CheckBits(t, "workers", workers, dst, first)
		inPlace := testutil.GuardedCopy(t, x)
		require.NoError(t, e.Run(context.Background(), inPlace, inPlace))
		testutil.CheckBits(t, "in place", workers, inPlace, first)
		team.End()
	}
}

func TestSoftmax(t *testing.T) {
	for i, s := range [][4]int{{1, 1, 1, 1}, {3, 10, 1, 1}, {1, 1000, 1, 1}, {2, 3, 7, 9}, {1, 5, 8, 8}, {1, 21, 5, 13}, {2, 2, 1, softmaxRun + 1}} {
		testSoftmax(t, s[0], s[1], s[2], s[3], uint64(i))
	}
}

func TestSoftmaxSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	e, err := NewSoftmax(5, 2, 1, 1, nil)
	require.NoError(t, err)
	got := make([]float32, 10)
	require.NoError(t, e.Run(context.Background(), got, []float32{3e38, -3e38, nan, 1, inf, 0, -inf, -inf, -inf, 5}))
	not := math.NaN()
	testutil.CheckExact(t, "softmax", 5, got, []float64{1, 0, not, not, not, not, not, not, 0, 1})
}

func FuzzSoftmax(f *testing.F) {
	f.Add(uint64(1), uint8(10), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w uint8) {
		testSoftmax(t, 2, 1+int(c)%40, 1+int(h)%12, 1+int(w)%12, seed)
	})
}

// TestRuns: no Run allocates, each ends with its context, and wrong lengths are errors.
func TestRuns(t *testing.T) {
	const n = 4 * 3 * 50
	team := parallel.NewTeam(2)
	x, y := make([]float32, n), make([]float32, n)
	a, err := NewAdd(n, fuse.Epilogue{ReLU: true}, team)
	require.NoError(t, err)
	s, err := NewSoftmax(4, 3, 5, 10, team)
	require.NoError(t, err)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, run := range map[string]func(ctx context.Context, dst []float32) error{
		"sum":     func(ctx context.Context, dst []float32) error { return a.Run(ctx, dst, x, y) },
		"softmax": func(ctx context.Context, dst []float32) error { return s.Run(ctx, dst, x) },
	} {
		require.NoError(t, run(context.Background(), y), name)
		require.Zero(t, testutil.AllocsPerRun(10, func() { _ = run(context.Background(), y) }), name)
		require.ErrorIs(t, run(ended, y), context.Canceled, name)
		require.ErrorIs(t, run(context.Background(), y[1:]), ErrShape, name)
	}
	require.ErrorIs(t, a.Run(context.Background(), y, x[1:], y), ErrShape)
	require.ErrorIs(t, s.Run(context.Background(), y, x[1:]), ErrShape)
}

func TestErrors(t *testing.T) {
	for _, n := range []int{0, -1, math.MaxInt} {
		_, err := NewAdd(n, fuse.Epilogue{}, nil)
		require.ErrorIs(t, err, ErrShape)
		_, err = NewSoftmax(1, 1, n, 1, nil)
		require.ErrorIs(t, err, ErrShape)
	}
	_, err := NewAdd(1, fuse.Epilogue{ReLU: true, Pool: true}, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewSoftmax(1<<20, 1<<20, 1<<20, 1<<20, nil)
	require.ErrorIs(t, err, ErrShape)
}

func BenchmarkAdd(b *testing.B) {
	const n = 64 * 112 * 112
	x, y, z := testutil.Normal(1, n), testutil.Normal(2, n), make([]float32, n)
	for _, relu := range []bool{false, true} {
		b.Run(fmt.Sprintf("n=%d/relu=%v", n, relu), func(b *testing.B) {
			e, err := NewAdd(n, fuse.Epilogue{ReLU: relu}, nil)
			require.NoError(b, err)
			b.SetBytes(3 * 4 * n)
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), z, x, y))
			}
		})
	}
}

func BenchmarkSoftmax(b *testing.B) {
	for _, s := range [][2]int{{1000, 1}, {21, 64 * 64}} {
		b.Run(fmt.Sprintf("c=%d/plane=%d", s[0], s[1]), func(b *testing.B) {
			x := testutil.Normal(1, s[0]*s[1])
			e, err := NewSoftmax(1, s[0], s[1], 1, nil)
			require.NoError(b, err)
			b.SetBytes(2 * 4 * int64(len(x)))
			y := make([]float32, len(x))
			for b.Loop() {
				require.NoError(b, e.Run(context.Background(), y, x))
			}
		})
	}
}
