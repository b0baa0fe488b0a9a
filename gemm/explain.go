package gemm

import (
	"fmt"
	"strings"
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
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("product", "%d×%d×%d (m×n×k)", p.m, p.n, p.k)
	line("variant", "%v", pl.variant)
	if pl.variant == scaleOnly || pl.variant == small {
		return b.String()
	}
	line("kernel", "%s", pl.symbol())
	line("tile", "MR %d, NR %d", pl.mr, pl.nr)
	line("blocks", "MC %d, KC %d, NC %d", pl.mc, pl.kc, pl.nc)
	if pl.variant == unpackedB {
		line("", "%d×%d of B at a time", pl.kcB, pl.ncB)
	}
	line("packA", "%s", map[bool]string{false: "no: A is read where it is", true: "yes"}[pl.packA])
	nb := min(p.n, pl.nc)
	switch pl.packB {
	case packNone:
		line("packB", "no: B is read where it is")
	case packOwn, packShared:
		line("packB", "%v, %d columns at a time", pl.packB, min(pl.packColumns(nb), nb))
	default:
		line("packB", "%v", pl.packB)
	}
	items := pl.grid(p.m, nb)
	if pl.pcWays > 1 {
		items = grid{pl.pcWays, 1}
	}
	line("items", "%d × %d, for %d workers", items.rows, items.cols, pl.workers)
	return b.String()
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
