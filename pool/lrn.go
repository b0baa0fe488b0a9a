package pool

import (
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// The constants of VGG's local response normalisation.
const (
	lrnAlpha = 1e-4
	lrnK     = 2
)

// lrnRun bounds the pixels of a kernel call.
const lrnRun = 2048

// zeros stands for the blocks before the first and after the last.
var zeros [16]float32

// NewLRN plans the local response normalisation of n pictures of c×h×w on a team, which
// may be nil. Each result is within 9 units of the last place of the exact value, for
// inputs of up to 8e18 in magnitude. The squares of larger ones leave the range of
// float32, and the results that they have a part in are 0. Errors wrap ErrShape.
func NewLRN(n, c, h, w int, team *parallel.Team) (*Exec, error) {
	return newLRN(best, n, c, h, w, team)
}

func newLRN(kern *kernel, n, c, h, w int, team *parallel.Team) (*Exec, error) {
	if err := checkSize("normalisation", n, c, h, w, 1); err != nil {
		return nil, err
	}
	blocks, pixels := layout.Blocks(c), h*w
	runs, all := (pixels+lrnRun-1)/lrnRun, n*blocks*16*pixels
	return newExec(n*blocks*runs, all, all, func(_, item int, dst, src []float32) {
		plane, at := item/runs, item%runs*lrnRun
		start := (plane*pixels + at) * 16
		below, above, belowStep, aboveStep := &zeros[0], &zeros[0], 0, 0
		if plane%blocks > 0 {
			below, belowStep = &src[start-pixels*16], 16
		}
		if plane%blocks < blocks-1 {
			above, aboveStep = &src[start+pixels*16], 16
		}
		kern.lrn(min(lrnRun, pixels-at), &dst[start], &src[start], below, above, belowStep, aboveStep, lrnAlpha, lrnK)
	}, team), nil
}
