package winograd

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// WeightGrad computes the gradient of a 3×3 convolution with respect to its filters, by the
// transpose of F(4×4,3×3), which is an F(3×3,4×4):
//
//	dW = Gᵀ · [ Σ_tiles (Bᵀ·d·B) ⊙ (A·dY·Aᵀ) ] · G
//
// The sum over tiles is a matrix product for each of the 36 elements, dU[c][k] += Σ_t
// V[t][c]·D[t][k]. Tiles are done in chunks whose V and D stay in the last-level cache. Each
// dU is one sum in the order of the tiles, so the result does not depend on which worker
// computes it.
//
// A few workers divide the input channels among them, and each transforms all of dY: reading
// what another core has written is slow, above all without a common cache. Many workers
// transform each chunk together.
type WeightGrad struct {
	conv   *Conv // the geometry of the tiles, and of d
	dy     *Conv // of dY: tiles of m×m without overlap
	kern   *ukernel.Indirect
	tr     *transforms
	c, k   int
	cb, kb int // blocks of 16 channels
	group  int // blocks of inputs that meet a panel at once
	chunk  int // tiles
}

// gradScratch is the size of the V and D of a chunk, in bytes. On two cores of a Zen 4 with
// 32 MiB of last-level cache, VGG's layers with batch 8 take the same time with 3 to 6 MiB
// while nobody else uses that cache, and 4 % more with 10 MiB. Where dU stays in the
// second-level cache, V and D should as well: conv1_2 then takes 25.7 ms for 4 pictures on
// two cores instead of 28.6 (BenchmarkGradients).
const gradScratch = 3 << 20

// NewWeightGrad describes the gradient for n pictures of c×h×w, convolved to k
// channels with padding pad. Errors wrap ErrShape.
func NewWeightGrad(n, c, h, w, k, pad int) (*WeightGrad, error) {
	return newWeightGrad(ukernel.BestIndirect(), bestTransforms(4), n, c, h, w, k, pad)
}

func newWeightGrad(kern *ukernel.Indirect, tr *transforms, n, c, h, w, k, pad int) (*WeightGrad, error) {
	g := &WeightGrad{kern: kern, tr: tr, c: c, k: k, cb: layout.Blocks(c), kb: layout.Blocks(k)}
	if c < 1 || k < 1 || n < 1 || h < 1 || w < 1 || pad < 0 || pad > 1 || h > shape.Max || w > shape.Max || h+2*pad < 3 || w+2*pad < 3 ||
		layout.BatchLen(n, max(c, k), h+2, w+2) == shape.TooMany || layout.BatchLen(4*36, k, g.cb, 16) == shape.TooMany {
		return nil, shape.Errorf("winograd: weight gradient of %d pictures of %d×%d×%d to %d channels, padding %d", n, c, h, w, k, pad)
	}
	g.conv = gradGeometry(c, tr, Conv{n: n, h: h, w: w, pad: pad, oh: h + 2*pad - 2, ow: w + 2*pad - 2, side: 6})
	g.dy = gradGeometry(k, tr, Conv{n: n, h: g.conv.oh, w: g.conv.ow, oh: g.conv.oh, ow: g.conv.ow, side: 4})
	// As many inputs as outputs. Then V, D and dU of an element ξ have similar sizes, and dU
	// of all of them, at most 590 kB, stay in the second-level cache.
	g.group = kern.NR / 16
	perTile := 4 * 36 * 16 * (g.cb + g.kb)
	dU := 4 * 36 * 16 * 16 * g.cb * g.kb
	scratch := gradScratch
	if dU <= l2*3/4 {
		scratch = l2
	}
	// Each chunk reads and writes dU once: it should not be much smaller than that.
	g.chunk = min(max(16, scratch/perTile, dU/2/perTile), g.conv.tiles)
	g.chunk = evenChunk(g.conv.tiles, g.chunk)
	return g, nil
}

// evenChunk splits n into as few parts of at most limit as it needs, all of the
// same size but for the last.
func evenChunk(n, limit int) int {
	parts := (n + limit - 1) / limit
	return (n + parts - 1) / parts
}

// gradGeometry completes v to a Conv that only transforms tiles of c channels, of v.side
// pixels each and 4 pixels apart, over its outputs.
func gradGeometry(c int, tr *transforms, v Conv) *Conv {
	v.f = &Filter{m: 4, alpha: 6, c: c, cBlocks: layout.Blocks(c), tr: tr}
	v.rows, v.cols = (v.oh+3)/4, (v.ow+3)/4
	v.tiles = v.n * v.rows * v.cols
	return &v
}

// dXi is the floats between two elements ξ of D. It is a line more than they need, so that
// the elements of a tile do not share a cache set. vXi is the same for the V of some blocks
// of input channels, uXi for their dU with one panel.
func (g *WeightGrad) dXi() int                  { return g.kb*16*g.chunk + 16 }
func (g *WeightGrad) vXi(blocks int) int        { return blocks*16*g.chunk + 16 }
func (g *WeightGrad) uXi(panel, blocks int) int { return blocks*16*g.width(panel) + 16 }

func (g *WeightGrad) panels() int { return (g.kb*16 + g.kern.NR - 1) / g.kern.NR }

func (g *WeightGrad) width(panel int) int { return min(g.kern.NR, g.kb*16-panel*g.kern.NR) }

// mostParts is the number of workers up to which each has its own part. With more workers,
// the transforms of dY would take too large a share of the time.
const mostParts = 4

// parts returns the number of parts of the input channels: one for each worker if these are
// few and the parts about equal, else one for all workers together.
func (g *WeightGrad) parts(workers int) int {
	if workers <= mostParts && (g.cb%workers == 0 || g.cb >= 4*workers) {
		return workers
	}
	return 1
}

// plan returns the parts of that many workers, without their memory.
func (g *WeightGrad) plan(workers int) []gradPart {
	parts := make([]gradPart, g.parts(workers))
	for i := range parts {
		p := &parts[i]
		p.b0, p.b1 = i*g.cb/len(parts), (i+1)*g.cb/len(parts)
		p.vXi = g.vXi(p.b1 - p.b0)
		u := 0
		for b := p.b0; b < p.b1; b += g.group {
			group := gradGroup{b: b, blocks: min(g.group, p.b1-b)}
			for panel := range g.panels() {
				group.u = append(group.u, u)
				u += 36 * g.uXi(panel, group.blocks)
			}
			p.groups = append(p.groups, group)
		}
		p.v, p.d = u, u+36*p.vXi
	}
	return parts
}

// ScratchLen returns the number of floats of scratch that an exec of that many
// workers needs.
func (g *WeightGrad) ScratchLen(workers int) int {
	sum := 0
	for _, p := range g.plan(workers) {
		sum += p.d + 36*g.dXi()
	}
	return sum
}

// WeightGradExec runs a WeightGrad on a team. One goroutine at a time may use it.
type WeightGradExec struct {
	g           *WeightGrad
	team        *parallel.Team
	parts       []gradPart
	own         []gradWorker
	offsets     [][]int // of the tiles of a chunk in the V of groups of 1, 2 … blocks
	zero        []float32
	sums        []float32 // of dY, [run of tiles][k]
	total       []float64
	ctx         context.Context
	dw, src, dy []float32
	part        func(worker, item int)
	transform   func(worker, item int)
	multiply    func(worker, item int)
	finish      func(worker, item int)
}

// gradPart is some blocks of input channels, and the present chunk of tiles.
type gradPart struct {
	b0, b1 int
	t0, t1 int
	groups []gradGroup
	vXi    int
	v, d   int // where V[ξ][group][t][its channels] and D[ξ][panel][t][width] begin in mem, after dU
	mem    []float32
	_      [64]byte
}

// gradGroup is some blocks of input channels that are multiplied with a panel together.
// Their dU, [ξ][channels][width], begins at u[panel] of the part's memory.
type gradGroup struct {
	b, blocks int
	u         []int
}

// gradWorker is the scratch of one worker.
type gradWorker struct {
	worker
	taps filterTaps
}

// NewExec binds g to scratch of at least ScratchLen floats, which others may use
// between runs, and to a team, which may be nil. Errors wrap ErrShape.
func (g *WeightGrad) NewExec(scratch []float32, team *parallel.Team) (*WeightGradExec, error) {
	if need := g.ScratchLen(team.Workers()); len(scratch) < need {
		return nil, shape.Errorf("winograd: %d floats of scratch, want %d", len(scratch), need)
	}
	e := &WeightGradExec{g: g, team: team, own: make([]gradWorker, team.Workers()), parts: g.plan(team.Workers())}
	for i := range e.parts {
		p := &e.parts[i]
		n := p.d + 36*g.dXi()
		p.mem, scratch = scratch[:n:n], scratch[n:]
	}
	e.offsets = make([][]int, g.group)
	for i := range e.offsets {
		e.offsets[i] = make([]int, g.chunk)
		for t := range e.offsets[i] {
			e.offsets[i][t] = t * 16 * (i + 1)
		}
	}
	e.zero = make([]float32, g.kern.NR)
	last := (g.conv.tiles - 1) / g.chunk // chunk
	e.sums = make([]float32, (last*gradRuns(g.chunk)+gradRuns(g.conv.tiles-last*g.chunk))*g.kb*16)
	e.total = make([]float64, g.kb*16)
	e.part, e.transform, e.multiply, e.finish = e.partItem, e.transformItem, e.multiplyItem, e.finishItem
	return e, nil
}

// Run sets dw [k][c][3][3] and db [k] to the gradients, from the convolution's input src and
// the gradient dy of its output. db may be nil. src and dy are blocked, see package layout.
// Run returns an error if a length is wrong or when ctx ends. It does not allocate.
//
// The largest error is about 1e-5 of the gradient's root mean square.
func (e *WeightGradExec) Run(ctx context.Context, dw, db, src, dy []float32) error {
	g := e.g
	if len(dw) != g.k*g.c*9 || db != nil && len(db) != g.k || len(src) != g.conv.srcLen() || len(dy) != g.dy.srcLen() {
		return shape.Errorf("winograd: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d",
			len(dw), len(db), len(src), len(dy), g.k*g.c*9, g.k, g.conv.srcLen(), g.dy.srcLen())
	}
	e.ctx, e.dw, e.src, e.dy = ctx, dw, src, dy
	defer func() { e.ctx, e.dw, e.src, e.dy = nil, nil, nil, nil }()
	var err error
	if len(e.parts) == e.team.Workers() {
		err = e.team.Run(ctx, len(e.parts), e.part)
	} else {
		err = e.together(ctx)
	}
	if err == nil {
		err = ctx.Err() // a part may have been left
	}
	if err == nil {
		e.addSums(db)
	}
	return err
}

// together computes the only part with all workers.
func (e *WeightGradExec) together(ctx context.Context) error {
	p := &e.parts[0]
	for p.begin(); e.next(p); {
		if err := e.team.Run(ctx, 2*gradRuns(p.t1-p.t0), e.transform); err != nil {
			return err
		}
		if err := e.team.Run(ctx, 36*e.g.panels(), e.multiply); err != nil {
			return err
		}
	}
	return e.team.Run(ctx, len(p.groups)*e.g.panels(), e.finish)
}

// begin places p before the first chunk.
func (p *gradPart) begin() { p.t0, p.t1 = 0, 0 }

// next goes to the next chunk, if there is one.
func (e *WeightGradExec) next(p *gradPart) bool {
	p.t0, p.t1 = p.t1, min(p.t1+e.g.chunk, e.g.conv.tiles)
	return p.t0 < p.t1
}

func (e *WeightGradExec) transformItem(wi, item int) { e.transformRun(wi, &e.parts[0], item/2, item%2) }

func (e *WeightGradExec) multiplyItem(_, item int) {
	p, panels := &e.parts[0], e.g.panels()
	for i := range p.groups {
		e.multiplyGroup(p, &p.groups[i], item%panels, item/panels)
	}
}

func (e *WeightGradExec) finishItem(wi, item int) {
	p, panels := &e.parts[0], e.g.panels()
	e.finishGroup(wi, p, &p.groups[item/panels], item%panels)
}

// partItem computes one part alone. It returns early when the context ends.
func (e *WeightGradExec) partItem(wi, item int) {
	p := &e.parts[item]
	for p.begin(); e.next(p); {
		for run := range gradRuns(p.t1 - p.t0) {
			e.transformRun(wi, p, run, 0)
			e.transformRun(wi, p, run, 1)
		}
		for panel := range e.g.panels() {
			for i := range p.groups {
				if e.ctx.Err() != nil {
					return
				}
				for xi := range 36 {
					e.multiplyGroup(p, &p.groups[i], panel, xi)
				}
				if p.t1 == e.g.conv.tiles {
					e.finishGroup(wi, p, &p.groups[i], panel)
				}
			}
		}
	}
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

// gradRun is how many tiles are transformed at once.
const gradRun = 32

// gradRuns returns the number of runs of a chunk.
func gradRuns(tiles int) int { return (tiles + gradRun - 1) / gradRun }

// transformRun fills p's V (side 0) or D (side 1) for one run of tiles, and sums
// dY for the bias if p is the first part.
func (e *WeightGradExec) transformRun(wi int, p *gradPart, run, side int) {
	g, n := e.g, p.t1-p.t0
	t0 := p.t0 + run*gradRun
	t1 := min(t0+gradRun, p.t1)
	sums := e.sums[(p.t0/g.chunk*gradRuns(g.chunk)+run)*g.kb*16:][:g.kb*16]
	first := p == &e.parts[0]
	if side == 1 && first {
		clear(sums)
	}
	w := &e.own[wi].worker
	for t := t0; t < t1; {
		r := g.conv.nextRun(t, t1)
		at := t - p.t0
		if side == 0 {
			for _, group := range p.groups {
				step := 16 * group.blocks
				for b := range group.blocks {
					x := expansion{fn: g.tr.input, dst: &p.mem[p.v+(group.b-p.b0)*16*n+at*step+b*16], xi: p.vXi, step: step}
					w.expandRun(g.conv, &x, e.src, group.b+b, r)
				}
			}
		} else {
			for b := range g.kb {
				panel := b * 16 / g.kern.NR
				width := g.width(panel)
				to := panel*g.kern.NR*n + at*width + b*16%g.kern.NR
				x := expansion{fn: g.tr.gradient, dst: &p.mem[p.d+to], xi: g.dXi(), step: width}
				w.expandRun(g.dy, &x, e.dy, b, r)
				if first {
					e.sumRun((*[16]float32)(w.strip[:]), sums, b, r)
				}
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
		activation.SumPixels(part, plane[(y*c.w+x0)*16:(y*c.w+x1)*16])
		for l, v := range part {
			sums[b*16+l] += v
		}
	}
}

// multiplyGroup adds p's chunk to dU of a group for one panel and ξ. Meanwhile it
// fetches what the next ξ needs.
func (e *WeightGradExec) multiplyGroup(p *gradPart, group *gradGroup, panel, xi int) {
	g, n := e.g, p.t1-p.t0
	width, uXi := g.width(panel), g.uXi(panel, group.blocks)
	v := p.v + (group.b-p.b0)*16*n + xi*p.vXi
	d := p.d + panel*g.kern.NR*n + xi*g.dXi()
	u := group.u[panel] + xi*uXi
	o := ukernel.IndirectArgs{
		Offsets: e.offsets[group.blocks-1][:n], A: p.mem[v:], AStep: 1, B: p.mem[d:], Bias: e.zero,
		C: p.mem[u:], LDC: width, CBlock: 16,
	}
	if p.t0 > 0 {
		o.Mode = ukernel.ModeAddC
	}
	if xi < 35 {
		o.PrefetchB = [3]int{g.dXi(), v + p.vXi - d, u + uXi - d}
	}
	g.kern.RunM(min(16*group.blocks, g.c-16*group.b), width, &o) // finishGroup reads no others
}

// finishGroup sets dW = Gᵀ·dU·G for a panel and group of inputs.
func (e *WeightGradExec) finishGroup(wi int, p *gradPart, group *gradGroup, panel int) {
	g, taps := e.g, &e.own[wi].taps
	width := g.width(panel)
	for b := range group.blocks {
		c0 := (group.b + b) * 16
		channels := min(16, g.c-c0)
		for k := 0; k < width; k += 16 {
			for c := range channels {
				g.tr.filterGradient(&taps[c][0][0], &p.mem[group.u[panel]+(b*16+c)*width+k], g.uXi(panel, group.blocks))
			}
			k0 := panel*g.kern.NR + k
			taps.scatter(e.dw[(k0*g.c+c0)*9:], channels, min(16, g.k-k0), g.c*9)
		}
	}
}
