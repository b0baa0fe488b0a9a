package gemm

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
)

// Multiplier computes products on a team of workers and keeps the memory for
// packed operands. One goroutine at a time may use it.
type Multiplier struct {
	kernel  *ukernel.Indirect
	team    *parallel.Team
	workers []workspace
	panels  []float32 // a packed block of B, KC×NC
	partial []float32 // sums of several blocks of KC
	row     []float32 // the only row of A, contiguous
	product []float32 // A·B, if C is read and alpha is not 1 or −1
	offsets []int     // multiples of a column stride
	job     job       // what the team is computing
	work    func(worker, item int)
}

// NewMultiplier returns a Multiplier for a team, which may be nil. The helpers of the team
// work between its Begin and End. Keep it running across products: to start it costs
// 50 µs, and a product of 49×512×512 takes 120.
func NewMultiplier(team *parallel.Team) *Multiplier {
	return newMultiplier(ukernel.BestIndirect(), team)
}

func newMultiplier(kern *ukernel.Indirect, team *parallel.Team) *Multiplier {
	g := &Multiplier{kernel: kern, team: team, workers: make([]workspace, team.Workers())}
	g.offsets = make([]int, blocksOf(kern).kc)
	g.work = func(worker, item int) { g.job.step(&g.job, &g.workers[worker], item) }
	return g
}

// Kernel names the kernel that the Multiplier computes with. A product with a small k may
// take another one of its instruction set.
func (g *Multiplier) Kernel() string { return g.kernel.Name }

// String tells the kernel and the block sizes, for reports.
func (g *Multiplier) String() string {
	b := blocksOf(g.kernel)
	return fmt.Sprintf("%s: MR %d, NR %d, MC %d, KC %d, NC %d", g.kernel.Name, g.kernel.MR, g.kernel.NR, b.mc, b.kc, b.nc)
}

// SGEMM is the function of that name on the Multiplier's team. It returns an
// error only when ctx ends; C is then undefined. After the largest product it
// does not allocate.
func (g *Multiplier) SGEMM(ctx context.Context, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	p := newProblem(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	return g.multiply(ctx, &p)
}

// GEMV is the function of that name on the Multiplier's team.
func (g *Multiplier) GEMV(ctx context.Context, trans bool, m, n int, alpha float32, a []float32, lda int, x []float32, beta float32, y []float32) error {
	rows, cols := dims(trans, m, n)
	return g.SGEMM(ctx, trans, false, rows, 1, cols, alpha, a, lda, x, 1, beta, y, 1)
}

// multiply computes a problem. Where alpha is not 1 or −1, A·B is multiplied by it: an
// operand that was multiplied by alpha might overflow where alpha·A·B does not.
func (g *Multiplier) multiply(ctx context.Context, p *problem) error {
	unit := p.alpha == 0 || p.alpha == 1 || p.alpha == -1
	switch {
	case p.m == 0 || p.n == 0:
		return nil
	case unit || p.isSmall():
		return g.compute(ctx, p)
	case p.beta != 0:
		return g.multiplyInto(ctx, p)
	}
	whole := *p
	whole.alpha = 1
	if err := g.compute(ctx, &whole); err != nil {
		return err
	}
	p.scaleC(p.alpha)
	return nil
}

// multiplyInto is multiply where C is read. It computes A·B into memory of its own, for NC
// columns at a time.
func (g *Multiplier) multiplyInto(ctx context.Context, p *problem) error {
	nc := blocksOf(g.kernel).nc
	for j, n := 0, 0; j < p.n; j += n {
		if n = min(nc, p.n-j); p.n-j-n <= smallB { // a small product has bits of its own
			n = p.n - j
		}
		grow(&g.product, p.m*n)
		part := *p
		part.n, part.alpha, part.beta = n, 1, 0
		part.b.data, part.c = p.b.from(0, j), matrix{g.product, n, 1}
		if err := g.compute(ctx, &part); err != nil {
			return err
		}
		for i := range p.m {
			row, product := p.c.from(i, j)[:n], part.c.from(i, 0)[:n]
			for l, v := range product {
				row[l] = float32(p.beta*row[l]) + float32(p.alpha*v) // two products, on every machine
			}
		}
	}
	return nil
}

// compute computes a problem by its plan. alpha is 0, 1 or −1 unless the problem is small.
func (g *Multiplier) compute(ctx context.Context, p *problem) error {
	switch {
	case p.k == 0 || p.alpha == 0:
		p.scaleC(p.beta)
		return nil
	case p.isSmall():
		p.computeSmall()
		return nil
	case p.beta != 0 && p.beta != 1:
		p.scaleC(p.beta)
	}
	j := job{problem: *p, ctx: ctx}
	if p.isColumn() {
		j.problem = p.transposed() // a row
	}
	j.plan = choosePlan(&j.problem, g.kernel, g.team.Workers())
	switch j.variant {
	case axpyfRow, dotxfRow:
		return g.computeRow(&j)
	case unpackedB:
		return g.computeStrips(&j)
	}
	return g.computePacked(&j)
}

// run hands a job to the team, which calls step for each item.
func (g *Multiplier) run(j *job, items int, step func(j *job, ws *workspace, item int)) error {
	for i := range g.workers {
		g.workers[i].ic = -1
	}
	g.job = *j
	g.job.step = step
	err := g.team.Run(j.ctx, items, g.work)
	g.job = job{} // keeps no operand
	return err
}

// reserve makes sure that each worker has a workspace of some sizes.
func (g *Multiplier) reserve(s sizes) {
	for i := range g.workers {
		g.workers[i].grow(s)
	}
}

// multiples returns the first KC multiples of step.
func (g *Multiplier) multiples(step int) []int {
	if g.offsets[1] != step {
		for i := range g.offsets {
			g.offsets[i] = i * step
		}
	}
	return g.offsets
}
