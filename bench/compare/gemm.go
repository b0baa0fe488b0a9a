package main

import (
	"math"
	"runtime/debug"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// sgemm sets C = A·B for a batch of products, row-major without gaps.
type sgemm func(batch, m, n, k int, a, b, c []float32)

func gonumSGEMM(batch, m, n, k int, a, b, c []float32) {
	for i := range batch {
		gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, a[i*m*k:][:m*k], k, b[i*k*n:][:k*n], n, 0, c[i*m*n:][:m*n], n)
	}
}

// gemmDriver is the counterpart of peers/gemm.cc.
type gemmDriver struct {
	module string
	sgemm  sgemm
	team   *parallel.Team // awake during a command, as the pools of other libraries are; may be nil
}

func (d gemmDriver) respond(command string, args []string) (any, error) {
	d.team.Begin()
	defer d.team.End()
	var m, n, k int
	switch command {
	case "version":
		return answer{Version: moduleVersion(d.module)}, nil
	case "check":
		if err := integers(args, &m, &n, &k); err != nil {
			return nil, err
		}
		return answer{Error: newProducts(m, n, k, 1).error(d.sgemm)}, nil
	case "gemm":
		var batch, samples int
		if err := integers(args, &m, &n, &k, &batch, &samples); err != nil {
			return nil, err
		}
		return answer{MS: newProducts(m, n, k, batch).time(d.sgemm, samples)}, nil
	}
	return answer{Failure: "unknown command"}, nil
}

// products is a number of equal products, each with operands of its own.
type products struct {
	m, n, k, batch int
	a, b, c        []float32
}

func newProducts(m, n, k, batch int) *products {
	p := &products{m, n, k, batch, layout.Alloc(batch * m * k), layout.Alloc(batch * k * n), layout.Alloc(batch * m * n)}
	lcg(p.a, 1)
	lcg(p.b, 2)
	return p
}

// lcg fills a slice with a fixed linear congruence: values in [-1, 1).
func lcg(x []float32, s uint32) {
	for i := range x {
		s = s*1664525 + 1013904223
		x[i] = float32(int32(s)) * (1.0 / (1 << 31))
	}
}

func (p *products) run(f sgemm) {
	f(p.batch, p.m, p.n, p.k, p.a, p.b, p.c)
}

// warm is how long products run before they are timed. A system may leave threads
// that were asleep on one processor for tens of milliseconds, while another is idle.
const warm = 40 * time.Millisecond

// time repeats the products until a sample lasts about 5 ms.
func (p *products) time(f sgemm, samples int) (ms []float64) {
	p.run(f)
	last, start := time.Duration(0), time.Now()
	for last == 0 || time.Since(start) < warm {
		t := time.Now()
		p.run(f)
		last = max(time.Since(t), 1)
	}
	repeat := max(1, int(5*time.Millisecond/last))
	for range samples {
		t := time.Now()
		for range repeat {
			p.run(f)
		}
		ms = append(ms, milliseconds(time.Since(t))/float64(repeat))
	}
	return ms
}

// error is the largest |C − AB| over |A|·|B|, computed in float64.
func (p *products) error(f sgemm) (worst float64) {
	p.run(f)
	for i := range p.m {
		for j := range p.n {
			var sum, mag float64
			for q := range p.k {
				x := float64(p.a[i*p.k+q]) * float64(p.b[q*p.n+j])
				sum += x
				mag += math.Abs(x)
			}
			worst = max(worst, math.Abs(float64(p.c[i*p.n+j])-sum)/mag)
		}
	}
	return worst
}

// moduleVersion finds the version of a module built into this program.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return module
	}
	for _, m := range info.Deps {
		if m.Path == "gonum.org/v1/"+module {
			return module + " " + m.Version
		}
	}
	return module
}
