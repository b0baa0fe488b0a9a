package conv3x3

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/transpose"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// stridedGrad sums over pixels, as directGrad does, for convolutions with stride 2 of 16 and
// more channels. An item has the filters of one block of input channels and of some blocks
// of outputs. It sums over all pictures, one band of rows after another. So there are no
// partial sums to add, and no sum depends on the worker.
type stridedGrad struct {
	kern    *ukernel.Indirect
	s       Shape
	oh, ow  int
	group   int // blocks of outputs of an item
	groups  int
	band    int // rows of dY: some gradPixels pixels, one chain of sums
	bands   int // of a picture
	chunk   int // rows of a call
	offsets []int
}

// Each pixel of the source that an item reads is copied for at most this many blocks of
// outputs: for fewer where there would be too few items.
const (
	stridedGradGroup  = 4
	stridedGradItems  = 16
	stridedGradPixels = 96 // of a call: what it reads of both operands stays in the first-level cache
)

// filterLen is the size of the filters of a block of input channels and one of outputs:
// [3][3][c][k].
const filterLen = 9 * layout.Block * layout.Block

func newStridedGrad(kern *ukernel.Indirect, s Shape) *stridedGrad {
	g := &stridedGrad{kern: kern, s: s, oh: s.OH(), ow: s.OW()}
	blocks := layout.Blocks(s.K)
	g.group = min(max(layout.Blocks(s.C)*blocks/stridedGradItems, 1), stridedGradGroup)
	g.groups = (blocks + g.group - 1) / g.group
	g.chunk = min(g.oh, (stridedGradPixels+g.ow-1)/g.ow)
	g.band = min(g.oh, max((gradPixels+g.ow-1)/g.ow/g.chunk, 1)*g.chunk)
	g.bands = (g.oh + g.band - 1) / g.band
	for y := range g.chunk {
		for x := range g.ow {
			g.offsets = append(g.offsets, 2*(y*g.lineLen()+x*layout.Block))
		}
	}
	return g
}

// lineLen is the size of a row of the padded source, of one block.
func (g *stridedGrad) lineLen() int { return (2*g.ow + 1) * layout.Block }

// workerLen is the size of a worker's scratch: the lines of a band, its sums, and the sums
// of all bands.
func (g *stridedGrad) workerLen() int {
	return (2*g.band+1)*g.lineLen() + (1+g.group)*filterLen
}

func (g *stridedGrad) scratchLen(workers int) int { return shape.Product(workers, g.workerLen()) }

// stridedGradExec is a stridedGrad on a team.
type stridedGradExec struct {
	*stridedGrad
	team    *parallel.Team
	scratch []float32
	item    func(worker, item int)
	dw, db  []float32
	src, dy []float32
}

func (g *stridedGrad) bind(team *parallel.Team, scratch []float32) *stridedGradExec {
	e := &stridedGradExec{stridedGrad: g, team: team, scratch: scratch}
	e.item = e.sumGroup
	return e
}

func (e *stridedGradExec) run(ctx context.Context, dw, db, src, dy []float32) error {
	s := e.s
	nx, ny := s.N*layout.Len(s.C, s.H, s.W), s.N*layout.Len(s.K, e.oh, e.ow)
	if len(dw) != s.K*s.C*9 || db != nil && len(db) != s.K || len(src) != nx || len(dy) != ny {
		return shape.Errorf("conv3x3: operands of %d, %d, %d and %d floats, want %d, %d or none, %d and %d",
			len(dw), len(db), len(src), len(dy), s.K*s.C*9, s.K, nx, ny)
	}
	e.dw, e.db, e.src, e.dy = dw, db, src, dy
	err := e.team.Run(ctx, layout.Blocks(s.C)*e.groups, e.item)
	e.dw, e.db, e.src, e.dy = nil, nil, nil, nil
	return err
}

// sumGroup computes one item.
func (e *stridedGradExec) sumGroup(worker, item int) {
	cBlock, first := item/e.groups, item%e.groups*e.group
	blocks := min(e.group, layout.Blocks(e.s.K)-first)
	scratch := e.scratch[worker*e.workerLen():][:e.workerLen()]
	lines, scratch := scratch[:(2*e.band+1)*e.lineLen()], scratch[(2*e.band+1)*e.lineLen():]
	part, sums := scratch[:filterLen], scratch[filterLen:]
	clear(sums)
	var bias [stridedGradGroup][16]float64
	for picture := range e.s.N {
		for y := 0; y < e.oh; y += e.band {
			rows := min(e.band, e.oh-y)
			e.fillLines(lines, picture*layout.Blocks(e.s.C)+cBlock, 2*y-e.s.Pad, 2*rows+1)
			for b := range blocks {
				plane := (picture*layout.Blocks(e.s.K) + first + b) * e.oh
				dy := e.dy[(plane+y)*e.ow*16:][:rows*e.ow*16]
				e.sumBand(part, lines, dy)
				activation.Add(sums[b*filterLen:][:filterLen], part)
				if cBlock == 0 && e.db != nil {
					addPixels(&bias[b], (*[16]float32)(part), dy)
				}
			}
		}
	}
	for b := range blocks {
		e.store(cBlock, first+b, sums[b*filterLen:][:filterLen], part)
		if cBlock == 0 && e.db != nil {
			for l := range min(16, e.s.K-(first+b)*16) {
				e.db[(first+b)*16+l] = float32(bias[b][l])
			}
		}
	}
}

// fillLines copies rows of one block of the source from row y on, with the padding in
// place.
func (e *stridedGradExec) fillLines(lines []float32, block, y, rows int) {
	plane := e.src[block*e.s.H*e.s.W*16:][:e.s.H*e.s.W*16]
	for r := range rows {
		line := lines[r*e.lineLen():][:e.lineLen()]
		if y+r < 0 || y+r >= e.s.H {
			clear(line)
			continue
		}
		copyColumns(line, plane[(y+r)*e.s.W*16:][:e.s.W*16], -e.s.Pad, 1)
	}
}

// zeros are the biases of sums that have none.
var zeros [layout.Block]float32

// sumBand sets part to the sums over the pixels of dy, a chunk of rows at a time.
func (e *stridedGradExec) sumBand(part, lines, dy []float32) {
	o := ukernel.IndirectArgs{AStep: 1, Bias: zeros[:], LDC: 16}
	step := e.chunk * e.ow * 16
	for at := 0; at < len(dy); at += step {
		o.B = dy[at:min(at+step, len(dy))]
		o.Offsets = e.offsets[:len(o.B)/16]
		for i := range 3 {
			o.A, o.C = lines[(2*at/(e.ow*16)+i)*e.lineLen():], part[i*3*16*16:]
			e.kern.RunM(3*layout.Block, layout.Block, &o)
		}
		o.Mode = ukernel.ModeFromC
	}
}

// addPixels adds the sums over the pixels of dy to sum; part is overwritten.
func addPixels(sum *[16]float64, part *[16]float32, dy []float32) {
	activation.SumPixels(part, dy)
	for l, v := range part {
		sum[l] += float64(v)
	}
}

// store writes the sums of a block of input channels and one of outputs to their places.
// room is as long, and overwritten.
func (e *stridedGradExec) store(cBlock, kBlock int, sums, room []float32) {
	for tap := range 9 { // [3][3][c][k] → [c][3][3][k]
		pack.Rows(16, 16, room[tap*16:], 9*16, sums[tap*16*16:], 16)
	}
	dw := e.dw[(kBlock*16*e.s.C+cBlock*16)*9:]
	outputs, taps := min(16, e.s.K-kBlock*16), 9*min(16, e.s.C-cBlock*16)
	if outputs == 16 && taps == 9*16 {
		transpose.ToRows(dw, room, 9*e.s.C, taps)
		return
	}
	for l := range outputs {
		for t, to := 0, dw[l*9*e.s.C:]; t < taps; t++ {
			to[t] = room[t*16+l]
		}
	}
}
