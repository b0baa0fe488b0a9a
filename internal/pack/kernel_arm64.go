//go:build !purego

package pack

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, rows: copyRowsNEON, panels: [2]panelsFunc{copyPanels1NEON, copyPanels8NEON}},
	generic,
}
