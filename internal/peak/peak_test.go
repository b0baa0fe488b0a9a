package peak

import (
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/stretchr/testify/require"
)

// TestKernels runs every kernel: they must end, and a vector one must beat the
// scalar one by far.
func TestKernels(t *testing.T) {
	for _, k := range kernels {
		if cpu.Has(k.isa) {
			k.run(1)
			k.run(1000)
		}
	}
	require.Greater(t, GFLOPS(1), 0.1)
	require.Greater(t, ReadGBytes(2, make([]float32, 1<<22)), 0.1)
}
