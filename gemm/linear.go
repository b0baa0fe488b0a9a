package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Linear holds the weights and biases of a fully connected layer, packed for the
// kernels of this machine. It is immutable and may be shared.
type Linear struct {
	in, out int // in counts packed columns
	blocks  int // of 16 columns
	kernel  *ukernel.Blocked
	u       []float32 // [panel][blocks*16][width]
	h       []uint16  // instead of u: in half precision
	fixed   *fixed    // instead of u: in whole numbers
	bias    []float32 // padded to blocks
	relu    bool
}

// An Option changes how a Linear is packed, or what it does to its result.
type Option func(*options)

type options struct {
	columns    []int32
	relu, half bool
	fixed      bool
}

// Columns makes inputs of len(perm) elements, of which element i meets column
// perm[i] of the weights, or none if perm[i] is −1. A network uses it to read
// blocked activations where the weights were made for CHW.
func Columns(perm []int32) Option { return func(o *options) { o.columns = perm } }

// ReLU replaces negative results by 0. NaN stays NaN.
func ReLU() Option { return func(o *options) { o.relu = true } }

// Half stores the weights in IEEE half precision, rounded to nearest even. Sums
// stay in float32.
func Half() Option { return func(o *options) { o.half = true } }

// Fixed stores the weights as whole numbers of 8 bits, with a scale for each output, and
// multiplies them by inputs of 16 bits, with a scale for each input. For every output
//
//	y = bias + step·scale·Σ q·w,  |x − step·q| ≤ step·(1/2 + 2⁻⁸),  |weight − scale·w| ≤ scale/2
//
// where step is a 32767th of the largest magnitude of the input x and scale a 127th of that of
// the output's weights. The sum is exact, and y is rounded to float32 once from float64: the
// same bits on every instruction set. An input with a NaN or an infinity gives NaN in all its
// outputs, an output with such a weight NaN for all inputs. An outlier among the elements of
// an input costs the others precision. Fixed takes a quarter of the memory and goes before Half.
func Fixed() Option { return func(o *options) { o.fixed = true } }

// NewLinear packs weights [out][in] and out biases, which may be nil. Neither is
// kept. The workers of team, which may be nil, share the work. Errors wrap ErrShape.
func NewLinear(in, out int, weights, bias []float32, team *parallel.Team, opts ...Option) (*Linear, error) {
	return newLinear(ukernel.BestBlocked(), in, out, weights, bias, team, opts)
}

// NewLinearFrom is NewLinear for weights that are read while they are packed: read
// sets dst to whole rows of them, of which the first is row first. The workers of
// the team call it, for a few rows at a time. NewLinearFrom returns its first error.
func NewLinearFrom(in, out int, read func(dst []float32, first int) error, bias []float32, team *parallel.Team, opts ...Option) (*Linear, error) {
	return newLinearFrom(ukernel.BestBlocked(), in, out, read, bias, team, opts)
}

func newLinear(kern *ukernel.Blocked, in, out int, weights, bias []float32, team *parallel.Team, opts []Option) (*Linear, error) {
	if out > 0 && in > 0 && len(weights) != shape.Product(out, in) {
		return nil, shape.Errorf("gemm: %d weights, want %d×%d", len(weights), out, in)
	}
	l, columns, err := emptyLinear(kern, in, out, bias, opts)
	if err != nil {
		return nil, err
	}
	// The errors are those of a context, and this one never ends.
	if l.fixed != nil {
		_ = team.Run(context.Background(), l.panels(), func(_, panel int) {
			l.packFixed(panel, weights[panel*l.nr()*in:], in, columns)
		})
		return l, nil
	}
	_ = team.Run(context.Background(), l.panels()*l.chunks(), func(_, item int) {
		panel := item / l.chunks()
		l.pack(panel, item%l.chunks(), weights[panel*kern.NR*in:], in, columns)
	})
	return l, nil
}

func newLinearFrom(kern *ukernel.Blocked, in, out int, read func(dst []float32, first int) error, bias []float32, team *parallel.Team, opts []Option) (*Linear, error) {
	l, columns, err := emptyLinear(kern, in, out, bias, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	scratch := make([][]float32, team.Workers())
	_ = team.Run(ctx, l.panels(), func(worker, panel int) {
		first := panel * l.nr()
		if scratch[worker] == nil {
			scratch[worker] = make([]float32, min(l.nr(), out)*in)
		}
		rows := scratch[worker][:min(l.nr(), out-first)*in]
		if err := read(rows, first); err != nil {
			cancel(err)
			return
		}
		if l.fixed != nil {
			l.packFixed(panel, rows, in, columns)
			return
		}
		for chunk := range l.chunks() {
			l.pack(panel, chunk, rows, in, columns)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// emptyLinear makes a Linear that holds the biases, and returns which column each of its
// inputs meets; nil: its own.
func emptyLinear(kern *ukernel.Blocked, in, out int, bias []float32, opts []Option) (l *Linear, columns []int32, err error) {
	var o options
	for _, f := range opts {
		f(&o)
	}
	if out < 1 || in < 1 || bias != nil && len(bias) != out {
		return nil, nil, shape.Errorf("gemm: %d biases for weights of %d×%d", len(bias), out, in)
	}
	packed := in
	if o.columns != nil {
		packed = len(o.columns)
	}
	for i, col := range o.columns {
		if col < -1 || int(col) >= in {
			return nil, nil, shape.Errorf("gemm: column %d is taken from %d of %d", i, col, in)
		}
	}
	if packed == 0 {
		return nil, nil, shape.Errorf("gemm: no columns")
	}
	if !shape.Fits(layout.Blocks(out)+1, 16, layout.Blocks(packed), 16) {
		return nil, nil, shape.Errorf("gemm: %d outputs of %d columns", out, packed)
	}
	l = &Linear{in: packed, out: out, blocks: layout.Blocks(packed), kernel: kern, relu: o.relu}
	if o.fixed {
		l.fixed = newFixed(out, l.blocks)
	}
	l.bias = make([]float32, l.outputs())
	copy(l.bias, bias)
	switch {
	case o.fixed:
	case o.half:
		l.h = layout.AllocOf[uint16](l.outputs() * l.blocks * 16)
	default:
		l.u = layout.Alloc(l.outputs() * l.blocks * 16)
	}
	return l, o.columns, nil
}

// chunkBlocks is how many blocks of 16 columns are summed in one chain. The sums
// of the chunks are added in their order, whatever the number of inputs, so that
// bits do not depend on it. A chunk of a panel, 64×512 weights, takes 128 KiB:
// it stays in the second-level cache while all inputs meet it.
const chunkBlocks = 32

func (l *Linear) chunks() int { return ceilDiv(l.blocks, chunkBlocks) }

// outputs returns the number of outputs, padded to blocks; in whole numbers to panels.
func (l *Linear) outputs() int {
	if l.fixed != nil {
		return len(l.fixed.scale)
	}
	return layout.Blocks(l.out) * 16
}

// nr returns the number of outputs of a panel. The last may have fewer.
func (l *Linear) nr() int {
	if l.fixed != nil {
		return ukernel.Int8NR
	}
	return l.kernel.NR
}

func (l *Linear) panels() int { return ceilDiv(l.outputs(), l.nr()) }

func (l *Linear) width(panel int) int { return min(l.nr(), l.outputs()-panel*l.nr()) }

// at returns where the packed weights [blocks*16][width] of a panel begin.
func (l *Linear) at(panel int) int { return panel * l.nr() * l.blocks * 16 }

// pack copies one chunk of the columns of one panel, 16 outputs at a time: whole
// lines are written, and 16 rows read side by side. weights begins with the panel's
// first row.
func (l *Linear) pack(panel, chunk int, weights []float32, in int, columns []int32) {
	width := l.width(panel)
	from := chunk * chunkBlocks * 16
	to := min(from+chunkBlocks*16, l.in)
	for block := 0; block < width; block += 16 {
		var rows [16][]float32
		n := min(16, l.out-panel*l.kernel.NR-block)
		for lane := range n {
			rows[lane] = weights[(block+lane)*in:][:in]
		}
		var line [16]float32
		for i := from; i < to; i++ {
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
			l.store(l.at(panel)+i*width+block, &line)
		}
	}
}

// store sets 16 weights, in the precision of l.
func (l *Linear) store(at int, line *[16]float32) {
	if l.h == nil {
		*(*[16]float32)(l.u[at:]) = *line
		return
	}
	for lane, w := range line {
		l.h[at+lane] = half.FromFloat32(w)
	}
}

// Bytes returns the memory that the packed weights take.
func (l *Linear) Bytes() int64 {
	n := 4*int64(len(l.u)) + 2*int64(len(l.h))
	if l.fixed != nil {
		n += int64(len(l.fixed.w)) + 4*int64(len(l.fixed.scale))
	}
	return n
}
