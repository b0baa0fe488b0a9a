package gemm

import (
	"fmt"
	"strings"

	"github.com/nonet-go/nonet/internal/ukernel"
)

// A variant is a way to compute a product. Each has a file.
type variant uint8

const (
	scaleOnly variant = iota // k or alpha is 0: C = beta·C
	small                    // a loop in float64
	axpyfRow                 // gemv: one row of A, B by rows
	dotxfRow                 // gemv: one row of A, B by columns
	unpackedB                // few rows of A: B is read where it is
	packedB                  // the macro-kernel over packed panels of B
)

func (v variant) String() string {
	return [...]string{
		scaleOnly: "scale C", small: "small", axpyfRow: "gemv by axpyf", dotxfRow: "gemv by dotxf", unpackedB: "unpacked", packedB: "packed",
	}[v]
}

// packing says who packs B.
type packing uint8

const (
	packNone   packing = iota // B is read where it is
	packBefore                // Multiplier.Pack did
	packShared                // all workers together pack KC×NC of it, and all read that
	packOwn                   // each worker packs the panels that it multiplies
)

func (p packing) String() string {
	return [...]string{packNone: "no", packBefore: "before", packShared: "shared", packOwn: "by each worker"}[p]
}

// A plan says how a problem is computed. It is made by choosePlan and changed by no one.
type plan struct {
	variant variant
	kernel  *ukernel.Indirect
	workers int

	mr, nr     int     // rows and columns of a micro-tile
	mc, kc, nc int     // rows, inner elements and columns of a block: the steps of ic, pc and jc
	packA      bool    // whether a block of A is packed
	packB      packing // who packs B

	// Axpyf and unpacked: all rows of A meet kcB×ncB of B before the next.
	kcB, ncB int
	// Blocks of KC that the workers compute at once. Their sums are added in their order.
	pcWays int
}

// choosePlan chooses how a problem is computed by a kernel, or another one of its
// instruction set, on some workers.
func choosePlan(p *problem, kern *ukernel.Indirect, workers int) plan {
	b := blocksOf(kern)
	pl := plan{variant: chooseVariant(p, b), kernel: kern, workers: workers, pcWays: 1, kc: b.chain(max(1, p.k)), nc: b.nc}
	switch pl.variant {
	case axpyfRow:
		pl.mr, pl.mc, pl.nr = 1, 1, 16
		pl.kcB, pl.ncB = pl.kc, pl.nc
		pl.pcWays = pl.choosePCWays(p)
	case dotxfRow:
		pl.mr, pl.mc, pl.nr = 1, 1, dotxfColumns
	case unpackedB:
		pl.pcWays = pl.choosePCWays(p)
		pl.chooseUnpacked(p, b)
	case packedB:
		pl.choosePacked(p, b)
	}
	return pl
}

func chooseVariant(p *problem, b *blocks) variant {
	inPlace := p.packed == nil && b.unpacked.maxM > 0
	switch {
	case p.k == 0 || p.alpha == 0:
		return scaleOnly
	case p.isSmall():
		return small
	case inPlace && p.m == 1 && p.b.cs == 1:
		return axpyfRow
	case inPlace && p.m == 1:
		return dotxfRow
	case inPlace && p.b.cs == 1 && p.alpha == 1 && p.m <= b.unpackedFor(p).maxM:
		return unpackedB
	}
	return packedB
}

// choosePacked sets the blocks of the macro-kernel. A small m leaves a panel in the cache
// of the worker that packed it.
func (pl *plan) choosePacked(p *problem, b *blocks) {
	pl.kernel = pl.kernel.ForK(p.k)
	pl.mr, pl.nr = pl.kernel.MR, pl.kernel.NR
	pl.mc = ceilDiv(p.m, ceilDiv(p.m, b.mc)*pl.mr) * pl.mr
	switch {
	case p.packed != nil:
		pl.packB = packBefore
	case p.m <= b.mc:
		pl.packB = packOwn
	default:
		pl.packB = packShared
	}
	columns := 256 // that pay for packing A
	if p.a.cs != 1 {
		columns = 64
	}
	pl.packA = b.packA && p.n >= columns && (p.a.cs != 1 || p.a.rs%setStride == 0)
}

// chooseUnpacked sets the blocks for few rows of A.
func (pl *plan) chooseUnpacked(p *problem, b *blocks) {
	pl.mc = p.m
	if most := p.m / (4 * pl.kernel.MR); pl.workers > 1 && pl.pcWays == 1 && most >= pl.workers { // rows enough to share
		pl.mc = ceilDiv(p.m, min(2*pl.workers, most/pl.workers*pl.workers))
	}
	pl.mr, pl.nr = unpackedTile(pl.kernel, pl.mc)
	pl.kcB, pl.ncB = evenly(pl.kc, b.kcUnpacked(p)), pl.nc
	if p.m > memoryBoundM {
		pl.ncB = b.unpackedFor(p).nc
	}
	pl.packA = p.m > memoryBoundM && p.a.rs%setStride == 0
}

// choosePCWays returns how many blocks of KC are computed at once: 1, or all. If memory
// bounds the product, each worker reads whole rows of B, which is faster than parts of rows
// (docs/tuning.md, 10).
func (pl *plan) choosePCWays(p *problem) int {
	parts := ceilDiv(p.k, pl.kc)
	if pl.workers == 1 || p.m > memoryBoundM || p.n > pl.nc || parts%pl.workers != 0 && parts < 8*pl.workers {
		return 1
	}
	return parts
}

// A grid is how the rows and columns of a block of C are cut into work items.
type grid struct{ rows, cols int }

// grid returns the items of m rows and nb columns.
func (pl *plan) grid(m, nb int) grid {
	switch pl.variant {
	case packedB:
		if pl.packB == packOwn {
			return grid{ceilDiv(m, pl.mc), ceilDiv(nb, pl.packColumns(nb))}
		}
		return grid{ceilDiv(m, pl.mc), ceilDiv(nb, pl.nr)}
	case dotxfRow:
		items := 1
		if pl.workers > 1 {
			items = 4 * pl.workers
		}
		return grid{1, min(items, ceilDiv(nb, dotxfColumns))}
	}
	return pl.strips(m, nb)
}

// strips is grid for axpyf and unpacked. A strip has at most sumsLen sums, so that they stay
// in the cache.
func (pl *plan) strips(m, nb int) grid {
	const sumsLen = 1 << 16
	rows, panels := ceilDiv(m, pl.mc), ceilDiv(nb, pl.kernel.NR)
	cols := ceilDiv(m*nb, sumsLen*rows)
	switch {
	case pl.pcWays > 1:
		return grid{1, 1}
	case rows == 1 && pl.workers > 1 && m <= 16: // memory is the limit: long parts of rows are read faster
		cols = max(cols, pl.workers)
	case rows == 1 && pl.workers > 1:
		cols = max(cols, 2*pl.workers)
	}
	return grid{rows, min(cols, panels)}
}

// packSpan is the most columns of B that one item packs, if panels are narrow: consecutive
// lines of memory are read faster (docs/tuning.md, 7).
const packSpan = 1024

// packColumns returns how many of nb columns one item packs. Each worker gets two items or
// more, if the panels are enough.
func (pl *plan) packColumns(nb int) int {
	cols := packSpan
	if pl.nr > 16 {
		cols = pl.nr
	}
	for w := pl.workers; w > 1 && cols > pl.nr && nb < 2*w*cols; {
		cols /= 2
	}
	return cols
}

// String tells the variant, its kernel and its blocks, in BLIS's words.
func (pl plan) String() string {
	if pl.variant == scaleOnly || pl.variant == small {
		return pl.variant.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v, %s: MR %d, NR %d, MC %d, KC %d, NC %d", pl.variant, pl.kernel.Name, pl.mr, pl.nr, pl.mc, pl.kc, pl.nc)
	if pl.variant == unpackedB {
		fmt.Fprintf(&b, "; %d×%d of B at a time", pl.kcB, pl.ncB)
	}
	if pl.packA {
		b.WriteString("; packA")
	}
	if pl.packB != packNone {
		fmt.Fprintf(&b, "; packB %v", pl.packB)
	}
	if pl.pcWays > 1 {
		fmt.Fprintf(&b, "; %d blocks of KC at once", pl.pcWays)
	}
	return b.String()
}
