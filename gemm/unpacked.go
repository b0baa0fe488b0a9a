package gemm

import (
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// sumsPad keeps rows of sums out of each other's cache sets.
const sumsPad = 16

// A strip is a work item of axpyf and unpacked: m rows of C from ic on, n columns from jc
// on. The columns are whole panels of nr, and rest more, which are rounded up to 16.
type strip struct {
	ic, m  int
	jc, n  int
	mr, nr int // of a micro-tile
	panels int
	rest   int
}

// strip returns an item of the columns from jc on.
func (j *job) strip(item int) strip {
	g, panel := j.grid(j.m, j.nb), j.kernel.NR
	panels := ceilDiv(j.nb, panel)
	s := strip{ic: item / g.cols * j.mc, mr: j.mr, nr: j.nr}
	if s.m = min(j.mc, j.m-s.ic); s.m < j.mc { // the last rows
		s.mr, s.nr = unpackedTile(j.kernel, s.m)
	}
	item %= g.cols
	from, to := item*panels/g.cols*panel, min((item+1)*panels/g.cols*panel, j.nb)
	s.jc, s.n = j.jc+from, to-from
	s.panels = s.n / s.nr
	s.rest = roundUp(s.n-s.panels*s.nr, 16)
	return s
}

// unpackedTile returns the micro-tile for m rows: the rows are divided evenly, and there are
// as many columns as a kernel with so many rows has.
func unpackedTile(kern *ukernel.Indirect, m int) (mr, nr int) {
	mr = evenly(m, kern.MaxMR())
	return mr, kern.NRFor(mr)
}

// over reports whether the last panel reaches over the last column.
func (s *strip) over() bool { return s.panels*s.nr+s.rest > s.n }

// ldc returns the distance of the rows of sums that are not in C.
func (s *strip) ldc() int { return s.panels*s.nr + s.rest + sumsPad }

// computeStrips computes a product by axpyf or unpacked. As in BLIS's sup, the loops are those
// of computePacked without packB. All rows of A meet kcB×ncB of B before the next.
func (g *Multiplier) computeStrips(j *job) error {
	j.offsets = g.multiples(j.a.cs)
	for ; j.jc < j.n; j.jc += j.nc {
		j.nb = min(j.nc, j.n-j.jc)
		g.reserve(j.stripSizes())
		if j.pcWays > 1 {
			return g.computeParts(j)
		}
		items := j.grid(j.m, j.nb)
		if err := g.run(j, items.rows*items.cols, (*job).computeStrip); err != nil {
			return err
		}
		if err := j.ctx.Err(); err != nil { // a worker may have seen it
			return err
		}
	}
	return nil
}

// stripSizes returns what the strips of nb columns need.
func (j *job) stripSizes() sizes {
	s := sizes{b: j.kernel.MaxNR() * j.kc}
	if j.packA {
		s.a = j.m * (j.kcB + rowPad)
	}
	cols := ceilDiv(ceilDiv(j.nb, j.kernel.NR), j.grid(j.m, j.nb).cols) * j.kernel.NR
	s.c = j.mc * (cols + sumsPad)
	return s
}

// computeStrip computes a strip, one block of KC after the other.
func (j *job) computeStrip(ws *workspace, item int) {
	s := j.strip(item)
	for pc := 0; pc < j.k && j.ctx.Err() == nil; pc += j.kc {
		j.sumStrip(ws, &s, pc, ws.c)
		j.updateStrip(&s, pc, ws.c)
	}
}

// computeParts computes all blocks of KC at once, each into sums of its own, and adds
// these in their order.
func (g *Multiplier) computeParts(j *job) error {
	grow(&g.partial, j.pcWays*j.partialLen())
	j.partial = g.partial
	if err := g.run(j, j.pcWays, (*job).computePart); err != nil {
		return err
	}
	for part := range j.pcWays {
		s := j.strip(0)
		j.updateStrip(&s, part*j.kc, j.partialSums(part))
	}
	return nil
}

// computePart computes the sums of one block of KC.
func (j *job) computePart(ws *workspace, part int) {
	s := j.strip(0)
	j.sumStrip(ws, &s, part*j.kc, j.partialSums(part))
}

func (j *job) partialLen() int { return j.m * (roundUp(j.n, j.kernel.MaxNR()) + sumsPad) }

// partialSums returns where the sums of a block of KC are until all are there.
func (j *job) partialSums(part int) []float32 {
	return j.partial[part*j.partialLen():][:j.partialLen()]
}

// inC reports whether the sums from pc on are made in C, because they are its first.
func (j *job) inC(s *strip, pc int) bool { return j.first(pc) && !s.over() }

// sumStrip sets sums, or C, to the products of a strip for the block of KC from pc on.
func (j *job) sumStrip(ws *workspace, s *strip, pc int, sums []float32) {
	ldc := s.ldc()
	if j.inC(s, pc) {
		sums, ldc = j.c.from(s.ic, s.jc), j.c.rs
	}
	kb := min(j.kc, j.k-pc)
	if j.variant == axpyfRow {
		j.axpyf(ws, s, pc, kb, sums)
		return
	}
	args := ukernel.IndirectArgs{LDB: j.b.rs, Contiguous: j.a.cs == 1, LDC: ldc, CBlock: 16, Bias: zeros[:]}
	for p := pc; p < pc+kb; p += j.kcB {
		args.Offsets = j.offsets[:min(j.kcB, pc+kb-p)]
		args.A, args.AStep = j.unpackedA(ws, s, p, len(args.Offsets))
		args.B, args.C = j.b.from(p, s.jc), sums
		next := j.kcB * j.b.rs
		if p+j.kcB >= j.k { // these are the last rows
			next = max(0, j.nextB-p*j.b.rs)
		}
		j.rankUpdate(ws, s, &args, next)
		args.Mode = ukernel.ModeFromC
	}
}

// updateStrip adds the sums of a strip from pc on to C, if they are not there.
func (j *job) updateStrip(s *strip, pc int, sums []float32) {
	if j.inC(s, pc) {
		return
	}
	for i := range s.m {
		j.update(j.c.from(s.ic+i, s.jc)[:s.n], sums[i*s.ldc():][:s.n], pc)
	}
}

// unpackedA returns kb elements of the rows of a strip from p on, and their distance.
func (j *job) unpackedA(ws *workspace, s *strip, p, kb int) (a []float32, lda int) {
	a = j.a.from(s.ic, p)
	if !j.packA {
		return a, j.a.rs
	}
	pack.Rows(s.m, kb, ws.a, kb+rowPad, a, j.a.rs)
	return ws.a, kb + rowPad
}

// rankUpdate adds the products of a strip of A and some rows of B to the sums: ncB columns
// after the other, each by all micro-tiles of rows. Meanwhile each of these fetches its
// share of what follows: the next ncB columns, or the first ones of the rows of B that
// stand next elements on, if that is not 0.
func (j *job) rankUpdate(ws *workspace, s *strip, args *ukernel.IndirectArgs, next int) {
	total := s.panels
	if s.rest > 0 {
		total++
	}
	cols := min(max(1, j.ncB/s.nr), total)
	wrap := 0 // from the last panels to the first ones of those rows
	if next > 0 {
		wrap = next + (cols-total)*s.nr
	}
	r := jrRange{args: *args, a: args.A, b: args.B, c: args.C, next: cols * s.nr, last: total - cols, wrap: wrap}
	for p := 0; p < s.panels; p += cols {
		r.from, r.to = p, min(p+cols, s.panels)
		for i, mr := 0, 0; i < s.m; i += mr {
			mr = evenly(s.m-i, s.mr)
			j.tileRow(s, &r, i, mr)
		}
	}
	if s.rest > 0 {
		rest := *args
		rest.PrefetchB[0] = wrap
		rest.B, rest.C = args.B[s.panels*s.nr:], args.C[s.panels*s.nr:]
		j.restPanel(ws, s, &rest)
	}
}

// A jrRange is what all micro-tiles of rows compute before the next panels: the panels
// from … to.
type jrRange struct {
	args     ukernel.IndirectArgs // but for A, B, C and what is fetched
	a, b, c  []float32            // from the first row and the first panel of the strip on
	from, to int
	next     int // from a panel to the one that is fetched for the next range,
	last     int // up to panel last, and
	wrap     int // from the others; 0: nothing
}

// tileRow computes mr rows from i on. It fetches the share of these rows in what follows.
func (j *job) tileRow(s *strip, r *jrRange, i, mr int) {
	args, n := &r.args, r.to-r.from
	args.A = r.a[i*args.AStep:]
	lo, hi := r.from+n*i/s.m, r.from+n*(i+mr)/s.m
	inner := min(max(lo, r.last), hi)
	c := r.c[i*args.LDC:]
	for _, part := range [...]struct{ from, to, prefetch int }{{r.from, lo, 0}, {lo, inner, r.next}, {inner, hi, r.wrap}, {hi, r.to, 0}} {
		args.PrefetchB[0] = part.prefetch
		if part.from == 0 && part.to > 0 && s.m > memoryBoundM { // the first to meet these rows of A
			args.B, args.C, args.PrefetchA = r.b, c, mr*args.AStep
			j.kernel.RunN(1, mr, s.nr, args)
			part.from, args.PrefetchA = 1, 0
		}
		if part.from < part.to {
			args.B, args.C = r.b[part.from*s.nr:], c[part.from*s.nr:]
			j.kernel.RunN(part.to-part.from, mr, s.nr, args)
		}
	}
}

// restPanel computes the panel that is narrower than NR, for all rows of the strip.
func (j *job) restPanel(ws *workspace, s *strip, args *ukernel.IndirectArgs) {
	k, n := len(args.Offsets), s.n-s.panels*s.nr
	if s.over() && (k-1)*args.LDB+s.rest > len(args.B) {
		// What stands behind the last row is not ours to read.
		for p := range k {
			copy(ws.b[p*s.rest:], args.B[p*args.LDB:][:n])
		}
		args.B, args.LDB, args.PrefetchB[0] = ws.b, s.rest, 0
	}
	j.kernel.RunM(s.m, s.rest, args)
}
