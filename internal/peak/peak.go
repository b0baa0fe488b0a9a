// Package peak measures how many multiply-adds the machine does at the moment,
// as the yardstick of a benchmark in the same run.
package peak

import (
	"runtime"
	"sync"
	"time"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel does n times flops floating-point operations in registers.
type kernel struct {
	isa   cpu.ISA
	flops int
	run   func(n int)
}

// best returns the kernel that this process prefers.
func best() kernel {
	for _, k := range kernels {
		if cpu.Has(k.isa) {
			return k
		}
	}
	panic("peak: no kernel") // the generic one runs everywhere
}

// generic does what compiled Go can: scalar multiplications and additions.
var generic = kernel{cpu.Generic, 16, func(n int) {
	var a, b, c, d, e, f, g, h float32
	x, y := float32(1), float32(0.5)
	for range n {
		a, b, c, d = a*x+y, b*x+y, c*x+y, d*x+y
		e, f, g, h = e*x+y, f*x+y, g*x+y, h*x+y
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h)
}}

// GFLOPS measures the peak of a number of threads together, in 10⁹ operations
// per second, of which a multiply-add is two. It takes some 30 ms.
func GFLOPS(threads int) float64 {
	k := best()
	const n = 200_000
	rounds := func() time.Duration {
		shortest := time.Hour
		for range 5 {
			start := time.Now()
			var wg sync.WaitGroup
			for range threads {
				wg.Go(func() {
					for range 10 {
						k.run(n)
					}
				})
			}
			wg.Wait()
			shortest = min(shortest, time.Since(start))
		}
		return shortest
	}
	return float64(threads) * 10 * n * float64(k.flops) / rounds().Seconds() / 1e9
}
