//go:build !purego

package direct

import "github.com/nonet-go/nonet/internal/cpu"

// Kernels lists the kernels in order of preference.
var Kernels = []Kernel{
	{"avx512_7x64", cpu.AVX512, 7, 64, [][]rowFunc{
		{direct1x16AVX512, direct2x16AVX512, direct3x16AVX512, direct4x16AVX512, direct5x16AVX512, direct6x16AVX512, direct7x16AVX512},
		{direct1x32AVX512, direct2x32AVX512, direct3x32AVX512, direct4x32AVX512, direct5x32AVX512, direct6x32AVX512, direct7x32AVX512,
			direct8x32AVX512, direct9x32AVX512, direct10x32AVX512, direct11x32AVX512, direct12x32AVX512, direct13x32AVX512, direct14x32AVX512},
		{direct1x48AVX512, direct2x48AVX512, direct3x48AVX512, direct4x48AVX512, direct5x48AVX512, direct6x48AVX512, direct7x48AVX512},
		{direct1x64AVX512, direct2x64AVX512, direct3x64AVX512, direct4x64AVX512, direct5x64AVX512, direct6x64AVX512, direct7x64AVX512},
	}, 0},
	{"avx2_6x16", cpu.AVX2, 6, 16, avx2Funcs, 0},
	{"avx2_3x32", cpu.AVX2, 3, 32, avx2Funcs, 128},
	genericKernel(),
}

var avx2Funcs = [][]rowFunc{
	{direct1x16AVX2, direct2x16AVX2, direct3x16AVX2, direct4x16AVX2, direct5x16AVX2, direct6x16AVX2},
	{direct1x32AVX2, direct2x32AVX2, direct3x32AVX2},
	{direct1x48AVX2, direct2x48AVX2},
}
