package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/quantise"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// fixed holds the weights of a Linear in whole numbers. The layout is the same for all
// instruction sets.
type fixed struct {
	kernel *ukernel.BlockedInt8
	w      []int8    // [panel][blocks*8][32][2]: pairs of columns
	scale  []float32 // of each output, padded to panels
}

func newFixed(out, blocks int) *fixed {
	outputs := ceilDiv(out, ukernel.Int8NR) * ukernel.Int8NR
	return &fixed{ukernel.BestBlockedInt8(), layout.AllocOf[int8](outputs * blocks * 16), make([]float32, outputs)}
}

// FixedLen returns the number of whole numbers that in columns of out outputs are packed to, or
// an error that wraps ErrShape.
func FixedLen(in, out int) (int, error) {
	if in < 1 || out < 1 || !shape.Fits(ceilDiv(out, ukernel.Int8NR), ukernel.Int8NR, layout.Blocks(in), 16) {
		return 0, shape.Errorf("gemm: %d outputs of %d columns", out, in)
	}
	return ceilDiv(out, ukernel.Int8NR) * ukernel.Int8NR * layout.Blocks(in) * 16, nil
}

// FixedWeights returns the weights of a Linear that Fixed made, as they are packed, and the
// scale of each output; nil of others. The weight of output k and packed column i is scale[k]
// times the element
//
//	w[((k/32·blocks·8 + i/2)·32 + k%32)·2 + i%2]
//
// where blocks counts blocks of 16 columns: [k/32][i/2][32][2] in the order of the memory. The
// layout is the same for all instruction sets. The caller changes neither slice.
func (l *Linear) FixedWeights() (w []int8, scale []float32) {
	if l.fixed == nil {
		return nil, nil
	}
	return l.fixed.w, l.fixed.scale[:l.out]
}

// NewFixedLinear is NewLinear with the option Fixed for weights that FixedWeights returned: in
// counts packed columns, and the options Columns, Half and Fixed have no effect. read sets dst to
// elements of w from element first on. The workers of the team call it. NewFixedLinear returns
// its first error; others wrap ErrShape.
func NewFixedLinear(in, out int, read func(dst []int8, first int) error, scale, bias []float32, team *parallel.Team, opts ...Option) (*Linear, error) {
	if len(scale) != out {
		return nil, shape.Errorf("gemm: %d scales for %d outputs", len(scale), out)
	}
	o := collect(append(opts, Columns(nil), Fixed()))
	if err := o.check(in, out, bias); err != nil {
		return nil, err
	}
	l := o.empty(ukernel.BestBlocked(), in, out, bias)
	copy(l.fixed.scale, scale)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	const page = 2 << 20 // two workers that were the first to write to one would both clear it
	w := l.fixed.w
	_ = team.Run(ctx, ceilDiv(len(w), page), func(_, i int) {
		if err := read(w[i*page:min((i+1)*page, len(w))], i*page); err != nil {
			cancel(err)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// UnpackFixed sets dst to the weights of output k, one for each packed column, from those that
// FixedWeights returned. It panics if w is too short, and does not allocate.
func UnpackFixed(k int, dst []float32, w []int8, scale float32) {
	const nr = ukernel.Int8NR
	from := w[k/nr*nr*layout.Blocks(len(dst))*16+k%nr*2:]
	for i := range dst {
		dst[i] = scale * float32(from[i/2*2*nr+i%2])
	}
}

// packFixed rounds the weights of one panel. weights begins with its first row.
func (l *Linear) packFixed(panel int, weights []float32, in int, columns []int32) {
	const nr = ukernel.Int8NR
	rows := min(nr, l.out-panel*nr)
	var rounders [nr]quantise.Rounder
	for j := range rows {
		step := quantise.WeightStep(weights[j*in:][:in])
		l.fixed.scale[panel*nr+j], rounders[j] = step, quantise.NewRounder(step)
	}
	to := l.fixed.w[l.at(panel):]
	for from := 0; from < l.in; from += chunkBlocks * 16 { // which stay in the first-level cache
		for j := range rows {
			row := weights[j*in:][:in]
			for i := from; i < min(from+chunkBlocks*16, l.in); i++ {
				col := i
				if columns != nil {
					col = int(columns[i])
				}
				if col >= 0 { // others stay zero
					to[(i/2*nr+j)*2+i%2] = rounders[j].Round(row[col])
				}
			}
		}
	}
}

// widen sets dst to the packed weights of some columns of a panel, from column first on, as
// [columns][32] floats.
func (f *fixed) widen(dst []float32, at, first, columns, panel int) {
	const nr = ukernel.Int8NR
	scale := f.scale[panel*nr:][:nr]
	for c := range columns {
		from := f.w[at+(first+c)/2*2*nr+(first+c)%2:]
		for j, s := range scale {
			dst[c*nr+j] = s * float32(from[2*j])
		}
	}
}

// fixedExec is what a LinearExec of whole numbers has in place of floats.
type fixedExec struct {
	q    []int16     // inputs as [blocks][n][16]
	step []float64   // of each input
	sums []int64     // of each worker: [batch][32]
	row  [][]float32 // of each worker: an input that does not lie in src in whole blocks
}

func (l *Linear) newFixedExec(batch, workers int) *fixedExec {
	e := &fixedExec{
		q:    layout.AllocOf[int16](batch * l.blocks * 16),
		step: make([]float64, batch),
		sums: layout.AllocOf[int64](workers * batch * ukernel.Int8NR),
		row:  make([][]float32, workers),
	}
	for i := range e.row {
		e.row[i] = layout.Alloc(l.blocks * 16)
	}
	return e
}

// runFixed computes a job whose operands have been checked.
func (e *LinearExec) runFixed(ctx context.Context, j *linearJob) error {
	if err := e.run(ctx, j, j.n, (*LinearExec).quantise); err != nil {
		return err
	}
	return e.run(ctx, j, e.l.panels(), (*LinearExec).fixedPanel)
}

// quantise turns one input into whole numbers.
func (e *LinearExec) quantise(j *linearJob, worker, i int) {
	l, f := e.l, e.fixed
	row := f.row[worker]
	switch {
	case j.offsets != nil:
		for b, off := range j.offsets {
			*(*[16]float32)(row[b*16:]) = [16]float32(j.src[j.inputs[i]+off:])
		}
	case l.in%16 == 0:
		row = j.src[i*l.in:][:l.in]
	default: // what follows is always zero
		copy(row, j.src[i*l.in:][:l.in])
	}
	f.step[i] = quantise.Activations(f.q[i*16:], j.n*16, row)
}

// fixedChunk is how many blocks of 16 columns of a panel all inputs meet: 64 KiB of weights,
// which stay in the second-level cache. One call takes some 10 µs.
const fixedChunk = 128

// fixedPanel computes the outputs of one panel for all inputs.
func (e *LinearExec) fixedPanel(j *linearJob, worker, p int) {
	const nr = ukernel.Int8NR
	l, f, n := e.l, e.fixed, j.n
	kern := l.fixed.kernel
	sums := f.sums[worker*e.batch*nr:][:n*nr]
	clear(sums)
	for b := 0; b < l.blocks; b += fixedChunk {
		blocks := min(fixedChunk, l.blocks-b)
		w := l.fixed.w[l.at(p)+b*16*nr:]
		mr := evenly(n, kern.MR)
		for i := 0; i < n; i += mr {
			kern.Run(min(mr, n-i), &ukernel.BlockedInt8Args{Blocks: blocks, A: f.q[(b*n+i)*16:], ABlock: n * 16, B: w, C: sums[i*nr:]})
		}
	}
	for i := range n {
		e.finishFixed(j.dst[i*l.out+p*nr:][:min(nr, l.out-p*nr)], sums[i*nr:], f.step[i], p*nr)
	}
}

// finishFixed turns the sums of one input, from output first on, into results. Products are
// rounded to float64 one by one, so that none is fused with the addition.
func (e *LinearExec) finishFixed(dst []float32, sums []int64, step float64, first int) {
	l := e.l
	bias, scale := l.bias[first:][:len(dst)], l.fixed.scale[first:][:len(dst)]
	for k, sum := range sums[:len(dst)] {
		y := float64(float64(sum) * float64(step*float64(scale[k])))
		dst[k] = float32(y + float64(bias[k]))
	}
	if l.relu {
		activation.ReLU(dst)
	}
}
