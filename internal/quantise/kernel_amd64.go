//go:build !purego

package quantise

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, maxAbs: maxAbsAVX512, toInt16: toInt16AVX512, toFloat32: toFloat32AVX512},
	{name: "avx2", isa: cpu.AVX2, maxAbs: maxAbsAVX2, toInt16: toInt16AVX2, toFloat32: toFloat32AVX2},
	generic,
}
