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
// all instruction sets.
type StoredBlock struct {
	U     []int16   // [36][c][16]
	Scale []float32 // [36][16]
}

// NewStoredBlock returns memory for the blocks of a convolution of c channels.
func NewStoredBlock(c int) StoredBlock {
	return StoredBlock{make([]int16, tileElements*c*16), make([]float32, tileElements*16)}
}

// StoreFixed sets b to the filters of block kb of 16 outputs. f is in fixed point, and b of its
// number of channels. It does not allocate.
func (f *Filter) StoreFixed(kb int, b StoredBlock) {
	pair := f.fixed.kern.Pair
	f.eachStored(kb, func(xi, c int, line []int16) {
		for l := range 16 {
			b.U[(xi*f.c+c)*16+l] = line[l*pair]
		}
	})
	copy(b.Scale, f.fixed.scale[kb*tileElements*16:][:tileElements*16])
}

// eachStored calls visit for every element of a tile and every channel: line[l*Pair] is u of output l
// of block kb.
func (f *Filter) eachStored(kb int, visit func(xi, c int, line []int16)) {
	x := f.fixed
	panel, out := kb*16/f.nr, kb*16%f.nr
	width := f.width(panel)
	for xi := range tileElements {
		u := x.u[f.panel(panel, xi).first:]
		for c := range f.c {
			visit(xi, c, u[x.index(width, c, out):])
		}
	}
}

// NewStoredFilter makes the filter that StoreFixed was called on: with it c and k, and read, which
// sets b to block kb of 16 outputs. The workers of the team call read. NewStoredFilter returns its
// first error. Others wrap ErrShape: that of sizes, and that of a block whose sums might not fit 32
// bits, as those of no filter that NewFixedFilter made.
func NewStoredFilter(c, k int, read func(kb int, b StoredBlock) error, team *parallel.Team) (*Filter, error) {
	kern := ukernel.BestBlockedInt16()
	f := &Filter{m: 4, alpha: 6, c: c, k: k, cBlocks: layout.Blocks(c), mr: kern.MR, nr: kern.NR}
	if c < 1 || k < 1 {
		return nil, shape.Errorf("winograd: filters of %d channels and %d outputs", c, k)
	}
	n, err := f.elements()
	if err != nil {
		return nil, err
	}
	f.fixed = &fixedFilter{
		kern: kern, tr: bestFixedTransforms(), limit: fixedLimit(c),
		u: int16s(layout.Alloc(n / 2)), scale: layout.Alloc(tileElements * f.outputs()),
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	blocks := make([]StoredBlock, team.Workers())
	_ = team.Run(ctx, f.outputs()/16, func(worker, kb int) {
		if blocks[worker].U == nil {
			blocks[worker] = NewStoredBlock(c)
		}
		err := read(kb, blocks[worker])
		if err == nil {
			err = f.loadFixed(kb, blocks[worker])
		}
		if err != nil {
			cancel(err)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// loadFixed is the inverse of StoreFixed.
func (f *Filter) loadFixed(kb int, b StoredBlock) error {
	var sums [tileElements][16]int64
	pair := f.fixed.kern.Pair
	f.eachStored(kb, func(xi, c int, line []int16) {
		from, sum := (*[16]int16)(b.U[(xi*f.c+c)*16:]), &sums[xi]
		for l, v := range from {
			sum[l] += int64(max(int32(v), -int32(v)))
		}
		if pair == 2 { // without checks of bounds
			to := (*[31]int16)(line)
			for l, v := range from {
				to[2*l] = v
			}
			return
		}
		for l, v := range from {
			line[l*pair] = v
		}
	})
	for xi := range sums {
		for _, sum := range sums[xi] {
			if sum > math.MaxInt32/int64(f.fixed.limit) {
				return shape.Errorf("winograd: sums of stored filters do not fit 32 bits")
			}
		}
	}
	copy(f.fixed.scale[kb*tileElements*16:], b.Scale)
	return nil
}
