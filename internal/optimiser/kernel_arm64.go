//go:build !purego

package optimiser

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, sgd: sgdNEON, sgdProduct: [2]sgdProductFunc{sgdProduct1NEON, sgdProduct4NEON}},
	generic,
}
