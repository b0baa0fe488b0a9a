package winograd

import (
	"sync"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/stretchr/testify/require"
)

// untouched is the memory of filters whose size alone counts.
var untouched = sync.OnceValue(func() []float32 { return make([]float32, 36*512*512) })

// planned returns a convolution that is planned and never run: it needs no processor that has
// the kernel.
func planned(t testing.TB, kern *ukernel.Blocked, m, c, k, side int) *Conv {
	t.Helper()
	f := &Filter{m: m, alpha: m + 2, c: c, k: k, cBlocks: layout.Blocks(c), rows: channelSteps(c, ukernel.ChannelStep), mr: kern.MR, nr: kern.NR, kern: kern}
	f.u = untouched()[:f.alpha*f.alpha*f.rows*f.outputs()]
	conv, err := f.NewConv(1, side, side, 1, nil, fuse.Epilogue{ReLU: true})
	require.NoError(t, err)
	return conv
}

// eachKernel calls f for the kernels of every instruction set that this binary has.
func eachKernel(t *testing.T, f func(t *testing.T, kern *ukernel.Blocked)) {
	for i := range ukernel.BlockedKernels {
		kern := &ukernel.BlockedKernels[i]
		t.Run(kern.Name, func(t *testing.T) { f(t, kern) })
	}
}

// TestLoopsOfVGG: up to 16 workers each have two items or more of every layer of VGG at
// 224×224, except where memory bounds it: the filters of conv5 take longer to read than the
// products of its 16 tiles. What the plans of 16 and of 64 workers gain stays what it is.
func TestLoopsOfVGG(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *testing.T, kern *ukernel.Blocked) {
		for _, l := range layers {
			c := planned(t, kern, 4, l.c, l.k, l.s)
			alone := c.estimate(c.loops(1), 1)
			for _, workers := range []int{2, 4, 6, 8, 12, 16, 64} {
				plan := c.loops(workers)
				memoryBound := c.f.Bytes() > largeFilter && c.tiles <= minBlock+2
				if workers <= 16 && !memoryBound {
					require.GreaterOrEqual(t, plan.items(), 2*workers, "%s, %d workers: %s", l.name, workers, c.Loops(workers))
				}
				gain := alone / c.estimate(plan, workers)
				least := map[bool]float64{false: 0.9, true: 0.6}[workers > 8] // of the workers
				if c.f.Bytes() <= largeFilter {
					require.Greater(t, gain, least*float64(workers), "%s: %s", l.name, c.Loops(workers))
				}
			}
		}
	})
}

// TestLoopsOfSmallLayers: where two workers have 100 µs of work, both have some, of which
// neither has more than 5/8; and more workers never plan for more time.
func TestLoopsOfSmallLayers(t *testing.T) {
	t.Parallel()
	const work = 100e-6 * 55e9 // multiply-adds of one core
	eachKernel(t, func(t *testing.T, kern *ukernel.Blocked) {
		for _, channels := range []int{16, 48, 64, 100, 128, 256, 512} {
			for _, m := range []int{2, 4} {
				for side := 1; side <= 32; side++ {
					c := planned(t, kern, m, channels, channels, side)
					alone := c.estimate(c.loops(1), 1)
					if alone > work {
						require.GreaterOrEqual(t, c.loops(2).items(), 2)
						require.Less(t, c.estimate(c.loops(2), 2), alone/1.6, "%d×%d: %s", side, side, c.Loops(2))
					}
					for workers := 2; workers <= 64; workers *= 2 {
						require.LessOrEqual(t, c.estimate(c.loops(workers), workers), c.estimate(c.loops(workers/2), workers/2), "%d×%d: %s", side, side, c.Loops(workers))
					}
				}
			}
		}
	})
}

// TestLoopsCover: the items of every plan cover each panel of each tile once.
func TestLoopsCover(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *testing.T, kern *ukernel.Blocked) {
		for side := 1; side <= 40; side += 3 {
			for _, channels := range []int{16, 80, 208} {
				c := planned(t, kern, 4, 16, channels, side)
				for workers := 1; workers <= 9; workers++ {
					l := c.loops(workers)
					require.GreaterOrEqual(t, l.block*l.blocks, c.tiles)
					require.Less(t, l.block*(l.blocks-1), c.tiles)
					require.LessOrEqual(t, l.groups, c.f.panels())
				}
			}
		}
	})
}
