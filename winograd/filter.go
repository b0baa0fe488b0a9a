package winograd

import (
	"context"
	"unsafe"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/transpose"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// ErrShape is wrapped by errors about sizes that do not fit. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err

// maxAlpha is the largest side of a transformed tile.
const maxAlpha = 6

// Filter holds the transformed filters of one layer, packed for the kernels of
// this machine. It is immutable and may be shared.
type Filter struct {
	m, alpha int
	c, k     int // input and output channels
	cBlocks  int
	rows     int // of U for each ξ: c, padded with zeros
	rotated  bool
	mr, nr   int // tiles and outputs of the micro-kernel
	kern     *ukernel.Blocked
	tr       *transforms
	u        []float32    // [panel][ξ][rows][width]
	fixed    *fixedFilter // instead of kern, tr and u
}

// NewFilter transforms filters for F(m×m,3×3), m = 2 or 4. oihw holds them as
// [k][c][3][3] and is not kept. The transform G·g·Gᵀ is computed in float64 and
// rounded once. The workers of team, which may be nil, share the work. Errors wrap
// ErrShape.
func NewFilter(m, c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	return newFilter(ukernel.BestBlocked(), bestTransforms(m), m, c, k, false, oihw, team)
}

// NewInputGradFilter transforms the filters of a convolution of c to k channels for the
// gradient with respect to its input. That gradient is itself a convolution, of the k
// channels of dY to the c of dX, with the filters turned by 180° and padding 2−p for a
// padding of p. Errors wrap ErrShape.
func NewInputGradFilter(m, c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	return newFilter(ukernel.BestBlocked(), bestTransforms(m), m, k, c, true, oihw, team)
}

// channelSteps returns c padded to steps of the micro-kernel.
func channelSteps(c, step int) int { return (c + step - 1) / step * step }

// Repack replaces the filters by others of the same shape. Only the sole owner of a filter
// may do that: training, after each step. Errors wrap ErrShape.
func (f *Filter) Repack(oihw []float32, team *parallel.Team) error {
	if len(oihw) != f.k*f.c*9 {
		return shape.Errorf("winograd: %d filter elements, want %d×%d×3×3", len(oihw), f.k, f.c)
	}
	if f.fixed != nil {
		return f.repackFixed(oihw, team)
	}
	return team.Run(context.Background(), f.panels()*f.cBlocks, func(_, item int) {
		f.pack(item/f.cBlocks, item%f.cBlocks, oihw)
	})
}

func newFilter(kern *ukernel.Blocked, tr *transforms, m, c, k int, rotated bool, oihw []float32, team *parallel.Team) (*Filter, error) {
	if tr == nil {
		return nil, shape.Errorf("winograd: F(%d×%d,3×3), want m of 2 or 4", m, m)
	}
	if err := checkFilters(c, k, oihw); err != nil {
		return nil, err
	}
	f := &Filter{m: m, alpha: m + bilinear.R - 1, c: c, k: k, cBlocks: layout.Blocks(c), rows: channelSteps(c, ukernel.ChannelStep), rotated: rotated, mr: kern.MR, nr: kern.NR, kern: kern, tr: tr}
	n, err := f.elements()
	if err != nil {
		return nil, err
	}
	f.u = layout.Alloc(n)
	// The error is a context's, and this one never ends.
	_ = f.Repack(oihw, team)
	return f, nil
}

// checkFilters checks the sizes of filters [k][c][3][3].
func checkFilters(c, k int, oihw []float32) error {
	if c < 1 || k < 1 || len(oihw) != shape.Product(k, c, 9) {
		return shape.Errorf("winograd: %d filter elements, want %d×%d×3×3", len(oihw), k, c)
	}
	return nil
}

// elements returns the number of elements of U.
func (f *Filter) elements() (int, error) {
	n := layout.BatchLen(f.alpha*f.alpha, f.k, f.rows, 1)
	if n == shape.TooMany {
		return 0, shape.Errorf("winograd: %d×%d filters", f.k, f.c)
	}
	return n, nil
}

// Bytes returns the memory that the filter takes.
func (f *Filter) Bytes() int64 {
	if f.fixed != nil {
		return 2*int64(len(f.fixed.u)) + 4*int64(len(f.fixed.scale))
	}
	return 4 * int64(len(f.u))
}

// panels returns the number of panels of outputs.
func (f *Filter) panels() int { return (f.outputs() + f.nr - 1) / f.nr }

// outputs returns the number of output channels, padded to blocks.
func (f *Filter) outputs() int { return layout.Blocks(f.k) * 16 }

// width returns the number of output channels in a panel.
func (f *Filter) width(panel int) int { return min(f.nr, f.outputs()-panel*f.nr) }

// A span is a part of U.
type span struct{ first, n int }

// panel returns where the packed filters of a panel and element ξ are: [rows][width].
func (f *Filter) panel(panel, xi int) span {
	n := f.rows * f.width(panel)
	return span{panel*f.nr*f.alpha*f.alpha*f.rows + xi*n, n}
}

// pack transforms the filters of 16 input channels to one panel, 16 outputs at a
// time.
func (f *Filter) pack(panel, cBlock int, oihw []float32) {
	width := f.width(panel)
	size := f.rows * width // of one ξ
	u := f.u[f.panel(panel, 0).first:]
	var taps filterTaps
	c0 := cBlock * 16
	channels := min(16, f.c-c0)
	for b := 0; b < width; b += 16 {
		k0 := panel*f.nr + b
		outputs := min(16, f.k-k0)
		if outputs < 16 {
			clear(taps[:])
		}
		if f.rotated {
			taps.gatherRotated(oihw[(c0*f.k+k0)*9:], channels, outputs, f.k*9)
		} else {
			taps.gather(oihw[(k0*f.c+c0)*9:], channels, outputs, f.c*9)
		}
		for c := range channels {
			f.tr.filter(&u[(c0+c)*width+b], size, &taps[c][0][0])
		}
	}
}

// filterTaps are filters of 16 input and 16 output channels, [c][3·3][k].
type filterTaps [16][9][16]float32

// gather copies filters [k][c][9], whose k are row floats apart.
func (t *filterTaps) gather(oihw []float32, channels, outputs, row int) {
	if channels == 16 && outputs == 16 {
		transpose.FromRows(t.flat(), oihw, row, 16*9)
		return
	}
	for k := range outputs {
		w := oihw[k*row:][:channels*9]
		for c := range channels {
			for tap, v := range w[c*9:][:9] {
				t[c][tap][k] = v
			}
		}
	}
}

// scatter copies to filters [k][c][9], whose k are row floats apart.
func (t *filterTaps) scatter(oihw []float32, channels, outputs, row int) {
	if channels == 16 && outputs == 16 {
		transpose.ToRows(oihw, t.flat(), row, 16*9)
		return
	}
	for k := range outputs {
		w := oihw[k*row:][:channels*9]
		for c := range channels {
			for tap := range 9 {
				w[c*9+tap] = t[c][tap][k]
			}
		}
	}
}

// gatherRotated copies filters [c][k][9], whose c are row floats apart, and turns
// them by 180°.
func (t *filterTaps) gatherRotated(oihw []float32, channels, outputs, row int) {
	var taps [9][16]float32
	for c := range channels {
		w := oihw[c*row:][:outputs*9]
		if outputs == 16 {
			transpose.FromRows(unsafe.Slice(&taps[0][0], 9*16), w, 9, 9)
		} else {
			for k := range outputs {
				for tap, v := range w[k*9:][:9] {
					taps[tap][k] = v
				}
			}
		}
		for tap := range taps {
			t[c][8-tap] = taps[tap]
		}
	}
}

func (t *filterTaps) flat() []float32 { return unsafe.Slice(&t[0][0][0], len(t)*9*16) }
