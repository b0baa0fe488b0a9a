package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
)

// Packed is a right operand op(B) of k×n that was packed once, to be multiplied
// often: for few rows packing costs more than the product. It is immutable and
// may be shared.
type Packed struct {
	kern *ukernel.Indirect
	n, k int
	data []float32 // blocks of KC×NC in the order in which they are used
}

// Pack packs op(B), k×n, on the Multiplier's team. B is row-major, and neither
// kept nor changed. It panics as SGEMM does, or if no memory holds the packed operand.
func (g *Multiplier) Pack(transB bool, n, k int, b []float32, ldb int) *Packed {
	rb, cb := dims(transB, k, n)
	switch {
	case n < 0 || k < 0:
		panic("gemm: negative size")
	case ldb < max(1, cb):
		panic("gemm: leading dimension of B is too small")
	case short(b, rb, cb, ldb):
		panic("gemm: slice of B is too short")
	}
	g.kern = g.whole.ForK(k)
	p := &Packed{kern: g.kern, n: n, k: k}
	if n == 0 || k == 0 {
		return p
	}
	p.data, ldb = layout.Alloc(shape.Product(layout.Blocks(n), 16, k)), leading(rb, cb, ldb)
	g.transB, g.alpha, g.n, g.bm, g.ldb = transB, 1, n, b, ldb
	defer func() { g.bm, g.right = nil, nil }()
	g.kstep = g.blocks.inner(k)
	for g.jc = 0; g.jc < n; g.jc += g.blocks.nc {
		g.nb = min(g.blocks.nc, n-g.jc)
		for g.pc = 0; g.pc < k; g.pc += g.kstep {
			g.kb = min(g.kstep, k-g.pc)
			g.right = p.block(g.jc, g.pc, g.nb)
			_ = g.team.Run(context.Background(), g.spans(), g.pack) // the context never ends
		}
	}
	return p
}

// Bytes returns the memory that p takes.
func (p *Packed) Bytes() int64 { return 4 * int64(len(p.data)) }

// block returns the block of nb columns from jc on, and the rows from pc on.
func (p *Packed) block(jc, pc, nb int) []float32 {
	return p.data[jc*p.k+(nb+15)/16*16*pc:]
}

// Packed sets C = op(A)·op(B) + beta·C for a packed right operand. The results
// are those of SGEMM, bit for bit. It panics as SGEMM does, and if the operand
// was packed for another kernel.
func (g *Multiplier) Packed(ctx context.Context, transA bool, m int, a []float32, lda int, b *Packed, beta float32, c []float32, ldc int) error {
	if b.kern != g.whole.ForK(b.k) {
		panic("gemm: B was packed for another kernel")
	}
	checkLeft(transA, m, b.n, b.k, a, lda, c, ldc)
	g.alpha, g.packed = 1, b
	return g.multiply(ctx, transA, m, b.n, b.k, a, lda, beta, c, ldc)
}
