package gemm

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestPacked compares products with a packed operand bit for bit with SGEMM's.
func TestPacked(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for i, s := range []sgemmCase{{false, false, 3, 20, 1030, 1, 1, 0}, {true, true, 130, 4200, 9, 0, 1, 1}, {false, true, 1, 1, 1, 0, 1, 0}, {false, false, 7, 65, 600, 0, 1, 2}} {
			la, lda, lb, ldb, lc, ldc := s.sizes()
			a, b, c := testutil.Normal(uint64(i), la), testutil.Normal(uint64(i+9), lb), testutil.Normal(uint64(i+20), lc)
			want := s.run(t, kern, a, b, c, 1)
			g := newMultiplier(kern, parallel.NewTeam(2))
			p := g.Pack(s.transB, s.n, s.k, b, ldb)
			require.NoError(t, g.Packed(context.Background(), s.transA, s.m, a, lda, p, s.beta, c, ldc))
			testutil.CheckBits(t, "packed", s, c, want)
		}
	})
}

// TestPackedSizes: sizes that do not fit are refused, as by SGEMM.
func TestPackedSizes(t *testing.T) {
	const m, n, k = 3, 20, 40
	g := NewMultiplier(nil)
	p := g.Pack(false, n, k, make([]float32, k*n), n)
	run := func(m, a, lda, c, ldc int) func() {
		return func() {
			_ = g.Packed(context.Background(), false, m, make([]float32, a), lda, p, 0, make([]float32, c), ldc)
		}
	}
	run(m, m*k, k, m*n, n)()
	for want, bad := range map[string]func(){
		"gemm: negative size":           run(-1, m*k, k, m*n, n),
		"gemm: slice of A is too short": run(m, m*k-1, k, m*n, n),
		"gemm: slice of C is too short": run(m, m*k, k, m*n-1, n),
	} {
		require.PanicsWithValue(t, want, bad)
	}
	require.Panics(t, run(m, m*k, k-1, m*n, n), "lda")
	require.Panics(t, run(m, m*k, k, m*n, n-1), "ldc")
}
