//go:build !purego

package pool

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, maxRow: maxRowNEON, maxGradRow: maxGradRowNEON, lrn: lrnNEON},
	generic,
}
