package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
)

// Batch is a number of equal products with operands of their own, one behind the
// other at equal distances: the products of Winograd's 16 or 36 elements.
type Batch struct {
	Count                     int
	StrideA, StrideB, StrideC int // elements between operands of two products
}

// Batch computes SGEMM for each product of a batch. The workers share the
// products or, if there are fewer of them than workers, each product; results are
// the same bits. It panics as SGEMM does.
func (g *Multiplier) Batch(ctx context.Context, s Batch, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	switch {
	case s.Count < 0 || s.StrideA < 0 || s.StrideB < 0 || s.StrideC < 0:
		panic("gemm: negative size")
	case s.Count == 0:
		return nil
	case s.Count > 1 && m > 0 && n > 0 && ldc > 0 && !shape.Holds(s.StrideC, m, n, ldc):
		panic("gemm: products of a batch overlap in C")
	case s.before(a, s.StrideA):
		panic("gemm: slice of A is too short")
	case s.before(b, s.StrideB):
		panic("gemm: slice of B is too short")
	case s.before(c, s.StrideC):
		panic("gemm: slice of C is too short")
	}
	last := s.Count - 1
	p := newProblem(transA, transB, m, n, k, alpha, a[last*s.StrideA:], lda, b[last*s.StrideB:], ldb, beta, c[last*s.StrideC:], ldc)
	p.a.data, p.b.data, p.c.data = a, b, c
	if s.Count >= g.team.Workers() {
		return g.shareBatch(ctx, s, p)
	}
	for i := range s.Count {
		one := s.product(p, i)
		if err := g.multiply(ctx, &one); err != nil {
			return err
		}
	}
	return nil
}

// shareBatch gives each worker whole products.
func (g *Multiplier) shareBatch(ctx context.Context, s Batch, p problem) error {
	for i := range g.workers {
		if g.workers[i].alone == nil {
			g.workers[i].alone = newMultiplier(g.kernel, nil)
		}
	}
	if err := g.run(&job{problem: p, batch: s, ctx: ctx}, s.Count, (*job).product); err != nil {
		return err
	}
	return ctx.Err() // which a product may have seen
}

// product computes one product of a batch.
func (j *job) product(ws *workspace, i int) {
	p := j.batch.product(j.problem, i)
	_ = ws.alone.multiply(j.ctx, &p) // its error is the context's
}

// before reports whether x ends before the operand of the last product begins.
func (s Batch) before(x []float32, stride int) bool {
	return shape.Product(s.Count-1, stride) > len(x)
}

// product returns product i of a batch whose operands begin with those of p.
func (s Batch) product(p problem, i int) problem {
	p.a.data, p.b.data, p.c.data = p.a.data[i*s.StrideA:], p.b.data[i*s.StrideB:], p.c.data[i*s.StrideC:]
	if i+1 < s.Count {
		p.nextB = s.StrideB
	}
	return p
}
