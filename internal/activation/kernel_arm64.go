//go:build !purego

package activation

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{name: "neon", isa: cpu.NEON, relu: reluNEON, reluGrad: reluGradNEON, add: addNEON, sumPixels: sumPixelsNEON, addSquares: addSquaresNEON, sumDiffs: sumDiffsNEON},
	generic,
}
