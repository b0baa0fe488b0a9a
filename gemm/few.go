package gemm

import (
	"github.com/nonet-go/nonet/internal/direct"
	"github.com/nonet-go/nonet/internal/elementwise"
)

const (
	// streamBytes is what the rows of B that all rows of A meet should take of
	// the second-level cache; streamDeep bounds their number.
	streamBytes = 128 << 10
	streamDeep  = 256
	// sumsLen bounds the sums of an item, which are to stay there as well.
	sumsLen = 1 << 16
	sumsPad = 16 // keeps rows of sums out of each other's cache sets
)

// inPlace reports whether B is read where it is.
func (g *Multiplier) inPlace() bool {
	return g.m <= g.blocks.few && g.packed == nil && !g.transB && g.alpha == 1
}

// streams chooses how items share few rows: the number of blocks of rows, and of
// groups of panels. Where B is much larger than A, each worker reads its own part.
func (g *Multiplier) streams() (rows, groups int) {
	rows, groups = 1, (g.m*g.nb+sumsLen-1)/sumsLen
	if workers := g.team.Workers(); workers > 1 {
		if most := g.m / (4 * g.kern.Pixels); most >= workers {
			rows = min(2*workers, most)
			return rows, max(1, (groups+rows-1)/rows)
		}
		parts := 2 * workers
		if g.m <= 8 { // memory is the limit: long pieces of rows are read faster
			parts = workers
		}
		groups = max(groups, min(parts, g.panels()))
	}
	return rows, min(max(groups, 1), g.panels())
}

// deep returns how many rows of B are read side by side. Each time the sums are
// read and written once; for the fewest rows of A, where memory is the limit, few
// streams are read faster: of rows that share the sets of a first-level cache, 8
// fit its ways.
func (g *Multiplier) deep(m, cols int) int {
	least := 32
	switch {
	case m <= 4 && g.ldb%1024 == 0:
		return 8
	case m <= 4:
		return 16
	case m <= 8:
		least = 16
	}
	return min(max(streamBytes/(4*cols), least), streamDeep)
}

// streamItem computes some panels of a block of few rows. Rows of B are read from
// left to right, so that memory is read in order, and the next ones are fetched
// while all rows of A meet the present ones. The sums stand in C if they are its
// only ones, or else in the worker's memory until they are whole.
func (g *Multiplier) streamItem(worker, item int) {
	w, panels, kb := &g.work[worker], g.panels(), g.kern.KB
	ic := item / g.groups * g.mb
	item %= g.groups
	m := min(g.mb, g.m-ic)
	from, end := item*panels/g.groups, (item+1)*panels/g.groups
	j0 := g.jc + from*kb
	cols := min(end*kb, g.nb) - from*kb
	whole := cols / kb
	rest := (cols - whole*kb + 15) / 16 * 16
	over := whole*kb+rest > cols // the last panel reaches over the last column
	sums, ld := w.sums, whole*kb+rest+sumsPad
	first := g.pc == 0 && g.beta == 0
	if first && !over {
		sums, ld = g.c[ic*g.ldc+j0:], g.ldc
	}
	o := direct.Operands{Step: g.row, Row: g.ldb, Pixel: ld, Plane: 16, Bias: zeros[:]}
	rows := evenly(m, g.kern.Pixels)
	deep := g.deep(m, cols)
	for t := 0; t < g.kb; t += deep {
		o.Offsets = g.offsets[:min(deep, g.kb-t)]
		b := g.bm[(g.pc+t)*g.ldb+j0:]
		last := o // the panel that is not whole
		if rest > 0 {
			last.U = b[whole*kb:]
		}
		if over && (len(o.Offsets)-1)*g.ldb+whole*kb+rest > len(b) {
			// What stands behind the last row is not ours to read.
			last.U, last.Row = w.b, rest
			for i := range o.Offsets {
				copy(w.b[i*rest:], b[i*g.ldb+whole*kb:][:cols-whole*kb])
			}
		}
		ahead := deep * g.ldb
		if at := g.pc + t; at+deep >= g.k { // the last ones of this product
			ahead = max(g.next-at*g.ldb, 0)
		}
		for i := 0; i < m; i += rows {
			n := min(rows, m-i)
			out := sums[i*ld:]
			o.X = g.a[(ic+i)*g.row+(g.pc+t)*g.tap:]
			run := func(from, to, ahead int) {
				if from < to {
					o.U, o.Out, o.Ahead[0] = b[from*kb:], out[from*kb:], ahead
					g.kern.Panels(to-from, n, &o)
				}
			}
			// Each group of rows fetches its share of what comes next.
			lo, hi := whole*i/m, whole*(i+n)/m
			run(0, lo, 0)
			run(lo, hi, ahead)
			run(hi, whole, 0)
			if rest > 0 {
				last.X, last.Out, last.Mode = o.X, out[whole*kb:], o.Mode
				g.kern.Row(n, rest, &last)
			}
		}
		o.Mode = direct.ModeAccumulate
	}
	for i := range m {
		row, sum := g.c[(ic+i)*g.ldc+j0:][:cols], sums[i*ld:][:cols]
		switch {
		case !first:
			elementwise.Add(row, sum)
		case over:
			copy(row, sum)
		}
		g.finish(ic+i, row, g.pc == 0, g.last())
	}
}
