package vgg

import (
	"context"

	"github.com/nonet-go/nonet/layout"
)

// Dense slides the network over pictures of any size that is not smaller than the
// configuration's, as in section 3.2 of the paper. The first fully connected layer becomes a
// convolution without padding, whose filters have the size of the activation in training,
// 7×7 for the paper's networks. The others become 1×1 convolutions. The result is a class
// map of size OutputShape. For a picture of the configuration's own size it is 1×1, and its
// bits are those of a session without Dense. The weights are the model's own; there is no
// second copy. A global pool before the fully connected layers takes the whole picture, so
// that the map is 1×1 for any size.
//
// Use InputSize or Session.Resize for the size of the pictures. Memory grows with their
// area: some 550 bytes a pixel for the paper's networks.
func Dense() SessionOption { return func(o *sessionOptions) { o.dense = true } }

// denseRows is how many positions of a class map are computed at a time. The weights are
// read once for each group, so a group must be large enough that reading them does not bound
// the speed. It must be small enough that the gathered windows, 100 KB each, stay in the
// caches with a chunk of the weights. Pictures of 512×512 and 512×683 with configuration D
// take 338 and 478 ms on two Zen 4 cores (2026-11-24), and within 4 % of that with 32 and
// with 112.
const denseRows = 64

// planDense binds the ops from the first fully connected layer on as convolutions over the
// features of the whole batch. Every position of the class map is one input of them.
func (s *Session) planDense(ops []op, window Shape) error {
	end := ops[len(ops)-1]
	oh, ow := s.last.H-window.H+1, s.last.W-window.W+1
	s.outputs[s.tap(end.index)].shape = Shape{end.out.C, oh, ow}
	plane := oh * ow
	positions := s.batch * plane
	if err := checkBatch(s.batch, Shape{widest(ops), oh, ow}); err != nil {
		return err
	}
	groups := (positions + denseRows - 1) / denseRows
	group := (positions + groups - 1) / groups
	x, xLen := s.features, s.featLen
	for i, o := range ops {
		rows, err := s.forward(o, s.model.layers[o.index], group)
		if err != nil {
			return err
		}
		b := boundOp{layer: o.index, x: x, yLen: plane * o.outLen(), xLen: xLen, tap: -1}
		if i == 0 {
			b.run = s.slide(o, window, group)
		} else {
			b.run = inGroups(rows, group*o.outLen(), group*o.inLen())
		}
		b.y = room(&s.rows[o.index%2], positions*widest(ops))[:positions*o.outLen()]
		s.fc = append(s.fc, b)
		x, xLen = b.y, b.yLen
	}
	s.fc = append(s.fc, boundOp{layer: end.index, x: x, yLen: xLen, xLen: xLen, tap: -1, run: func(ctx context.Context, y, x []float32) error {
		transposeEach(y, x, len(x)/xLen, plane, end.out.C)
		return ctx.Err()
	}})
	return nil
}

// slide returns a function that computes a fully connected layer at every position of its
// window in the features, for groups of that many positions.
func (s *Session) slide(o op, window Shape, group int) forwardFunc {
	oh, ow := s.last.H-window.H+1, s.last.W-window.W+1
	var inputs, offsets []int // see gemm.LinearExec.RunWindows
	for p := range s.batch * oh * ow {
		inputs = append(inputs, p/(oh*ow)*s.featLen+16*(p%(oh*ow)/ow*s.last.W+p%ow))
	}
	for b := range layout.Blocks(window.C) {
		for y := range window.H {
			for x := range window.W {
				offsets = append(offsets, 16*((b*s.last.H+y)*s.last.W+x))
			}
		}
	}
	exec, out := s.linear[o.index], o.outLen()
	return func(ctx context.Context, y, x []float32) error {
		for at, end := 0, len(y)/out; at < end; at += group {
			n := min(group, end-at)
			if err := exec.RunWindows(ctx, y[at*out:][:n*out], x, inputs[at:][:n], offsets); err != nil {
				return err
			}
		}
		return nil
	}
}

// inGroups calls run for groups of rows that take so many floats of the result and of the
// input, and once for the remaining rows.
func inGroups(run forwardFunc, yLen, xLen int) forwardFunc {
	return func(ctx context.Context, y, x []float32) error {
		for len(x) > 0 {
			nx, ny := min(xLen, len(x)), min(yLen, len(y))
			if err := run(ctx, y[:ny], x[:nx]); err != nil {
				return err
			}
			x, y = x[nx:], y[ny:]
		}
		return nil
	}
}

// transposeEach sets each of n matrices [columns][rows] of dst to the transpose of
// that of src, [rows][columns].
func transposeEach(dst, src []float32, n, rows, columns int) {
	for i := range n {
		from, to := src[i*rows*columns:], dst[i*rows*columns:][:rows*columns]
		for c := range columns {
			for r := range rows {
				to[c*rows+r] = from[r*columns+c]
			}
		}
	}
}
