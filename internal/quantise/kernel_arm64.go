//go:build !purego

package quantise

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, maxAbs: maxAbsNEON, toInt16: toInt16NEON, toFloat32: toFloat32NEON},
	generic,
}
