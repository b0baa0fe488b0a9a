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

// batch is a Batch under way.
type batch struct {
	Batch
	ctx            context.Context
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	a, b, c        []float32
	lda, ldb, ldc  int
}

// Batch computes SGEMM for each product of a batch. The workers share the
// products or, if there are fewer of them than workers, each product; results are
// the same bits. It panics as SGEMM does.
func (g *Multiplier) Batch(ctx context.Context, p Batch, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	switch {
	case p.Count < 0 || p.StrideA < 0 || p.StrideB < 0 || p.StrideC < 0:
		panic("gemm: negative size")
	case p.Count == 0:
		return nil
	case p.Count > 1 && m > 0 && n > 0 && ldc > 0 && !shape.Holds(p.StrideC, m, n, ldc):
		panic("gemm: products of a batch overlap in C")
	case p.before(a, p.StrideA):
		panic("gemm: slice of A is too short")
	case p.before(b, p.StrideB):
		panic("gemm: slice of B is too short")
	case p.before(c, p.StrideC):
		panic("gemm: slice of C is too short")
	}
	last := p.Count - 1
	check(transA, transB, m, n, k, a[last*p.StrideA:], lda, b[last*p.StrideB:], ldb, c[last*p.StrideC:], ldc)
	if p.Count < g.team.Workers() {
		for i := range p.Count {
			if err := g.SGEMM(ctx, transA, transB, m, n, k, alpha, a[i*p.StrideA:], lda, b[i*p.StrideB:], ldb, beta, c[i*p.StrideC:], ldc); err != nil {
				return err
			}
		}
		return nil
	}
	if len(g.each) == 0 {
		for range g.team.Workers() {
			g.each = append(g.each, newMultiplier(g.whole, nil))
		}
		g.product = g.batchItem
	}
	g.batch = batch{p, ctx, transA, transB, m, n, k, alpha, beta, a, b, c, lda, ldb, ldc}
	err := g.team.Run(ctx, p.Count, g.product)
	g.batch = batch{}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// before reports whether x ends before the operand of the last product begins.
func (p Batch) before(x []float32, stride int) bool {
	return shape.Product(p.Count-1, stride) > len(x)
}

// batchItem computes one product.
func (g *Multiplier) batchItem(worker, i int) {
	p, one := &g.batch, g.each[worker]
	one.next = 0
	if i+1 < p.Count {
		one.next = p.StrideB
	}
	// Its error is the context's, which Batch looks at.
	_ = one.SGEMM(p.ctx, p.transA, p.transB, p.m, p.n, p.k, p.alpha, p.a[i*p.StrideA:], p.lda, p.b[i*p.StrideB:], p.ldb, p.beta, p.c[i*p.StrideC:], p.ldc)
}
