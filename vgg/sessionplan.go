package vgg

import (
	"context"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/layout"
)

// plan is the part of a session that depends on the size of the pictures.
type plan struct {
	h, w     int
	segments []segment // the layers before the first fully connected one, for several numbers of pictures, the largest first
	features []float32 // the last activation of these of the whole batch, blocked
	featLen  int       // of one picture
	last     Shape     // the shape of features
	fc       []boundOp // the layers from the first fully connected one on
}

// segment computes some layers for a number of pictures at a time.
type segment struct {
	pictures int
	ops      []boundOp
}

// boundOp is an op with the memory that it reads and writes.
type boundOp struct {
	layer      int // in Config.Layers, for the times
	run        forwardFunc
	y, x       []float32 // nil: the segment's result, the segment's input
	yLen, xLen int       // of one picture
	tap        int       // the output that y is copied to, or −1
}

// memory is the memory of a session's activations. It grows, and outlives a plan.
type memory struct {
	first []float32    // see plan.features
	acts  [][]float32  // of each layer before the first fully connected one, and the blocked pictures
	rows  [2][]float32 // of fully connected layers, used in turn
}

// Resize plans the session anew for pictures of another size. It keeps the memory, which
// grows to the need of the largest size so far. So one session can take pictures of any
// size, one after the other; see Dense. Errors wrap ErrShape and leave the session
// unchanged. Resize allocates; Run still does not.
func (s *Session) Resize(h, w int) error {
	cfg := s.model.cfg
	end := lastLayer(s.outputs)
	cfg.Layers = cfg.Layers[:end+1] // what comes after the output does not matter
	shapes, err := cfg.Shapes(h, w)
	if err != nil {
		return err
	}
	before, outputs := s.plan, s.outputs
	s.plan, s.outputs = plan{h: h, w: w}, slices.Clone(s.outputs)
	for i := range s.outputs {
		s.outputs[i].shape = shapes[s.outputs[i].layer]
	}
	if err := s.build(end, shapes); err != nil {
		s.plan, s.outputs = before, outputs
		return err
	}
	return nil
}

// build makes the ops up to and including layer end.
func (s *Session) build(end int, shapes []Shape) error {
	cfg := s.model.cfg
	convs := min(cfg.firstFC(), end+1) // layers before the first fully connected one
	in := Shape{cfg.Channels, s.h, s.w}
	s.last = in
	if convs > 0 {
		s.last = shapes[convs-1]
	}
	window, err := cfg.window(end, s.last, s.h, s.w, s.dense)
	if err != nil {
		return err
	}
	if err := checkBatch(s.batch, append([]Shape{in, s.last}, shapes[convs:end+1]...)...); err != nil {
		return err
	}
	s.featLen = layout.Len(s.last.C, s.last.H, s.last.W)
	s.features = room(&s.first, s.batch*s.featLen)
	if err := s.planSegments(cfg.walk(0, convs-1, in, shapes, s.fuses), in); err != nil {
		return err
	}
	if convs > end {
		return nil
	}
	ops := cfg.walk(convs, end, s.last, shapes, nil)
	if s.dense {
		return s.planDense(ops, window)
	}
	return s.planFC(ops)
}

// window returns the input of the first fully connected layer, if there is one up to layer
// end. It checks that the activation before it, last for an input of h×w, has that size or,
// for a dense session, contains it.
func (c Config) window(end int, last Shape, h, w int, dense bool) (Shape, error) {
	first := c.firstFC()
	if first > end {
		return Shape{}, nil
	}
	window, nominal, err := c.nominal()
	if err != nil {
		return Shape{}, err
	}
	if first > 0 {
		window = nominal[first-1]
	}
	want, ok := "takes", last == window
	if dense {
		want, ok = "needs at least", last.H >= window.H && last.W >= window.W
	}
	if ok {
		return window, nil
	}
	ch, cw := c.Input()
	return window, fmt.Errorf("vgg: %s %s %v, which an input of %d×%d does not give (it gives %v); the network's input is %d×%d: %w",
		c.Layers[first].Name, want, window, h, w, last, ch, cw, ErrShape)
}

// planSegments binds the ops before the first fully connected layer, for each number
// of pictures that they are computed for at a time.
func (s *Session) planSegments(ops []op, in Shape) error {
	sizes := segmentSizes(s.chunk(ops))
	if len(ops) > 0 {
		conv := s.model.layers[0].conv
		ops[0].planar = conv != nil && conv.ReadsPlanes()
	}
	for _, n := range sizes { // a smaller one may need more: it depends on how tiles fall into blocks
		for _, o := range ops {
			if err := s.need(s.model.layers[o.index].conv, o.spec(n)); err != nil {
				return o.named(err)
			}
		}
	}
	for _, n := range sizes {
		seg, err := s.segment(ops, n, in)
		if err != nil {
			return err
		}
		s.segments = append(s.segments, seg)
	}
	return nil
}

// These bound how many pictures the layers before the first fully connected one take at a
// time. Results do not depend on it.
const (
	mostChunk = 64
	fewBytes  = 4 << 20 // of activations, which stay in the caches
)

// chunk returns how many pictures ops compute at a time. More pictures share each read of the
// packed filters, which the caches do not hold. Fewer keep the activations in the caches. So
// their activations, written and read, take as many bytes as the filters.
func (s *Session) chunk(ops []op) int {
	var filters, acts int64
	for _, o := range ops {
		filters += s.model.layers[o.index].bytes()
		acts += 4 * int64(o.inLen()+o.outLen())
	}
	acts = max(acts, 1)
	most := min(int64(s.batch), max((filters+acts-1)/acts, fewBytes/acts, 1), mostChunk)
	pieces := (int64(s.batch) + most - 1) / most
	return int((int64(s.batch) + pieces - 1) / pieces)
}

// segmentSizes lists the numbers of pictures that a run of any number is put together of.
func segmentSizes(most int) []int {
	sizes := []int{most}
	for _, n := range [...]int{48, 32, 24, 16, 12, 8, 7, 6, 5, 4, 3, 2, 1} {
		if n < most {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// fuses reports whether layer i is a convolution that takes the pool after it into its last
// step. It does not if its own activation is wanted.
func (s *Session) fuses(i int) bool {
	conv := s.model.layers[i].conv
	return conv != nil && conv.Fuses() && s.model.cfg.Layers[i].ReLU && s.tap(i) < 0
}

// segment binds ops for n pictures. Each reads what the one before has written; the first
// reads the pictures, NCHW. Each has an activation of its own, so that a worker writes the
// same memory in every run: reading or writing what another core's cache holds is slow.
func (s *Session) segment(ops []op, n int, in Shape) (segment, error) {
	seg := segment{pictures: n}
	var x []float32
	if len(ops) == 0 || !ops[0].planar {
		o := boundOp{run: s.blockEach(n, in), yLen: layout.Len(in.C, in.H, in.W), xLen: in.Len(), tap: -1}
		if len(ops) > 0 {
			o.y = room(&s.acts[0], n*o.yLen)
		}
		seg.ops, x = append(seg.ops, o), o.y
	}
	for i, o := range ops {
		run, err := s.forward(o, s.model.layers[o.index], n)
		if err != nil {
			return segment{}, err
		}
		b := boundOp{layer: o.index, run: run, x: x, yLen: o.outLen(), xLen: o.inLen(), tap: s.tap(o.last)}
		if i < len(ops)-1 {
			b.y = room(&s.acts[len(seg.ops)], n*b.yLen)
		}
		seg.ops, x = append(seg.ops, b), b.y
	}
	return seg, nil
}

// blockEach converts n pictures of shape in from NCHW to blocks.
func (s *Session) blockEach(n int, in Shape) forwardFunc {
	return func(ctx context.Context, dst, src []float32) error { return s.transfer.load(ctx, n, in, dst, src) }
}

// planFC binds the ops from the first fully connected layer on, on the whole batch.
func (s *Session) planFC(ops []op) error {
	x := s.features
	for i, o := range ops {
		run, err := s.forward(o, s.model.layers[o.index], s.batch)
		if err != nil {
			return err
		}
		b := boundOp{layer: o.index, run: run, x: x, yLen: o.outLen(), xLen: o.inLen(), tap: s.tap(o.index)}
		if i < len(ops)-1 {
			b.y = room(&s.rows[o.index%2], s.batch*widest(ops))[:s.batch*b.yLen]
		}
		s.fc, x = append(s.fc, b), b.y
	}
	return nil
}
