package gemm

import (
	"context"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/layout"
)

// A job is what the workers of a Multiplier compute together: a step of a plan, for one
// block. It is a value, handed to Multiplier.run, that no worker changes.
type job struct {
	problem
	plan
	block
	ctx     context.Context
	offsets []int     // of the elements of a row of A, as it is read; KC of them
	panels  []float32 // packed panels of the block of B, if all workers share them
	partial []float32 // sums of each block of KC, if pcWays are computed at once
	batch   Batch     // if items are whole products
	step    func(j *job, ws *workspace, item int)
}

// A block is a part of B: nb columns from jc on, kb inner elements from pc on.
type block struct{ jc, nb, pc, kb int }

// first reports whether the sums of the inner elements from pc on are the first ones that
// an element of C gets.
func (j *job) first(pc int) bool { return pc == 0 && j.beta == 0 }

// update sets part of a row of C to its first sums, or adds others.
func (j *job) update(row, sums []float32, pc int) {
	if j.first(pc) {
		copy(row, sums)
	} else {
		activation.Add(row, sums)
	}
}

// A workspace is the memory of one worker. It grows, and keeps nothing from one job to the
// next.
type workspace struct {
	a     []float32                   // a block of A, packed
	ic    int                         // the row of A where that begins; -1: nothing is packed yet
	b     []float32                   // panels of B that the worker packs for itself
	c     []float32                   // sums that are not yet in C
	edge  level1f.Edge                // of dotxf
	lines [16 * transposeRows]float32 // 16 columns that are transposed
	alone *Multiplier                 // computes whole products of a batch; nil until there is one
}

// sizes are those of a workspace, in elements.
type sizes struct{ a, b, c int }

func (ws *workspace) grow(s sizes) {
	grow(&ws.a, s.a)
	grow(&ws.b, s.b)
	grow(&ws.c, s.c)
}

// grow makes sure that x has n elements.
func grow(x *[]float32, n int) {
	if len(*x) < n {
		*x = layout.Alloc(n)
	}
}

// zeros is the bias of sums that start at nothing.
var zeros [64]float32
