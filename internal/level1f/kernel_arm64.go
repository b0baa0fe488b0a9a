//go:build !purego

package level1f

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, axpyf: [2]fusedFunc{axpyf1NEON, axpyf8NEON}, dotxf: dotxfNEON, dots: dotsNEON},
	generic,
}
