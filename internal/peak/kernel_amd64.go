//go:build !purego

package peak

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{cpu.AVX512, 12 * 16 * 2, fmaAVX512},
	{cpu.AVX2, 12 * 8 * 2, fmaAVX2},
	generic,
}
