package gemm

import (
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// TestSmall goes through the products around the bound of the plain loop.
func TestSmall(t *testing.T) {
	for flags := range 4 {
		for _, s := range []sgemmCase{{m: 1, n: 1, k: 1}, {m: 40, n: 1, k: 16}, {m: 4, n: 4, k: 4}, {m: 3, n: 16, k: 1}, {m: 5, n: 5, k: 5}, {m: 3, n: 17, k: 1}} {
			s.transA, s.transB, s.pad, s.alpha, s.beta = flags&1 > 0, flags&2 > 0, flags, -2, float32(flags)
			testSGEMM(t, ukernel.BestIndirect(), s, uint64(flags))
		}
	}
}

// BenchmarkSmall compares small products with a plain loop.
func BenchmarkSmall(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 8, 12, 16} {
		x, y, z := testutil.Uniform(1, n*n), testutil.Uniform(2, n*n), make([]float32, n*n)
		b.Run(fmt.Sprintf("n=%d/with=loop", n), func(b *testing.B) {
			for b.Loop() {
				for i := range n {
					for j := range n {
						sum := float32(0)
						for p := range n {
							sum += x[i*n+p] * y[p*n+j]
						}
						z[i*n+j] = sum
					}
				}
			}
		})
		b.Run(fmt.Sprintf("n=%d/with=SGEMM", n), func(b *testing.B) {
			for b.Loop() {
				SGEMM(false, false, n, n, n, 1, x, n, y, n, 0, z, n)
			}
		})
	}
}
