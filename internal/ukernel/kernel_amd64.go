//go:build !purego

package ukernel

import "github.com/nonet-go/nonet/internal/cpu"

// IndirectKernels lists the kernels in order of preference.
var IndirectKernels = []Indirect{
	{Name: "avx512_7x64", ISA: cpu.AVX512, MR: 7, NR: 64, funcs: [][]indirectFunc{
		{indirect1x16AVX512, indirect2x16AVX512, indirect3x16AVX512, indirect4x16AVX512, indirect5x16AVX512, indirect6x16AVX512, indirect7x16AVX512},
		{indirect1x32AVX512, indirect2x32AVX512, indirect3x32AVX512, indirect4x32AVX512, indirect5x32AVX512, indirect6x32AVX512, indirect7x32AVX512,
			indirect8x32AVX512, indirect9x32AVX512, indirect10x32AVX512, indirect11x32AVX512, indirect12x32AVX512, indirect13x32AVX512, indirect14x32AVX512},
		{indirect1x48AVX512, indirect2x48AVX512, indirect3x48AVX512, indirect4x48AVX512, indirect5x48AVX512, indirect6x48AVX512, indirect7x48AVX512},
		{indirect1x64AVX512, indirect2x64AVX512, indirect3x64AVX512, indirect4x64AVX512, indirect5x64AVX512, indirect6x64AVX512, indirect7x64AVX512},
	}},
	{Name: "avx2_6x16", ISA: cpu.AVX2, MR: 6, NR: 16, funcs: indirectAVX2},
	{Name: "avx2_3x32", ISA: cpu.AVX2, MR: 3, NR: 32, maxK: 128, funcs: indirectAVX2},
	genericIndirect(),
}

var indirectAVX2 = [][]indirectFunc{
	{indirect1x16AVX2, indirect2x16AVX2, indirect3x16AVX2, indirect4x16AVX2, indirect5x16AVX2, indirect6x16AVX2},
	{indirect1x32AVX2, indirect2x32AVX2, indirect3x32AVX2},
	{indirect1x48AVX2, indirect2x48AVX2},
}

// BlockedKernels lists the kernels in order of preference.
var BlockedKernels = []Blocked{
	{Name: "avx512_7x64", ISA: cpu.AVX512, MR: 7, NR: 64, funcs: [][]blockedFunc{
		{blocked1x16AVX512, blocked2x16AVX512, blocked3x16AVX512, blocked4x16AVX512, blocked5x16AVX512, blocked6x16AVX512, blocked7x16AVX512},
		{blocked1x32AVX512, blocked2x32AVX512, blocked3x32AVX512, blocked4x32AVX512, blocked5x32AVX512, blocked6x32AVX512, blocked7x32AVX512},
		{blocked1x48AVX512, blocked2x48AVX512, blocked3x48AVX512, blocked4x48AVX512, blocked5x48AVX512, blocked6x48AVX512, blocked7x48AVX512},
		{blocked1x64AVX512, blocked2x64AVX512, blocked3x64AVX512, blocked4x64AVX512, blocked5x64AVX512, blocked6x64AVX512, blocked7x64AVX512},
	}, half: [][]blockedHalfFunc{
		{blocked1x16HalfAVX512, blocked2x16HalfAVX512, blocked3x16HalfAVX512, blocked4x16HalfAVX512, blocked5x16HalfAVX512, blocked6x16HalfAVX512},
		{blocked1x32HalfAVX512, blocked2x32HalfAVX512, blocked3x32HalfAVX512, blocked4x32HalfAVX512, blocked5x32HalfAVX512, blocked6x32HalfAVX512},
		{blocked1x48HalfAVX512, blocked2x48HalfAVX512, blocked3x48HalfAVX512, blocked4x48HalfAVX512, blocked5x48HalfAVX512, blocked6x48HalfAVX512},
		{blocked1x64HalfAVX512, blocked2x64HalfAVX512, blocked3x64HalfAVX512, blocked4x64HalfAVX512, blocked5x64HalfAVX512, blocked6x64HalfAVX512},
	}, row: blockedRow4x64AVX512, rowHalf: blockedRow4x64HalfAVX512},
	{Name: "avx2_6x16", ISA: cpu.AVX2, MR: 6, NR: 16, funcs: [][]blockedFunc{
		{blocked1x16AVX2, blocked2x16AVX2, blocked3x16AVX2, blocked4x16AVX2, blocked5x16AVX2, blocked6x16AVX2},
	}, half: [][]blockedHalfFunc{
		{blocked1x16HalfAVX2, blocked2x16HalfAVX2, blocked3x16HalfAVX2, blocked4x16HalfAVX2, blocked5x16HalfAVX2, blocked6x16HalfAVX2},
	}, row: blockedRow4x16AVX2, rowHalf: blockedRow4x16HalfAVX2},
	genericBlocked(),
}

// BlockedInt8Kernels lists the kernels in order of preference.
var BlockedInt8Kernels = []BlockedInt8{
	{Name: "avx512vnni_8x32", ISA: cpu.VNNI, MR: 8, funcs: []blockedInt8Func{
		blocked1x32Int8VNNI, blocked2x32Int8VNNI, blocked3x32Int8VNNI, blocked4x32Int8VNNI, blocked5x32Int8VNNI, blocked6x32Int8VNNI, blocked7x32Int8VNNI, blocked8x32Int8VNNI}},
	{Name: "avx512_4x32", ISA: cpu.AVX512, MR: 4, funcs: []blockedInt8Func{
		blocked1x32Int8AVX512, blocked2x32Int8AVX512, blocked3x32Int8AVX512, blocked4x32Int8AVX512}},
	{Name: "avx2_3x32", ISA: cpu.AVX2, MR: 3, funcs: []blockedInt8Func{blocked1x32Int8AVX2, blocked2x32Int8AVX2, blocked3x32Int8AVX2}},
	genericBlockedInt8(),
}

// BlockedInt16Kernels lists the kernels in order of preference.
var BlockedInt16Kernels = []BlockedInt16{
	{Name: "vnni_7x64", ISA: cpu.VNNI, MR: 7, NR: 64, Pair: 2, funcs: [][]blockedInt16Func{
		{blocked1x16Int16VNNI, blocked2x16Int16VNNI, blocked3x16Int16VNNI, blocked4x16Int16VNNI, blocked5x16Int16VNNI, blocked6x16Int16VNNI, blocked7x16Int16VNNI},
		{blocked1x32Int16VNNI, blocked2x32Int16VNNI, blocked3x32Int16VNNI, blocked4x32Int16VNNI, blocked5x32Int16VNNI, blocked6x32Int16VNNI, blocked7x32Int16VNNI},
		{blocked1x48Int16VNNI, blocked2x48Int16VNNI, blocked3x48Int16VNNI, blocked4x48Int16VNNI, blocked5x48Int16VNNI, blocked6x48Int16VNNI, blocked7x48Int16VNNI},
		{blocked1x64Int16VNNI, blocked2x64Int16VNNI, blocked3x64Int16VNNI, blocked4x64Int16VNNI, blocked5x64Int16VNNI, blocked6x64Int16VNNI, blocked7x64Int16VNNI},
	}},
	{Name: "avx512_6x64", ISA: cpu.AVX512, MR: 6, NR: 64, Pair: 2, funcs: [][]blockedInt16Func{
		{blocked1x16Int16AVX512, blocked2x16Int16AVX512, blocked3x16Int16AVX512, blocked4x16Int16AVX512, blocked5x16Int16AVX512, blocked6x16Int16AVX512},
		{blocked1x32Int16AVX512, blocked2x32Int16AVX512, blocked3x32Int16AVX512, blocked4x32Int16AVX512, blocked5x32Int16AVX512, blocked6x32Int16AVX512},
		{blocked1x48Int16AVX512, blocked2x48Int16AVX512, blocked3x48Int16AVX512, blocked4x48Int16AVX512, blocked5x48Int16AVX512, blocked6x48Int16AVX512},
		{blocked1x64Int16AVX512, blocked2x64Int16AVX512, blocked3x64Int16AVX512, blocked4x64Int16AVX512, blocked5x64Int16AVX512, blocked6x64Int16AVX512},
	}},
	{Name: "avx2_6x16", ISA: cpu.AVX2, MR: 6, NR: 16, Pair: 2, funcs: [][]blockedInt16Func{
		{blocked1x16Int16AVX2, blocked2x16Int16AVX2, blocked3x16Int16AVX2, blocked4x16Int16AVX2, blocked5x16Int16AVX2, blocked6x16Int16AVX2},
	}},
	genericBlockedInt16(),
}
