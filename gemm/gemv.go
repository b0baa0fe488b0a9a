package gemm

import (
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// dotxfColumns is how many columns of B dotxf reads side by side.
const dotxfColumns = 16

// computeRow computes a product of one row of A. Memory bounds it, so B is read where it is.
// The row is copied if it is not contiguous or alpha is −1.
func (g *Multiplier) computeRow(j *job) error {
	if j.a.cs != 1 || j.alpha != 1 {
		grow(&g.row, j.k)
		for p := range j.k {
			g.row[p] = j.alpha * j.a.data[p*j.a.cs]
		}
		j.a, j.alpha = matrix{g.row, j.k, 1}, 1
	}
	if j.variant == axpyfRow {
		return g.computeStrips(j)
	}
	g.reserve(sizes{c: dotxfColumns})
	for ; j.jc < j.n; j.jc += j.nc {
		j.nb = min(j.nc, j.n-j.jc)
		if err := g.run(j, j.grid(1, j.nb).cols, (*job).dotxf); err != nil {
			return err
		}
		if err := j.ctx.Err(); err != nil { // a worker may have seen it
			return err
		}
	}
	return nil
}

// axpyf sets sums to the products of a strip of one row and kb rows of B from pc on. It adds
// A[p]·B[p] for eight p at a time (level1f.Axpyf).
func (j *job) axpyf(ws *workspace, s *strip, pc, kb int, sums []float32) {
	a, b := j.a.from(0, pc)[:kb], j.b.from(pc, s.jc)
	whole := s.panels * s.nr
	clear(sums[:whole])
	level1f.Axpyf(sums[:whole], a, b, j.b.rs)
	if s.rest > 0 {
		j.restPanel(ws, s, &ukernel.IndirectArgs{
			Offsets: j.offsets[:kb], Contiguous: true, A: a,
			B: b[whole:], LDB: j.b.rs, C: sums[whole:], LDC: s.rest, CBlock: 16, Bias: zeros[:],
		})
	}
}

// dotxf computes some columns from jc on as dot products of the row of A with columns of
// B, 16 at a time (level1f.Dotxf).
func (j *job) dotxf(ws *workspace, item int) {
	items, blocks := j.grid(1, j.nb).cols, ceilDiv(j.nb, dotxfColumns)
	from, to := item*blocks/items*dotxfColumns, min((item+1)*blocks/items*dotxfColumns, j.nb)
	for ; from < to && j.ctx.Err() == nil; from += dotxfColumns {
		jc := j.jc + from
		c := j.c.from(0, jc)[:min(dotxfColumns, to-from)]
		sums := ws.c[:len(c)]
		for pc := 0; pc < j.k; pc += j.kc {
			kb := min(j.kc, j.k-pc)
			clear(sums)
			level1f.Dotxf(sums, j.a.from(0, pc)[:kb], j.b.from(pc, jc), j.b.cs, &ws.edge)
			j.update(c, sums, pc)
		}
	}
}
