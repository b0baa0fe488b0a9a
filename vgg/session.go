package vgg

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
)

// chunk is how many pictures the convolutions take at a time. More share each
// read of the packed filters of conv4 and conv5, which do not fit the caches;
// fewer keep the activations in them. Results do not depend on it.
const chunk = 4

// Session computes a network for batches of one size. It owns all scratch
// memory, so that Run allocates nothing. One goroutine at a time may use it;
// sessions of one Model may run at the same time.
type Session struct {
	model    *Model
	layers   string // as they were asked for, see Model.borrow
	outputs  []output
	single   [1][]float32 // where Run's only result goes
	batch    int
	dense    bool
	team     *parallel.Team
	times    []time.Duration
	rooms    rooms
	profiler *profiler // nil unless Profiled
	plan
}

// plan is what depends on the size of the pictures.
type plan struct {
	h, w     int
	stack    []stack   // for each number of pictures up to chunk, the largest first
	features []float32 // the last convolutional activation of the whole batch, blocked
	featLen  int       // of one picture
	fc       []step
	last     Shape // the shape of features
}

// output is a layer whose activation a run is to give.
type output struct {
	layer int   // in Config.Layers
	shape Shape // of one picture; it depends on the size of the pictures
}

// rooms is the memory of a session. It grows, and outlives a plan.
type rooms struct {
	features, scratch []float32
	acts              [][]float32        // activations: of each layer before the first fully connected one, and the blocked pictures
	fc                [2][]float32       // activations of fully connected layers, used in turn
	linear            []*gemm.LinearExec // of each fully connected layer
}

// room returns n floats of r, which grows if it must.
func room(r *[]float32, n int) []float32 {
	if cap(*r) < n {
		*r = layout.Alloc(n)
	}
	return (*r)[:n]
}

// stack is the convolutional part for a number of pictures at a time.
type stack struct {
	pictures int
	steps    []step
}

// step is one call into a kernel package.
type step struct {
	layer    int // in Config.Layers, for the times
	run      stepFunc
	dst, src []float32 // nil: the stack's result, the stack's input
	tap      int       // the output that dst is copied to, or −1
}

// A stepFunc computes n pictures. The operands of a layer before the first fully
// connected one hold just these; the others may be longer.
type stepFunc func(ctx context.Context, n int, dst, src []float32) error

type sessionOptions struct {
	batch, workers, h, w int
	layers               []string
	dense, profiled      bool
}

// A SessionOption changes what a Session computes and with what.
type SessionOption func(*sessionOptions)

// Batch sets the number of pictures of a Run, and the most of a RunN; 1 if not given.
func Batch(n int) SessionOption { return func(o *sessionOptions) { o.batch = n } }

// Workers sets how many goroutines compute; GOMAXPROCS if not given. Results
// are the same bits for any number.
func Workers(n int) SessionOption { return func(o *sessionOptions) { o.workers = n } }

// InputSize sets the size of the input pictures; the configuration's if not
// given. A network that ends with a fully connected layer takes no other, unless
// it is Dense or has a global pool before.
func InputSize(h, w int) SessionOption {
	return func(o *sessionOptions) { o.h, o.w = h, w }
}

// Output ends the computation with a layer of the configuration: conv3_2,
// pool5, fc7. The activations of convolutions and fully connected layers are
// taken after their ReLU, and relu3_2 is another name of conv3_2's.
func Output(layer string) SessionOption { return Outputs(layer) }

// Outputs ends the computation with the last of some layers, whose activations
// RunOutputs gives in the order of the names. They are those of Output, each once.
// A dense session has no fully connected layers but the last of them.
func Outputs(layers ...string) SessionOption {
	return func(o *sessionOptions) { o.layers = slices.Clone(layers) }
}

// NewSession plans a computation and allocates its memory. Errors wrap ErrShape
// or ErrConfig.
func (m *Model) NewSession(opts ...SessionOption) (*Session, error) {
	o := sessionOptions{batch: 1, workers: runtime.GOMAXPROCS(0)}
	o.h, o.w = m.cfg.Input()
	for _, opt := range opts {
		opt(&o)
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
		team:  parallel.NewTeam(o.workers),
		times: make([]time.Duration, len(m.cfg.Layers)),
	}
	if o.profiled {
		s.profiler = newProfiler(m.cfg.Layers, o.workers)
		s.team.Observe(s.profiler)
	}
	s.rooms.acts = make([][]float32, len(m.cfg.Layers)+1)
	s.rooms.linear = make([]*gemm.LinearExec, len(m.cfg.Layers))
	if err := s.Resize(o.h, o.w); err != nil {
		return nil, err
	}
	return s, nil
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

// checkBatch refuses a batch whose activations of one of the shapes no memory holds.
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

// OutputShape returns the shape of one picture's result, the first of several.
func (s *Session) OutputShape() Shape { return s.outputs[0].shape }

// OutputShapes returns the shapes of one picture's results.
func (s *Session) OutputShapes() []Shape {
	var list []Shape
	for _, o := range s.outputs {
		list = append(list, o.shape)
	}
	return list
}

// outputs finds the layers of a session.
func (c Config) outputs(names []string, dense bool) ([]output, error) {
	if len(names) == 0 || len(names) == 1 && names[0] == "" {
		return []output{{layer: len(c.Layers) - 1}}, nil
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

// tap returns the output that a layer's activation is copied to, or −1.
func (s *Session) tap(layer int) int {
	return slices.IndexFunc(s.outputs, func(o output) bool { return o.layer == layer })
}

// Resize plans the session anew for pictures of another size. Memory is kept and
// grows to what the largest size so far needs, so that one session can take
// pictures as they come; see Dense. Errors wrap ErrShape and leave the session as
// it was. Resize allocates; Run does not, afterwards as before.
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

// build makes the steps up to and including layer end.
func (s *Session) build(end int, shapes []Shape) error {
	cfg := s.model.cfg
	convs := min(cfg.firstFC(), end+1) // layers before the first fully connected one
	s.last = Shape{cfg.Channels, s.h, s.w}
	if convs > 0 {
		s.last = shapes[convs-1]
	}
	var window Shape // what the first fully connected layer takes
	if convs <= end {
		in, nominal, err := cfg.nominal()
		if err != nil {
			return err
		}
		window = in
		if convs > 0 {
			window = nominal[convs-1]
		}
		if err := s.fits(cfg.Layers[convs].Name, window); err != nil {
			return err
		}
	}
	if err := checkBatch(s.batch, append([]Shape{{cfg.Channels, s.h, s.w}, s.last}, shapes[convs:end+1]...)...); err != nil {
		return err
	}
	s.featLen = layout.Len(s.last.C, s.last.H, s.last.W)
	s.features = room(&s.rooms.features, s.batch*s.featLen)

	b := builder{s: s, shapes: shapes[:convs]}
	// Large pictures one at a time: they share reads of filters among their own tiles.
	h, w := cfg.Input()
	most := min(s.batch, max(1, min(chunk, chunk*h*w/(s.h*s.w))))
	var sizes []int
	for n := most; n > 0; n-- {
		sizes = append(sizes, n)
	}
	if err := b.measure(sizes); err != nil {
		return err
	}
	for _, n := range sizes {
		steps, err := b.stack(n)
		if err != nil {
			return err
		}
		s.stack = append(s.stack, stack{n, steps})
	}
	if convs > end {
		return nil
	}
	if s.dense {
		return s.planDense(convs, end, window)
	}
	return s.planFC(convs, end)
}

// fits checks that the activation before the first fully connected layer is what
// it takes or, for a dense session, holds it.
func (s *Session) fits(layer string, window Shape) error {
	want := "takes"
	ok := s.last == window
	if s.dense {
		want, ok = "needs at least", s.last.H >= window.H && s.last.W >= window.W
	}
	if ok {
		return nil
	}
	h, w := s.model.cfg.Input()
	return fmt.Errorf("vgg: %s %s %v, which an input of %d×%d does not give (it gives %v); the network's input is %d×%d: %w",
		layer, want, window, s.h, s.w, s.last, h, w, ErrShape)
}

// planFC adds the fully connected layers from first to end, and the scales between
// them, on the whole batch.
func (s *Session) planFC(first, end int) error {
	src := s.features
	for i := first; i <= end; i++ {
		run, err := s.connected(i, s.batch)
		if err != nil {
			return err
		}
		in, out := s.featLen, s.width(i)
		if i > first {
			in = s.width(i - 1)
		}
		st := step{layer: i, src: src, tap: s.tap(i), run: func(ctx context.Context, n int, dst, src []float32) error {
			return run(ctx, dst[:n*out], src[:n*in], n)
		}}
		if i < end {
			st.dst = room(&s.rooms.fc[i%2], s.batch*s.widest(first, end))[:s.batch*out]
		}
		s.fc = append(s.fc, st)
		src = st.dst
	}
	return nil
}

// connected returns what computes layer i, from the first fully connected one on, for
// up to n inputs of it that lie one behind the other.
func (s *Session) connected(i, n int) (func(ctx context.Context, dst, src []float32, n int) error, error) {
	if scale := s.model.layers[i].scale; scale != nil {
		return func(ctx context.Context, dst, src []float32, n int) error {
			if err := scale.Rows(n, dst, src); err != nil {
				return err
			}
			return ctx.Err()
		}, nil
	}
	e, err := s.linearExec(i, n)
	if err != nil {
		return nil, err
	}
	return e.Run, nil
}

// width returns how many outputs layer i has, from the first fully connected one on.
func (s *Session) width(i int) int {
	for s.model.cfg.Layers[i].Kind != FC {
		i--
	}
	return s.model.cfg.Layers[i].Out
}

// widest returns the most outputs of layers from first to end.
func (s *Session) widest(first, end int) int {
	most := 0
	for i := first; i <= end; i++ {
		most = max(most, s.width(i))
	}
	return most
}

// linearExec returns what computes fully connected layer i for n inputs at a time.
func (s *Session) linearExec(i, n int) (*gemm.LinearExec, error) {
	e := s.rooms.linear[i]
	if e != nil && e.Batch() >= n {
		return e, nil
	}
	e, err := s.model.layers[i].linear.NewExec(s.team, n)
	if err != nil {
		return nil, fmt.Errorf("vgg: %s: %w", s.model.cfg.Layers[i].Name, err)
	}
	s.rooms.linear[i] = e
	return e, nil
}

// builder makes the convolutional steps. All of them share one scratch. Each layer
// has an activation of its own, so that a worker writes from run to run where it
// wrote before: a core takes over slowly what another's cache holds.
type builder struct {
	s       *Session
	shapes  []Shape
	scratch []float32
}

// measure allocates the scratch for stacks of those sizes. A smaller one may need
// more: it depends on how tiles fall into blocks.
func (b *builder) measure(sizes []int) error {
	in := Shape{b.s.model.cfg.Channels, b.s.h, b.s.w}
	need := 0
	for i, out := range b.shapes {
		p := b.s.model.layers[i]
		l := b.s.model.cfg.Layers[i]
		for _, n := range sizes {
			if p.conv == nil {
				break
			}
			scratch, err := p.conv.ScratchLen(b.spec(n, i, in), b.s.team.Workers())
			if err != nil {
				return fmt.Errorf("vgg: %s: %w", l.Name, err)
			}
			need = max(need, scratch)
		}
		in = out
	}
	b.scratch = room(&b.s.rooms.scratch, need)
	return nil
}

// fused reports whether layer i is a convolution that takes the pool after it
// into its own last step. A layer whose own activation is wanted does not.
func (b *builder) fused(i int) bool {
	layers, p := b.s.model.cfg.Layers, b.s.model.layers[i]
	return p.conv != nil && p.conv.Fuses() && layers[i].ReLU && i+1 < len(b.shapes) && layers[i+1].Kind == Pool && b.s.tap(i) < 0
}

// spec describes the 3×3 convolution of layer i. The very first one may read
// the pictures as they come.
func (b *builder) spec(n, i int, in Shape) conv3x3.Spec {
	return conv3x3.Spec{N: n, H: in.H, W: in.W, Pad: b.s.model.cfg.Pad, Planar: i == 0 && b.s.model.layers[i].conv.ReadsPlanes(),
		Epilogue: fuse.Epilogue{ReLU: b.s.model.cfg.Layers[i].ReLU, Pool: b.fused(i)}}
}

// stack builds the steps for n pictures. Every step's source is what the one
// before has written; the first one's is the pictures, NCHW.
func (b *builder) stack(n int) ([]step, error) {
	var steps []step
	var src []float32
	in := Shape{b.s.model.cfg.Channels, b.s.h, b.s.w}
	add := func(layer, done int, out Shape, run func(ctx context.Context, dst, src []float32) error) {
		var dst []float32 // of the last step: the session's features
		tap := -1
		if done > 0 { // of a convolution and its pool: the pool's
			tap = b.s.tap(done - 1)
		}
		if done < len(b.shapes) {
			dst = room(&b.s.rooms.acts[len(steps)], n*layout.Len(out.C, out.H, out.W))
		}
		steps = append(steps, step{layer, func(ctx context.Context, _ int, dst, src []float32) error { return run(ctx, dst, src) }, dst, src, tap})
		src, in = dst, out
	}
	if len(b.shapes) == 0 || b.s.model.layers[0].conv == nil || !b.s.model.layers[0].conv.ReadsPlanes() {
		add(0, 0, in, blockEach(n, in))
	}
	for i := 0; i < len(b.shapes); i++ {
		run, err := b.exec(n, i, in)
		if err != nil {
			return nil, fmt.Errorf("vgg: %s: %w", b.s.model.cfg.Layers[i].Name, err)
		}
		layer := i
		if b.fused(i) {
			i++ // the pool is done as well
		}
		add(layer, i+1, b.shapes[i], run)
	}
	return steps, nil
}

// exec makes the computation of layer i, with the pool after it if they are fused.
func (b *builder) exec(n, i int, in Shape) (func(ctx context.Context, dst, src []float32) error, error) {
	l, p := b.s.model.cfg.Layers[i], b.s.model.layers[i]
	switch {
	case p.conv != nil:
		e, err := p.conv.NewExec(b.spec(n, i, in), b.scratch, b.s.team)
		return e.Run, err
	case p.pointwise != nil:
		e, err := p.pointwise.NewExec(n, in.H, in.W, l.ReLU, b.s.team)
		return e.Run, err
	case p.scale != nil:
		e, err := p.scale.NewExec(n, in.H, in.W, b.s.team)
		return e.Run, err
	case l.Kind == Pool:
		e, err := pool.NewMaxPool(n, in.C, in.H, in.W, b.s.team)
		return e.Run, err
	case l.Kind == AvgPool:
		e, err := pool.NewAvgPool(n, in.C, in.H, in.W, b.s.team)
		return e.Run, err
	case l.Kind == GlobalPool:
		e, err := pool.NewGlobalPool(n, in.C, in.H, in.W, b.s.team)
		return e.Run, err
	default:
		e, err := pool.NewLRN(n, in.C, in.H, in.W, b.s.team)
		return e.Run, err
	}
}

// blockEach converts n pictures of shape s from NCHW to blocks.
func blockEach(n int, s Shape) func(context.Context, []float32, []float32) error {
	return func(_ context.Context, dst, src []float32) error {
		for i := range n {
			one := len(dst) / n
			layout.FromNCHW(s.C, s.H, s.W, dst[i*one:][:one], src[i*s.Len():][:s.Len()])
		}
		return nil
	}
}

// Run computes the network for one batch.
//
// src holds the prepared pictures as [batch][3][h][w], see package picture. dst
// receives [batch] results of OutputShape, in CHW order: logits, without
// softmax, or the activations of the chosen layer. Both have exactly these
// lengths, else Run returns an error that wraps ErrShape. dst and src must not
// overlap. A session of several outputs has RunOutputs instead.
//
// When ctx ends Run returns its error within milliseconds and dst's content is
// undefined; the session stays usable. Run allocates nothing. A picture's
// result depends on neither the other pictures nor the number of workers, bit
// for bit.
func (s *Session) Run(ctx context.Context, dst, src []float32) error {
	return s.RunN(ctx, s.batch, dst, src)
}

// RunN is Run for the n pictures of src, from 1 to the batch: the same bits, in the
// session's memory.
func (s *Session) RunN(ctx context.Context, n int, dst, src []float32) error {
	if len(s.outputs) > 1 {
		return fmt.Errorf("vgg: the session has %d outputs: want RunOutputs: %w", len(s.outputs), ErrConfig)
	}
	s.single[0] = dst
	defer func() { s.single[0] = nil }()
	return s.run(ctx, n, s.single[:], src)
}

// RunOutputs computes the outputs of the session in one pass over the pictures of
// src, from 1 to the batch. dst[i] receives a result of OutputShapes()[i] for each of
// them. All else is as for Run.
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
		st := &s.stack[max(0, s.stack[0].pictures-(n-begin))]
		features := s.features[begin*s.featLen:][:st.pictures*s.featLen]
		if err := s.runSteps(ctx, st.steps, pass{st.pictures, begin, dst}, features, src[begin*in:][:st.pictures*in]); err != nil {
			return err
		}
		begin += st.pictures
	}
	if len(s.fc) > 0 {
		last := dst[s.tap(s.fc[len(s.fc)-1].layer)]
		return s.runSteps(ctx, s.fc, pass{n, 0, dst}, last, nil)
	}
	return ctx.Err()
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

// pass is what steps are computed for: n pictures from begin on, and the results of
// all pictures.
type pass struct {
	n, begin int
	dst      [][]float32
}

func (s *Session) runSteps(ctx context.Context, steps []step, p pass, dst, src []float32) error {
	for i := range steps {
		st := &steps[i]
		from, to := st.src, st.dst
		if from == nil {
			from = src
		}
		if to == nil {
			to = dst
		}
		s.profiler.beginLayer(st.layer)
		start := time.Now()
		if err := st.run(ctx, p.n, to, from); err != nil {
			return err
		}
		s.give(st, p, to)
		end := time.Now()
		s.times[st.layer] += end.Sub(start)
		s.profiler.endLayer(start, end)
	}
	return nil
}

// give copies a step's activation to where the caller wants it.
func (s *Session) give(st *step, p pass, act []float32) {
	if st.tap < 0 {
		return
	}
	o, dst := s.outputs[st.tap].shape, p.dst[st.tap]
	if st.layer >= s.model.cfg.firstFC() {
		if &dst[0] != &act[0] {
			copy(dst, act[:len(dst)])
		}
		return
	}
	blocked := layout.Len(o.C, o.H, o.W)
	for i := range p.n {
		layout.ToNCHW(o.C, o.H, o.W, dst[(p.begin+i)*o.Len():][:o.Len()], act[i*blocked:])
	}
}

// LayerTime is the time that a layer took.
type LayerTime struct {
	Layer string
	Time  time.Duration
}

// LayerTimes returns the time of each layer in the last Run, in the order of
// computation. A pool that was computed by the convolution before it counts
// there and has no entry.
func (s *Session) LayerTimes() []LayerTime {
	var list []LayerTime
	for i, d := range s.times {
		if d > 0 {
			list = append(list, LayerTime{s.model.cfg.Layers[i].Name, d})
		}
	}
	return list
}
