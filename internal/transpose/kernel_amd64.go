//go:build !purego

package transpose

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, fromPlanes: fromPlanesAVX512, toPlanes: toPlanesAVX512},
	{name: "avx2", isa: cpu.AVX2, fromPlanes: fromPlanesAVX2, toPlanes: toPlanesAVX2},
	generic,
}
