package gemm

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

func forEachIndirect(t *testing.T, f func(t *testing.T, kern *ukernel.Indirect)) {
	testutil.EachKernel(t, ukernel.IndirectKernels, func(kern *ukernel.Indirect) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// sgemmCase is one call; pad is added to the leading dimensions.
type sgemmCase struct {
	transA, transB bool
	m, n, k, pad   int
	alpha, beta    float32
}

func (s sgemmCase) sizes() (la, lda, lb, ldb, lc, ldc int) {
	ra, ca, rb, cb := s.m, s.k, s.k, s.n
	if s.transA {
		ra, ca = ca, ra
	}
	if s.transB {
		rb, cb = cb, rb
	}
	lda, ldb, ldc = max(1, ca+s.pad), max(1, cb+s.pad), max(1, s.n+s.pad)
	length := func(r, c, ld int) int {
		if r == 0 || c == 0 {
			return 0
		}
		return (r-1)*ld + c
	}
	return length(ra, ca, lda), lda, length(rb, cb, ldb), ldb, length(s.m, s.n, ldc), ldc
}

// run computes s into a copy of c with poison around it.
func (s sgemmCase) run(t testing.TB, kern *ukernel.Indirect, a, b, c []float32, workers int) []float32 {
	_, lda, _, ldb, _, ldc := s.sizes()
	team := parallel.NewTeam(workers)
	team.Begin()
	defer team.End()
	g := newMultiplier(kern, team)
	dst := testutil.NaNGuarded(t, len(c))
	copy(dst, c)
	require.NoError(t, g.SGEMM(context.Background(), s.transA, s.transB, s.m, s.n, s.k, s.alpha, a, lda, b, ldb, s.beta, dst, ldc))
	return dst
}

// testSGEMM compares with the reference: integers exactly, other data within the
// derived bound, and everything between the rows of C untouched.
func testSGEMM(t *testing.T, kern *ukernel.Indirect, s sgemmCase, seed uint64) {
	t.Helper()
	la, lda, lb, ldb, lc, ldc := s.sizes()
	for _, data := range []struct {
		name  string
		make  func(seed uint64, n int) []float32
		exact bool
	}{{"integers", func(seed uint64, n int) []float32 { return testutil.Ints(seed, n, -4, 4) }, true}, {"normal", testutil.Normal, false}} {
		a, b, c := data.make(seed, la), data.make(seed+1, lb), data.make(seed+2, lc)
		want, mag := ref.Gemm(s.transA, s.transB, s.m, s.n, s.k, float64(s.alpha), a, lda, b, ldb, float64(s.beta), c, ldc)
		full := s.run(t, kern, a, b, c, 1)
		got := make([]float32, s.m*s.n)
		for i := range len(got) / max(s.n, 1) {
			copy(got[i*s.n:], full[i*ldc:][:s.n])
			if i < s.m-1 {
				testutil.CheckBits(t, "between rows", s, full[i*ldc+s.n:(i+1)*ldc], c[i*ldc+s.n:(i+1)*ldc])
			}
		}
		if data.exact && s.alpha == float32(int(s.alpha)) && s.beta == float32(int(s.beta)) {
			testutil.CheckExact(t, data.name, s, got, want)
		} else {
			testutil.Check(t, data.name, s, got, want, ref.Bound(s.k+s.k/512+4, mag))
		}
		testutil.CheckBits(t, "3 workers", s, s.run(t, kern, a, b, c, 3), full)
	}
}

func TestSGEMM(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		seed := uint64(1)
		for m := 1; m <= 2*kern.MR+1; m++ { // every remainder of rows
			for _, n := range []int{1, 15, 16, 17, 63, 64, 65, 130} {
				s := sgemmCase{m%2 == 0, n%2 == 0, m, n, 9, m % 3, float32(1 + m%2), float32(m % 3)}
				testSGEMM(t, kern, s, seed)
				seed += 3
			}
		}
		for _, s := range []sgemmCase{
			{false, false, 130, 300, 20, 1, 1, 0}, // several blocks of rows, packed A
			{true, true, 127, 270, 33, 2, -2, 1},
			{false, true, 3, 20, 1030, 0, 0.5, 0.25}, // several inner blocks
			{true, false, 9, 4100, 3, 0, 1, 1},       // several blocks of columns
			{false, false, 131, 272, 150, 874, 1, 1}, // rows of A that share cache sets
			{true, false, 131, 272, 150, 1, 1, 1},    // rows of A that lie across it
			{true, false, 61, 70, 1030, 0, 1, 1},     // likewise, with the fewest columns
			{true, false, 14, 0, 80, 1, 0, 0},        // nothing, and slices of length 0
			{false, true, 0, 3, 5, 1, 1, 1},
			{false, false, 3, 5, 0, 1, 1, 2}, // C is only scaled
		} {
			testSGEMM(t, kern, s, seed)
			seed += 3
		}
	})
}

// TestSGEMMEmpty covers sizes of 0, alpha of 0, and a C of NaN with beta 0.
func TestSGEMMEmpty(t *testing.T) {
	nan := float32(math.NaN())
	SGEMM(false, false, 0, 3, 2, 1, nil, 2, make([]float32, 6), 3, 0, nil, 3)
	SGEMM(false, false, 3, 0, 2, 1, make([]float32, 6), 2, nil, 1, 0, nil, 1)
	c := []float32{nan, 3}
	SGEMM(false, false, 1, 1, 0, 1, nil, 1, nil, 1, 0, c, 1)
	require.Equal(t, []float32{0, 3}, c)
	SGEMM(false, false, 1, 1, 1, 0, []float32{nan}, 1, []float32{nan}, 1, 2, c[1:], 1)
	require.Equal(t, []float32{0, 6}, c)
	c[0] = nan
	SGEMM(false, false, 1, 1, 1, 1, []float32{2}, 1, []float32{5}, 1, 0, c, 1)
	require.Equal(t, []float32{10, 6}, c)
}

func TestSGEMMPanics(t *testing.T) {
	x := make([]float32, 100)
	y := make([]float32, 100)
	z := make([]float32, 100)
	for message, f := range map[string]func(){
		"gemm: negative size":                       func() { SGEMM(false, false, -1, 1, 1, 1, x, 1, y, 1, 0, z, 1) },
		"gemm: leading dimension of A is too small": func() { SGEMM(true, false, 3, 1, 1, 1, x, 2, y, 1, 0, z, 1) },
		"gemm: leading dimension of B is too small": func() { SGEMM(false, true, 1, 1, 3, 1, x, 3, y, 2, 0, z, 1) },
		"gemm: leading dimension of C is too small": func() { SGEMM(false, false, 1, 2, 1, 1, x, 1, y, 2, 0, z, 1) },
		"gemm: slice of A is too short":             func() { SGEMM(false, false, 2, 1, 2, 1, x[:3], 2, y, 1, 0, z, 1) },
		"gemm: slice of B is too short":             func() { SGEMM(false, false, 1, 2, 2, 1, x, 2, y[:3], 2, 0, z, 2) },
		"gemm: slice of C is too short":             func() { SGEMM(false, false, 2, 2, 1, 1, x, 1, y, 2, 0, z[:3], 2) },
		"gemm: C overlaps A or B":                   func() { SGEMM(false, false, 2, 2, 1, 1, x[:10], 1, y, 2, 0, x[9:], 2) },
	} {
		require.PanicsWithValue(t, message, f)
	}
}

// TestSGEMMOverlap: C may touch A and B on either side, and share no element with them, the
// first or the last, whoever computes.
func TestSGEMMOverlap(t *testing.T) {
	g := NewMultiplier(nil)
	for name, multiply := range map[string]func(a, b, c []float32){
		"SGEMM": func(a, b, c []float32) { SGEMM(false, false, 4, 4, 4, 1, a, 4, b, 4, 0, c, 4) },
		"Multiplier": func(a, b, c []float32) {
			require.NoError(t, g.SGEMM(context.Background(), false, true, 4, 4, 4, 1, a, 4, b, 4, 1, c, 4))
		},
	} {
		for shift := -20; shift <= 20; shift++ {
			data, other := make([]float32, 64), make([]float32, 16)
			x, c := data[24:][:16], data[24+shift:][:16]
			for _, operands := range [][2][]float32{{x, other}, {other, x}} {
				run := func() { multiply(operands[0], operands[1], c) }
				if shift > -16 && shift < 16 {
					require.PanicsWithValue(t, "gemm: C overlaps A or B", run, "%s, C %d behind", name, shift)
				} else {
					require.NotPanics(t, run, "%s, C %d behind", name, shift)
				}
			}
		}
	}
}

// TestSGEMMIdentity compares C·t with A·(B·t).
func TestSGEMMIdentity(t *testing.T) {
	const m, n, k = 70, 90, 600
	a, b, x := testutil.Ints(1, m*k, -2, 2), testutil.Ints(2, k*n, -2, 2), testutil.Ints(3, n, -2, 2)
	c, bx, abx, cx := make([]float32, m*n), make([]float32, k), make([]float32, m), make([]float32, m)
	SGEMM(false, false, m, n, k, 1, a, k, b, n, 0, c, n)
	SGEMM(false, false, k, 1, n, 1, b, n, x, 1, 0, bx, 1)
	SGEMM(false, false, m, 1, k, 1, a, k, bx, 1, 0, abx, 1)
	SGEMM(false, false, m, 1, n, 1, c, n, x, 1, 0, cx, 1)
	require.Equal(t, abx, cx)
}

func FuzzSGEMM(f *testing.F) {
	f.Add(uint64(1), uint8(7), uint8(64), uint16(40), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, flags uint8) {
		s := sgemmCase{flags&1 > 0, flags&2 > 0, int(m), int(n), int(k) % 1200, int(flags >> 6), float32(flags >> 2 & 3), float32(flags >> 4 & 3)}
		for i := range ukernel.IndirectKernels {
			if cpu.Has(ukernel.IndirectKernels[i].ISA) {
				testSGEMM(t, &ukernel.IndirectKernels[i], s, seed)
			}
		}
	})
}

func BenchmarkSGEMM(b *testing.B) {
	for _, s := range []struct{ m, n, k int }{{512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {3136, 256, 2304}, {49, 512, 512}, {32, 4096, 25088}} {
		benchmarkSGEMM(b, sgemmCase{m: s.m, n: s.n, k: s.k})
	}
}

// BenchmarkTransposed has a transposed A.
func BenchmarkTransposed(b *testing.B) {
	for _, s := range []struct{ m, n, k int }{{64, 64, 64}, {1000, 32, 1000}, {512, 64, 512}, {1000, 64, 1000}, {1024, 128, 1024}, {300, 200, 300}, {512, 512, 512}, {1024, 1024, 1024}} {
		benchmarkSGEMM(b, sgemmCase{transA: true, m: s.m, n: s.n, k: s.k})
	}
}

func benchmarkSGEMM(b *testing.B, s sgemmCase) {
	for i := range ukernel.IndirectKernels {
		kern := &ukernel.IndirectKernels[i]
		if !cpu.Has(kern.ISA) || kern.ISA == cpu.Generic {
			continue
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("m=%d/n=%d/k=%d/workers=%d/kernel=%s", s.m, s.n, s.k, workers, kern.Name), func(b *testing.B) {
				team := parallel.NewTeam(workers)
				team.Begin()
				defer team.End()
				g := newMultiplier(kern, team)
				_, lda, _, ldb, _, ldc := s.sizes()
				x, y, z := testutil.Uniform(1, s.m*s.k), testutil.Uniform(2, s.k*s.n), make([]float32, s.m*s.n)
				for b.Loop() {
					_ = g.SGEMM(context.Background(), s.transA, false, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, z, ldc)
				}
				b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// TestSGEMMGuardPages puts the operands against inaccessible pages, behind and
// before, on every path: plain, few rows, packed, with edges.
func TestSGEMMGuardPages(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []sgemmCase{{m: 3, n: 4, k: 4}, {m: 1, n: 64, k: 40}, {m: 30, n: 1, k: 40}, {m: 5, n: 90, k: 33}, {m: 20, n: 130, k: 9}, {m: 130, n: 300, k: 20}} {
			for flags := range 4 {
				s.transA, s.transB, s.alpha, s.beta = flags&1 > 0, flags&2 > 0, 1, float32(flags%2)
				la, lda, lb, ldb, lc, ldc := s.sizes()
				a, b, c := testutil.Normal(uint64(i), la), testutil.Normal(uint64(i+9), lb), testutil.Normal(uint64(i+20), lc)
				want := s.run(t, kern, a, b, c, 1)
				for _, place := range []func(testing.TB, []float32) []float32{testutil.GuardedCopy[float32], testutil.GuardedHeadCopy[float32]} {
					got := place(t, c)
					g := newMultiplier(kern, nil)
					require.NoError(t, g.SGEMM(context.Background(), s.transA, s.transB, s.m, s.n, s.k, s.alpha, place(t, a), lda, place(t, b), ldb, s.beta, got, ldc))
					testutil.CheckBits(t, "guarded", s, got, want)
				}
			}
		}
	})
}

// endsAfter is a context that has ended once it was asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (c *endsAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestSGEMMEnds: every path stops between its tiles, before the product is there.
func TestSGEMMEnds(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for _, s := range []sgemmCase{{m: 1, n: 1000, k: 2100}, {m: 8, n: 1000, k: 2100}, {m: 30, n: 100, k: 2100}, {m: 300, n: 300, k: 50}} {
			for _, s.transB = range []bool{false, true} {
				la, lda, lb, ldb, lc, ldc := s.sizes()
				a, b, c := testutil.Uniform(1, la), testutil.Uniform(2, lb), make([]float32, lc)
				s.alpha = 1
				whole := s.run(t, kern, a, b, c, 1)
				err := newMultiplier(kern, nil).SGEMM(&endsAfter{context.Background(), 2}, false, s.transB, s.m, s.n, s.k, 1, a, lda, b, ldb, 0, c, ldc)
				require.ErrorIs(t, err, context.Canceled, s)
				require.NotEqual(t, whole[lc-1], c[lc-1], s)
			}
		}
	})
}

// TestSGEMMAllocates counts allocations after the first product.
func TestSGEMMAllocates(t *testing.T) {
	team := parallel.NewTeam(2)
	team.Begin()
	defer team.End()
	g := NewMultiplier(team)
	a, b, c := testutil.Uniform(1, 200*90), testutil.Uniform(2, 90*300), make([]float32, 200*300)
	for _, m := range []int{200, 30, 3} {
		require.Zero(t, testutil.AllocsPerRun(5, func() {
			_ = g.SGEMM(context.Background(), false, false, m, 300, 90, 1, a, 90, b, 300, 0, c, 300)
		}), m)
	}
	require.Zero(t, testutil.AllocsPerRun(5, func() {
		_ = g.SGEMM(context.Background(), true, true, 1, 200, 90, 1, b, 1, a, 90, 0, c, 200)
		_ = g.GEMV(context.Background(), false, 200, 90, 2, a, 90, b, 0, c)
		_ = g.GEMV(context.Background(), true, 200, 90, 1, a, 90, b, 0, c)
	}))
	require.Zero(t, testutil.AllocsPerRun(5, func() {
		_ = g.Batch(context.Background(), Batch{4, 20 * 90, 0, 20 * 300}, false, false, 20, 300, 90, 1, a, 90, b, 300, 0, c, 300)
	}))
}
