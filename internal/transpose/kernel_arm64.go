//go:build !purego

package transpose

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, fromPlanes: fromPlanesNEON, toPlanes: toPlanesNEON},
	generic,
}
