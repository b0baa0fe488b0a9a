package gemm

import (
	"fmt"

	"github.com/nonet-go/nonet/internal/describe"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
)

// Plan tells how SGEMM computes a product of these sizes, with leading dimensions as small
// as they can be: the variant, the symbol of its kernel, and the blocks in BLIS's words, a
// line each. It is for people to read and may change.
func (g *Multiplier) Plan(transA, transB bool, m, n, k int) string {
	p := problem{
		m: m, n: n, k: k, alpha: 1,
		a: operand(transA, m, k, nil, leading(transA, m, k)),
		b: operand(transB, k, n, nil, leading(transB, k, n)),
		c: operand(false, m, n, nil, max(1, n)),
	}
	if p.isColumn() {
		p = p.transposed()
	}
	return choosePlan(&p, g.kernel, g.team.Workers()).explain(&p)
}

// leading returns the least leading dimension of a matrix whose op is rows×cols.
func leading(trans bool, rows, cols int) int {
	_, cols = dims(trans, rows, cols)
	return max(1, cols)
}

// explain tells the plan of a problem.
func (pl plan) explain(p *problem) string {
	var l describe.Lines
	l.Add("product", "%d×%d×%d (m×n×k)", p.m, p.n, p.k)
	l.Add("variant", "%v", pl.variant)
	if pl.variant == scaleOnly || pl.variant == small {
		return l.String()
	}
	l.Add("kernel", "%s", pl.symbol())
	l.Add("tile", "MR %d, NR %d", pl.mr, pl.nr)
	l.Add("blocks", "MC %d, KC %d, NC %d", pl.mc, pl.kc, pl.nc)
	if pl.variant == unpackedB {
		l.Add("", "%d×%d of B for all rows of A, then the next", pl.kcB, pl.ncB)
	}
	l.Add("packA", "%s", map[bool]string{false: "no, A is read where it is", true: "yes"}[pl.packA])
	nb := min(p.n, pl.nc)
	switch pl.packB {
	case packNone:
		l.Add("packB", "no, B is read where it is")
	case packBefore:
		l.Add("packB", "before")
	default:
		l.Add("packB", "%v, %d columns at a time", pl.packB, min(pl.packColumns(nb), nb))
	}
	items := pl.grid(p.m, nb)
	if pl.pcWays > 1 {
		l.Add("items", "%d blocks of KC, for %s", pl.pcWays, workers(pl.workers))
		return l.String()
	}
	l.Add("items", "%d of rows × %d of columns, for %s", items.rows, items.cols, workers(pl.workers))
	return l.String()
}

func workers(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}

// symbol returns the function that spends the time.
func (pl plan) symbol() string {
	switch pl.variant {
	case axpyfRow:
		return "level1f.Axpyf"
	case dotxfRow:
		return "level1f.Dotxf"
	}
	return pl.kernel.Symbol(pl.mr, pl.nr)
}

// PlanLinear tells how a Linear of these sizes computes n inputs, as Multiplier.Plan does
// for a product.
func PlanLinear(n, in, out int, opts ...Option) string {
	o := collect(opts)
	lin := &Linear{in: in, out: out, blocks: layout.Blocks(in), kernel: ukernel.BestBlocked()}
	if o.fixed {
		return planFixed(n, in, out)
	}
	if o.half {
		lin.h = []uint16{}
	}
	mr, nr := lin.tileRows(n), lin.kernel.NR
	var l describe.Lines
	l.Add("product", "%d×%d×%d (m×n×k)", n, out, in)
	row := n == 1 && lin.outputs() >= ukernel.RowPanels*nr
	l.Add("kernel", "%s", lin.symbol(mr, row))
	l.Add("tile", "MR %d, NR %d", mr, nr)
	l.Add("blocks", "KC %d, all rows", min(chunkBlocks*16, lin.blocks*16))
	l.Add("packA", "%s", map[bool]string{false: "no, the input is read where it is", true: "into blocks of 16 columns"}[n > 1 || in%16 != 0])
	l.Add("packB", "before, when the Linear is made")
	if row {
		l.Add("items", "%d groups of %d panels; or single panels, where a worker has less than two groups", ceilDiv(lin.panels(), ukernel.RowPanels), ukernel.RowPanels)
	} else {
		l.Add("items", "%d panels", lin.panels())
	}
	return l.String()
}

// symbol returns the function that computes tiles of mr rows, or a row by several panels.
func (l *Linear) symbol(mr int, row bool) string {
	switch {
	case row && l.h != nil:
		return l.kernel.RowHalfSymbol()
	case row:
		return l.kernel.RowSymbol()
	case l.h != nil:
		return l.kernel.HalfSymbol(mr, l.kernel.NR)
	}
	return l.kernel.Symbol(mr, l.kernel.NR)
}

// planFixed is PlanLinear in whole numbers.
func planFixed(n, in, out int) string {
	kern := ukernel.BestBlockedInt8()
	mr := evenly(n, kern.MR)
	var l describe.Lines
	l.Add("product", "%d×%d×%d (m×n×k), 16 by 8 bits", n, out, in)
	l.Add("kernel", "%s", kern.Symbol(mr))
	l.Add("tile", "MR %d, NR %d", mr, ukernel.Int8NR)
	l.Add("blocks", "KC %d, all rows", min(fixedChunk, layout.Blocks(in))*16)
	l.Add("packA", "into whole numbers, in blocks of 16 columns")
	l.Add("packB", "before, when the Linear is made")
	l.Add("items", "%d panels", ceilDiv(out, ukernel.Int8NR))
	return l.String()
}

// Plan tells how an exec of p computes n pictures of h×w, as Multiplier.Plan does for a
// product.
func (p *Pointwise) Plan(n, h, w int) string {
	mc := pointwiseRun(h*w, p.kernel.MR)
	var l describe.Lines
	l.Add("product", "%d×%d×%d (m×n×k) for each picture", h*w, p.k, p.c)
	l.Add("kernel", "%s", p.kernel.Symbol(min(p.kernel.MR, h*w), p.kernel.NR))
	l.Add("tile", "MR %d, NR %d", p.kernel.MR, p.kernel.NR)
	l.Add("blocks", "MC %d, KC %d", mc, p.c)
	l.Add("packA", "no, A is read where it is")
	l.Add("packB", "before, when the Pointwise is made")
	l.Add("items", "%d", n*ceilDiv(h*w, mc))
	return l.String()
}
