package winograd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/product"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// ErrShape is wrapped by errors about sizes that do not fit.
var ErrShape = errors.New("wrong shape")

// maxAlpha is the largest side of a transformed tile.
const maxAlpha = 6

// Filter holds the transformed filters of one layer, packed for the kernels of
// this machine. It is immutable and may be shared.
type Filter struct {
	m, alpha int
	c, k     int // input and output channels
	cBlocks  int
	rotated  bool
	kern     *product.Kernel
	tr       *transforms
	u        []float32 // [panel][ξ][cBlocks*16][width]
}

// NewFilter transforms filters for F(m×m,3×3), m = 2 or 4. oihw holds them as
// [k][c][3][3] and is not kept. The transform G·g·Gᵀ is computed in float64 and
// rounded once. The workers of team, which may be nil, share the work.
func NewFilter(m, c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	return newFilter(product.Best(), bestTransforms(m), m, c, k, false, oihw, team)
}

// NewInputGradFilter transforms the same filters for the gradient with respect
// to the input, which is a convolution itself: of the k channels of dY to the c
// of dX, with the filters turned by 180° and, for a padding of p, 2−p.
func NewInputGradFilter(m, c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	return newFilter(product.Best(), bestTransforms(m), m, k, c, true, oihw, team)
}

// Repack replaces the filters by others of the same shape. Only the owner of a
// filter that no one else uses may do that: training, after each step.
func (f *Filter) Repack(oihw []float32, team *parallel.Team) error {
	if len(oihw) != f.k*f.c*9 {
		return fmt.Errorf("winograd: %d filter elements, want %d×%d×3×3: %w", len(oihw), f.k, f.c, ErrShape)
	}
	g := bilinear.New(f.m).G.Float64()
	return team.Run(context.Background(), f.panels()*f.cBlocks, func(_, item int) {
		f.pack(item/f.cBlocks, item%f.cBlocks, oihw, g)
	})
}

func newFilter(kern *product.Kernel, tr *transforms, m, c, k int, rotated bool, oihw []float32, team *parallel.Team) (*Filter, error) {
	if tr == nil {
		return nil, fmt.Errorf("winograd: F(%d×%d,3×3), want m of 2 or 4: %w", m, m, ErrShape)
	}
	if c < 1 || k < 1 || len(oihw) != k*c*9 {
		return nil, fmt.Errorf("winograd: %d filter elements, want %d×%d×3×3: %w", len(oihw), k, c, ErrShape)
	}
	f := &Filter{m: m, alpha: m + bilinear.R - 1, c: c, k: k, cBlocks: layout.Blocks(c), rotated: rotated, kern: kern, tr: tr}
	f.u = layout.Alloc(f.alpha * f.alpha * f.cBlocks * 16 * layout.Blocks(k) * 16)
	// The error is a context's, and this one never ends.
	_ = f.Repack(oihw, team)
	return f, nil
}

// Bytes returns the memory that the filter takes.
func (f *Filter) Bytes() int64 { return 4 * int64(len(f.u)) }

// panels returns the number of panels of outputs.
func (f *Filter) panels() int { return (f.outputs() + f.kern.KB - 1) / f.kern.KB }

// outputs returns the number of output channels, padded to blocks.
func (f *Filter) outputs() int { return layout.Blocks(f.k) * 16 }

// width returns the number of output channels in a panel.
func (f *Filter) width(panel int) int { return min(f.kern.KB, f.outputs()-panel*f.kern.KB) }

// panel returns the packed filters of a panel and element ξ: [cBlocks*16][width].
func (f *Filter) panel(panel, xi int) []float32 {
	c := f.cBlocks * 16
	n := c * f.width(panel)
	return f.u[panel*f.kern.KB*f.alpha*f.alpha*c+xi*n:][:n]
}

// pack transforms the filters of 16 input channels to one panel.
func (f *Filter) pack(panel, cBlock int, oihw []float32, g [][]float64) {
	width := f.width(panel)
	size := f.cBlocks * 16 * width // of one ξ
	u := f.u[panel*f.kern.KB*f.alpha*f.alpha*f.cBlocks*16:]
	var out [maxAlpha * maxAlpha]float32
	// Channels inside: the filters of one output lie side by side, those of two
	// outputs in the same cache sets.
	for lane := range min(width, f.k-panel*f.kern.KB) {
		k := panel*f.kern.KB + lane
		for c := cBlock * 16; c < min(cBlock*16+16, f.c); c++ {
			w := oihw[(k*f.c+c)*9:]
			if f.rotated {
				w = oihw[(c*f.k+k)*9:]
			}
			transformFilter(g, [9]float32(w), f.rotated, &out)
			for xi := range f.alpha * f.alpha {
				u[xi*size+c*width+lane] = out[xi]
			}
		}
	}
}

// transformFilter sets out = G·w·Gᵀ, with w turned by 180° if rotated.
func transformFilter(g [][]float64, w [9]float32, rotated bool, out *[maxAlpha * maxAlpha]float32) {
	if rotated {
		slices.Reverse(w[:])
	}
	var t [maxAlpha][3]float64
	for i, r := range g {
		r = r[:3]
		for j := range 3 {
			t[i][j] = r[0]*float64(w[j]) + r[1]*float64(w[3+j]) + r[2]*float64(w[6+j])
		}
	}
	n := len(g)
	for i := range g {
		for j, r := range g {
			r = r[:3]
			out[i*n+j] = float32(t[i][0]*r[0] + t[i][1]*r[1] + t[i][2]*r[2])
		}
	}
}
