//go:build !purego

package direct

import "github.com/nonet-go/nonet/internal/cpu"

// Kernels lists the kernels in order of preference.
var Kernels = []Kernel{
	{"neon_6x16", cpu.NEON, 6, 16, [][]rowFunc{
		{direct1x16NEON, direct2x16NEON, direct3x16NEON, direct4x16NEON, direct5x16NEON, direct6x16NEON},
	}, 0},
	genericKernel(),
}
