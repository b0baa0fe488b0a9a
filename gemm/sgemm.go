package gemm

import (
	"context"
	"fmt"
	"sync"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/transpose"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// SGEMM sets C = alpha·op(A)·op(B) + beta·C, where op(X) is X or, with its trans
// flag, Xᵀ. op(A) is m×k, op(B) k×n and C m×n, all row-major with leading
// dimensions in elements, by the rule of BLAS: lda is at least max(1, k), or max(1, m)
// if A is transposed; ldb max(1, n) or max(1, k); ldc max(1, n). That holds for empty
// matrices as well.
//
// C must not overlap A or B. If beta is 0, C is not read: it may hold NaN. If k or
// alpha is 0, C = beta·C. If m or n is 0 nothing happens. Each element of the
// product is within Gamma(k+k/512+3)·|alpha|·|A|·|B| of the exact value, as long as
// the terms and sums of A·B and the result are in the range of normal float32s: alpha
// is multiplied by the sum. Its bits do not depend on m or the leading dimensions, nor
// on n where n·k exceeds 16.
//
// SGEMM panics if a size is negative, if a leading dimension is too small, or if
// a slice is shorter than its matrix. It uses one core; see Multiplier for more.
func SGEMM(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	g := multipliers.Get().(*Multiplier)
	_ = g.SGEMM(context.Background(), transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) // the context never ends
	multipliers.Put(g)
}

var multipliers = sync.Pool{New: func() any { return NewMultiplier(nil) }}

// Multiplier computes products on a team of workers and keeps the memory for
// packed operands. One goroutine at a time may use it.
type Multiplier struct {
	whole   *ukernel.Indirect // that kern is chosen from
	kern    *ukernel.Indirect // of the product
	blocks  blocks
	team    *parallel.Team
	b       []float32 // [panel][KC][width]
	right   []float32 // b, or a block of packed
	packed  *Packed
	work    []multiplierScratch
	offsets []int // of the inner elements in a row of op(A)
	pack    func(worker, item int)
	block   func(worker, item int)
	stream  func(worker, item int)
	dots    func(worker, item int)
	ctx     context.Context // of the items of stream and dots
	// Of few rows whose inner blocks are computed at once.
	innerBlock   func(worker, part int)
	parts        int
	sums         []float32
	x            []float32 // the only row of op(A), where it is a column
	tap          int       // distance of the inner elements of op(A)
	transB       bool
	m, n, k      int
	next         int       // elements from B to that of a following product; 0: none
	alpha        float32   // 1 or −1, unless the product is tiny
	unmultiplied []float32 // sums that alpha is to come to
	bias         []float32 // of the rows of C, with beta 0; or nil
	relu         bool
	beta         float32
	a, bm        []float32
	row          int // distance of the rows of op(A)
	copied       bool
	ldb          int
	c            []float32
	ldc          int
	each         []*Multiplier // of each worker, for batches
	batch        batch
	product      func(worker, item int)
	// The block that is being computed: columns jc … jc+nb, inner pc … pc+kb.
	jc, nb, pc, kb int
	mb, kstep      int // rows and inner elements of a block
	groups         int // of panels, per block of rows
	span           int // columns of B that are packed at once
	way            int // how items come by their part of B
}

// multiplierScratch is what a worker packs and computes into.
type multiplierScratch struct {
	a    []float32    // a block of A, where it is copied
	held int          // the row of A where that begins; -1: none
	b    []float32    // a panel, where items pack their own
	sums []float32    // [m][columns of an item], of few rows
	tile []float32    // [MC][NR], of a last panel that reaches over the edge
	edge level1f.Edge // of a transposed B that is read where it is
	// What is transposed on its way to a panel or to a.
	block [transposed * 16]float32
}

// NewMultiplier returns a Multiplier for a team, which may be nil. The team's
// helpers work between its Begin and End: let it be begun over many products, for
// to start them costs as much as a small one (50 µs of 120 at 49×512×512).
func NewMultiplier(team *parallel.Team) *Multiplier {
	return newMultiplier(ukernel.BestIndirect(), team)
}

func newMultiplier(kern *ukernel.Indirect, team *parallel.Team) *Multiplier {
	g := &Multiplier{whole: kern, kern: kern, blocks: blocksOf(kern), team: team, work: make([]multiplierScratch, team.Workers())}
	g.offsets = make([]int, g.blocks.kc)
	g.pack, g.block, g.stream, g.dots, g.innerBlock = g.packSpan, g.blockItem, g.streamItem, g.dotsItem, g.innerItem
	return g
}

// Kernel names the kernel that the Multiplier computes with. Short sums may take another
// one of its instruction set.
func (g *Multiplier) Kernel() string { return g.whole.Name }

// String tells the kernel and the block sizes, for reports.
func (g *Multiplier) String() string {
	return fmt.Sprintf("%s: MR %d, NR %d, MC %d, NC %d, KC %d", g.whole.Name, g.whole.MR, g.whole.NR, g.blocks.mc, g.blocks.nc, g.blocks.kc)
}

// zeros is the bias of sums that start at nothing.
var zeros [64]float32

// SGEMM is the function of that name on the Multiplier's team. It returns an
// error only when ctx ends; C is then undefined. After the largest product it
// does not allocate.
func (g *Multiplier) SGEMM(ctx context.Context, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	check(transA, transB, m, n, k, a, lda, b, ldb, c, ldc)
	rb, cb := dims(transB, k, n)
	ldb = leading(rb, cb, ldb)
	if alpha != 0 && alpha != 1 && alpha != -1 && n*k > tiny && m > 0 {
		return g.scaled(ctx, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, leading(m, n, ldc))
	}
	return g.unscaled(ctx, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// unscaled is SGEMM for operands that are in order, and an alpha of 0, 1 or −1 unless
// the product is tiny: the sign goes to an operand.
func (g *Multiplier) unscaled(ctx context.Context, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	if n == 1 && ldc == 1 && m > 1 && k > tiny && alpha != 0 { // a row as well
		return g.column(ctx, transA, transB, m, k, alpha, a, lda, b, ldb, beta, c)
	}
	g.transB, g.alpha, g.bm, g.ldb, g.packed = transB, alpha, b, ldb, nil
	return g.multiply(ctx, transA, m, n, k, a, lda, beta, c, ldc)
}

// scaled is SGEMM for other alphas, by which the sums are multiplied: an operand that
// was multiplied by alpha might overflow where alpha·A·B does not. Where C is read, the
// sums stand in memory of their own, for some columns at a time.
func (g *Multiplier) scaled(ctx context.Context, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) error {
	if beta == 0 {
		err := g.unscaled(ctx, transA, transB, m, n, k, 1, a, lda, b, ldb, 0, c, ldc)
		scale(m, n, alpha, c, ldc)
		return err
	}
	right := 1 // distance of the columns of op(B)
	if transB {
		right = ldb
	}
	for j, cols := 0, 0; j < n; j += cols {
		if cols = min(g.blocks.nc, n-j); n-j-cols <= tiny { // which has bits of its own
			cols = n - j
		}
		grow(&g.unmultiplied, m*cols)
		if err := g.unscaled(ctx, transA, transB, m, cols, k, 1, a, lda, b[j*right:], ldb, 0, g.unmultiplied[:m*cols], cols); err != nil {
			return err
		}
		for i := range m {
			sums, row := g.unmultiplied[i*cols:][:cols], c[i*ldc+j:][:cols]
			for l, sum := range sums {
				row[l] = float32(beta*row[l]) + float32(alpha*sum) // two products, on every machine
			}
		}
	}
	return nil
}

// multiply computes all blocks; the right operand is set.
func (g *Multiplier) multiply(ctx context.Context, transA bool, m, n, k int, a []float32, lda int, beta float32, c []float32, ldc int) error {
	defer func() { g.a, g.bm, g.c, g.packed, g.ctx = nil, nil, nil, nil, nil }()
	if m == 0 || n == 0 {
		return nil
	}
	if k == 0 || g.alpha == 0 {
		scale(m, n, beta, c, ldc)
		return nil
	}
	if n*k <= tiny {
		if g.packed != nil { // in one panel, of 16 columns
			g.transB, g.bm, g.ldb = false, g.packed.data, 16
		}
		plain(transA, g.transB, m, n, k, g.alpha, a, lda, g.bm, g.ldb, beta, c, ldc)
		for i := range m {
			g.finish(i, c[i*ldc:][:n], true, true)
		}
		return nil
	}
	if beta != 0 && beta != 1 {
		scale(m, n, beta, c, ldc)
	}
	ra, ca := dims(transA, m, k)
	lda, ldc = leading(ra, ca, lda), leading(m, n, ldc)
	g.m, g.n, g.k, g.beta, g.a, g.c, g.ldc = m, n, k, beta, a, c, ldc
	g.row, g.tap = lda, 1
	if transA {
		g.row, g.tap = 1, lda
	}
	g.kern = g.whole
	if g.way = g.choose(); g.way != stream {
		g.kern = g.whole.ForK(k)
	}
	if g.way == dots && g.tap != 1 {
		g.a, g.tap = g.gathered(1, a, g.tap, k), 1
	}
	g.reserve(m, n, k)
	g.left()
	for g.jc = 0; g.jc < n; g.jc += g.blocks.nc {
		g.nb = min(g.blocks.nc, n-g.jc)
		rows := g.divide()
		if g.way == stream || g.way == dots {
			if err := g.inPlaceAll(ctx, rows*g.groups); err != nil {
				return err
			}
			continue
		}
		for g.pc = 0; g.pc < k; g.pc += g.kstep {
			g.kb = min(g.kstep, k-g.pc)
			if err := g.inner(ctx, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// How items come by their part of B.
const (
	shared = iota // all of it is packed first, or was before
	apart         // each packs panels that no other one needs
	stream        // it is read where it is
	dots          // likewise, across: it is transposed
)

// spanCols is how many columns of B are packed at once, at most, where panels are narrow:
// lines of memory that follow one another are read faster. 32×4096×4096 with AVX2 runs at
// 63, 67 and 71 GFLOP/s by spans of 64, 128 and 1024.
const spanCols = 1024

// spans divides the panels from jc on into groups that are packed at once, of which each
// worker is to have two.
func (g *Multiplier) spans() int {
	g.span = g.spanMost()
	for w := g.team.Workers(); w > 1 && g.span > g.kern.NR && g.nb < 2*w*g.span; {
		g.span /= 2
	}
	return (g.nb + g.span - 1) / g.span
}

// spanMost returns the most columns that are packed at once.
func (g *Multiplier) spanMost() int {
	if g.kern.NR > 16 {
		return g.kern.NR
	}
	return spanCols
}

// choose says how items come by their part of B.
func (g *Multiplier) choose() int {
	switch {
	case g.packed != nil:
		return shared
	case g.inPlace():
		return stream
	case g.across():
		return dots
	case g.m <= g.blocks.mc: // a panel need not leave the worker's cache
		return apart
	}
	return shared
}

// divide splits the columns from jc on into items, and returns the number of
// blocks of rows.
func (g *Multiplier) divide() (rows int) {
	switch g.way {
	case stream:
		rows, g.groups = g.streams()
		g.mb = (g.m + rows - 1) / rows
		g.reserveSums()
	case dots:
		g.mb, g.groups = g.m, g.dotItems()
	default:
		rows, g.groups = (g.m+g.blocks.mc-1)/g.blocks.mc, g.panels()
		if g.way == apart {
			g.groups = g.spans()
		}
		g.mb = blockOf(g.m, rows, g.kern.MR)
	}
	return (g.m + g.mb - 1) / g.mb
}

// rowPad keeps copied rows of A out of each other's cache sets.
const rowPad = 16

// left chooses whether the elements of op(A) are read where they are or from copies of its
// rows. Where the kernel gains by it, see blockTable, Aᵀ is copied, whose rows lie across
// it, and rows that share the sets of a first-level cache, if there are columns enough to
// pay for it.
func (g *Multiplier) left() {
	step, columns := g.tap, 256
	if g.tap != 1 {
		columns = 64
	}
	packs := g.way == shared || g.way == apart
	g.copied = g.blocks.copies && packs && g.n >= columns && (g.tap != 1 || g.row%1024 == 0)
	if g.copied {
		step = 1
		for i := range g.work {
			grow(&g.work[i].a, (g.blocks.mc+15)/16*16*(g.kstep+rowPad))
		}
	}
	if g.offsets[1] != step {
		for i := range g.offsets {
			g.offsets[i] = i * step
		}
	}
}

// copyRows copies a block of op(A) that begins with x to rows of its own.
func (g *Multiplier) copyRows(w *multiplierScratch, rows int, x []float32) {
	ld := g.kb + rowPad
	if g.tap == 1 {
		pack.Rows(rows, g.kb, w.a, ld, x, g.row)
		return
	}
	for i := 0; i < rows; i += 16 {
		for k := 0; k < g.kb; k += transposed {
			n := min(transposed, g.kb-k)
			pack.Rows(n, min(16, rows-i), w.block[:], 16, x[i+k*g.tap:], g.tap)
			transpose.ToRows(w.a[i*ld+k:], w.block[:], ld, n) // rows beyond are not read
		}
	}
}

// inner adds the products of the inner elements from pc on.
func (g *Multiplier) inner(ctx context.Context, rows int) error {
	for i := range g.work {
		g.work[i].held = -1
	}
	switch {
	case g.packed != nil:
		g.right = g.packed.block(g.jc, g.pc, g.nb)
	case g.way == shared:
		if err := g.team.Run(ctx, g.spans(), g.pack); err != nil {
			return err
		}
	}
	return g.team.Run(ctx, rows*g.groups, g.block)
}

// blockOf splits m rows evenly, in whole groups of a kernel.
func blockOf(m, blocks, group int) int {
	return (m + blocks*group - 1) / (blocks * group) * group
}

// dims returns rows and columns of op⁻¹, as the matrix is stored.
func dims(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

// short reports whether x cannot hold a matrix.
func short(x []float32, rows, cols, ld int) bool {
	return !shape.Holds(len(x), rows, cols, ld)
}

// leading returns the leading dimension of a matrix of at least two rows, whose slice
// bounds it, or else the least: nothing is computed with that of a single row.
func leading(rows, cols, ld int) int {
	if rows < 2 {
		return max(1, cols)
	}
	return ld
}

func check(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	if m < 0 || n < 0 || k < 0 {
		panic("gemm: negative size")
	}
	rb, cb := dims(transB, k, n)
	switch {
	case ldb < max(1, cb):
		panic("gemm: leading dimension of B is too small")
	case short(b, rb, cb, ldb):
		panic("gemm: slice of B is too short")
	case overlap(c, b):
		panic("gemm: C overlaps A or B")
	}
	checkLeft(transA, m, n, k, a, lda, c, ldc)
}

// checkLeft checks A and C.
func checkLeft(transA bool, m, n, k int, a []float32, lda int, c []float32, ldc int) {
	ra, ca := dims(transA, m, k)
	switch {
	case m < 0 || n < 0 || k < 0:
		panic("gemm: negative size")
	case lda < max(1, ca):
		panic("gemm: leading dimension of A is too small")
	case ldc < max(1, n):
		panic("gemm: leading dimension of C is too small")
	case short(a, ra, ca, lda):
		panic("gemm: slice of A is too short")
	case short(c, m, n, ldc):
		panic("gemm: slice of C is too short")
	case overlap(c, a):
		panic("gemm: C overlaps A or B")
	}
}

// scale sets C = beta·C, and does not read C for 0.
func scale(m, n int, beta float32, c []float32, ldc int) {
	if beta == 1 {
		return
	}
	for i := range m {
		row := c[i*ldc:][:n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}

// reserve makes room for the packed operands.
func (g *Multiplier) reserve(m, n, k int) {
	g.kstep = g.blocks.inner(k)
	g.parts = 1
	panel, left := min(g.spanMost(), (n+15)/16*16)*g.kstep, 0
	switch g.way {
	case shared:
		panel = 0
		if g.packed == nil {
			grow(&g.b, (min(n, g.blocks.nc)+15)/16*16*g.kstep)
		}
		g.right = g.b
	case dots:
		panel = 0
		for i := range g.work {
			grow(&g.work[i].sums, 16)
		}
	case stream:
		panel = g.kern.MaxNR() * g.kstep
		left = m * (g.reading().deep + rowPad)
		if g.parts = g.inners(k); g.parts > 1 {
			grow(&g.sums, g.parts*g.partialLen())
		}
	}
	for i := range g.work {
		w := &g.work[i]
		grow(&w.b, panel)
		grow(&w.a, left)
		grow(&w.tile, min(m, g.blocks.mc)*g.kern.NR)
	}
}

// grow makes sure that x has n elements.
func grow(x *[]float32, n int) {
	if len(*x) < n {
		*x = layout.Alloc(n)
	}
}

func (g *Multiplier) panels() int { return (g.nb + g.kern.NR - 1) / g.kern.NR }

// width returns the columns of a panel, of which those beyond nb are zeros.
func (g *Multiplier) width(panel int) int {
	return min(g.kern.NR, (g.nb-panel*g.kern.NR+15)/16*16)
}

func (g *Multiplier) panel(p int) []float32 {
	return g.right[p*g.kern.NR*g.kb:][:g.kb*g.width(p)]
}

// packSpan packs panels of the shared ones.
func (g *Multiplier) packSpan(worker, span int) {
	g.packTo(&g.work[worker], g.right[span*g.span*g.kb:], span)
}

// packTo copies ±op(B) to the panels of a span, one behind the other.
func (g *Multiplier) packTo(w *multiplierScratch, out []float32, span int) {
	j, end := span*g.span, min((span+1)*g.span, (g.nb+15)/16*16)
	if whole := (min(end, g.nb) - j) / 16; !g.transB && g.kern.NR == 16 {
		pack.Panels(g.kb, whole, out, g.bm[g.pc*g.ldb+g.jc+j:], g.ldb)
		j += whole * 16
	}
	for p := j / g.kern.NR; p*g.kern.NR < end; p++ {
		at := (p*g.kern.NR - span*g.span) * g.kb
		g.packPanel(w, out[at:][:g.kb*g.width(p)], p)
	}
	if g.alpha != 1 {
		out = out[:(end-span*g.span)*g.kb]
		for i := range out {
			out[i] *= g.alpha
		}
	}
}

// packPanel copies op(B) to one panel.
func (g *Multiplier) packPanel(w *multiplierScratch, out []float32, p int) {
	width := g.width(p)
	j := g.jc + p*g.kern.NR
	if valid := min(width, g.n-j); g.transB {
		g.packTransposed(w, out, width, g.bm[j*g.ldb+g.pc:], valid)
	} else {
		pack.Rows(g.kb, valid, out, width, g.bm[g.pc*g.ldb+j:], g.ldb)
		if valid < width {
			for i := range g.kb {
				clear(out[i*width+valid:][:width-valid])
			}
		}
	}
}

// transposed is how many rows of a panel are transposed at a time, 16 columns of
// them: they stay in the first-level cache.
const transposed = 128

// packTransposed copies the transpose of rows of b to a panel, as columns.
func (g *Multiplier) packTransposed(w *multiplierScratch, out []float32, width int, b []float32, columns int) {
	for i := 0; i < g.kb; i += transposed {
		n := min(transposed, g.kb-i)
		for j := 0; j < width; j += 16 {
			block := w.block[:n*16]
			if width == 16 {
				block = out[i*16:][:n*16]
			}
			if columns-j >= 16 {
				transpose.FromRows(block, b[j*g.ldb+i:], g.ldb, n)
			} else {
				clear(block)
				for l := range max(columns-j, 0) {
					for r, v := range b[(j+l)*g.ldb+i:][:n] {
						block[r*16+l] = v
					}
				}
			}
			if width > 16 {
				pack.Rows(n, 16, out[i*width+j:], width, block, 16)
			}
		}
	}
}

// place returns the first row and the panel of an item, and the end of the panels
// that go with the same rows. Where there are panels enough, each worker has panels
// of its own, those that it has packed: reading what another core has written takes
// longer than reading A twice.
func (g *Multiplier) place(item int) (ic, p, from, end int) {
	blocks, parts := (g.m+g.mb-1)/g.mb, 1
	if w := g.team.Workers(); g.groups >= 2*w {
		parts = w
	}
	for i := range parts {
		end = (i + 1) * g.groups / parts
		if item < blocks*end {
			break
		}
		from = end
	}
	item -= blocks * from
	return item / (end - from) * g.mb, from + item%(end-from), from, end
}

// blockItem computes one block of rows for one panel, or for those that it packs.
func (g *Multiplier) blockItem(worker, item int) {
	ic, p, from, end := g.place(item)
	w := &g.work[worker]
	if g.way != apart {
		o := g.operands(w, ic, p == from)
		o.B = g.panel(p)
		if p+1 < end && 2*g.width(p) <= g.mb { // the next panel has room beside this one and A
			o.PrefetchB[0] = len(o.B)
		}
		g.panelItem(w, o, ic, p)
		return
	}
	g.packTo(w, w.b, p)
	o := g.operands(w, ic, p == from)
	per := g.span / g.kern.NR
	for at, i := w.b, p*per; i < min((p+1)*per, g.panels()); i++ {
		n := g.kb * g.width(i)
		o.B, at = at[:n], at[n:]
		g.panelItem(w, o, ic, i)
		o.PrefetchA = 0
	}
}

// operands returns those of a block of rows, without U and Out.
func (g *Multiplier) operands(w *multiplierScratch, ic int, first bool) ukernel.IndirectArgs {
	o := ukernel.IndirectArgs{A: g.a[ic*g.row+g.pc*g.tap:], AStep: g.row, Offsets: g.offsets[:g.kb], Contiguous: g.offsets[1] == 1, LDC: g.ldc, CBlock: 16, Bias: zeros[:]}
	if g.relu && g.last() {
		o.Mode |= ukernel.ModeReLU
	}
	if first { // of the panels that meet these rows of A
		o.PrefetchA = g.kern.MR * g.row
	}
	if g.copied {
		o.AStep = g.kb + rowPad
		if w.held != ic {
			g.copyRows(w, min(g.mb, g.m-ic), o.A)
			w.held = ic
		}
		o.A, o.PrefetchA = w.a, 0
	}
	return o
}

// panelItem computes one block of rows for one panel.
func (g *Multiplier) panelItem(w *multiplierScratch, o ukernel.IndirectArgs, ic, p int) {
	rows, width, j := min(g.mb, g.m-ic), g.width(p), g.jc+p*g.kern.NR
	if g.pc > 0 || g.beta != 0 {
		o.Mode |= ukernel.ModeAddC
	} else if g.bias != nil {
		o.Mode |= ukernel.ModeAddC
		g.start(ic, rows, j, min(width, g.n-j))
	}
	if j+width > g.n {
		g.edge(w, o, rows, width, ic, j)
		return
	}
	o.C = g.c[ic*g.ldc+j:]
	g.kern.RunM(rows, width, &o)
}

// last reports whether no inner elements are left.
func (g *Multiplier) last() bool { return g.pc+g.kb == g.k }

// start sets part of C to the bias of its rows.
func (g *Multiplier) start(ic, rows, j, cols int) {
	for i := range rows {
		row, b := g.c[(ic+i)*g.ldc+j:][:cols], g.bias[ic+i]
		for l := range row {
			row[l] = b
		}
	}
}

// finish adds the bias, after the first inner block, to a part of row i of C, and
// applies the ReLU after the last.
func (g *Multiplier) finish(i int, row []float32, first, last bool) {
	if first && g.bias != nil {
		for l := range row {
			row[l] += g.bias[i]
		}
	}
	if last && g.relu {
		activation.ReLU(row)
	}
}

// edge computes a panel that reaches over the last column.
func (g *Multiplier) edge(w *multiplierScratch, o ukernel.IndirectArgs, rows, width, ic, j int) {
	o.C, o.LDC = w.tile, width
	if o.Mode&ukernel.ModeAddC != 0 {
		for i := range rows {
			copy(w.tile[i*width:], g.c[(ic+i)*g.ldc+j:][:g.n-j])
		}
	}
	g.kern.RunM(rows, width, &o)
	for i := range rows {
		copy(g.c[(ic+i)*g.ldc+j:][:g.n-j], w.tile[i*width:])
	}
}
