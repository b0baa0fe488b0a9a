package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/ukernel"
)

const (
	// fewest is the most rows of A for which B is best read row by row, as the processor
	// itself fetches it.
	fewest = 4
	// sumsLen bounds the sums of an item, which are to stay there as well.
	sumsLen = 1 << 16
	sumsPad = 16 // keeps rows of sums out of each other's cache sets
)

// inPlace reports whether B is read where it is.
func (g *Multiplier) inPlace() bool {
	return g.m <= g.reading().few && g.packed == nil && !g.transB && g.alpha == 1
}

// shares reports whether the rows of B share the sets of a first-level cache.
func (g *Multiplier) shares() bool { return g.ldb%1024 == 0 }

// reading returns how B is read where it is. A whole panel of it fits the second-level
// cache if its rows spread over the sets, and then pays if rows of A need no copies.
func (g *Multiplier) reading() reading {
	few := &g.blocks.read
	switch {
	case g.shares():
		return few[2]
	case g.m > few[0].few && g.ldb%64 != 0 && g.tap == 1:
		return few[1]
	}
	return few[0]
}

// streams chooses how items share few rows: the number of blocks of rows, and of
// groups of panels. Where B is much larger than A, each worker reads its own part.
func (g *Multiplier) streams() (rows, groups int) {
	rows, groups = 1, (g.m*g.nb+sumsLen-1)/sumsLen
	if g.parts > 1 {
		return 1, 1
	}
	if workers := g.team.Workers(); workers > 1 {
		if most := g.m / (4 * g.kern.MR); most >= workers {
			rows = min(2*workers, most/workers*workers)
			return rows, max(1, (groups+rows-1)/rows)
		}
		parts := 2 * workers
		if g.m <= 16 { // memory is the limit: long pieces of rows are read faster
			parts = workers
		}
		groups = max(groups, min(parts, g.panels()))
	}
	return rows, min(max(groups, 1), g.panels())
}

// reserveSums makes room for the sums of the largest item.
func (g *Multiplier) reserveSums() {
	cols := (g.panels() + g.groups - 1) / g.groups * g.kern.NR
	for i := range g.work {
		grow(&g.work[i].sums, g.mb*(cols+sumsPad))
	}
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

// deep returns how many rows of B are read side by side. For few rows of A, where
// memory is the limit, few streams are read faster, and more of them from a last-level
// cache (20 MiB of it are taken for granted), unless the rows share the sets of a
// first-level cache: 8 fit its ways. One thread, in GB/s, by the number of rows, of
// AVX-512 with one row of A on Zen 4:
//
//	k×n            4     8     12    16    24    32
//	4096×1000      60.2  61.6  63.4  64.0  68.2  70.6
//	4096×1024      64.2  61.4  59.6  56.8  56.0  55.0
//	32768×1000     21.9  24.0  25.3  24.3  23.9  23.1
//	8192×4096      25.2  26.8  27.6  25.8  23.1  19.7
//
// and of AVX2 on Zen 3:
//
//	m×n×k          4     6     8     12    16    32
//	2×1000×4096    26.7  29.7  31.4  32.7  32.1  26.7
//	4×1000×4096    18.2  20.8  23.9  26.4  28.6  27.9
//	2×4096×4096    24.0  21.0  20.1  14.8  11.6
//	4×4096×4096    14.9  15.5  15.4  13.6  12.1
//
// For more rows of A, each time the sums are read and written once.
func (g *Multiplier) deep(m int) int {
	switch {
	case m > fewest:
		return g.reading().deep
	case g.k*g.ldb > 5<<20:
		return g.blocks.side[0]
	case g.shares():
		return g.blocks.side[1]
	}
	return min(32, g.blocks.side[2]*m)
}

// strip is what an item of few rows computes: m rows from ic on, in groups, cols columns
// from j on. They are whole panels and rest columns more, rounded up to 16.
type strip struct {
	ic, m, rows int
	j, cols     int
	width       int // of a panel
	whole, rest int
}

// over reports whether the last panel reaches over the last column.
func (s strip) over() bool { return s.whole*s.width+s.rest > s.cols }

func (g *Multiplier) strip(item int) strip {
	kb, panels := g.kern.NR, g.panels()
	s := strip{ic: item / g.groups * g.mb}
	item %= g.groups
	s.m = min(g.mb, g.m-s.ic)
	s.rows = evenly(s.m, g.kern.MaxMR())
	s.width = 16
	if s.m > 1 {
		s.width = g.kern.NRFor(s.rows)
	}
	from, end := item*panels/g.groups, (item+1)*panels/g.groups
	s.j = g.jc + from*kb
	s.cols = min(end*kb, g.nb) - from*kb
	s.whole = s.cols / s.width
	s.rest = (s.cols - s.whole*s.width + 15) / 16 * 16
	return s
}

// inPlaceAll computes the columns from jc on, item by item.
func (g *Multiplier) inPlaceAll(ctx context.Context, items int) error {
	if g.parts > 1 {
		return g.together(ctx)
	}
	g.ctx = ctx
	f := g.stream
	if g.way == dots {
		f = g.dots
	}
	if err := g.team.Run(ctx, items, f); err != nil {
		return err
	}
	return ctx.Err() // which an item may have seen
}

// streamItem computes a strip, inner block by inner block.
func (g *Multiplier) streamItem(worker, item int) {
	w, s := &g.work[worker], g.strip(item)
	for pc := 0; pc < g.k && g.ctx.Err() == nil; pc += g.kstep {
		kb := min(g.kstep, g.k-pc)
		g.streamRows(w, s, pc, kb, w.sums)
		g.settle(s, pc, kb, w.sums)
	}
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

func (g *Multiplier) partialLen() int { return g.m * (g.n + g.kern.NR + sumsPad) }

// inC reports whether sums from pc on stand in C, because they are its only ones.
func (g *Multiplier) inC(s strip, pc int) bool {
	return pc == 0 && g.beta == 0 && !s.over()
}

// streamRows computes the sums of a strip for kb inner elements from pc on.
func (g *Multiplier) streamRows(w *multiplierScratch, s strip, pc, kb int, sums []float32) {
	ld := g.stride(s)
	if g.inC(s, pc) {
		sums, ld = g.c[s.ic*g.ldc+s.j:], g.ldc
	}
	o := ukernel.IndirectArgs{LDB: g.ldb, Contiguous: g.offsets[1] == 1, LDC: ld, CBlock: 16, Bias: zeros[:]}
	deep := kb
	if s.m > 1 {
		deep = evenly(kb, g.deep(s.m))
	}
	for t := 0; t < kb; t += deep {
		at := pc + t
		o.Offsets = g.offsets[:min(deep, kb-t)]
		o.A, o.AStep = g.leftRows(w, s, at, len(o.Offsets))
		next := deep * g.ldb
		if at+deep >= g.k { // the last ones of this product
			next = max(g.next-at*g.ldb, 0)
		}
		if b := g.bm[at*g.ldb+s.j:]; s.m == 1 {
			g.streamRow(w, s, b, sums, o)
		} else {
			g.streamPanels(w, s, b, sums, next, o)
		}
		o.Mode = ukernel.ModeFromC
	}
}

// leftRows returns rows of a strip of op(A), taps elements from at on, and their
// distance: where they are, or copies of those that share the sets of a first-level
// cache.
func (g *Multiplier) leftRows(w *multiplierScratch, s strip, at, taps int) (x []float32, ld int) {
	x = g.a[s.ic*g.row+at*g.tap:]
	if s.m <= fewest || g.row%1024 != 0 {
		return x, g.row
	}
	pack.Rows(s.m, taps, w.a, taps+rowPad, x, g.row)
	return w.a, taps + rowPad
}

// streamPanels adds the products of some rows of B, which begin with b, to the sums
// of a strip: a chunk of panels after the other, each for all groups of rows. Meanwhile
// each group fetches its share of the next chunk, or of the first one of the rows
// that stand next elements on.
func (g *Multiplier) streamPanels(w *multiplierScratch, s strip, b, sums []float32, next int, o ukernel.IndirectArgs) {
	x, total := o.A, s.whole
	if s.rest > 0 {
		total++
	}
	chunk := total
	if s.m > fewest {
		chunk = min(g.reading().cols/s.width, total)
	}
	wrap := 0 // of the last chunk
	if next > 0 {
		wrap = next + (chunk-total)*s.width
	}
	for p := 0; p < s.whole; p += chunk {
		end := min(p+chunk, s.whole)
		for i, n := 0, 0; i < s.m; i += n {
			n = evenly(s.m-i, s.rows)
			o.A = x[i*o.AStep:]
			run := func(from, to, ahead int) {
				o.B, o.C, o.PrefetchB[0] = b[from*s.width:], sums[i*o.LDC+from*s.width:], ahead
				g.kern.RunN(to-from, n, s.width, &o)
			}
			lo, hi := p+(end-p)*i/s.m, p+(end-p)*(i+n)/s.m
			inner := min(max(lo, total-chunk), hi)
			for _, part := range [...]struct{ from, to, ahead int }{{p, lo, 0}, {lo, inner, chunk * s.width}, {inner, hi, wrap}, {hi, end, 0}} {
				if part.from == 0 && part.to > 0 && s.m > fewest { // the first to meet these rows of A
					o.PrefetchA = n * o.AStep
					run(0, 1, part.ahead)
					part.from, o.PrefetchA = 1, 0
				}
				if part.from < part.to {
					run(part.from, part.to, part.ahead)
				}
			}
		}
	}
	if s.rest > 0 {
		o.A, o.PrefetchB[0] = x, wrap
		g.streamRest(w, s, b[s.whole*s.width:], sums[s.whole*s.width:], o)
	}
}

// streamRow does what streamPanels does for one row of A and all inner elements, which
// memory alone bounds. By bench/compare with one thread of Zen 3, taking turns, panels took
// 0.56 ms for 1×1000×4096 and 3.32 for 1×4096×4096; this takes 0.40 and 2.70.
func (g *Multiplier) streamRow(w *multiplierScratch, s strip, b, sums []float32, o ukernel.IndirectArgs) {
	x := o.A
	if !o.Contiguous {
		x = w.block[:]
		for i, off := range o.Offsets {
			x[i] = o.A[off]
		}
	}
	y := sums[:s.whole*s.width]
	clear(y)
	level1f.Axpyf(y, x[:len(o.Offsets)], b, g.ldb)
	if s.rest > 0 {
		g.streamRest(w, s, b[s.whole*s.width:], sums[s.whole*s.width:], o)
	}
}

// streamRest does what streamPanels does for the panel that is not whole.
func (g *Multiplier) streamRest(w *multiplierScratch, s strip, b, sums []float32, o ukernel.IndirectArgs) {
	o.B, o.C = b, sums
	if taps := len(o.Offsets); s.over() && (taps-1)*g.ldb+s.rest > len(b) {
		// What stands behind the last row is not ours to read.
		o.B, o.LDB, o.PrefetchB[0] = w.b, s.rest, 0
		for i := range taps {
			copy(w.b[i*s.rest:], b[i*g.ldb:][:s.cols-s.whole*s.width])
		}
	}
	g.kern.RunM(s.m, s.rest, &o)
}

// stride is the distance of the rows of sums that do not stand in C.
func (g *Multiplier) stride(s strip) int { return s.whole*s.width + s.rest + sumsPad }

// settle adds the sums of a strip from pc on to C, if they are not there.
func (g *Multiplier) settle(s strip, pc, kb int, sums []float32) {
	for i := range s.m {
		row := g.c[(s.ic+i)*g.ldc+s.j:][:s.cols]
		if !g.inC(s, pc) {
			g.put(row, sums[i*g.stride(s):][:s.cols], pc)
		}
		g.finish(s.ic+i, row, pc == 0, pc+kb == g.k)
	}
}

// put sets part of a row of C to its first sums, or adds others.
func (g *Multiplier) put(row, sums []float32, pc int) {
	if pc == 0 && g.beta == 0 {
		copy(row, sums)
	} else {
		activation.Add(row, sums)
	}
}
