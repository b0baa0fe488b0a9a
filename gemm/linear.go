package gemm

import (
	"context"
	"errors"

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
	exact   bool      // h holds every weight as it was given
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
	single     bool // float32 in any case
}

// Columns makes inputs of len(perm) elements, of which element i meets column
// perm[i] of the weights, or none if perm[i] is −1. A network uses it to read
// blocked activations where the weights were made for CHW.
func Columns(perm []int32) Option { return func(o *options) { o.columns = perm } }

// ReLU replaces negative results by 0. NaN stays NaN.
func ReLU() Option { return func(o *options) { o.relu = true } }

// Half stores the weights in IEEE half precision, rounded to nearest even. Sums
// stay in float32. Weights that half precision holds exactly are stored so without Half: that
// halves the memory that is read, and gives the same bits.
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
	read := func(dst []float32, first int) error { copy(dst, weights[first*in:]); return nil }
	return newLinearFrom(kern, in, out, read, bias, team, opts)
}

// newLinearFrom stores weights in half precision if that holds the first rows exactly, and
// begins anew in float32 if it does not hold the others.
func newLinearFrom(kern *ukernel.Blocked, in, out int, read func(dst []float32, first int) error, bias []float32, team *parallel.Team, opts []Option) (*Linear, error) {
	o := collect(opts)
	if err := o.check(in, out, bias); err != nil {
		return nil, err
	}
	if !o.half && !o.single && !o.fixed {
		rows := make([]float32, min(probeRows, out)*in)
		if err := read(rows, 0); err != nil {
			return nil, err
		}
		if half.Holds(rows) {
			inHalf := o
			inHalf.half = true
			l := inHalf.empty(kern, in, out, bias)
			l.exact = true
			if err := l.packRows(in, read, team, o.columns); err == nil {
				return l, nil
			} else if !errors.Is(err, errInexact) {
				return nil, err
			}
		}
	}
	l := o.empty(kern, in, out, bias)
	if err := l.packRows(in, read, team, o.columns); err != nil {
		return nil, err
	}
	return l, nil
}

// probeRows is how many rows of weights are looked at before memory is allocated for all of
// them in half precision. Weights that were float32 all along differ in the first row.
const probeRows = 4

// errInexact says that half precision does not hold a weight.
var errInexact = errors.New("gemm: a weight that half precision does not hold")

// packRows packs the weights that read gives, of in columns, panel by panel.
func (l *Linear) packRows(in int, read func(dst []float32, first int) error, team *parallel.Team, columns []int32) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	nr := l.nr()
	scratch := make([][]float32, team.Workers())
	_ = team.Run(ctx, l.panels(), func(worker, panel int) {
		first := panel * nr
		if scratch[worker] == nil {
			scratch[worker] = make([]float32, min(nr, l.out)*in)
		}
		rows := scratch[worker][:min(nr, l.out-first)*in]
		err := read(rows, first)
		if err == nil && l.exact && !half.Holds(rows) {
			err = errInexact
		}
		if err != nil {
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
	return context.Cause(ctx)
}

func collect(opts []Option) (o options) {
	for _, f := range opts {
		f(&o)
	}
	return o
}

// packedColumns returns how many columns the packed weights have.
func (o options) packedColumns(in int) int {
	if o.columns != nil {
		return len(o.columns)
	}
	return in
}

// check checks the sizes of a Linear.
func (o options) check(in, out int, bias []float32) error {
	if out < 1 || in < 1 || bias != nil && len(bias) != out {
		return shape.Errorf("gemm: %d biases for weights of %d×%d", len(bias), out, in)
	}
	for i, col := range o.columns {
		if col < -1 || int(col) >= in {
			return shape.Errorf("gemm: column %d is taken from %d of %d", i, col, in)
		}
	}
	packed := o.packedColumns(in)
	if packed == 0 {
		return shape.Errorf("gemm: no columns")
	}
	if !shape.Fits(layout.Blocks(out)+1, 16, layout.Blocks(packed), 16) {
		return shape.Errorf("gemm: %d outputs of %d columns", out, packed)
	}
	return nil
}

// empty makes a Linear that holds the biases, and memory for the weights.
func (o options) empty(kern *ukernel.Blocked, in, out int, bias []float32) *Linear {
	packed := o.packedColumns(in)
	l := &Linear{in: packed, out: out, blocks: layout.Blocks(packed), kernel: kern, relu: o.relu}
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
	return l
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
