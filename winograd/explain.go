package winograd

import "github.com/nonet-go/nonet/internal/describe"

// Plan tells how a number of workers compute c: the symbols of their kernels and their
// blocks, a line each. M is the number of tiles, N of outputs, K of input channels. It is for
// people to read and may change.
func (c *Conv) Plan(workers int) string {
	f, m, loops := c.f, c.f.m, c.loops(max(workers, 1))
	groups := split(loops.block, f.mr)
	mr, nr := groups[0].tiles, f.width(0)
	var l describe.Lines
	l.Add("algorithm", "F(%d×%d,3×3), %d products of %d×%d×%d (m×n×k)", m, m, f.alpha*f.alpha, c.tiles, f.k, f.c)
	output := outputIndex(c.epilogue)
	if x := f.fixed; x != nil {
		l.Add("transforms", "%s, %s, %s", describe.Symbol(x.tr.extremes), describe.Symbol(x.tr.input), describe.Symbol(x.tr.output[output]))
		l.Add("kernel", "%s", x.kern.Symbol(mr, nr))
	} else {
		l.Add("transforms", "%s, %s", describe.Symbol(f.tr.input), describe.Symbol(f.tr.output[output]))
		l.Add("kernel", "%s", f.kern.Symbol(mr, nr))
	}
	l.Add("tile", "MR %d, NR %d", mr, nr)
	l.Add("blocks", "MC %d, KC %d", loops.block, f.rows)
	l.Add("loops", "%s", loops.order())
	l.Add("items", "%d: %d blocks by %d groups of the %d panels", loops.items(), loops.blocks, loops.groups, f.panels())
	return l.String()
}
