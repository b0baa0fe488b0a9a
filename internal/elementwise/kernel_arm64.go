//go:build !purego

package elementwise

import "github.com/nonet-go/nonet/internal/cpu"

// kernels lists the kernels in order of preference.
var kernels = []kernel{
	{"neon", cpu.NEON, reluNEON, copyRowsNEON, [2]func(int, *float32, *float32, int, int){copyPanels1xNEON, copyPanels8xNEON}, addNEON, [2]addRowsFunc{addRows1xNEON, addRows8xNEON}, addDotsNEON, reluGradNEON, sumPixelsNEON, sgdNEON, [2]sgdProductFunc{sgdProduct1xNEON, sgdProduct4xNEON}, dotsNEON},
	generic,
}
