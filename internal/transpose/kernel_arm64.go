//go:build !purego

package transpose

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"neon", cpu.NEON, fromPlanesNEON, toPlanesNEON},
	generic,
}
