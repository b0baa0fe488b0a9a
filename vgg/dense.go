package vgg

import (
	"context"

	"github.com/nonet-go/nonet/layout"
)

// Dense slides the network over pictures of any size that are not smaller than
// the configuration's, as in section 3.2 of the paper: the first fully connected
// layer is a convolution whose filters are as large as the activation that it was
// trained on, 7×7 for the paper's networks, without padding, and the others are
// 1×1 convolutions. The result is a class map: OutputShape gives its size, 1×1 for
// a picture of the configuration's own size, whose bits are those of a session
// without Dense. The weights are the model's own; there is no second copy. A global
// pool before the fully connected layers is that of the whole picture, so that the
// map is 1×1 for any size.
//
// Use InputSize or Session.Resize for the size of the pictures. Memory grows with
// their area: some 550 bytes a pixel for the paper's networks.
func Dense() SessionOption { return func(o *sessionOptions) { o.dense = true } }

// denseRows is how many positions of a class map are computed at a time: enough
// that the weights, read once for each such group, are no longer what bounds the
// speed, and few enough that the gathered windows, 100 KB each, stay in the caches
// together with a chunk of the weights. Pictures of 512×512 and 512×683 with
// configuration D take 338 and 478 ms on two Zen 4 cores (2026-11-24), and within
// 4 % of that with 32 and with 112.
const denseRows = 64

// planDense adds the fully connected layers from first to end as convolutions over
// the features of the whole batch. Every position of the class map is an input of
// the layers.
func (s *Session) planDense(first, end int, window Shape) error {
	oh, ow := s.last.H-window.H+1, s.last.W-window.W+1
	s.outputs[s.tap(end)].shape = Shape{s.width(end), oh, ow}
	plane := oh * ow
	positions := s.batch * plane
	widest := s.widest(first, end)
	if err := checkBatch(s.batch, Shape{widest, oh, ow}); err != nil {
		return err
	}
	groups := (positions + denseRows - 1) / denseRows
	group := (positions + groups - 1) / groups

	var inputs, offsets []int // see gemm.LinearExec.RunWindows
	for p := range positions {
		inputs = append(inputs, p/plane*s.featLen+16*(p%plane/ow*s.last.W+p%ow))
	}
	for b := range layout.Blocks(window.C) {
		for y := range window.H {
			for x := range window.W {
				offsets = append(offsets, 16*((b*s.last.H+y)*s.last.W+x))
			}
		}
	}
	src := s.features
	for i := first; i <= end; i++ {
		rows, err := s.connected(i, group)
		if err != nil {
			return err
		}
		in, out := 0, s.width(i)
		if i > first {
			in = s.width(i - 1)
		}
		run := func(ctx context.Context, pictures int, dst, src []float32) error {
			for at, end := 0, pictures*plane; at < end; at += group {
				n := min(group, end-at)
				to := dst[at*out:][:n*out]
				var err error
				if in == 0 {
					err = s.rooms.linear[i].RunWindows(ctx, to, src, inputs[at:][:n], offsets)
				} else {
					err = rows(ctx, to, src[at*in:][:n*in], n)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		dst := room(&s.rooms.fc[i%2], positions*widest)[:positions*out]
		s.fc = append(s.fc, step{layer: i, run: run, dst: dst, src: src, tap: -1})
		src = dst
	}
	s.fc = append(s.fc, step{layer: end, src: src, tap: -1, run: func(ctx context.Context, n int, dst, src []float32) error {
		transposeEach(dst, src, n, plane, s.width(end))
		return ctx.Err()
	}})
	return nil
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
