package winograd

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// fixedFilter is U in fixed point, for F(4×4,3×3). It stands for
//
//	U[ξ][c][k] = u[ξ][c][k] · step[ξ][k],   step[ξ][k] = scale[ξ][k] · limit / bound[ξ]
//
// where scale is what the sum of the products u·v of a tile of scale 1 is multiplied by.
type fixedFilter struct {
	kern  *ukernel.BlockedInt16
	tr    *fixedTransforms
	limit int       // the largest |v|
	u     []int16   // [panel][ξ][cBlocks*16/Pair][width][Pair]
	scale []float32 // [outputs/16][ξ][16]
}

// tileElements is the number of elements ξ of a tile.
const tileElements = 36

// NewFixedFilter transforms filters for F(4×4,3×3) in fixed point, see the package's
// documentation. oihw holds them as [k][c][3][3] and is not kept. U takes half the memory of
// a Filter of float32. The workers of team, which may be nil, share the work. The filters
// of an output with a NaN or an infinity among them give NaN. Errors wrap ErrShape.
func NewFixedFilter(c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	return newFixedFilter(ukernel.BestBlockedInt16(), bestFixedTransforms(), c, k, oihw, team)
}

func newFixedFilter(kern *ukernel.BlockedInt16, tr *fixedTransforms, c, k int, oihw []float32, team *parallel.Team) (*Filter, error) {
	if err := checkFilters(c, k, oihw); err != nil {
		return nil, err
	}
	f, err := emptyFixed(kern, tr, c, k)
	if err != nil {
		return nil, err
	}
	// The error is a context's, and this one never ends.
	_ = f.repackFixed(oihw, team)
	return f, nil
}

// emptyFixed returns memory for filters in fixed point.
func emptyFixed(kern *ukernel.BlockedInt16, tr *fixedTransforms, c, k int) (*Filter, error) {
	f := &Filter{m: 4, alpha: 6, c: c, k: k, cBlocks: layout.Blocks(c), rows: layout.Blocks(c) * 16, mr: kern.MR, nr: kern.NR}
	n, err := f.elements()
	if err != nil {
		return nil, err
	}
	f.fixed = &fixedFilter{
		kern: kern, tr: tr, limit: fixedLimit(c),
		u: layout.AllocOf[int16](n), scale: layout.Alloc(tileElements * f.outputs()),
	}
	return f, nil
}

// fixedLimit returns the largest |v| for sums over c channels. It has 14 bits up to 128
// channels, and one less for each four times as many. What v lacks, u has: Σ|u|·limit stays
// below 2³¹. With one bit less for each four times as many channels, the errors of both are
// about equal.
func fixedLimit(c int) int {
	bits := 14
	for above := (c - 1) / 128; above > 0; above /= 4 {
		bits--
	}
	return 1<<bits - 1
}

// repackFixed rounds the filters of 16 outputs an item.
func (f *Filter) repackFixed(oihw []float32, team *parallel.Team) error {
	return team.Run(context.Background(), f.outputs()/16, func(_, kb int) { f.packFixed(kb, oihw) })
}

// tapLanes are values for 16 outputs, tileLanes their transforms.
type (
	tapLanes  [9][16]float32
	tileLanes [tileElements][16]float64
)

// packFixed sets u and scale of block kb of outputs. Each element of the transform is
// computed twice: for the largest and the sum of the channels, and to be rounded.
func (f *Filter) packFixed(kb int, oihw []float32) {
	x := f.fixed
	var sum, most, step tileLanes
	f.eachTransformed(kb, oihw, func(_ int, w *tileLanes) {
		for xi := range w {
			for l, v := range w[xi] {
				v = math.Abs(v)
				sum[xi][l] += v
				most[xi][l] = max(most[xi][l], v)
			}
		}
	})
	// The sum of the rounded elements is at most sum/step + c/2.
	room := (math.MaxInt32 - float64(f.c)/2*float64(x.limit)) / float64(x.limit)
	for xi := range step {
		for l := range step[xi] {
			s := max(sum[xi][l]/room, most[xi][l]/math.MaxInt16)
			step[xi][l] = 1 / s
			if !(s > 0 && s <= math.MaxFloat64) { // nothing but zeros, or a NaN or an infinity
				step[xi][l] = 0
				s -= s
			}
			x.scale[(kb*tileElements+xi)*16+l] = float32(s * tileFactor[xi] * tileBound[xi] / float64(x.limit))
		}
	}
	panel, out := kb*16/f.nr, kb*16%f.nr
	width := f.width(panel)
	f.eachTransformed(kb, oihw, func(c int, w *tileLanes) {
		for xi := range w {
			u := x.u[f.panel(panel, xi).first:]
			for l, v := range w[xi] {
				if s := step[xi][l]; s > 0 {
					u[x.index(width, c, out+l)] = int16(math.RoundToEven(v * s))
				}
			}
		}
	})
}

// index returns where the element of a channel and an output of a panel stands.
func (x *fixedFilter) index(width, c, out int) int {
	p := x.kern.Pair
	return (c/p*width+out)*p + c%p
}

// step returns what an element of u of a block of outputs is multiplied by.
func (x *fixedFilter) step(kb, xi, lane int) float64 {
	return float64(x.scale[(kb*tileElements+xi)*16+lane]) * float64(x.limit) / tileBound[xi]
}

// eachTransformed calls visit for every input channel of a block of outputs.
func (f *Filter) eachTransformed(kb int, oihw []float32, visit func(c int, w *tileLanes)) {
	var taps filterTaps
	var w tileLanes
	k0 := kb * 16
	outputs := min(16, f.k-k0)
	for c0 := 0; c0 < f.c; c0 += 16 {
		channels := min(16, f.c-c0)
		taps.gather(oihw[(k0*f.c+c0)*9:], channels, outputs, f.c*9)
		for c := range channels {
			transformTaps(&w, (*tapLanes)(&taps[c]))
			visit(c0+c, &w)
		}
	}
}

// transformTaps sets dst to D·g·Dᵀ, where D has rows (1, p, p²) for the points p and (0, 0, 1)
// for infinity: G without its constant factors, which are tileFactor. Products are rounded
// before they are added, so that all machines compute the same.
func transformTaps(dst *tileLanes, w *tapLanes) {
	var rows [6][3]float64
	for l := range 16 {
		for j := range 3 {
			column := atPoints(float64(w[j][l]), float64(w[3+j][l]), float64(w[6+j][l]))
			for i, v := range column {
				rows[i][j] = v
			}
		}
		for i, row := range rows {
			for j, v := range atPoints(row[0], row[1], row[2]) {
				dst[6*i+j][l] = v
			}
		}
	}
}

// atPoints returns the values of the polynomial g0 + g1·p + g2·p² at 0, ±5/8, ±3/2 and ∞.
func atPoints(g0, g1, g2 float64) [6]float64 {
	const a, b = 5.0 / 8, 3.0 / 2
	evenA, oddA := g0+float64(a*a*g2), float64(a*g1)
	evenB, oddB := g0+float64(b*b*g2), float64(b*g1)
	return [6]float64{g0, evenA + oddA, evenA - oddA, evenB + oddB, evenB - oddB, g2}
}

// tileFactor is what transformTaps leaves out of G, and tileBound the largest element ξ of
// Bᵀ·d·B for inputs from 0 to 1: the sum of its positive or of its negative coefficients,
// whichever is larger. For inputs from −1 to 1 the largest is less than twice as large.
var tileFactor, tileBound = fixedConstants()

func fixedConstants() (factor, bound [tileElements]float64) {
	alg := bilinear.New(4)
	g := alg.G.Float64()
	var row, positive, negative [6]float64
	for i, coefficients := range alg.BT.Float64() {
		row[i] = g[i][0] // of (1, p, p²)
		if i == 5 {
			row[i] = g[i][2]
		}
		for _, v := range coefficients {
			positive[i] += max(v, 0)
			negative[i] += max(-v, 0)
		}
	}
	for xi := range bound {
		i, j := xi/6, xi%6
		factor[xi] = row[i] * row[j]
		bound[xi] = max(float64(positive[i]*positive[j])+float64(negative[i]*negative[j]),
			float64(positive[i]*negative[j])+float64(negative[i]*positive[j]))
	}
	return factor, bound
}

// fixedWorker is what a worker has besides in fixed point.
type fixedWorker struct {
	scales   []float32  // of the tiles of an item: what V is multiplied by, and then what Y is
	extremes [32]uint32 // see fixedTransforms.extremes
}

// tileScales is the number of scales of a tile.
const tileScales = tileElements + 1

// tileScales returns what the results of the tiles of an item are multiplied by.
func (w *fixedWorker) tileScales(l loops) []float32 { return w.scales[tileElements*l.block:] }

// The scale of a tile is its largest magnitude, twice that if it has negative elements. Below
// leastScale, v has fewer bits; beyond mostScale the transform's sums might overflow.
const (
	leastScale = 0x1p-100
	mostScale  = 0x1p120
)

// scaleTiles sets the scales of one run of tiles, the first of which is the one at of the
// item, and returns those of its V.
func (e *Exec) scaleTiles(w *worker, at int, r run) *float32 {
	c, x := e.c, e.c.f.fixed
	for i := range r.n {
		scale := w.tileScale(c, e.src, r, i)
		w.tileScales(e.loops)[at+i] = scale
		inverse := float32(x.limit) / scale
		for xi, bound := range tileBound {
			w.scales[(at+i)*tileElements+xi] = inverse * float32(1/bound)
		}
	}
	return &w.scales[at*tileElements]
}

// tileScale returns the scale of tile i of a run, or NaN.
func (w *worker) tileScale(c *Conv, src []float32, r run, i int) float32 {
	y, x := r.ty*c.f.m-c.pad, (r.tx+i)*c.f.m-c.pad
	y0, y1, x0, x1 := max(y, 0), min(y+c.side, c.h), max(x, 0), min(x+c.side, c.w)
	first := ((r.picture*c.f.cBlocks*c.h+y0)*c.w + x0) * 16
	c.f.fixed.tr.extremes(c.f.cBlocks, y1-y0, x1-x0, &src[first], c.h*c.w*16, c.w*16, &w.extremes[0])
	return scaleOf(&w.extremes)
}

// scaleOf returns the scale of a tile with these extremes.
func scaleOf(extremes *[32]uint32) float32 {
	const sign = 1 << 31
	var positive int32
	var most uint32
	for l := range 16 {
		positive, most = max(positive, int32(extremes[l])), max(most, extremes[16+l])
	}
	negative := uint32(0) // the magnitude of the least element, if that is negative
	if most >= sign {
		negative = most - sign
	}
	scale := math.Float32frombits(max(uint32(positive), negative))
	if negative > 0 {
		scale *= 2
	}
	if !(scale <= mostScale) { // a NaN has the largest bits of all
		return math.Float32frombits(0x7fc00000)
	}
	return max(scale, leastScale)
}

// elementSize returns the bytes of an element of V and of U.
func (f *Filter) elementSize() int {
	if f.fixed != nil {
		return 2
	}
	return 4
}

// kernelName names the micro-kernel.
func (f *Filter) kernelName() string {
	if f.fixed != nil {
		return f.fixed.kern.Name + " of int16"
	}
	return f.kern.Name
}

// Fixed reports whether f is in fixed point.
func (f *Filter) Fixed() bool { return f.fixed != nil }
