//go:build !purego

package elementwise

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"avx512", cpu.AVX512, reluAVX512, copyRowsAVX512, addAVX512, reluGradAVX512, sumPixelsAVX512, sgdAVX512, sgdProductAVX512, dotsAVX512},
	{"avx2", cpu.AVX2, reluAVX2, copyRowsAVX2, addAVX2, reluGradAVX2, sumPixelsAVX2, sgdAVX2, sgdProductAVX2, dotsAVX2},
	generic,
}
