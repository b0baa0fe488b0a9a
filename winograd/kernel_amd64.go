//go:build !purego

package winograd

import "github.com/nonet-go/nonet/internal/cpu"

// transformTable lists the kernels in order of preference.
var transformTable = []transforms{
	{"avx512", cpu.AVX512, 4, input4x4AVX512, filter4x4AVX512, gradient4x4AVX512, filterGradient4x4AVX512, [3]outputFunc{output4x4AVX512, output4x4ReLUAVX512, output4x4PoolAVX512}},
	{"avx512", cpu.AVX512, 2, input2x2AVX512, filter2x2AVX512, nil, nil, [3]outputFunc{output2x2AVX512, output2x2ReLUAVX512, output2x2PoolAVX512}},
	{"avx2", cpu.AVX2, 4, input4x4AVX2, filter4x4AVX2, gradient4x4AVX2, filterGradient4x4AVX2, [3]outputFunc{output4x4AVX2, output4x4ReLUAVX2, output4x4PoolAVX2}},
	{"avx2", cpu.AVX2, 2, input2x2AVX2, filter2x2AVX2, nil, nil, [3]outputFunc{output2x2AVX2, output2x2ReLUAVX2, output2x2PoolAVX2}},
	genericTransforms(4),
	genericTransforms(2),
}

// fixedTable lists the kernels in fixed point in order of preference.
var fixedTable = []fixedTransforms{
	{"avx512", cpu.AVX512, magnitudesAVX512, extremesAVX512, fixedInputAVX512, [3]fixedOutputFunc{fixedOutputAVX512, fixedOutputReLUAVX512, fixedOutputPoolAVX512}},
	{"avx2", cpu.AVX2, magnitudesAVX2, extremesAVX2, fixedInputAVX2, [3]fixedOutputFunc{fixedOutputAVX2, fixedOutputReLUAVX2, fixedOutputPoolAVX2}},
	genericFixedTransforms(),
}
