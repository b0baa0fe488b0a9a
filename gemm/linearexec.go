package gemm

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// LinearExec computes a Linear on a team, for up to batch inputs at a time. One
// goroutine at a time may use it.
type LinearExec struct {
	l      *Linear
	team   *parallel.Team
	batch  int
	packed []float32 // inputs as [blocks][n][16]
	tiles  []linearTile
	sums   []float32 // of each worker: [batch][NR]
	fixed  *fixedExec
	job    linearJob
	work   func(worker, item int)
}

// linearTile is a worker's result of one kernel call.
type linearTile struct {
	c [7 * 64]float32
	_ [64]byte
}

// linearJob is what the workers of a LinearExec compute together.
type linearJob struct {
	n        int
	dst, src []float32
	a        []float32 // src as the kernel reads it, [blocks][n][16]
	inputs   []int     // of RunWindows: where each input begins in src
	offsets  []int     // of RunWindows: where each block lies behind that
	step     func(e *LinearExec, j *linearJob, worker, item int)
}

// NewExec plans l for up to batch inputs at a time on a team, which may be nil. Errors
// wrap ErrShape.
func (l *Linear) NewExec(batch int, team *parallel.Team) (*LinearExec, error) {
	if batch < 1 || !shape.Fits(batch, l.blocks, 16) || !shape.Fits(batch, l.outputs()) || !shape.Fits(team.Workers(), batch, l.nr()) {
		return nil, shape.Errorf("gemm: batch of %d inputs of %d and %d outputs for %d workers", batch, l.in, l.out, team.Workers())
	}
	e := &LinearExec{l: l, team: team, batch: batch}
	e.work = func(worker, item int) { e.job.step(e, &e.job, worker, item) }
	if l.fixed != nil {
		e.fixed = l.newFixedExec(batch, team.Workers())
		return e, nil
	}
	if batch > 1 || l.in%16 != 0 {
		e.packed = layout.Alloc(batch * l.blocks * 16)
	}
	e.tiles = make([]linearTile, team.Workers())
	e.sums = layout.Alloc(team.Workers() * e.sumsLen())
	return e, nil
}

// Batch returns how many inputs Run takes at most.
func (e *LinearExec) Batch() int { return e.batch }

// Run computes dst [n][out] from src [n][in], n at most the batch. They must not
// overlap. The results for one input are the same bits for any n and any number
// of workers. It returns an error if a length is wrong or when ctx ends. It does
// not allocate.
func (e *LinearExec) Run(ctx context.Context, n int, dst, src []float32) error {
	l := e.l
	if n < 1 || n > e.batch || len(dst) != n*l.out || len(src) != n*l.in {
		return shape.Errorf("gemm: operands of %d and %d floats for %d inputs, want %d×%d and %d×%d, up to %d inputs",
			len(dst), len(src), n, n, l.out, n, l.in, e.batch)
	}
	j := linearJob{n: n, dst: dst, src: src, a: src}
	if l.fixed != nil {
		return e.runFixed(ctx, &j)
	}
	if n > 1 || l.in%16 != 0 {
		j.a = e.packed[:n*l.blocks*16]
		if err := e.run(ctx, &j, ceilDiv(l.blocks, packedBlocks), (*LinearExec).packInputs); err != nil {
			return err
		}
	}
	return e.sum(ctx, &j)
}

// sum computes the outputs from packed inputs. One input meets some panels at once, if that
// leaves enough items for the workers.
func (e *LinearExec) sum(ctx context.Context, j *linearJob) error {
	if items := ceilDiv(e.l.panels(), ukernel.RowPanels); j.n == 1 && items >= 2*e.team.Workers() {
		return e.run(ctx, j, items, (*LinearExec).row)
	}
	return e.run(ctx, j, e.l.panels(), (*LinearExec).panel)
}

// RunWindows is Run for inputs that lie in src in blocks of 16 elements and may
// overlap: block b of input i is src[inputs[i]+offsets[b]:][:16]. It slides a
// fully connected layer over an activation as a convolution, with offsets for the
// blocks of a window and inputs for the windows. There are as many inputs as
// results, at most the batch, and as many offsets as the layer has blocks; its
// number of packed columns is a multiple of 16. Bits are those of Run.
func (e *LinearExec) RunWindows(ctx context.Context, dst, src []float32, inputs, offsets []int) error {
	l, n := e.l, len(inputs)
	if n < 1 || n > e.batch || len(dst) != n*l.out || l.in%16 != 0 || len(offsets) != l.blocks {
		return shape.Errorf("gemm: result of %d floats for %d inputs of %d blocks, want %d×%d, up to %d inputs of %d/16 blocks",
			len(dst), n, len(offsets), n, l.out, e.batch, l.in)
	}
	if lo, in, off := min(slices.Min(inputs), slices.Min(offsets)), slices.Max(inputs), slices.Max(offsets); lo < 0 || off > len(src) || in > len(src)-off-16 {
		return shape.Errorf("gemm: inputs from %d on, with blocks up to %d behind the last at %d, of %d floats", lo, off, in, len(src))
	}
	if l.fixed != nil {
		return e.runFixed(ctx, &linearJob{n: n, dst: dst, src: src, inputs: inputs, offsets: offsets})
	}
	if e.packed == nil { // a batch of one: Run reads such inputs where they are
		e.packed = layout.Alloc(e.batch * l.in)
	}
	j := linearJob{n: n, dst: dst, src: src, a: e.packed[:n*l.in], inputs: inputs, offsets: offsets}
	if err := e.run(ctx, &j, ceilDiv(l.blocks, packedBlocks), (*LinearExec).packWindows); err != nil {
		return err
	}
	return e.sum(ctx, &j)
}

// run hands a job to the team: step is called for each item.
func (e *LinearExec) run(ctx context.Context, j *linearJob, items int, step func(e *LinearExec, j *linearJob, worker, item int)) error {
	e.job = *j
	e.job.step = step
	err := e.team.Run(ctx, items, e.work)
	e.job = linearJob{} // of which the operands are not ours to keep
	return err
}

// packedBlocks is how many blocks of 16 columns an item packs of all inputs.
const packedBlocks = 64

// packInputs copies some blocks of all inputs to where the kernel reads them.
func (e *LinearExec) packInputs(j *linearJob, _, item int) {
	l := e.l
	for b := item * packedBlocks; b < min((item+1)*packedBlocks, l.blocks); b++ {
		valid := min(16, l.in-b*16)
		for i := range j.n {
			to := j.a[(b*j.n+i)*16:][:16]
			clear(to[copy(to, j.src[i*l.in+b*16:][:valid]):])
		}
	}
}

// packWindows is packInputs for windows.
func (e *LinearExec) packWindows(j *linearJob, _, item int) {
	for b := item * packedBlocks; b < min((item+1)*packedBlocks, e.l.blocks); b++ {
		src := j.src[j.offsets[b]:]
		for i, at := range j.inputs {
			*(*[16]float32)(j.a[(b*j.n+i)*16:]) = [16]float32(src[at:])
		}
	}
}

// sumsLen returns the sums of a worker.
func (e *LinearExec) sumsLen() int { return max(e.batch, ukernel.RowPanels) * e.l.kernel.NR }

// row computes the outputs of some panels for one input.
func (e *LinearExec) row(j *linearJob, worker, item int) {
	l := e.l
	p := item * ukernel.RowPanels
	if p+ukernel.RowPanels > l.outputs()/l.kernel.NR { // not all are there, and wide
		for ; p < l.panels(); p++ {
			e.panel(j, worker, p)
		}
		return
	}
	n := ukernel.RowPanels * l.kernel.NR
	sums, c, first := e.sums[worker*e.sumsLen():][:n], e.tiles[worker].c[:n], p*l.kernel.NR
	copy(sums, l.bias[first:])
	for b := 0; b < l.blocks; b += chunkBlocks {
		blocks, at, panel := min(chunkBlocks, l.blocks-b), l.at(p)+b*16*l.kernel.NR, l.at(1)
		if l.h != nil {
			l.kernel.RunRowHalf(&ukernel.BlockedRowArgs[uint16]{Blocks: blocks, A: j.a[b*16:], B: l.h[at:], BPanel: panel, C: c})
		} else {
			l.kernel.RunRow(&ukernel.BlockedRowArgs[float32]{Blocks: blocks, A: j.a[b*16:], B: l.u[at:], BPanel: panel, C: c})
		}
		activation.Add(sums, c)
	}
	e.store(j, 0, first, sums)
}

// panel computes the outputs of one panel for all inputs.
func (e *LinearExec) panel(j *linearJob, worker, p int) {
	l := e.l
	width := l.width(p)
	sums := e.sums[worker*e.sumsLen():][:j.n*width]
	for i := range j.n {
		copy(sums[i*width:], l.bias[p*l.kernel.NR:][:width])
	}
	for b := 0; b < l.blocks; b += chunkBlocks {
		e.addChunk(j, sums, e.tiles[worker].c[:], p, b)
	}
	for i := range j.n {
		e.store(j, i, p*l.kernel.NR, sums[i*width:][:width])
	}
}

// store sets the outputs of input i from the first on.
func (e *LinearExec) store(j *linearJob, i, first int, sums []float32) {
	l := e.l
	out := j.dst[i*l.out+first:][:min(len(sums), l.out-first)]
	copy(out, sums)
	if l.relu {
		activation.ReLU(out)
	}
}

// addChunk adds the products of the columns from block b on to the sums of a panel.
func (e *LinearExec) addChunk(j *linearJob, sums, c []float32, p, b int) {
	l, n := e.l, j.n
	width, blocks := l.width(p), min(chunkBlocks, l.blocks-b)
	at := l.at(p) + b*16*width
	next := e.nextChunk(n, at, blocks*16*width)
	for i, mr := 0, l.tileRows(n); i < n; i += mr {
		m := min(mr, n-i)
		a := j.a[(b*n+i)*16:]
		if l.h != nil {
			l.kernel.RunHalf(m, width, &ukernel.BlockedHalfArgs{Blocks: blocks, A: a, ABlock: n * 16, B: l.h[at:], C: c, NextB: l.h[next:]})
		} else {
			l.kernel.Run(1, m, width, &ukernel.BlockedArgs{Channels: blocks * 16, A: a, ABlock: n * 16, B: l.u[at:], C: c, NextB: l.u[next:]})
		}
		activation.Add(sums[i*width:][:m*width], c[:m*width])
		if i == 0 && next != at {
			next += blocks * 8 * width // each call fetches half of it
		}
	}
}

// tileRows returns into how large groups n inputs are split evenly.
func (l *Linear) tileRows(n int) int {
	if l.h != nil {
		return evenly(n, l.kernel.HalfMR())
	}
	return evenly(n, l.kernel.MR)
}

// nextChunk returns where the weights are that are fetched while n inputs meet those at
// at: the chunk of size weights that comes next, or these themselves. For one input
// memory is the limit, and the processor's own prefetching of a single stream is faster:
// 7 % on Zen 4, 17 % in half precision.
func (e *LinearExec) nextChunk(n, at, size int) int {
	l := e.l
	last := l.at(l.panels()-1) + l.width(l.panels()-1)*l.blocks*16
	if next := at + size; n > 1 && next+size <= last {
		return next
	}
	return at
}
