package gemm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// sharedCase is a product that pays for a team.
type sharedCase struct {
	transA, transB bool
	m, n, k        int
}

var sharedCases = []sharedCase{
	{false, false, 211, 220, 230},
	{true, false, 97, 300, 401},
	{false, true, 400, 120, 203},
	{false, false, 5, 1900, 1024},
	{false, true, 1, 3000, 3001},
}

// run computes with f into a new C.
func (s sharedCase) run(f func(lda, ldb int, a, b, c []float32)) []float32 {
	rowsA, colsA := dims(s.transA, s.m, s.k)
	rowsB, colsB := dims(s.transB, s.k, s.n)
	c := testutil.Normal(3, s.m*s.n)
	f(colsA, colsB, testutil.Normal(1, rowsA*colsA), testutil.Normal(2, rowsB*colsB), c)
	return c
}

func (s sharedCase) shared() []float32 {
	return s.run(func(lda, ldb int, a, b, c []float32) {
		SGEMM(s.transA, s.transB, s.m, s.n, s.k, 1, a, lda, b, ldb, 1, c, s.n)
	})
}

func (s sharedCase) alone() []float32 {
	return s.run(func(lda, ldb int, a, b, c []float32) {
		_ = NewMultiplier(nil).SGEMM(context.Background(), s.transA, s.transB, s.m, s.n, s.k, 1, a, lda, b, ldb, 1, c, s.n)
	})
}

// TestShared: many goroutines at a time, and any GOMAXPROCS, have the bits of one worker.
func TestShared(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, s := range sharedCases {
		require.GreaterOrEqual(t, s.m*s.n*s.k, minShared)
		want := s.alone()
		for _, procs := range [][]int{{1, 2, 3}, {2}}[min(i, 1)] {
			runtime.GOMAXPROCS(procs)
			var group sync.WaitGroup
			var got [3][]float32
			for i := range got {
				group.Go(func() { got[i] = s.shared() })
			}
			group.Wait()
			for _, c := range got {
				testutil.CheckBits(t, "shared", fmt.Sprint(s, procs), c, want)
			}
		}
	}
}

// TestSharedIsFree: a product that panics, and one that is over, leave the helpers to
// others, and products allocate nothing.
func TestSharedIsFree(t *testing.T) {
	s := sharedCases[0]
	require.Panics(t, func() {
		s.run(func(lda, ldb int, a, b, c []float32) {
			SGEMM(false, false, s.m, s.n, s.k, 1, a, lda, b, ldb, 1, c[1:], s.n)
		})
	})
	s.shared()
	require.True(t, helping.TryLock())
	helping.Unlock()
	a, b, c := testutil.Normal(1, s.m*s.k), testutil.Normal(2, s.k*s.n), make([]float32, s.m*s.n)
	require.Less(t, testutil.AllocsPerRun(20, func() {
		SGEMM(false, false, s.m, s.n, s.k, 1, a, s.k, b, s.n, 0, c, s.n)
	}), 1.0, "but when the garbage collector took the memory")
}

// BenchmarkShared compares products alone and by the shared team.
func BenchmarkShared(b *testing.B) {
	for _, n := range []int{128, 160, 203, 256, 512} {
		x, y, z := testutil.Uniform(1, n*n), testutil.Uniform(2, n*n), make([]float32, n*n)
		p := newProblem(false, false, n, n, n, 1, x, n, y, n, 0, z, n)
		run := func(how string, f func()) {
			b.Run(fmt.Sprintf("n=%d/workers=%s", n, how), func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(2*float64(n*n*n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
		g := NewMultiplier(nil)
		run("1", func() { _ = g.multiply(context.Background(), &p) })
		run("all", func() { multiplyTogether(&p) })
	}
}

// TestProcessorsStay: a product leaves GOMAXPROCS as it is.
func TestProcessorsStay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	const n = 256
	x := make([]float32, n*n)
	SGEMM(false, false, n, n, n, 1, x, n, x, n, 0, make([]float32, n*n), n)
	require.Equal(t, 3, runtime.GOMAXPROCS(0))
}
