package gemm

import (
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/direct"
	"github.com/nonet-go/nonet/internal/elementwise"
)

const (
	// fewRows is the most rows of A for which B is read where it is: packing
	// it would cost as much as a good part of the product.
	fewRows = 32
	// streamRows is how many rows of B are read side by side: each time the sums
	// are read and written once. Half as many for the fewest rows of A, which
	// memory alone limits: 8 rows at a distance of a power of two fit the ways
	// of a first-level cache.
	streamRows = 16
	// sumsLen bounds the sums of an item, which stay in the second-level cache
	// beside the rows of B that all rows of A meet: 256 KiB.
	sumsLen = 1 << 16
)

// inPlace reports whether B is read where it is.
func (g *Multiplier) inPlace() bool {
	return g.m <= fewRows && g.packed == nil && !g.transB && g.alpha == 1 &&
		g.kern.ISA != cpu.Generic // whose sums are rounded between two calls
}

// streams returns the number of items that share the columns of few rows: some
// for each worker, of pieces of rows of B that are not too short.
func (g *Multiplier) streams() int {
	items := (g.m*g.nb + sumsLen - 1) / sumsLen
	if workers := g.team.Workers(); workers > 1 {
		items = max(items, min(4*workers, g.nb/512))
	}
	return min(max(items, 1), g.panels())
}

// streamItem computes some panels of few rows. Rows of B are read from left to
// right, so that memory is read in order. The sums stand in the worker's memory
// until they are whole.
func (g *Multiplier) streamItem(worker, item int) {
	w, panels, kb := &g.work[worker], g.panels(), g.kern.KB
	first, end := item*panels/g.groups, (item+1)*panels/g.groups
	j0 := g.jc + first*kb
	cols := min(end*kb, g.nb) - first*kb
	ld := (cols + 15) / 16 * 16
	whole := cols / kb
	rest := ld - whole*kb
	x, step := g.rows(w, 0, g.m)
	o := direct.Operands{Step: step, Row: g.ldb, Pixel: ld, Plane: 16, Bias: zeros[:]}
	rows := evenly(g.m, g.kern.Pixels)
	deep := streamRows
	if g.m <= 4 {
		deep = streamRows / 2
	}
	for t := 0; t < g.kb; t += deep {
		o.Offsets = g.iota[:min(deep, g.kb-t)]
		b := g.bm[(g.pc+t)*g.ldb+j0:]
		last := o // the panel that is not whole
		if rest > 0 {
			last.U = b[whole*kb:]
		}
		if ld > cols { // it reaches over the last column
			last.U, last.Row = w.b, rest
			for i := range o.Offsets {
				copy(w.b[i*rest:], b[i*g.ldb+whole*kb:][:cols-whole*kb])
			}
		}
		for i := 0; i < g.m; i += rows {
			n := min(rows, g.m-i)
			o.X, o.U, o.Out = x[t+i*step:], b, w.sums[i*ld:]
			o.Ahead = 0
			if i == 0 && t+2*deep <= g.kb {
				o.Ahead = deep * g.ldb
			}
			if whole > 0 {
				g.kern.Panels(whole, n, &o)
			}
			if rest > 0 {
				last.X, last.Out, last.Mode, last.Ahead = o.X, o.Out[whole*kb:], o.Mode, o.Ahead
				g.kern.Row(n, rest, &last)
			}
		}
		o.Mode = direct.ModeAccumulate
	}
	for i := range g.m {
		row, sums := g.c[i*g.ldc+j0:][:cols], w.sums[i*ld:][:cols]
		if g.pc > 0 || g.beta != 0 {
			elementwise.Add(row, sums)
		} else {
			copy(row, sums)
		}
	}
}
