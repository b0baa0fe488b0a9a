package conv3x3

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// directFilter holds filters without a transform, in panels: [panel][c][3][3][width].
type directFilter struct {
	kern *ukernel.Indirect
	c, k int
	u    []float32
}

func newDirectFilter(kern *ukernel.Indirect, c, k int) *directFilter {
	return &directFilter{kern: kern, c: c, k: k, u: layout.Alloc(9 * c * layout.Blocks(k) * 16)}
}

// pack copies filters [k][c][3][3] or, turned by 180°, [c][k][3][3].
func (f *directFilter) pack(oihw []float32, turned bool) {
	for out := range f.k {
		p := out / f.kern.NR
		u, width := f.panel(p), f.width(p)
		for t := range 9 * f.c {
			w := oihw[out*9*f.c+t]
			if turned {
				w = oihw[(t/9*f.k+out)*9+8-t%9]
			}
			u[t*width+out%f.kern.NR] = w
		}
	}
}

// unpack is the inverse of pack.
func (f *directFilter) unpack(oihw []float32, turned bool) {
	for out := range f.k {
		p := out / f.kern.NR
		u, width := f.panel(p), f.width(p)
		for t := range 9 * f.c {
			to := out*9*f.c + t
			if turned {
				to = (t/9*f.k+out)*9 + 8 - t%9
			}
			oihw[to] = u[t*width+out%f.kern.NR]
		}
	}
}

func (f *directFilter) panels() int { return (f.outputs() + f.kern.NR - 1) / f.kern.NR }

// outputs returns the number of output channels, padded to blocks.
func (f *directFilter) outputs() int { return layout.Blocks(f.k) * 16 }

func (f *directFilter) width(panel int) int { return min(f.kern.NR, f.outputs()-panel*f.kern.NR) }

func (f *directFilter) panel(p int) []float32 {
	return f.u[p*f.kern.NR*9*f.c:][:9*f.c*f.width(p)]
}

// directConv computes one row of one picture an item. It copies the three rows that it needs
// to a patch, with the padding in place. So the kernel sees no edges.
type directConv struct {
	f                      *directFilter
	n, h, w, pad, oh, ow   int
	stride                 int
	planar                 bool // src is NCHW
	relu                   bool
	bias                   []float32
	offsets                []int // of the taps in a patch
	rowLen, planes, patchN int   // the patch is [planes][3][rowLen]
	step                   int   // from pixel to pixel
	team                   *parallel.Team
	scratch                []float32
	item                   func(worker, item int)
	operands
}

// patch sets the geometry of the patch.
func (d *directConv) patch() {
	d.step, d.planes = layout.Block, layout.Blocks(d.f.c)
	if d.planar {
		d.step, d.planes = 1, d.f.c
	}
	d.rowLen = (d.w + 2*d.pad) * d.step
	d.patchN = (d.planes*3*d.rowLen + 15) / 16 * 16
}

func (d *directConv) scratchLen(workers int) int { return shape.Product(workers, d.patchN) }

// bind prepares d for its runs.
func (d *directConv) bind(team *parallel.Team, scratch, bias []float32) error {
	if need := d.scratchLen(team.Workers()); len(scratch) < need {
		return shape.Errorf("conv3x3: %d floats of scratch, want %d", len(scratch), need)
	}
	d.team, d.scratch, d.item = team, scratch, d.row
	d.bias = make([]float32, d.f.outputs())
	copy(d.bias, bias)
	for c := range d.f.c {
		plane, lane := c, 0
		if !d.planar {
			plane, lane = c/layout.Block, c%layout.Block
		}
		for i := range 3 {
			for j := range 3 {
				d.offsets = append(d.offsets, (plane*3+i)*d.rowLen+j*d.step+lane)
			}
		}
	}
	return nil
}

func (d *directConv) setBias(bias []float32) error { return setBias(d.bias, bias, d.f.k) }

func (d *directConv) srcLen() int {
	if d.planar {
		return d.n * d.f.c * d.h * d.w
	}
	return d.n * layout.Len(d.f.c, d.h, d.w)
}

func (d *directConv) run(ctx context.Context, o operands) error {
	d.operands = o
	err := d.team.Run(ctx, d.n*d.oh, d.item)
	d.operands = operands{}
	return err
}

// row computes one row of outputs of one picture.
func (d *directConv) row(worker, item int) {
	picture, y := item/d.oh, item%d.oh
	patch := d.scratch[worker*d.patchN:][:d.patchN]
	line := d.w * d.step
	for p := range d.planes {
		src := d.src[(picture*d.planes+p)*d.h*line:][:d.h*line]
		for i := range 3 {
			to := patch[(p*3+i)*d.rowLen:][:d.rowLen]
			edge := d.pad * d.step
			clear(to[:edge])
			clear(to[edge+line:])
			if from := y*d.stride + i - d.pad; from >= 0 && from < d.h {
				copy(to[edge:], src[from*line:][:line])
			} else {
				clear(to[edge:][:line])
			}
		}
	}
	plane := d.oh * d.ow * 16
	kb := d.f.kern.NR
	o := ukernel.IndirectArgs{Offsets: d.offsets, A: patch, AStep: d.step * d.stride, LDC: 16, CBlock: plane}
	if d.relu && d.residual == nil {
		o.Mode = ukernel.ModeReLU
	}
	for p := range d.f.panels() {
		o.B, o.Bias = d.f.panel(p), d.bias[p*kb:]
		o.C = d.dst[(picture*layout.Blocks(d.f.k)+p*kb/16)*plane+y*d.ow*16:]
		d.f.kern.RunM(d.ow, d.f.width(p), &o)
	}
	if d.mask == nil && d.residual == nil {
		return
	}
	for b := range layout.Blocks(d.f.k) {
		at := (picture*layout.Blocks(d.f.k)+b)*plane + y*d.ow*16
		d.finish(at, at+d.ow*16)
	}
}

// finish adds the residual to a part of the result, or masks it.
func (d *directConv) finish(at, end int) {
	dst := d.dst[at:end]
	if d.residual != nil {
		activation.Add(dst, d.residual[at:end])
		if d.relu {
			activation.ReLU(dst)
		}
	}
	if d.mask != nil {
		activation.ReLUGrad(dst, d.mask[at:end])
	}
}
