package winograd

import (
	"context"
	"math"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// A StoredBlock is the filters of 16 outputs in fixed point, in a layout that is the same for
// all instruction sets. Channels are padded with zeros to blocks of 16, and lie in pairs, as
// the instructions of x86 multiply them: AVX2 and the portable kernels read a block as it is,
// AVX-512 puts four side by side a cache line at a time, and NEON takes the pairs apart.
type StoredBlock struct {
	U     []int16   // [36][cBlocks*8][16][2]
	Scale []float32 // [36][16]
}

// storedLine is the number of elements of a pair of channels of 16 outputs.
const storedLine = 32

// NewStoredBlock returns memory for the blocks of a convolution of c channels.
func NewStoredBlock(c int) StoredBlock {
	return StoredBlock{make([]int16, tileElements*layout.Blocks(c)*8*storedLine), make([]float32, tileElements*16)}
}

// StoreFixed sets b to the filters of block kb of 16 outputs. f is in fixed point, and b of its
// number of channels. It does not allocate.
func (f *Filter) StoreFixed(kb int, b StoredBlock) {
	copy(b.Scale, f.fixed.scale[kb*tileElements*16:][:tileElements*16])
	pair := f.fixed.kern.Pair
	f.eachLine(kb, b.U, func(line, packed []int16, next int) {
		if pair == 2 {
			copy(line, packed[:storedLine])
			return
		}
		for l := range 16 {
			line[2*l], line[2*l+1] = packed[l], packed[next+l]
		}
	})
}

// eachLine calls visit for every pair of channels of block kb: for its line of a StoredBlock's u, and
// for its place in packed filters, where the second channel stands next elements behind the first.
func (f *Filter) eachLine(kb int, u []int16, visit func(line, packed []int16, next int)) {
	x := f.fixed
	panel, out := kb*16/f.nr, kb*16%f.nr
	width := f.width(panel)
	next := x.index(width, 1, 0)
	for xi := range tileElements {
		packed := x.u[f.panel(panel, xi).first:]
		for p := range f.cBlocks * 8 {
			visit(u[:storedLine], packed[x.index(width, 2*p, out):], next)
			u = u[storedLine:]
		}
	}
}

// inPlace returns the packed filters of block kb if they have the layout of a StoredBlock, or nil.
func (f *Filter) inPlace(kb int) []int16 {
	if f.nr != 16 || f.fixed.kern.Pair != 2 {
		return nil
	}
	n := tileElements * f.cBlocks * 8 * storedLine
	return f.fixed.u[kb*n:][:n]
}

// NewStoredFilter makes the filter that StoreFixed was called on: with it c and k, and read, which
// sets b to block kb of 16 outputs. Where the kernels read that layout, b is the filter's own
// memory. The workers of the team call read. NewStoredFilter returns its first error. Others wrap
// ErrShape: that of sizes, and that of a block as no filter has that NewFixedFilter made, with sums
// that might not fit 32 bits or with filters of outputs that do not exist.
func NewStoredFilter(c, k int, read func(kb int, b StoredBlock) error, team *parallel.Team) (*Filter, error) {
	return newStoredFilter(ukernel.BestBlockedInt16(), bestFixedTransforms(), c, k, read, team)
}

func newStoredFilter(kern *ukernel.BlockedInt16, tr *fixedTransforms, c, k int, read func(kb int, b StoredBlock) error, team *parallel.Team) (*Filter, error) {
	if c < 1 || k < 1 {
		return nil, shape.Errorf("winograd: filters of %d channels and %d outputs", c, k)
	}
	f, err := emptyFixed(kern, tr, c, k)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	loaders := make([]storedLoader, team.Workers())
	blocks, each := f.outputs()/16, f.loadedTogether()
	_ = team.Run(ctx, (blocks+each-1)/each, func(worker, item int) {
		for kb := item * each; kb < min(item*each+each, blocks) && ctx.Err() == nil; kb++ {
			if err := loaders[worker].load(f, kb, read); err != nil {
				cancel(err)
			}
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// loadedTogether returns how many blocks one worker loads together, 2 MiB: two workers that were the
// first to write to a page would both clear it.
func (f *Filter) loadedTogether() int {
	const page = 2 << 20
	return (page-1)/(tileElements*f.cBlocks*8*storedLine*2) + 1
}

// A storedLoader is what a worker loads blocks with.
type storedLoader struct {
	u    []int16 // of a block, unless it is read in place
	sums [16]uint32
}

// load is the inverse of StoreFixed.
func (s *storedLoader) load(f *Filter, kb int, read func(kb int, b StoredBlock) error) error {
	b := StoredBlock{U: f.inPlace(kb), Scale: f.fixed.scale[kb*tileElements*16:][:tileElements*16]}
	packed := b.U != nil
	if !packed {
		if s.u == nil {
			s.u = NewStoredBlock(f.c).U
		}
		b.U = s.u
	}
	if err := read(kb, b); err != nil {
		return err
	}
	if err := s.check(f, kb, b.U); err != nil || packed {
		return err
	}
	pair := f.fixed.kern.Pair
	f.eachLine(kb, b.U, func(line, packed []int16, next int) {
		if pair == 2 {
			copy(packed, line)
			return
		}
		for l := range 16 {
			packed[l], packed[next+l] = line[2*l], line[2*l+1]
		}
	})
	return nil
}

// check refuses sums that might wrap around, and outputs that do not exist: the next layer would take
// them for pixels.
func (s *storedLoader) check(f *Filter, kb int, u []int16) error {
	const piece = 4096 // lines of a call, 256 KiB
	lines, outputs := f.cBlocks*8, min(16, f.k-kb*16)
	for range tileElements {
		var sums [16]int64
		for at := 0; at < lines; at += piece {
			f.fixed.tr.magnitudes(min(piece, lines-at), &u[at*storedLine], &s.sums[0])
			for l, sum := range s.sums {
				sums[l] += int64(sum)
			}
		}
		for l, sum := range sums {
			switch {
			case sum > math.MaxInt32/int64(f.fixed.limit):
				return shape.Errorf("winograd: sums of stored filters do not fit 32 bits")
			case sum > 0 && l >= outputs:
				return shape.Errorf("winograd: stored filters of output %d of %d", kb*16+l, f.k)
			}
		}
		u = u[lines*storedLine:]
	}
	return nil
}
