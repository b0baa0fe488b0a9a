//go:build !purego

package elementwise

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"avx512", cpu.AVX512, reluAVX512, copyRowsAVX512, [2]func(int, *float32, *float32, int, int){copyPanels1xAVX512, copyPanels8xAVX512}, addAVX512, [2]addRowsFunc{addRows1xAVX512, addRows8xAVX512}, addDotsAVX512, reluGradAVX512, sumPixelsAVX512, sgdAVX512, [2]sgdProductFunc{sgdProduct1xAVX512, sgdProduct4xAVX512}, dotsAVX512},
	{"avx2", cpu.AVX2, reluAVX2, copyRowsAVX2, [2]func(int, *float32, *float32, int, int){copyPanels1xAVX2, copyPanels8xAVX2}, addAVX2, [2]addRowsFunc{addRows1xAVX2, addRows8xAVX2}, addDotsAVX2, reluGradAVX2, sumPixelsAVX2, sgdAVX2, [2]sgdProductFunc{sgdProduct1xAVX2, sgdProduct4xAVX2}, dotsAVX2},
	generic,
}
