package winograd

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/internal/direct"
	"github.com/nonet-go/nonet/internal/elementwise"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// WeightGrad computes the gradient of a 3×3 convolution with respect to its
// filters, by the transpose of F(4×4,3×3), which is an F(3×3,4×4):
//
//	dW = Gᵀ · [ Σ_tiles (Bᵀ·d·B) ⊙ (A·dY·Aᵀ) ] · G
//
// The sum over tiles is a matrix product for each of the 36 elements,
// dU[c][k] += Σ_t V[t][c]·D[t][k]. Tiles are done in chunks whose V and D stay
// in the last-level cache. Each dU belongs to one item, which adds the chunks in
// their order, so that the result does not depend on the number of workers.
type WeightGrad struct {
	conv   *Conv // the geometry of the tiles, and of d
	dy     *Conv // of dY: tiles of m×m without overlap
	kern   *direct.Kernel
	tr     *transforms
	c, k   int
	cb, kb int // blocks of 16 channels
	chunk  int // tiles
}

// gradScratch is the size of the V and D of a chunk, in bytes, that was fastest for
// conv1_2 to conv3_2 of VGG on two cores of a Zen 4 with 32 MiB of last-level cache:
// BenchmarkGradients, 4 pictures. 16 MiB is 10 % slower.
const gradScratch = 6 << 20

// NewWeightGrad describes the gradient for n pictures of c×h×w, convolved to k
// channels with padding pad. Errors wrap ErrShape.
func NewWeightGrad(n, c, h, w, k, pad int) (*WeightGrad, error) {
	return newWeightGrad(direct.Best(), bestTransforms(4), n, c, h, w, k, pad)
}

func newWeightGrad(kern *direct.Kernel, tr *transforms, n, c, h, w, k, pad int) (*WeightGrad, error) {
	g := &WeightGrad{kern: kern, tr: tr, c: c, k: k, cb: layout.Blocks(c), kb: layout.Blocks(k)}
	if c < 1 || k < 1 || n < 1 || h < 1 || w < 1 || pad < 0 || pad > 1 || h+2*pad < 3 || w+2*pad < 3 {
		return nil, fmt.Errorf("winograd: weight gradient of %d pictures of %d×%d×%d to %d channels, padding %d: %w", n, c, h, w, k, pad, ErrShape)
	}
	g.conv = gradGeometry(c, tr, n, h, w, h+2*pad-2, w+2*pad-2, pad, 6)
	g.dy = gradGeometry(k, tr, n, h+2*pad-2, w+2*pad-2, h+2*pad-2, w+2*pad-2, 0, 4)
	perTile := 4 * 36 * 16 * (g.cb + g.kb)
	// Each chunk reads and writes dU once: it should be no smaller than that.
	g.chunk = min(max(16, gradScratch/perTile, 4*g.uLen()/perTile), g.conv.tiles)
	g.chunk = evenChunk(g.conv.tiles, g.chunk)
	return g, nil
}

// evenChunk splits n into as few parts of at most limit as it needs, all of the
// same size but for the last.
func evenChunk(n, limit int) int {
	parts := (n + limit - 1) / limit
	return (n + parts - 1) / parts
}

// gradGeometry is a Conv that only transforms tiles: of side pixels each, 4
// pixels apart, over the oh×ow outputs.
func gradGeometry(c int, tr *transforms, n, h, w, oh, ow, pad, side int) *Conv {
	f := &Filter{m: 4, alpha: 6, c: c, cBlocks: layout.Blocks(c), tr: tr}
	v := &Conv{f: f, n: n, h: h, w: w, pad: pad, oh: oh, ow: ow, side: side}
	v.rows, v.cols = (oh+3)/4, (ow+3)/4
	v.tiles = n * v.rows * v.cols
	return v
}

// vXi and dXi are the floats between two elements ξ of V and of D: a line more than
// they need, so that the elements of a tile do not share a cache set.
func (g *WeightGrad) vXi() int { return g.cb*16*g.chunk + 16 }
func (g *WeightGrad) dXi() int { return g.kb*16*g.chunk + 16 }

func (g *WeightGrad) vLen() int { return 36 * g.vXi() }
func (g *WeightGrad) dLen() int { return 36 * g.dXi() }
func (g *WeightGrad) uLen() int { return 36 * g.cb * 16 * g.kb * 16 }

// ScratchLen returns the number of floats of scratch that an exec needs.
func (g *WeightGrad) ScratchLen() int { return g.vLen() + g.dLen() + g.uLen() }

// WeightGradExec runs a WeightGrad on a team. One goroutine at a time may use it.
type WeightGradExec struct {
	g           *WeightGrad
	team        *parallel.Team
	v, d, u     []float32
	patches     []worker
	offsets     []int // of the tiles of a chunk in V
	zero        []float32
	sums        []float32 // of dY, [run of tiles][k]
	total       []float64
	t0, t1      int // the tiles of the chunk
	dw, src, dy []float32
	transform   func(worker, item int)
	multiply    func(worker, item int)
	finish      func(worker, item int)
}

// NewExec binds g to a team, which may be nil, and to at least ScratchLen floats
// of scratch, which others may use between runs.
func (g *WeightGrad) NewExec(team *parallel.Team, scratch []float32) (*WeightGradExec, error) {
	if len(scratch) < g.ScratchLen() {
		return nil, fmt.Errorf("winograd: %d floats of scratch, want %d: %w", len(scratch), g.ScratchLen(), ErrShape)
	}
	e := &WeightGradExec{g: g, team: team, patches: make([]worker, team.Workers())}
	e.u, scratch = scratch[:g.uLen()], scratch[g.uLen():]
	e.v, scratch = scratch[:g.vLen()], scratch[g.vLen():]
	e.d = scratch[:g.dLen()]
	e.offsets = make([]int, g.chunk)
	for t := range e.offsets {
		e.offsets[t] = t * 16
	}
	e.zero = make([]float32, g.kern.KB)
	last := (g.conv.tiles - 1) / g.chunk // chunk
	e.sums = make([]float32, (last*g.runs()+(g.conv.tiles-last*g.chunk+gradRun-1)/gradRun)*g.kb*16)
	e.total = make([]float64, g.kb*16)
	e.transform, e.multiply, e.finish = e.transformItem, e.multiplyItem, e.finishItem
	return e, nil
}

// Run sets dw [k][c][3][3] and db [k], which may be nil, to the gradients for src
// and dy, both blocked, see package layout: the convolution's input, and the
// gradient of its output, which is what the layer after it hands back. It returns
// an error if a length is wrong or when ctx ends. It does not allocate.
//
// The largest error is some 1e-5 of the gradient's root mean square.
func (e *WeightGradExec) Run(ctx context.Context, dw, db, src, dy []float32) error {
	g := e.g
	if len(dw) != g.k*g.c*9 || db != nil && len(db) != g.k || len(src) != g.conv.srcLen() || len(dy) != g.dy.srcLen() {
		return fmt.Errorf("winograd: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d: %w",
			len(dw), len(db), len(src), len(dy), g.k*g.c*9, g.k, g.conv.srcLen(), g.dy.srcLen(), ErrShape)
	}
	e.dw, e.src, e.dy = dw, src, dy
	defer func() { e.dw, e.src, e.dy = nil, nil, nil }()
	for e.t0 = 0; e.t0 < g.conv.tiles; e.t0 = e.t1 {
		e.t1 = min(e.t0+g.chunk, g.conv.tiles)
		if err := e.team.Run(ctx, e.runs()*2, e.transform); err != nil {
			return err
		}
		if err := e.team.Run(ctx, 36*e.panels(), e.multiply); err != nil {
			return err
		}
	}
	e.addSums(db)
	return e.team.Run(ctx, g.c, e.finish)
}

// addSums adds up the sums over runs of tiles, in their order.
func (e *WeightGradExec) addSums(db []float32) {
	total := e.total
	clear(total)
	for at := 0; at < len(e.sums); at += len(total) {
		for k, v := range e.sums[at:][:len(total)] {
			total[k] += float64(v)
		}
	}
	for k := range db {
		db[k] = float32(total[k])
	}
}

// gradRun is how many tiles an item transforms.
const gradRun = 32

// runs returns the number of runs of tiles of a chunk that is whole.
func (g *WeightGrad) runs() int { return (g.chunk + gradRun - 1) / gradRun }

// runs returns the number of runs of tiles of the chunk.
func (e *WeightGradExec) runs() int { return (e.t1 - e.t0 + gradRun - 1) / gradRun }

func (e *WeightGradExec) panels() int {
	return (e.g.kb*16 + e.g.kern.KB - 1) / e.g.kern.KB
}

func (e *WeightGradExec) width(panel int) int {
	return min(e.g.kern.KB, e.g.kb*16-panel*e.g.kern.KB)
}

// transformItem fills V or D for one run of tiles:
//
//	V[ξ][c/16][t][16], D[ξ][panel][t][width]
func (e *WeightGradExec) transformItem(wi, item int) {
	g, n := e.g, e.t1-e.t0
	run := item / 2
	t0 := e.t0 + run*gradRun
	t1 := min(t0+gradRun, e.t1)
	sums := e.sums[(e.t0/g.chunk*g.runs()+run)*g.kb*16:][:g.kb*16]
	if item%2 == 1 {
		clear(sums)
	}
	for t := t0; t < t1; {
		r := g.conv.nextRun(t, t1)
		at := t - e.t0
		if item%2 == 0 {
			for b := range g.cb {
				e.patches[wi].expandRun(g.conv, g.tr.input, &e.v[(b*n+at)*16], g.vXi(), 16, e.src, b, r)
			}
		} else {
			for b := range g.kb {
				panel := b * 16 / g.kern.KB
				width := e.width(panel)
				to := panel*g.kern.KB*n + at*width + b*16%g.kern.KB
				e.patches[wi].expandRun(g.dy, g.tr.gradient, &e.d[to], g.dXi(), width, e.dy, b, r)
				e.sumRun((*[16]float32)(e.patches[wi].patch[:]), sums, b, r)
			}
		}
		t += r.n
	}
}

// sumRun adds the pixels of one run for one block of outputs, which are still in
// the cache, to its sums. part is scratch.
func (e *WeightGradExec) sumRun(part *[16]float32, sums []float32, b int, r run) {
	c := e.g.dy
	plane := e.dy[(r.picture*e.g.kb+b)*c.h*c.w*16:][:c.h*c.w*16]
	x0, x1 := r.tx*4, min((r.tx+r.n)*4, c.w)
	for y := r.ty * 4; y < min(r.ty*4+4, c.h); y++ {
		elementwise.SumPixels(part, plane[(y*c.w+x0)*16:(y*c.w+x1)*16])
		for l, v := range part {
			sums[b*16+l] += v
		}
	}
}

// multiplyItem adds the chunk to dU[ξ][panel][c][width].
func (e *WeightGradExec) multiplyItem(_, item int) {
	g, n := e.g, e.t1-e.t0
	xi, panel := item/e.panels(), item%e.panels()
	width := e.width(panel)
	o := direct.Operands{Offsets: e.offsets[:n], Step: 1, Bias: e.zero, Pixel: width, Plane: 16,
		U: e.d[xi*g.dXi()+panel*g.kern.KB*n:]}
	if e.t0 > 0 {
		o.Mode = direct.ModeAccumulate
	}
	for b := range g.cb {
		o.X = e.v[xi*g.vXi()+b*16*n:]
		o.Out = e.u[(xi*g.kb*16+panel*g.kern.KB)*g.cb*16+b*16*width:]
		g.kern.Row(16, width, &o)
	}
}

// finishItem sets dW = Gᵀ·dU·G for one input channel.
func (e *WeightGradExec) finishItem(wi, c int) {
	g := e.g
	out := e.patches[wi].patch[:9*16]
	for b := range g.kb {
		panel := b * 16 / g.kern.KB
		at := panel*g.kern.KB*g.cb*16 + c*e.width(panel) + b*16%g.kern.KB
		g.tr.filterGradient(&out[0], &e.u[at], g.kb*16*g.cb*16)
		for l := range min(16, g.k-b*16) {
			dw := e.dw[((b*16+l)*g.c+c)*9:][:9]
			for t := range dw {
				dw[t] = out[t*16+l]
			}
		}
	}
}
