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
	kernel *ukernel.Indirect
	n, k   int
	data   []float32 // blocks of KC×NC in the order in which they are used
}

// Pack packs op(B), k×n, on the Multiplier's team. B is row-major, and neither
// kept nor changed. It panics as SGEMM does, or if no memory holds the packed operand.
func (g *Multiplier) Pack(transB bool, n, k int, b []float32, ldb int) *Packed {
	checkB(transB, n, k, b, ldb)
	packed := &Packed{kernel: g.kernel.ForK(k), n: n, k: k}
	if n == 0 || k == 0 {
		return packed
	}
	packed.data = layout.Alloc(shape.Product(layout.Blocks(n), 16, k))
	sizes := blocksOf(g.kernel)
	j := job{
		problem: problem{n: n, k: k, alpha: 1, b: operand(transB, k, n, b, ldb)},
		plan:    plan{variant: packedB, nr: packed.kernel.NR, kc: sizes.chain(k), nc: sizes.nc, workers: g.team.Workers()},
		ctx:     context.Background(),
	}
	for ; j.jc < n; j.jc += j.nc {
		j.nb = min(j.nc, n-j.jc)
		for j.pc = 0; j.pc < k; j.pc += j.kc {
			j.kb = min(j.kc, k-j.pc)
			j.panels = packed.block(j.block)
			_ = g.run(&j, j.packItems(), (*job).packItem) // the context never ends
		}
	}
	return packed
}

// Bytes returns the memory that p takes.
func (p *Packed) Bytes() int64 { return 4 * int64(len(p.data)) }

// block returns the panels of a block.
func (p *Packed) block(b block) []float32 {
	return p.data[b.jc*p.k+roundUp(b.nb, 16)*b.pc:]
}

// smallMatrix returns an operand of at most 16 columns that has one panel.
func (p *Packed) smallMatrix() matrix { return matrix{p.data, 16, 1} }

// Packed sets C = op(A)·op(B) + beta·C for a packed right operand. The results
// are those of SGEMM, bit for bit. It panics as SGEMM does, and if the operand
// was packed for another kernel.
func (g *Multiplier) Packed(ctx context.Context, transA bool, m int, a []float32, lda int, b *Packed, beta float32, c []float32, ldc int) error {
	if b.kernel != g.kernel.ForK(b.k) {
		panic("gemm: B was packed for another kernel")
	}
	checkAC(transA, m, b.n, b.k, a, lda, c, ldc)
	return g.multiply(ctx, &problem{
		m: m, n: b.n, k: b.k, alpha: 1, beta: beta,
		a: operand(transA, m, b.k, a, lda), packed: b, c: operand(false, m, b.n, c, ldc),
	})
}
