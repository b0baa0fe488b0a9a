//go:build !purego

package product

import "github.com/nonet-go/nonet/internal/cpu"

// Kernels lists the kernels in order of preference.
var Kernels = []Kernel{
	{"neon_6x16", cpu.NEON, 6, 16, [][]tileFunc{
		{product1x16NEON, product2x16NEON, product3x16NEON, product4x16NEON, product5x16NEON, product6x16NEON},
	}, [][]halfFunc{
		{product1x16HalfNEON, product2x16HalfNEON, product3x16HalfNEON, product4x16HalfNEON, product5x16HalfNEON},
	}},
	genericKernel(),
}
