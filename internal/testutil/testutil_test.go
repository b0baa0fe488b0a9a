package testutil

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB
	failures, skips []string
	cleanups        []func()
}

func (r *recorder) Name() string     { return "recorded" }
func (r *recorder) Helper()          {}
func (r *recorder) Log(...any)       {}
func (r *recorder) FailNow()         { runtime.Goexit() }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skips = append(r.skips, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// record runs f as a test, to its end or failure, and its cleanups after it.
func record(f func(t testing.TB)) *recorder {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return r
}

func TestCheck(t *testing.T) {
	t.Parallel()
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		got   float32
		want  float64
		bound float64
		ok    bool
	}{
		{1, 1, 0, true},
		{1, 1.5, 0.5, true},
		{1, 1.5, 0.499, false},
		{-1, 1, 1.9, false},
		{1, 1.5, nan, false},
		{float32(nan), nan, 0, true},
		{float32(nan), 1, inf, false},
		{1, nan, inf, false},
		{float32(inf), inf, 0, true},
		{float32(inf), -inf, inf, false},
		{math.MaxFloat32, inf, inf, false},
		{float32(inf), 1, 1e9, false},
	} {
		bound := func(int) float64 { return c.bound }
		r := record(func(t testing.TB) {
			require.Equal(t, c.ok, Check(t, "op", "n1", []float32{c.got}, []float64{c.want}, bound), "%+v", c)
		})
		require.Equal(t, c.ok, len(r.failures) == 0, "%+v: %v", c, r.failures)
	}
}

func TestCheckNamesTheWorst(t *testing.T) {
	t.Parallel()
	r := record(func(t testing.TB) {
		bound := func(i int) float64 { return []float64{1, 1, 0.1, 1}[i] }
		Check(t, "conv", "n1 c2", []float32{0, 7, 3, 0}, []float64{0, 5, 2, 0}, bound)
	})
	require.Equal(t, []string{"conv, shape n1 c2: element 2: got 3, want 2, error 1, bound 0.1 (2 of 4 elements are wrong)"}, r.failures)

	r = record(func(t testing.TB) { Check(t, "conv", "n1", make([]float32, 2), make([]float64, 3), nil) })
	require.Equal(t, []string{"conv, shape n1: got 2 elements, want 3"}, r.failures)
}

func TestCheckExactAndBits(t *testing.T) {
	t.Parallel()
	negative, nan := float32(math.Copysign(0, -1)), float32(math.NaN())
	for _, c := range []struct {
		got, want   float32
		exact, bits bool
	}{
		{1, 1, true, true},
		{1, math.Nextafter32(1, 2), false, false},
		{0, negative, true, false},
		{nan, nan, true, true},
		{math.Float32frombits(poison), nan, true, false},
		{1, nan, false, false},
		{nan, 1, false, false},
	} {
		r := record(func(t testing.TB) { CheckExact(t, "op", 1, []float32{c.got}, []float32{c.want}) })
		require.Equal(t, c.exact, len(r.failures) == 0, "exact %v", c)
		r = record(func(t testing.TB) { CheckExact(t, "op", 1, []float32{c.got}, []float64{float64(c.want)}) })
		require.Equal(t, c.exact, len(r.failures) == 0, "exact float64 %v", c)
		r = record(func(t testing.TB) { CheckBits(t, "op", 1, []float32{c.got}, []float32{c.want}) })
		require.Equal(t, c.bits, len(r.failures) == 0, "bits %v", c)
	}
	r := record(func(t testing.TB) { CheckExact(t, "op", "s", []float32{1, 2, 3}, []float32{1, 3, 4}) })
	require.Equal(t, []string{"op, shape s: element 1: got 2, want exactly 3 (2 of 3 elements are wrong)"}, r.failures)
	r = record(func(t testing.TB) { CheckBits(t, "op", "s", []float32{1}, nil) })
	require.Len(t, r.failures, 1)
}

func TestRelErrors(t *testing.T) {
	t.Parallel()
	largest, rms := RelErrors([]float32{3, 5, 0, 0}, []float64{3, 4, 0, 0})
	require.InDelta(t, 1/2.5, largest, 1e-12)
	require.InDelta(t, 0.5/2.5, rms, 1e-12)
	largest, rms = RelErrors([]float32{0, 0}, []float64{0, 0})
	require.Zero(t, largest+rms)
	largest, rms = RelErrors([]float32{1, float32(math.NaN())}, []float64{1, 1})
	require.True(t, math.IsInf(largest, 1) && math.IsInf(rms, 1))
}

// faults reports whether f touches memory that it must not.
func faults(f func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			_, fault = e.(interface{ Addr() uintptr })
		}
	}()
	f()
	return false
}

// step returns the address i elements after x[0], without the check of Go.
func step[T any](x []T, i int) *T {
	var zero T
	return (*T)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(x)), i*int(unsafe.Sizeof(zero))))
}

func TestGuarded(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("no guard pages on", runtime.GOOS)
	}
	t.Run("float32", testGuarded[float32])
	t.Run("float64", testGuarded[float64])
	t.Run("uint8", testGuarded[uint8])
	t.Run("uint16", testGuarded[uint16])
	t.Run("uint32", testGuarded[uint32])
}

var sink any // keeps reads alive

func testGuarded[T Element](t *testing.T) {
	for _, n := range []int{1, 7, 1024, 4096, 5000} {
		tail, head := Guarded[T](t, n), GuardedHead[T](t, n)
		for _, x := range [][]T{tail, head} {
			require.Len(t, x, n)
			require.Equal(t, n, cap(x))
			require.False(t, faults(func() {
				for i := range x {
					x[i]++
				}
			}), "n=%d: inside", n)
		}
		require.True(t, faults(func() { sink = *step(tail, n) }), "n=%d: read past the end", n)
		require.True(t, faults(func() { *step(tail, n) = 1 }), "n=%d: write past the end", n)
		require.True(t, faults(func() { sink = *step(head, -1) }), "n=%d: read before the start", n)
		require.True(t, faults(func() { *step(head, -1) = 1 }), "n=%d: write before the start", n)
	}
	require.Empty(t, Guarded[T](t, 0))
	x := []T{1, 2, 3}
	require.Equal(t, x, GuardedCopy(t, x))
	require.Equal(t, x, GuardedHeadCopy(t, x))
}

func TestNaNGuarded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 16, 100} {
		r := record(func(t testing.TB) {
			x := NaNGuarded(t, n)
			require.Len(t, x, n)
			require.Equal(t, n, cap(x))
			require.Zero(t, uintptr(unsafe.Pointer(unsafe.SliceData(x)))%64)
			for i := range x {
				require.True(t, math.IsNaN(float64(x[i])), "the slice itself begins poisoned")
				x[i] = 1
			}
		})
		require.Empty(t, r.failures)
		for _, at := range []int{-nanGuard, -1, n, n + nanGuard - 1} {
			r := record(func(t testing.TB) { *step(NaNGuarded(t, n), at) = float32(math.NaN()) })
			require.Equal(t, []string{fmt.Sprintf("element %d of a slice of %d was overwritten by NaN", at, n)}, r.failures)
		}
	}
}

func TestUnchanged(t *testing.T) {
	t.Parallel()
	x := []float32{1, 2}
	require.Empty(t, record(func(t testing.TB) { Unchanged(t, "x", x) }).failures)
	r := record(func(t testing.TB) {
		Unchanged(t, "x", x)
		x[1] = 3
	})
	require.Equal(t, []string{"x must not change, shape 2: element 1: got 3, want exactly 2 (1 of 2 elements are wrong)"}, r.failures)
}

func TestData(t *testing.T) {
	t.Parallel()
	const n = 100000
	seen := map[float32]int{}
	for _, v := range Ints(1, n, -4, 4) {
		seen[v]++
	}
	require.Len(t, seen, 9)
	for v, count := range seen {
		require.True(t, v >= -4 && v <= 4 && float32(int(v)) == v && count > n/12, "%v %d times", v, count)
	}
	mean := func(x []float32, f func(float64) float64) (sum float64) {
		for _, v := range x {
			sum += f(float64(v)) / float64(len(x))
		}
		return sum
	}
	id, square := func(v float64) float64 { return v }, func(v float64) float64 { return v * v }
	u := Uniform(2, n)
	for _, v := range u {
		require.True(t, v >= -1 && v < 1)
	}
	require.InDelta(t, 0, mean(u, id), 0.01)
	require.InDelta(t, 1./3, mean(u, square), 0.01)
	g := Normal(3, n)
	require.InDelta(t, 0, mean(g, id), 0.02)
	require.InDelta(t, 1, mean(g, square), 0.02)

	require.Equal(t, Uniform(7, 10), Uniform(7, 11)[:10], "the same in every run")
	require.NotEqual(t, Uniform(7, 10), Uniform(8, 10))
	require.Equal(t, []float32{1, 3, -3}, Ints(1, 3, -4, 4), "the same everywhere")
}

func TestShared(t *testing.T) {
	skips := filepath.Join(t.TempDir(), "skips")
	t.Setenv("NONET_SKIPS", skips)
	r := record(func(t testing.TB) { Shared(t, "no", "such", "file") })
	require.Len(t, r.skips, 1)
	require.Contains(t, r.skips[0], filepath.Join("shared", "no", "such", "file"))
	require.Empty(t, r.failures)
	line, err := os.ReadFile(skips)
	require.NoError(t, err)
	require.Equal(t, "recorded in testutil: no shared/no/such/file\n", string(line))

	root, err := moduleRoot()
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(mod), "module github.com/nonet-go/nonet\n"))
}

func TestChangesOnly(t *testing.T) {
	x := make([]float32, 6)
	for i := range x {
		r := record(func(t testing.TB) { ChangesOnly(t, "x", x, 2, 4, func() { x[i] = 1 }) })
		require.Equal(t, i < 2 || i >= 4, len(r.failures) == 1, "element %d", i)
	}
}

func TestForgets(t *testing.T) {
	type inner struct{ x []float32 }
	type outer struct {
		own  []float32
		list []inner
		next *outer
		any  any
		grid [2][3]float32
	}
	x, other := make([]float32, 4), make([]float32, 4)
	loop := &outer{own: other}
	loop.next = loop
	for i, o := range []*outer{
		nil, {}, loop, {own: other, list: []inner{{other}}, any: &inner{}, grid: [2][3]float32{{1}}},
		{own: x}, {own: x[3:]}, {list: []inner{{}, {x}}}, {next: &outer{own: x}}, {any: inner{x}}, {any: []any{nil, &x}},
	} {
		r := record(func(t testing.TB) { Forgets(t, "x", o, other[4:], x) })
		require.Equal(t, i > 3, len(r.failures) == 1, "case %d: %v", i, r.failures)
	}
}
