package conv3x3

import (
	"fmt"

	"github.com/nonet-go/nonet/internal/describe"
)

// Plan tells how an Exec of f on a team of workers computes s: the algorithm, the symbols of
// its kernels, and its blocks in BLIS's words, a line each. It is for people to read and may
// change. Errors wrap ErrShape.
func (f *Filter) Plan(s Spec, workers int) (string, error) {
	oh, ow, err := f.check(s)
	if err != nil {
		return "", err
	}
	if f.wino != nil {
		c, err := f.wino.NewConv(s.N, s.H, s.W, s.Pad, f.bias, s.Epilogue)
		if err != nil {
			return "", err
		}
		return c.Plan(workers), nil
	}
	var l describe.Lines
	kern, mr, nr, panels := f.directKernel()
	l.Add("algorithm", "%s, a product of %d×%d×%d (m×n×k) for each row of outputs", f.Algorithm(), ow, f.k, 9*f.c)
	l.Add("kernel", "%s", kern.Symbol(min(mr, ow), min(nr, 16*((f.k+15)/16))))
	l.Add("tile", "MR %d, NR %d", mr, nr)
	l.Add("blocks", "MC %d, KC %d", ow, 9*f.c)
	l.Add("loops", "ic (rows of outputs), jr (%d panels)", panels)
	l.Add("items", "%s", f.directItems(s, oh, ow, workers))
	return l.String(), nil
}

// directItems tells the work items of a direct algorithm.
func (f *Filter) directItems(s Spec, oh, ow, workers int) string {
	items, groups, panels := 0, 0, 0
	switch {
	case f.fixed != nil:
		d := newStridedFixedConv(f.fixed, s, oh, ow)
		d.divide(max(workers, 1))
		items, groups, panels = d.items, d.groups, f.fixed.panels()
	case f.strided != nil:
		d := newStridedConv(f.strided, s, oh, ow)
		d.divide(max(workers, 1))
		items, groups, panels = d.items, d.groups, f.strided.panels()
	default:
		return fmt.Sprintf("%d rows", s.N*oh)
	}
	return fmt.Sprintf("%d: %d runs of rows by %d groups of the %d panels", items, items/groups, groups, panels)
}

// directKernel returns the micro-kernel of a direct algorithm, its tile, and the panels of outputs.
func (f *Filter) directKernel() (kern interface{ Symbol(mr, nr int) string }, mr, nr, panels int) {
	switch {
	case f.fixed != nil:
		return f.fixed.kern, f.fixed.kern.MR, f.fixed.kern.NR, f.fixed.panels()
	case f.strided != nil:
		return f.strided.kern, f.strided.kern.MR, f.strided.kern.NR, f.strided.panels()
	}
	return f.direct.kern, f.direct.kern.MR, f.direct.kern.NR, f.direct.panels()
}
