// Package peak measures how many multiply-adds the machine does and how much
// memory it reads at the moment, as the yardsticks of a benchmark in the same run.
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

var best = cpu.First(kernels, func(k *kernel) cpu.ISA { return k.isa })

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
	k := best
	const n = 200_000
	shortest := fastest(threads, func(int) {
		for range 10 {
			k.run(n)
		}
	})
	return float64(threads) * 10 * n * float64(k.flops) / shortest.Seconds() / 1e9
}

// fastest returns the shortest of a few times that the threads together take.
func fastest(threads int, work func(thread int)) time.Duration {
	shortest := time.Hour
	for range 5 {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range threads {
			wg.Go(func() { work(i) })
		}
		wg.Wait()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

// ReadGBytes measures how fast a number of threads together read x, front to
// back, in 10⁹ bytes per second. x should be larger than the caches; it is
// cleared first, since pages that were never written all read the same one.
func ReadGBytes(threads int, x []float32) float64 {
	const line = 16 // floats of a cache line, of which one is enough
	clear(x)
	part := len(x) / threads / (4 * line) * 4 * line
	sums := make([]float32, threads)
	shortest := fastest(threads, func(thread int) {
		var s float32
		for y := x[thread*part:][:part]; len(y) >= 4*line; y = y[4*line:] {
			s += y[0] + y[line] + y[2*line] + y[3*line]
		}
		sums[thread] = s
	})
	runtime.KeepAlive(sums)
	return float64(4*part*threads) / shortest.Seconds() / 1e9
}
