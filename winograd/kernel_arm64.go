//go:build !purego

package winograd

import "github.com/nonet-go/nonet/internal/cpu"

// transformTable lists the kernels in order of preference.
var transformTable = []transforms{
	{"neon", cpu.NEON, 4, input4x4NEON, filter4x4NEON, gradient4x4NEON, filterGradient4x4NEON, [3]outputFunc{output4x4NEON, output4x4ReLUNEON, output4x4PoolNEON}},
	{"neon", cpu.NEON, 2, input2x2NEON, filter2x2NEON, nil, nil, [3]outputFunc{output2x2NEON, output2x2ReLUNEON, output2x2PoolNEON}},
	genericTransforms(4),
	genericTransforms(2),
}

// fixedTable lists the kernels in fixed point in order of preference.
var fixedTable = []fixedTransforms{
	{"neon", cpu.NEON, magnitudesNEON, extremesNEON, fixedInputNEON, [3]fixedOutputFunc{fixedOutputNEON, fixedOutputReLUNEON, fixedOutputPoolNEON}},
	genericFixedTransforms(),
}
