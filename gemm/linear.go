package gemm

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Linear holds the weights and biases of a fully connected layer, packed for the
// kernels of this machine. It is immutable and may be shared.
type Linear struct {
	out, in int // in counts packed columns
	blocks  int // of 16 columns
	kern    *ukernel.Blocked
	u       []float32 // [panel][blocks*16][width]
	h       []uint16  // instead of u: in half precision
	bias    []float32
	relu    bool
}

// A LinearOption changes how a Linear is packed, or what follows it.
type LinearOption func(*linearOptions)

type linearOptions struct {
	team    *parallel.Team
	columns []int32
	relu    bool
	half    bool
}

// PackWith shares the work of packing among the workers of a team.
func PackWith(team *parallel.Team) LinearOption { return func(o *linearOptions) { o.team = team } }

// Columns makes inputs of len(perm) elements, of which element i meets column
// perm[i] of the weights, or none if perm[i] is −1. A network uses it to read
// blocked activations where the weights were made for CHW.
func Columns(perm []int32) LinearOption { return func(o *linearOptions) { o.columns = perm } }

// LinearReLU replaces negative results by 0. NaN stays NaN.
func LinearReLU(o *linearOptions) { o.relu = true }

// Half stores the weights in IEEE half precision, rounded to nearest even. Sums
// stay in float32.
func Half(o *linearOptions) { o.half = true }

// NewLinear packs weights [out][in] and out biases, which may be nil. Neither is
// kept. Errors wrap ErrShape.
func NewLinear(out, in int, weights, bias []float32, opts ...LinearOption) (*Linear, error) {
	return newLinear(ukernel.BestBlocked(), out, in, weights, bias, opts...)
}

// NewLinearFrom is NewLinear for weights that are read while they are packed: read
// sets dst to whole rows of them, of which the first is row first. The workers of
// the team call it, for a few rows at a time. NewLinearFrom returns its first error.
func NewLinearFrom(out, in int, read func(dst []float32, first int) error, bias []float32, opts ...LinearOption) (*Linear, error) {
	return newLinearFrom(ukernel.BestBlocked(), out, in, read, bias, opts...)
}

func newLinear(kern *ukernel.Blocked, out, in int, weights, bias []float32, opts ...LinearOption) (*Linear, error) {
	if out > 0 && in > 0 && len(weights) != shape.Product(out, in) {
		return nil, shape.Errorf("gemm: %d weights, want %d×%d", len(weights), out, in)
	}
	l, o, err := emptyLinear(kern, out, in, bias, opts)
	if err != nil {
		return nil, err
	}
	// The error is a context's, and this one never ends.
	_ = o.team.Run(context.Background(), l.panels()*l.chunks(), func(_, item int) {
		panel := item / l.chunks()
		l.pack(panel, item%l.chunks(), weights[panel*kern.NR*in:], in, o.columns)
	})
	return l, nil
}

func newLinearFrom(kern *ukernel.Blocked, out, in int, read func(dst []float32, first int) error, bias []float32, opts ...LinearOption) (*Linear, error) {
	l, o, err := emptyLinear(kern, out, in, bias, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	scratch := make([][]float32, o.team.Workers())
	_ = o.team.Run(ctx, l.panels(), func(worker, panel int) {
		first := panel * kern.NR
		if scratch[worker] == nil {
			scratch[worker] = make([]float32, min(kern.NR, out)*in)
		}
		rows := scratch[worker][:min(kern.NR, out-first)*in]
		if err := read(rows, first); err != nil {
			cancel(err)
			return
		}
		for chunk := range l.chunks() {
			l.pack(panel, chunk, rows, in, o.columns)
		}
	})
	return l, context.Cause(ctx)
}

// emptyLinear makes a Linear that holds the biases.
func emptyLinear(kern *ukernel.Blocked, out, in int, bias []float32, opts []LinearOption) (*Linear, linearOptions, error) {
	var o linearOptions
	for _, f := range opts {
		f(&o)
	}
	if out < 1 || in < 1 || bias != nil && len(bias) != out {
		return nil, o, shape.Errorf("gemm: %d biases for weights of %d×%d", len(bias), out, in)
	}
	packed := in
	if o.columns != nil {
		packed = len(o.columns)
	}
	for i, col := range o.columns {
		if col < -1 || int(col) >= in {
			return nil, o, shape.Errorf("gemm: column %d is taken from %d of %d", i, col, in)
		}
	}
	if packed == 0 {
		return nil, o, shape.Errorf("gemm: no columns")
	}
	if !shape.Fits(layout.Blocks(out), 16, layout.Blocks(packed), 16) {
		return nil, o, shape.Errorf("gemm: %d outputs of %d columns", out, packed)
	}
	l := &Linear{out: out, in: packed, blocks: layout.Blocks(packed), kern: kern, relu: o.relu}
	l.bias = make([]float32, l.outputs())
	copy(l.bias, bias)
	if o.half {
		l.h = layout.AllocOf[uint16](l.outputs() * l.blocks * 16)
	} else {
		l.u = layout.Alloc(l.outputs() * l.blocks * 16)
	}
	return l, o, nil
}

// chunkBlocks is how many blocks of 16 columns are summed in one chain. The sums
// of the chunks are added in their order, whatever the number of inputs, so that
// bits do not depend on it. A chunk of a panel, 64×512 weights, takes 128 KiB:
// it stays in the second-level cache while all inputs meet it.
const chunkBlocks = 32

func (l *Linear) chunks() int { return (l.blocks + chunkBlocks - 1) / chunkBlocks }

// outputs returns the number of outputs, padded to blocks.
func (l *Linear) outputs() int { return layout.Blocks(l.out) * 16 }

func (l *Linear) panels() int { return (l.outputs() + l.kern.NR - 1) / l.kern.NR }

func (l *Linear) width(panel int) int { return min(l.kern.NR, l.outputs()-panel*l.kern.NR) }

// at returns where the packed weights [blocks*16][width] of a panel begin.
func (l *Linear) at(panel int) int { return panel * l.kern.NR * l.blocks * 16 }

// pack copies one chunk of the columns of one panel, 16 outputs at a time: whole
// lines are written, and 16 rows read side by side. weights begins with the panel's
// first row.
func (l *Linear) pack(panel, chunk int, weights []float32, in int, columns []int32) {
	width := l.width(panel)
	i0 := chunk * chunkBlocks * 16
	i1 := min(i0+chunkBlocks*16, l.in)
	for block := 0; block < width; block += 16 {
		first := panel*l.kern.NR + block
		var rows [16][]float32
		n := min(16, l.out-first)
		for lane := range n {
			rows[lane] = weights[(block+lane)*in:][:in]
		}
		var line [16]float32
		for i := i0; i < i1; i++ {
			col := i
			if columns != nil {
				col = int(columns[i])
			}
			if col < 0 {
				continue // stays zero
			}
			for lane, row := range rows[:n] {
				line[lane] = row[col]
			}
			at := l.at(panel) + i*width + block
			if l.h == nil {
				*(*[16]float32)(l.u[at:]) = line
				continue
			}
			for lane, w := range line {
				l.h[at+lane] = half.FromFloat32(w)
			}
		}
	}
}

// Bytes returns the memory that the packed weights take.
func (l *Linear) Bytes() int64 { return 4*int64(len(l.u)) + 2*int64(len(l.h)) }

// LinearExec computes a Linear on a team, for up to batch inputs at a time. One
// goroutine at a time may use it.
type LinearExec struct {
	l       *Linear
	team    *parallel.Team
	batch   int
	packed  []float32 // inputs as [blocks][n][16]
	scratch []linearScratch
	sums    []float32 // of each worker: [batch][NR]
	n       int
	dst, x  []float32
	src     []float32
	inputs  []int // of RunWindows: where each input begins in src
	offsets []int // of RunWindows: where each block lies behind that
	item    func(worker, item int)
	reorder func(worker, item int)
	gather  func(worker, item int)
}

// linearScratch is a worker's result of one kernel call.
type linearScratch struct {
	tile [7 * 64]float32
	_    [64]byte
}

// NewExec plans l for up to batch inputs at a time on a team, which may be nil. Errors
// wrap ErrShape.
func (l *Linear) NewExec(team *parallel.Team, batch int) (*LinearExec, error) {
	if batch < 1 || !shape.Fits(batch, l.blocks, 16) || !shape.Fits(batch, l.outputs()) || !shape.Fits(team.Workers(), batch, l.kern.NR) {
		return nil, shape.Errorf("gemm: batch of %d inputs of %d and %d outputs for %d workers", batch, l.in, l.out, team.Workers())
	}
	e := &LinearExec{l: l, team: team, batch: batch}
	if batch > 1 || l.in%16 != 0 {
		e.packed = layout.Alloc(batch * l.blocks * 16)
	}
	e.scratch = make([]linearScratch, team.Workers())
	e.sums = layout.Alloc(team.Workers() * batch * l.kern.NR)
	e.item, e.reorder, e.gather = e.panel, e.block, e.window
	return e, nil
}

// Batch returns how many inputs Run takes at most.
func (e *LinearExec) Batch() int { return e.batch }

// Run computes dst [n][out] from src [n][in], n at most the batch. They must not
// overlap. The results for one input are the same bits for any n and any number
// of workers. It returns an error if a length is wrong or when ctx ends. It does
// not allocate.
func (e *LinearExec) Run(ctx context.Context, dst, src []float32, n int) error {
	l := e.l
	if n < 1 || n > e.batch || len(dst) != n*l.out || len(src) != n*l.in {
		return shape.Errorf("gemm: operands of %d and %d floats for %d inputs, want %d×%d and %d×%d, up to %d inputs",
			len(dst), len(src), n, n, l.out, n, l.in, e.batch)
	}
	e.n, e.dst, e.src, e.x = n, dst, src, src
	defer func() { e.dst, e.src, e.x = nil, nil, nil }()
	if n > 1 || l.in%16 != 0 {
		e.x = e.packed[:n*l.blocks*16]
		if err := e.team.Run(ctx, (l.blocks+reorderBlocks-1)/reorderBlocks, e.reorder); err != nil {
			return err
		}
	}
	return e.team.Run(ctx, l.panels(), e.item)
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
	if e.packed == nil { // a batch of one: Run reads such inputs where they are
		e.packed = layout.Alloc(e.batch * l.in)
	}
	e.n, e.dst, e.src, e.x, e.inputs, e.offsets = n, dst, src, e.packed[:n*l.in], inputs, offsets
	defer func() { e.dst, e.src, e.x, e.inputs, e.offsets = nil, nil, nil, nil, nil }()
	if err := e.team.Run(ctx, (l.blocks+reorderBlocks-1)/reorderBlocks, e.gather); err != nil {
		return err
	}
	return e.team.Run(ctx, l.panels(), e.item)
}

// window copies some blocks of all windows to where the kernel reads them.
func (e *LinearExec) window(_, item int) {
	for b := item * reorderBlocks; b < min((item+1)*reorderBlocks, e.l.blocks); b++ {
		src := e.src[e.offsets[b]:]
		for i, at := range e.inputs {
			*(*[16]float32)(e.x[(b*e.n+i)*16:]) = [16]float32(src[at:])
		}
	}
}

// reorderBlocks is how many blocks an item of the reordering copies.
const reorderBlocks = 64

// block copies some blocks of all inputs to where the kernel reads them.
func (e *LinearExec) block(_, item int) {
	l := e.l
	for b := item * reorderBlocks; b < min((item+1)*reorderBlocks, l.blocks); b++ {
		valid := min(16, l.in-b*16)
		for i := range e.n {
			to := e.x[(b*e.n+i)*16:][:16]
			clear(to[copy(to, e.src[i*l.in+b*16:][:valid]):])
		}
	}
}

// panel computes the outputs of one panel for all inputs.
func (e *LinearExec) panel(worker, p int) {
	l, n := e.l, e.n
	width := l.width(p)
	sums := e.sums[worker*e.batch*l.kern.NR:][:n*width]
	for i := range n {
		copy(sums[i*width:], l.bias[p*l.kern.NR:][:width])
	}
	tile := e.scratch[worker].tile[:]
	most := l.kern.MR
	if l.h != nil {
		most = l.kern.HalfMR()
	}
	group := evenly(n, most)
	for b := 0; b < l.blocks; b += chunkBlocks {
		blocks := min(chunkBlocks, l.blocks-b)
		at := l.at(p) + b*16*width
		// The chunk that comes next is fetched while several inputs meet this one.
		// For one input memory is the limit, and the processor's own prefetching
		// of a single stream is faster: 7 % on Zen 4, 17 % in half precision.
		ahead := at + blocks*16*width
		if last := l.at(l.panels()-1) + l.width(l.panels()-1)*l.blocks*16; n == 1 || ahead+blocks*16*width > last {
			ahead = at
		}
		for t := 0; t < n; t += group {
			g := min(group, n-t)
			x := e.x[(b*n+t)*16:]
			if l.h != nil {
				l.kern.RunHalf(g, width, &ukernel.BlockedHalfArgs{Blocks: blocks, A: x, ABlock: n * 16, B: l.h[at:], C: tile, NextB: l.h[ahead:]})
			} else {
				l.kern.Run(1, g, width, &ukernel.BlockedArgs{Blocks: blocks, A: x, ABlock: n * 16, B: l.u[at:], C: tile, NextB: l.u[ahead:]})
			}
			activation.Add(sums[t*width:][:g*width], tile[:g*width])
			if t == 0 && ahead != at {
				ahead += blocks * 8 * width // each call fetches half of it
			}
		}
	}
	valid := min(width, l.out-p*l.kern.NR)
	for i := range n {
		out := e.dst[i*l.out+p*l.kern.NR:][:valid]
		for j, v := range sums[i*width:][:valid] {
			if l.relu {
				v = max(v, 0)
			}
			out[j] = v
		}
	}
}
