//go:build !purego

package transpose

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"avx512", cpu.AVX512, fromPlanesAVX512, toPlanesAVX512},
	{"avx2", cpu.AVX2, fromPlanesAVX2, toPlanesAVX2},
	generic,
}
