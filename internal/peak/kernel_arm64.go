//go:build !purego

package peak

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{cpu.NEON, 24 * 4 * 2, fmaNEON},
	generic,
}
