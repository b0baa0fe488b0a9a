package gemm

import (
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// TestUnpacked goes through products that read B where it is.
func TestUnpacked(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		for _, m := range []int{4, 5, 8, 15} { // rows of A that share cache sets
			testSGEMM(t, kern, sgemmCase{m: m, n: 200, k: 300, pad: 724, alpha: 1}, uint64(m))
		}
		for _, m := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 24, 29, 48, 61, 252} {
			for _, n := range []int{1, 63, 200, 1030} {
				for _, k := range []int{1, 17, blocksOf(kern).unpacked.kc + 1, 1100} {
					if m*n*k > 1<<22 || testing.Short() && m*n*k > 1<<19 {
						continue
					}
					testSGEMM(t, kern, sgemmCase{m%2 == 0, false, m, n, k, m % 3, 1, float32(m % 3)}, uint64(m))
				}
			}
		}
	})
}

// TestUnpackedWorkers: workers that share rows or columns compute what one does, where
// its sums are the most.
func TestUnpackedWorkers(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		const k = 5
		for _, m := range []int{5, 16, 29, 56, 64, 100, 197, 200} {
			for _, n := range []int{1000, 4160} {
				s := sgemmCase{m: m, n: n, k: k, alpha: 1, beta: 1}
				a, b, c := testutil.Ints(1, m*k, -4, 4), testutil.Ints(2, k*n, -4, 4), testutil.Ints(3, m*n, -4, 4)
				want := s.run(t, kern, a, b, c, 1)
				for _, workers := range []int{2, 3, 4} {
					testutil.CheckBits(t, "shared", []any{s, workers}, s.run(t, kern, a, b, c, workers), want)
				}
			}
		}
	})
}

// TestBlocksAtOnce: two and four workers compute the inner blocks of short rows
// at once, with the bits of one.
func TestBlocksAtOnce(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *ukernel.Indirect) {
		k := 3*blocksOf(kern).kc + 5
		for i, s := range []sgemmCase{{m: 1, n: 1000, k: k}, {m: 4, n: 129, k: k}, {transA: true, m: 3, n: 64, k: k, pad: 2, beta: 1}, {m: 2, n: 2048, k: k, pad: 7, beta: 2}} {
			s.alpha = 1
			la, _, lb, _, lc, _ := s.sizes()
			a, b, c := testutil.Normal(uint64(i), la), testutil.Normal(uint64(i+9), lb), testutil.Normal(uint64(i+20), lc)
			want := s.run(t, kern, a, b, c, 1)
			for _, workers := range []int{2, 4} {
				testutil.CheckBits(t, "together", s, s.run(t, kern, a, b, c, workers), want)
			}
		}
	})
}
