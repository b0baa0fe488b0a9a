//go:build !purego

package optimiser

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, sgd: sgdAVX512, sgdProduct: [2]sgdProductFunc{sgdProduct1AVX512, sgdProduct4AVX512}},
	{name: "avx2", isa: cpu.AVX2, sgd: sgdAVX2, sgdProduct: [2]sgdProductFunc{sgdProduct1AVX2, sgdProduct4AVX2}},
	generic,
}
