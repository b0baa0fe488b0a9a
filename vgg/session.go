package vgg

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Session computes a network for batches of one size. It owns all scratch memory, so that
// Run allocates nothing. One goroutine at a time may use it. Sessions of one Model may run
// at the same time.
type Session struct {
	model    *Model
	layers   string // as they were asked for, see Model.borrow
	outputs  []output
	single   [1][]float32 // where Run's only result goes
	batch    int
	dense    bool
	times    []time.Duration
	profiler *profiler // nil unless Profiled
	transfer *transfer
	workspace
	memory
	plan
}

// output is a layer whose activation a run gives.
type output struct {
	layer int   // in Config.Layers
	shape Shape // of one picture; it depends on the size of the pictures
}

type sessionOptions struct {
	batch, workers, h, w int
	layers, wrt          []string
	dense, profiled      bool
	guided               bool
}

// A SessionOption changes what a Session or a Gradient computes, or how.
type SessionOption func(*sessionOptions)

// Batch sets the number of pictures of a Run, and the largest number of a RunN; 1 if not
// given.
func Batch(n int) SessionOption { return func(o *sessionOptions) { o.batch = n } }

// Workers sets how many goroutines compute; GOMAXPROCS if not given. Results
// are the same bits for any number.
func Workers(n int) SessionOption { return func(o *sessionOptions) { o.workers = n } }

// InputSize sets the size of the input pictures; the configuration's if not given. A network
// that ends with a fully connected layer takes no other size, unless the session is Dense or
// the network has a global pool before that layer.
func InputSize(h, w int) SessionOption {
	return func(o *sessionOptions) { o.h, o.w = h, w }
}

// Output ends the computation with a layer of the configuration: conv3_2, pool5, fc7. The
// activations of convolutions and fully connected layers are taken after their ReLU. relu3_2
// is another name of conv3_2's. An empty name is the last layer. embedding is the layer from
// which the last layer computes the classes.
//
// The names of torchvision's and timm's modules work too, as far as the layers are those of
// their VGG: features.23, classifier.3, pre_logits, head. The indices count batch
// normalisation where the configuration has it, or had it in the file before it was folded.
// A convolution or a fully connected layer and the ReLU after it are the same activation,
// which torchvision computes in place.
func Output(layer string) SessionOption { return Outputs(layer) }

// Outputs ends the computation with the last of several layers. RunOutputs gives their
// activations in the order of the names. The names are those of Output, each once. Of a
// dense session's fully connected layers only the last may be named.
func Outputs(layers ...string) SessionOption {
	return func(o *sessionOptions) { o.layers = slices.Clone(layers) }
}

// NewSession plans a computation and allocates its memory. Errors wrap ErrShape
// or ErrConfig.
func (m *Model) NewSession(opts ...SessionOption) (*Session, error) {
	o := m.options(opts)
	if o.wrt != nil || o.guided {
		return nil, fmt.Errorf("vgg: Wrt and GuidedReLU are options of a Gradient, not of a Session: %w", ErrConfig)
	}
	outputs, err := m.cfg.outputs(o.layers, o.dense)
	if err != nil {
		return nil, err
	}
	if err := checkWorkers(o.batch, o.workers); err != nil {
		return nil, err
	}
	s := &Session{
		model: m, layers: strings.Join(o.layers, ","), outputs: outputs, batch: o.batch, dense: o.dense,
		workspace: workspace{team: parallel.NewTeam(o.workers)},
		times:     make([]time.Duration, len(m.cfg.Layers)),
	}
	s.transfer = newTransfer(s.team)
	if o.profiled {
		s.profiler = newProfiler(m.cfg.Layers, o.workers)
		s.team.Observe(s.profiler)
	}
	s.acts = make([][]float32, len(m.cfg.Layers)+1)
	if err := s.Resize(o.h, o.w); err != nil {
		return nil, err
	}
	return s, nil
}

// options applies options to the defaults.
func (m *Model) options(opts []SessionOption) sessionOptions {
	o := sessionOptions{batch: 1, workers: runtime.GOMAXPROCS(0)}
	o.h, o.w = m.cfg.Input()
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// checkWorkers checks the numbers of pictures and of workers.
func checkWorkers(batch, workers int) error {
	if batch < 1 {
		return shape.Errorf("vgg: a batch of %d pictures, want at least 1", batch)
	}
	if workers < 1 || workers > parallel.MaxWorkers {
		return shape.Errorf("vgg: %d workers, want 1 to %d", workers, parallel.MaxWorkers)
	}
	return nil
}

// checkBatch returns an error if no memory holds a batch of activations of one of the
// shapes.
func checkBatch(batch int, shapes ...Shape) error {
	for _, s := range shapes {
		if layout.BatchLen(batch, s.C, s.H, s.W) == shape.TooMany {
			return shape.Errorf("vgg: a batch of %d pictures with activations of %v, which no memory holds", batch, s)
		}
	}
	return nil
}

// Workers returns how many goroutines compute.
func (s *Session) Workers() int { return s.team.Workers() }

// OutputShape returns the shape of one picture's result: of the first, if there are several.
func (s *Session) OutputShape() Shape { return s.outputs[0].shape }

// OutputShapes returns the shapes of one picture's results.
func (s *Session) OutputShapes() []Shape { return shapesOf(s.outputs) }

// outputs finds the layers of a session.
func (c Config) outputs(names []string, dense bool) ([]output, error) {
	if len(names) == 0 {
		names = []string{""}
	}
	var list []output
	for _, name := range names {
		i, err := c.layerIndex(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o output) bool { return o.layer == i }) {
			return nil, fmt.Errorf("vgg: the output %s is there twice: %w", c.Layers[i].Name, ErrConfig)
		}
		list = append(list, output{layer: i})
	}
	end := lastLayer(list)
	for _, o := range list {
		if dense && o.layer >= c.firstFC() && o.layer < end {
			return nil, fmt.Errorf("vgg: a dense session gives no %s beside %s: %w", c.Layers[o.layer].Name, c.Layers[end].Name, ErrConfig)
		}
	}
	return list, nil
}

// lastLayer returns the last layer of outputs.
func lastLayer(list []output) int {
	last := 0
	for _, o := range list {
		last = max(last, o.layer)
	}
	return last
}

// tap returns the index of the output that takes a layer's activation, or −1.
func (s *Session) tap(layer int) int {
	return slices.IndexFunc(s.outputs, func(o output) bool { return o.layer == layer })
}

// Run computes the network for one batch.
//
// src holds the prepared pictures as [batch][3][h][w], see package picture. dst receives
// [batch] results of OutputShape, in CHW order: logits, without softmax, or the activations
// of the chosen layer. Both have exactly these lengths, or Run returns an error that wraps
// ErrShape. dst and src must not overlap. A session of several outputs uses RunOutputs
// instead.
//
// When ctx ends, Run returns its error within milliseconds, and dst's content is undefined.
// The session stays usable. Run allocates nothing. A picture's result depends neither on the
// other pictures nor on the number of workers, bit for bit.
func (s *Session) Run(ctx context.Context, dst, src []float32) error {
	return s.RunN(ctx, s.batch, dst, src)
}

// RunN is Run for n pictures, from 1 to the batch. It gives the same bits, and uses the
// session's memory.
func (s *Session) RunN(ctx context.Context, n int, dst, src []float32) error {
	if len(s.outputs) > 1 {
		return fmt.Errorf("vgg: the session has %d outputs: want RunOutputs: %w", len(s.outputs), ErrConfig)
	}
	s.single[0] = dst
	defer func() { s.single[0] = nil }()
	return s.run(ctx, n, s.single[:], src)
}

// RunOutputs computes the outputs of the session in one pass over n pictures, from 1 to the
// batch. dst[i] receives a result of OutputShapes()[i] for each of them. Everything else is
// as for Run.
func (s *Session) RunOutputs(ctx context.Context, dst [][]float32, src []float32) error {
	return s.run(ctx, len(src)/max(1, s.inputLen()), dst, src)
}

// inputLen returns the floats of one picture.
func (s *Session) inputLen() int { return s.model.cfg.Channels * s.h * s.w }

func (s *Session) run(ctx context.Context, n int, dst [][]float32, src []float32) error {
	if err := s.check(n, dst, src); err != nil {
		return err
	}
	s.profiler.beginRun(ctx)
	defer s.profiler.endRun()
	s.team.Begin()
	defer s.team.End()
	clear(s.times)
	in := s.inputLen()
	for begin := 0; begin < n; {
		seg := s.segmentFor(n - begin)
		features := s.features[begin*s.featLen:][:seg.pictures*s.featLen]
		if err := s.runOps(ctx, seg.ops, pass{seg.pictures, begin, dst}, features, src[begin*in:][:seg.pictures*in]); err != nil {
			return err
		}
		begin += seg.pictures
	}
	if len(s.fc) > 0 {
		last := dst[s.tap(s.fc[len(s.fc)-1].layer)]
		return s.runOps(ctx, s.fc, pass{n, 0, dst}, last, nil)
	}
	return ctx.Err()
}

// segmentFor returns the largest segment that takes at most n pictures.
func (s *Session) segmentFor(n int) *segment {
	i := slices.IndexFunc(s.segments, func(seg segment) bool { return seg.pictures <= n })
	return &s.segments[i]
}

// check checks the lengths of operands for n pictures.
func (s *Session) check(n int, dst [][]float32, src []float32) error {
	c, in := s.model.cfg.Channels, s.inputLen()
	switch {
	case n < 1 || n > s.batch:
		return shape.Errorf("vgg: %d pictures, want 1 to %d", n, s.batch)
	case len(src) != n*in:
		return shape.Errorf("vgg: input of %d elements, want %d×%d×%d×%d = %d", len(src), n, c, s.h, s.w, n*in)
	case len(dst) != len(s.outputs):
		return shape.Errorf("vgg: %d results, want %d", len(dst), len(s.outputs))
	}
	for i, o := range s.outputs {
		if len(dst[i]) != n*o.shape.Len() {
			return shape.Errorf("vgg: output of %d elements, want %d×%v = %d", len(dst[i]), n, o.shape, n*o.shape.Len())
		}
	}
	return nil
}

// pass is the operands of a run: n pictures from begin on, and the results of all pictures.
type pass struct {
	n, begin int
	dst      [][]float32
}

// runOps computes ops one after the other. The first may read src, and the last may write
// dst.
func (s *Session) runOps(ctx context.Context, ops []boundOp, p pass, dst, src []float32) error {
	for i := range ops {
		o := &ops[i]
		x, y := o.x, o.y
		if x == nil {
			x = src
		}
		if y == nil {
			y = dst
		}
		x, y = x[:p.n*o.xLen], y[:p.n*o.yLen]
		s.profiler.beginLayer(o.layer)
		start := time.Now()
		if err := o.run(ctx, y, x); err != nil {
			return err
		}
		if err := s.give(ctx, o, p, y); err != nil {
			return err
		}
		end := time.Now()
		s.times[o.layer] += end.Sub(start)
		s.profiler.endLayer(start, end)
	}
	return nil
}

// give copies an op's activation to the caller's result.
func (s *Session) give(ctx context.Context, o *boundOp, p pass, act []float32) error {
	if o.tap < 0 {
		return nil
	}
	shape, dst := s.outputs[o.tap].shape, p.dst[o.tap]
	if o.layer < s.model.cfg.firstFC() {
		return s.transfer.store(ctx, p.n, shape, dst[p.begin*shape.Len():][:p.n*shape.Len()], act)
	}
	if &dst[0] != &act[0] {
		copy(dst, act)
	}
	return nil
}

// LayerTime is the time of one layer.
type LayerTime struct {
	Layer string
	Time  time.Duration
}

// LayerTimes returns the time of each layer in the last Run, in the order of computation:
// 0 for a layer that took less than the clock tells, and for all before the first Run. The
// time of a pool that a convolution takes in its last step counts there; such a pool has no
// entry.
func (s *Session) LayerTimes() []LayerTime {
	var list []LayerTime
	for _, ops := range [][]boundOp{s.segments[0].ops, s.fc} {
		for _, o := range ops {
			name := s.model.cfg.Layers[o.layer].Name
			if len(list) == 0 || list[len(list)-1].Layer != name { // a layer may take several ops
				list = append(list, LayerTime{name, s.times[o.layer]})
			}
		}
	}
	return list
}
