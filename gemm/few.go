package gemm

import (
	"context"

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
	if g.parts > 1 {
		return 1, 1
	}
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

// inners returns how many inner blocks the team computes at once: one, or all.
// Parts of the rows of B lie too near to each other for several workers, and for few
// rows of A reading B is all: each worker reads whole rows then, of inner blocks of
// its own, and their sums are added afterwards in their order. Two workers read so,
// and by columns, in GB/s: 117 and 105 at 1×1000×4096, from memory (cores that share
// no last-level cache) 55 and 52 at 1×4096×8192.
func (g *Multiplier) inners(k int) int {
	parts, workers := (k+g.kstep-1)/g.kstep, g.team.Workers()
	if workers == 1 || g.m > 4 || g.n > g.blocks.nc || parts%workers != 0 && parts < 8*workers {
		return 1
	}
	return parts
}

// deep returns how many rows of B are read side by side. Each time the sums are
// read and written once; for the fewest rows of A, where memory is the limit, few
// streams are read faster, and more of them from a last-level cache (20 MiB of it
// are taken for granted), unless the rows share the sets of a first-level cache:
// 8 fit its ways. One thread, in GB/s, by the number of rows:
//
//	k×n            4     8     12    16    24    32
//	4096×1000      60.2  61.6  63.4  64.0  68.2  70.6
//	4096×1024      64.2  61.4  59.6  56.8  56.0  55.0
//	32768×1000     21.9  24.0  25.3  24.3  23.9  23.1
//	8192×4096      25.2  26.8  27.6  25.8  23.1  19.7
func (g *Multiplier) deep(m, cols int) int {
	least := 32
	switch {
	case m <= 4 && g.k*g.ldb > 5<<20:
		return 12
	case m <= 4 && g.ldb%1024 == 0:
		return 8
	case m <= 4:
		return 32
	case m <= 8:
		least = 16
	}
	return min(max(streamBytes/(4*cols), least), streamDeep)
}

// strip is what an item of few rows computes: m rows from ic on, cols columns from
// j on. They are whole panels and rest columns more, rounded up to 16.
type strip struct {
	ic, m, j, cols int
	whole, rest    int
}

// over reports whether the last panel reaches over the last column.
func (s strip) over(kb int) bool { return s.whole*kb+s.rest > s.cols }

func (g *Multiplier) strip(item int) strip {
	kb, panels := g.kern.KB, g.panels()
	s := strip{ic: item / g.groups * g.mb}
	item %= g.groups
	s.m = min(g.mb, g.m-s.ic)
	from, end := item*panels/g.groups, (item+1)*panels/g.groups
	s.j = g.jc + from*kb
	s.cols = min(end*kb, g.nb) - from*kb
	s.whole = s.cols / kb
	s.rest = (s.cols - s.whole*kb + 15) / 16 * 16
	return s
}

// streamItem computes a strip for the present inner block.
func (g *Multiplier) streamItem(worker, item int) {
	w, s := &g.work[worker], g.strip(item)
	g.streamRows(w, s, g.pc, g.kb, w.sums)
	g.settle(s, g.pc, g.kb, w.sums)
}

// together computes all inner blocks at once, see inners.
func (g *Multiplier) together(ctx context.Context) error {
	if err := g.team.Run(ctx, g.parts, g.innerBlock); err != nil {
		return err
	}
	for part := range g.parts {
		pc := part * g.kstep
		g.settle(g.strip(0), pc, min(g.kstep, g.k-pc), g.partial(part))
	}
	return nil
}

// innerItem computes all sums of one inner block.
func (g *Multiplier) innerItem(worker, part int) {
	pc := part * g.kstep
	g.streamRows(&g.work[worker], g.strip(0), pc, min(g.kstep, g.k-pc), g.partial(part))
}

// partial is where the sums of an inner block stand until all are there.
func (g *Multiplier) partial(part int) []float32 {
	return g.sums[part*g.partialLen():][:g.partialLen()]
}

func (g *Multiplier) partialLen() int { return g.m * (g.n + g.kern.KB + sumsPad) }

// inC reports whether sums from pc on stand in C, because they are its only ones.
func (g *Multiplier) inC(s strip, pc int) bool {
	return pc == 0 && g.beta == 0 && !s.over(g.kern.KB)
}

// streamRows computes the sums of a strip for kb inner elements from pc on. Rows of B
// are read from left to right, so that memory is read in order, and the next ones
// are fetched while all rows of A meet the present ones.
func (g *Multiplier) streamRows(w *multiplierScratch, s strip, pc, kb int, sums []float32) {
	width, ld := g.kern.KB, g.stride(s)
	if g.inC(s, pc) {
		sums, ld = g.c[s.ic*g.ldc+s.j:], g.ldc
	}
	o := direct.Operands{Step: g.row, Row: g.ldb, Pixel: ld, Plane: 16, Bias: zeros[:]}
	rows := evenly(s.m, g.kern.Pixels)
	deep := g.deep(s.m, s.cols)
	for t := 0; t < kb; t += deep {
		o.Offsets = g.offsets[:min(deep, kb-t)]
		b := g.bm[(pc+t)*g.ldb+s.j:]
		last := o // the panel that is not whole
		if s.rest > 0 {
			last.U = b[s.whole*width:]
		}
		if s.over(width) && (len(o.Offsets)-1)*g.ldb+s.whole*width+s.rest > len(b) {
			// What stands behind the last row is not ours to read.
			last.U, last.Row = w.b, s.rest
			for i := range o.Offsets {
				copy(w.b[i*s.rest:], b[i*g.ldb+s.whole*width:][:s.cols-s.whole*width])
			}
		}
		ahead := deep * g.ldb
		if at := pc + t; at+deep >= g.k { // the last ones of this product
			ahead = max(g.next-at*g.ldb, 0)
		}
		for i := 0; i < s.m; i += rows {
			n := min(rows, s.m-i)
			out := sums[i*ld:]
			o.X = g.a[(s.ic+i)*g.row+(pc+t)*g.tap:]
			run := func(from, to, ahead int) {
				if from < to {
					o.U, o.Out, o.Ahead[0] = b[from*width:], out[from*width:], ahead
					g.kern.Panels(to-from, n, &o)
				}
			}
			// Each group of rows fetches its share of what comes next.
			lo, hi := s.whole*i/s.m, s.whole*(i+n)/s.m
			run(0, lo, 0)
			run(lo, hi, ahead)
			run(hi, s.whole, 0)
			if s.rest > 0 {
				last.X, last.Out, last.Mode = o.X, out[s.whole*width:], o.Mode
				g.kern.Row(n, s.rest, &last)
			}
		}
		o.Mode = direct.ModeAccumulate
	}
}

// stride is the distance of the rows of sums that do not stand in C.
func (g *Multiplier) stride(s strip) int { return s.whole*g.kern.KB + s.rest + sumsPad }

// settle adds the sums of a strip from pc on to C, if they are not there.
func (g *Multiplier) settle(s strip, pc, kb int, sums []float32) {
	for i := range s.m {
		row := g.c[(s.ic+i)*g.ldc+s.j:][:s.cols]
		switch sum := sums[i*g.stride(s):]; {
		case g.inC(s, pc):
		case pc == 0 && g.beta == 0:
			copy(row, sum)
		default:
			elementwise.Add(row, sum[:s.cols])
		}
		g.finish(s.ic+i, row, pc == 0, pc+kb == g.k)
	}
}
