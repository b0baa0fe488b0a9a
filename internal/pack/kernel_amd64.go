//go:build !purego

package pack

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "avx512", isa: cpu.AVX512, rows: copyRowsAVX512, panels: [2]panelsFunc{copyPanels1AVX512, copyPanels8AVX512}},
	{name: "avx2", isa: cpu.AVX2, rows: copyRowsAVX2, panels: [2]panelsFunc{copyPanels1AVX2, copyPanels8AVX2}},
	generic,
}
