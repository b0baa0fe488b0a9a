package gemm

import (
	"context"
	"runtime"
	"sync"

	"github.com/nonet-go/nonet/parallel"
)

// minShared is how many multiply-adds pay for a team: 203³. To start the helpers takes up to
// 50 µs, in which one core does some 1.5 million; two workers save half of a product.
const minShared = 1 << 23

// alone has Multipliers of one worker. Their memory is the garbage collector's to take.
var alone = sync.Pool{New: func() any { return NewMultiplier(nil) }}

// together has Multipliers of GOMAXPROCS workers. A goroutine needs helping to take one, so
// that no more than one team runs at a time.
var (
	helping  sync.Mutex
	together = sync.Pool{New: func() any { return NewMultiplier(parallel.NewTeam(runtime.GOMAXPROCS(0))) }}
)

// multiplyShared computes a problem on the team that all goroutines share, if it pays and
// nobody has it, or else alone.
func multiplyShared(p *problem) {
	if float64(p.m)*float64(p.n)*float64(p.k) >= minShared && runtime.GOMAXPROCS(0) > 1 && helping.TryLock() {
		defer helping.Unlock()
		multiplyTogether(p)
		return
	}
	g := alone.Get().(*Multiplier)
	_ = g.multiply(context.Background(), p) // the context never ends
	alone.Put(g)
}

// multiplyTogether computes a problem on a team as large as GOMAXPROCS is now.
func multiplyTogether(p *problem) {
	g := together.Get().(*Multiplier)
	if g.team.Workers() != runtime.GOMAXPROCS(0) {
		g = together.New().(*Multiplier)
	}
	g.team.Begin()
	defer g.team.End()
	_ = g.multiply(context.Background(), p) // the context never ends
	together.Put(g)
}
