//go:build !purego

package level1f

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, axpyf: [2]fusedFunc{axpyf1AVX512, axpyf8AVX512}, dotxf: dotxfAVX512, dots: dotsAVX512},
	{name: "avx2", isa: cpu.AVX2, axpyf: [2]fusedFunc{axpyf1AVX2, axpyf8AVX2}, dotxf: dotxfAVX2, dots: dotsAVX2},
	generic,
}
