//go:build !purego

package product

import "github.com/nonet-go/nonet/internal/cpu"

// Kernels lists the kernels in order of preference.
var Kernels = []Kernel{
	{"avx512_7x64", cpu.AVX512, 7, 64, [][]tileFunc{
		{product1x16AVX512, product2x16AVX512, product3x16AVX512, product4x16AVX512, product5x16AVX512, product6x16AVX512, product7x16AVX512},
		{product1x32AVX512, product2x32AVX512, product3x32AVX512, product4x32AVX512, product5x32AVX512, product6x32AVX512, product7x32AVX512},
		{product1x48AVX512, product2x48AVX512, product3x48AVX512, product4x48AVX512, product5x48AVX512, product6x48AVX512, product7x48AVX512},
		{product1x64AVX512, product2x64AVX512, product3x64AVX512, product4x64AVX512, product5x64AVX512, product6x64AVX512, product7x64AVX512},
	}, [][]halfFunc{
		{product1x16HalfAVX512, product2x16HalfAVX512, product3x16HalfAVX512, product4x16HalfAVX512, product5x16HalfAVX512, product6x16HalfAVX512},
		{product1x32HalfAVX512, product2x32HalfAVX512, product3x32HalfAVX512, product4x32HalfAVX512, product5x32HalfAVX512, product6x32HalfAVX512},
		{product1x48HalfAVX512, product2x48HalfAVX512, product3x48HalfAVX512, product4x48HalfAVX512, product5x48HalfAVX512, product6x48HalfAVX512},
		{product1x64HalfAVX512, product2x64HalfAVX512, product3x64HalfAVX512, product4x64HalfAVX512, product5x64HalfAVX512, product6x64HalfAVX512},
	}},
	{"avx2_6x16", cpu.AVX2, 6, 16, [][]tileFunc{
		{product1x16AVX2, product2x16AVX2, product3x16AVX2, product4x16AVX2, product5x16AVX2, product6x16AVX2},
	}, [][]halfFunc{
		{product1x16HalfAVX2, product2x16HalfAVX2, product3x16HalfAVX2, product4x16HalfAVX2, product5x16HalfAVX2, product6x16HalfAVX2},
	}},
	genericKernel(),
}
