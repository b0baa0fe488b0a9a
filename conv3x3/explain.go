package conv3x3

import (
	"fmt"

	"github.com/nonet-go/nonet/internal/describe"
	"github.com/nonet-go/nonet/internal/ukernel"
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
	kern, panels := f.directKernel()
	l.Add("algorithm", "%s, a product of %d×%d×%d (m×n×k) for each row of outputs", f.Algorithm(), ow, f.k, 9*f.c)
	l.Add("kernel", "%s", kern.Symbol(min(kern.MR, ow), min(kern.NR, 16*((f.k+15)/16))))
	l.Add("tile", "MR %d, NR %d", kern.MR, kern.NR)
	l.Add("blocks", "MC %d, KC %d", ow, 9*f.c)
	l.Add("loops", "ic (rows of outputs), jr (%d panels)", panels)
	l.Add("items", "%s", f.directItems(s, oh, ow, workers))
	return l.String(), nil
}

// directItems tells the work items of a direct algorithm.
func (f *Filter) directItems(s Spec, oh, ow, workers int) string {
	if f.strided == nil {
		return fmt.Sprintf("%d rows", s.N*oh)
	}
	d := newStridedConv(f.strided, s, oh, ow)
	d.divide(max(workers, 1))
	return fmt.Sprintf("%d: %d runs of rows by %d groups of the %d panels", d.items, d.items/d.groups, d.groups, f.strided.panels())
}

// directKernel returns the micro-kernel of a direct algorithm, and its panels of outputs.
func (f *Filter) directKernel() (kern *ukernel.Indirect, panels int) {
	if f.strided != nil {
		return f.strided.kern, f.strided.panels()
	}
	return f.direct.kern, f.direct.panels()
}
