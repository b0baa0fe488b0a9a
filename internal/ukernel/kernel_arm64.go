//go:build !purego

package ukernel

import "github.com/nonet-go/nonet/internal/cpu"

// IndirectKernels lists the kernels in order of preference.
var IndirectKernels = []Indirect{
	{Name: "neon_6x16", ISA: cpu.NEON, MR: 6, NR: 16, funcs: [][]indirectFunc{
		{indirect1x16NEON, indirect2x16NEON, indirect3x16NEON, indirect4x16NEON, indirect5x16NEON, indirect6x16NEON},
	}},
	genericIndirect(),
}

// BlockedKernels lists the kernels in order of preference.
var BlockedKernels = []Blocked{
	{Name: "neon_6x16", ISA: cpu.NEON, MR: 6, NR: 16, funcs: [][]blockedFunc{
		{blocked1x16NEON, blocked2x16NEON, blocked3x16NEON, blocked4x16NEON, blocked5x16NEON, blocked6x16NEON},
	}, half: [][]blockedHalfFunc{
		{blocked1x16HalfNEON, blocked2x16HalfNEON, blocked3x16HalfNEON, blocked4x16HalfNEON, blocked5x16HalfNEON},
	}, row: blockedRow4x16NEON, rowHalf: blockedRow4x16HalfNEON},
	genericBlocked(),
}

// BlockedInt8Kernels lists the kernels in order of preference.
var BlockedInt8Kernels = []BlockedInt8{
	{Name: "neon_1x32", ISA: cpu.NEON, MR: 1, funcs: []blockedInt8Func{blocked1x32Int8NEON}},
	genericBlockedInt8(),
}

// BlockedInt16Kernels lists the kernels in order of preference.
var BlockedInt16Kernels = []BlockedInt16{
	{Name: "neon_6x16", ISA: cpu.NEON, MR: 6, NR: 16, Pair: 1, funcs: [][]blockedInt16Func{
		{blocked1x16Int16NEON, blocked2x16Int16NEON, blocked3x16Int16NEON, blocked4x16Int16NEON, blocked5x16Int16NEON, blocked6x16Int16NEON},
	}},
	genericBlockedInt16(),
}
