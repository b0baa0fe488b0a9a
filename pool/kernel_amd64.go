//go:build !purego

package pool

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, maxRow: maxRowAVX512, maxGradRow: maxGradRowAVX512, lrn: lrnAVX512},
	{name: "avx2", isa: cpu.AVX2, maxRow: maxRowAVX2, maxGradRow: maxGradRowAVX2, lrn: lrnAVX2},
	generic,
}
