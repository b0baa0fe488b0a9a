package conv3x3

import (
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestWorkersApart: what a worker computes touches no scratch memory of another worker, in
// convolutions.
func TestWorkersApart(t *testing.T) {
	const workers = 3
	team := parallel.NewTeam(workers)
	for _, c := range []struct {
		Shape
		opts []Option
	}{
		{Shape{2, 3, 9, 7, 20, 1, 1}, []Option{Direct()}},
		{Shape{2, 3, 9, 7, 20, 1, 2}, []Option{Direct()}},
		{Shape{2, 20, 9, 7, 20, 1, 2}, []Option{Direct()}},
		{Shape{2, 20, 9, 7, 20, 1, 2}, []Option{Fixed()}},
	} {
		s := c.Shape
		f, err := NewFilter(s.C, s.K, testutil.Normal(1, s.K*s.C*9), make([]float32, s.K), team, append(c.opts, Stride(s.stride()))...)
		require.NoError(t, err)
		spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}
		n, err := f.ScratchLen(spec, workers)
		require.NoError(t, err)
		scratch := make([]float32, n)
		e, err := f.NewExec(spec, scratch, team)
		require.NoError(t, err)
		o := operands{dst: make([]float32, e.dstLen), src: testutil.Normal(2, e.srcLen)}
		for worker := range workers {
			own := n / workers
			compute, items := (func(worker, item int))(nil), 0
			switch d := e.conv.(type) {
			case *directConv:
				d.operands, own, compute, items = o, d.patchN, d.row, d.n*d.oh
			case *stridedConv:
				d.operands, own, compute, items = o, d.imageLen+2*d.outLen, d.compute, d.items
				for i := range d.held {
					d.held[i].run = -1
				}
			case *stridedFixedConv:
				d.operands, own, compute, items = o, d.numbersLen()+d.sumsLen(), d.compute, d.items
				for i := range d.workers {
					d.workers[i].run = -1
				}
				defer func() {
					for i, w := range d.workers[:workers-1] { // the last one was the last to compute
						require.Equal(t, -1, w.run, "of worker %d", i)
					}
				}()
			}
			require.NotNil(t, compute, "%T", e.conv)
			testutil.ChangesOnly(t, "scratch", scratch, worker*own, (worker+1)*own, func() {
				for item := range items {
					compute(worker, item)
				}
			})
		}
	}
}

// TestGradWorkersApart: nor does it in gradients of weights. The sums of an item are its own.
func TestGradWorkersApart(t *testing.T) {
	const workers = 3
	team := parallel.NewTeam(workers)
	s := Shape{2, 3, 40, 37, 20, 1, 1}
	g := newDirectGrad(ukernel.BestIndirect(), s)
	scratch := make([]float32, g.scratchLen(workers))
	e := g.bind(team, scratch)
	e.src, e.dy = testutil.Normal(1, s.N*layout.Len(s.C, s.H, s.W)), testutil.Normal(2, s.N*layout.Len(s.K, s.OH(), s.OW()))
	lines, sums := e.scratch[:workers*e.linesLen], e.sums
	for worker := range workers {
		for item := range s.N * e.bands {
			testutil.ChangesOnly(t, "lines", lines, worker*e.linesLen, (worker+1)*e.linesLen, func() { e.sumBand(worker, item) })
			testutil.ChangesOnly(t, "sums", sums, item*e.sumLen(), (item+1)*e.sumLen(), func() { e.sumBand(worker, item) })
		}
	}

	strided := Shape{2, 20, 9, 7, 40, 1, 2}
	sg := newStridedGrad(ukernel.BestIndirect(), strided)
	se := sg.bind(team, make([]float32, sg.scratchLen(workers)))
	se.src, se.dy = testutil.Normal(1, strided.N*layout.Len(strided.C, strided.H, strided.W)), testutil.Normal(2, strided.N*layout.Len(strided.K, strided.OH(), strided.OW()))
	var want []float32
	for worker := range workers {
		se.dw, se.db = make([]float32, strided.K*strided.C*9), make([]float32, strided.K)
		testutil.ChangesOnly(t, "scratch", se.scratch, worker*sg.workerLen(), (worker+1)*sg.workerLen(), func() {
			for item := range layout.Blocks(strided.C) * sg.groups {
				se.sumGroup(worker, item)
			}
		})
		if want == nil {
			want = se.dw
		}
		testutil.CheckBits(t, "results of worker", worker, se.dw, want)
	}
}

// TestSpecErrors: each size of a Spec is checked, also where the others are right.
func TestSpecErrors(t *testing.T) {
	f, err := NewFilter(3, 5, make([]float32, 5*3*9), make([]float32, 5), nil)
	require.NoError(t, err)
	_, err = f.ScratchLen(Spec{N: 1, H: 3, W: 3}, 1)
	require.NoError(t, err)
	for _, s := range []Spec{{H: 3, W: 3}, {N: 1, W: 3, Pad: 1}, {N: 1, H: 3, Pad: 1}, {N: 1, H: 9, W: 9, Pad: -1}, {N: 1, H: 2, W: 3}, {N: 1, H: 3, W: 2}, {N: 1, H: 3, W: 3, Pad: 3}} {
		_, err := f.ScratchLen(s, 1)
		require.ErrorIs(t, err, ErrShape, "%+v", s)
	}
}
