//go:build !purego

package pool

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"avx512", cpu.AVX512, maxRowAVX512, maxGradRowAVX512, lrnAVX512},
	{"avx2", cpu.AVX2, maxRowAVX2, maxGradRowAVX2, lrnAVX2},
	generic,
}
