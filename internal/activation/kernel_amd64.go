//go:build !purego

package activation

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, relu: reluAVX512, reluGrad: reluGradAVX512, add: addAVX512, sumPixels: sumPixelsAVX512, addSquares: addSquaresAVX512, sumDiffs: sumDiffsAVX512},
	{name: "avx2", isa: cpu.AVX2, relu: reluAVX2, reluGrad: reluGradAVX2, add: addAVX2, sumPixels: sumPixelsAVX2, addSquares: addSquaresAVX2, sumDiffs: sumDiffsAVX2},
	generic,
}
