package vgg

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Trainer holds a network's weights, their gradients and momentum, and all the memory for a
// step of training on batches of one size. One goroutine at a time may use it. Its results
// are the same bits for any number of workers.
//
//	loss, err := t.Gradients(ctx, input, targets)   // once, or for several batches
//	t.Update(vgg.SGD{Rate: 0.01, Momentum: 0.9, Decay: 5e-4})
type Trainer struct {
	cfg   Config
	batch int
	opts  trainerOptions
	parameters
	workspace
	first    int           // layer of the configuration that is computed first, see Features
	in       Shape         // of its input
	layers   []*trainLayer // of the configuration, from first on
	input    []float32     // blocked
	prob     []float32     // dL/dlogits
	logits   []float32     // of a network whose last activation is blocked, else nil
	step     uint64        // counts batches, for dropout
	training bool          // dropout is on
	stale    bool          // weights have changed since the kernels' forms were packed
	times    StepTimes     // of the whole, without those of the layers
	profiler *profiler     // nil unless ProfiledSteps
}

// parameters are what training changes, by Param.
type parameters struct {
	params   []Param
	weights  [][]float32
	momentum [][]float32
	grads    [][]float32  // nil where nobody has asked for it, see trainFC
	lazy     []*trainFC   // who computes the gradient when it is asked for, or nil
	pieces   []piece      // of all tensors, for the update
	fresh    [2][]float32 // the gradients of a layer's weights and biases in one batch, if several are added
	batches  int          // that grads hold
}

// StepTimes are the times of the parts of steps. Update is the change of the weights and
// their packing for the kernels.
type StepTimes struct {
	Forward, BackwardData, BackwardWeights, Update time.Duration
}

func (s *StepTimes) add(t StepTimes) {
	s.Forward += t.Forward
	s.BackwardData += t.BackwardData
	s.BackwardWeights += t.BackwardWeights
	s.Update += t.Update
}

// LayerStepTimes are the StepTimes of one layer.
type LayerStepTimes struct {
	Layer string
	StepTimes
}

type trainerOptions struct {
	workers   int
	dropout   float32
	seed      uint64
	freeze    string
	features  string
	inputGrad bool
	profiled  bool
}

// A TrainerOption changes how a Trainer works.
type TrainerOption func(*trainerOptions)

// TrainWorkers sets how many goroutines compute; GOMAXPROCS if not given.
func TrainWorkers(n int) TrainerOption { return func(o *trainerOptions) { o.workers = n } }

// Dropout sets a fraction of the outputs of every fully connected layer with ReLU but the
// last to 0 in training, and scales the others by 1/(1−fraction). If a fully connected layer
// has its ReLU in the scale after it, =F64 S+, the outputs are the scale's. The choice
// depends only on the seed, the number of the batch, the layer and the position.
func Dropout(fraction float64, seed uint64) TrainerOption {
	return func(o *trainerOptions) { o.dropout, o.seed = float32(fraction), seed }
}

// Freeze keeps the weights of a layer and of all layers before it unchanged.
func Freeze(layer string) TrainerOption { return func(o *trainerOptions) { o.freeze = layer } }

// Features makes a Trainer take that layer's activations, [batch][C][H][W], in place of
// pictures. The layer stands before the fully connected ones. It and all layers before it
// keep their weights and are not computed. It serves to train a classifier on activations
// that a Session with Output has computed once.
func Features(layer string) TrainerOption { return func(o *trainerOptions) { o.features = layer } }

// InputGrad makes a Trainer compute the gradient with respect to its input. InputGradient
// returns it.
func InputGrad() TrainerOption { return func(o *trainerOptions) { o.inputGrad = true } }

// NewTrainer copies the weights of src for the network cfg, which has classes, see
// Config.Classes, and plans training on batches of that size. Errors wrap
// ErrShape or ErrConfig, or are src's.
func NewTrainer(cfg Config, src Source, batch int, opts ...TrainerOption) (*Trainer, error) {
	t := &Trainer{cfg: cfg, batch: batch, opts: trainerOptions{workers: runtime.GOMAXPROCS(0)}, stale: true}
	for _, o := range opts {
		o(&t.opts)
	}
	if err := errors.Join(cpu.Err(), cfg.Validate()); err != nil {
		return nil, err
	}
	switch {
	case cfg.Classes() == 0:
		return nil, fmt.Errorf("vgg: training needs a last layer of classes, configuration %s has none: %w", cfg.Name, ErrConfig)
	case t.opts.dropout < 0 || t.opts.dropout >= 1:
		return nil, fmt.Errorf("vgg: dropout of %v, want at least 0 and less than 1: %w", t.opts.dropout, ErrConfig)
	}
	if err := checkWorkers(batch, t.opts.workers); err != nil {
		return nil, err
	}
	t.team = parallel.NewTeam(t.opts.workers)
	var err error
	if t.params, err = cfg.Params(); err != nil {
		return nil, err
	}
	if err := t.read(src); err != nil {
		return nil, err
	}
	if err := t.plan(); err != nil {
		return nil, err
	}
	if t.opts.profiled {
		t.profiler = newStepProfiler(cfg.Layers[t.first:], t.opts.workers)
		t.team.Observe(t.profiler)
	}
	for i := range t.params {
		if t.lazy[i] == nil {
			t.gradMemory(i)
		}
	}
	return t, nil
}

// read copies the tensors of a source, and allocates what goes with them.
func (p *parameters) read(src Source) error {
	for i, param := range p.params {
		own := layout.Alloc(param.Len())
		if err := readTensor(own, src, param); err != nil {
			return err
		}
		p.weights = append(p.weights, own)
		p.momentum = append(p.momentum, layout.Alloc(param.Len()))
		for at := 0; at < param.Len(); at += updateRun {
			p.pieces = append(p.pieces, piece{i, at, min(at+updateRun, param.Len())})
		}
	}
	p.grads = make([][]float32, len(p.params))
	p.lazy = make([]*trainFC, len(p.params))
	return unchanged(src)
}

// A filler is a Source that can write a tensor to given memory, without a copy of hundreds
// of megabytes.
type filler interface {
	fill(dst []float32, name string, shape []int) error
}

// readTensor copies a tensor of src.
func readTensor(dst []float32, src Source, p Param) error {
	if f, ok := src.(filler); ok {
		return f.fill(dst, p.Name, p.Shape)
	}
	if len(p.Shape) == 2 {
		read, err := readRows(src, p.Name, p.Shape)
		if err != nil {
			return err
		}
		return read(dst, 0)
	}
	w, err := src.Tensor(p.Name, p.Shape)
	copy(dst, w)
	return err
}

// gradMemory returns where the gradient of tensor i is kept.
func (t *Trainer) gradMemory(i int) []float32 {
	if t.grads[i] == nil {
		t.grads[i] = layout.Alloc(t.params[i].Len())
	}
	return t.grads[i]
}

// settle computes the pending gradients: those of the first batch since the last Update.
// Gradients of later batches are added at once.
func (t *Trainer) settle() {
	for i, l := range t.layers {
		if f := l.fc; f != nil && f.pending {
			start := time.Now()
			t.beginPass(passBackward, i)
			f.settle(t, 0)
			t.profiler.endLayer(start, time.Now())
		}
	}
}

// Config returns the network's configuration.
func (t *Trainer) Config() Config { return t.cfg }

// Params lists the tensors; Weights, Momentum and Grads follow its order.
func (t *Trainer) Params() []Param { return t.params }

// Weights returns the weights themselves, as OIHW, out×in or out. Call Changed after a
// change.
func (t *Trainer) Weights() [][]float32 { return t.weights }

// Momentum returns the momentum of each weight itself.
func (t *Trainer) Momentum() [][]float32 { return t.momentum }

// Grads returns the gradients themselves: of the mean loss, added up over the batches since
// the last Update. The first call allocates those of the fully connected layers, which
// training does not need.
func (t *Trainer) Grads() [][]float32 {
	for i := range t.grads {
		t.gradMemory(i)
	}
	t.profiler.goOn()
	defer t.profiler.endRun()
	t.settle()
	return t.grads
}

// Changed tells the Trainer that weights were written to.
func (t *Trainer) Changed() { t.stale = true }

// Batches returns for how many batches the Trainer has computed gradients. With the seed it
// is the state of the dropout.
func (t *Trainer) Batches() uint64 { return t.step }

// SetBatches sets the value of Batches, to continue another Trainer's run.
func (t *Trainer) SetBatches(n uint64) { t.step = n }

// Source returns the weights as a Source, for New or Save.
func (t *Trainer) Source() Source { return trainerSource{t} }

type trainerSource struct{ t *Trainer }

func (s trainerSource) Name() string { return "trained weights" }
func (s trainerSource) Release()     {}
func (s trainerSource) Tensor(name string, want []int) ([]float32, error) {
	for i, p := range s.t.params {
		if p.Name == name && fmt.Sprint(p.Shape) == fmt.Sprint(want) {
			return s.t.weights[i], nil
		}
	}
	return nil, &TensorError{File: s.Name(), Tensor: name, Want: want, Err: ErrShape}
}

// Result is the result of a batch.
type Result struct {
	Loss    float64 // mean of −log p[target]
	Correct int     // pictures whose largest logit is their target
}

// Gradients computes the loss of a batch and adds its gradients to those since the last
// Update. input is [batch][channels][height][width], see also Features. targets has a class
// for each picture. The loss is the mean over the batch.
//
// It returns an error that wraps ErrShape for wrong lengths or classes, or ctx's error when
// ctx ends. After an error the gradients are undefined until the next Update.
func (t *Trainer) Gradients(ctx context.Context, input []float32, targets []int) (Result, error) {
	if n := t.batch * t.in.Len(); len(input) != n || len(targets) != t.batch {
		return Result{}, fmt.Errorf("vgg: %d input elements and %d targets, want %d and %d: %w", len(input), len(targets), n, t.batch, ErrShape)
	}
	for _, c := range targets {
		if c < 0 || c >= t.cfg.Classes() {
			return Result{}, fmt.Errorf("vgg: target %d of %d classes: %w", c, t.cfg.Classes(), ErrShape)
		}
	}
	t.team.Begin()
	defer t.team.End()
	t.profiler.beginRun(ctx)
	defer t.profiler.endRun()
	t.training = true
	logits, err := t.forward(ctx, input)
	t.training = false
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	r := crossEntropy(t.prob, logits, targets, t.cfg.Classes())
	t.logitsGrad(logits)
	t.times.Forward += time.Since(start)
	for i := len(t.layers) - 1; i >= t.firstTrained()-t.first; i-- {
		start := time.Now()
		t.beginPass(passBackward, i)
		if err := t.layers[i].backward(ctx, t); err != nil {
			return Result{}, err
		}
		t.profiler.endLayer(start, time.Now())
	}
	t.batches++
	t.step++
	return r, nil
}

// Logits computes the network without dropout: dst [batch][classes] from input
// [batch][channels][height][width]. It returns an error that wraps ErrShape for wrong
// lengths, or ctx's.
func (t *Trainer) Logits(ctx context.Context, dst, input []float32) error {
	if n := t.batch * t.in.Len(); len(input) != n || len(dst) != t.batch*t.cfg.Classes() {
		return fmt.Errorf("vgg: %d input elements and %d logits, want %d and %d: %w", len(input), len(dst), n, t.batch*t.cfg.Classes(), ErrShape)
	}
	t.team.Begin()
	defer t.team.End()
	t.profiler.beginRun(ctx)
	defer t.profiler.endRun()
	logits, err := t.forward(ctx, input)
	copy(dst, logits)
	return err
}

// forward computes all activations and returns the logits.
func (t *Trainer) forward(ctx context.Context, input []float32) ([]float32, error) {
	if t.stale {
		for i, l := range t.layers {
			start := time.Now()
			t.beginPass(passUpdate, i)
			if err := l.repack(t); err != nil {
				return nil, err
			}
			t.took(&l.times.Update, start)
		}
		t.stale = false
	}
	t.settle()
	start := time.Now()
	t.beginPass(passForward, 0)
	_ = t.team.Run(context.Background(), t.batch*layout.Blocks(t.in.C), func(_, block int) { // the context never ends
		layout.LoadBlock(t.in.C, t.in.H*t.in.W, block, t.input, input)
	})
	t.took(&t.times.Forward, start)
	for i, l := range t.layers {
		start := time.Now()
		t.beginPass(passForward, i)
		if err := l.forward(ctx, l.y, l.x); err != nil {
			return nil, err
		}
		l.drop(t)
		t.took(&l.times.Forward, start)
	}
	y := t.layers[len(t.layers)-1].y
	if t.logits == nil {
		return y, nil
	}
	t.eachPicture(func(row, blocked []float32) { layout.ToNCHW(len(row), 1, 1, row, blocked) }, t.logits, y)
	return t.logits, nil
}

// logitsGrad takes the gradient of the logits through the ReLU of the last layer, if
// it has one, and into the last layer's form.
func (t *Trainer) logitsGrad(logits []float32) {
	last := t.layers[len(t.layers)-1]
	if last.ReLU {
		for i, v := range logits {
			if v <= 0 { // not NaN
				t.prob[i] = 0
			}
		}
	}
	if t.logits != nil {
		t.eachPicture(func(blocked, row []float32) { layout.FromNCHW(len(row), 1, 1, blocked, row) }, last.dy, t.prob)
	}
}

// eachPicture calls convert for every picture's part of two activations.
func (t *Trainer) eachPicture(convert func(a, b []float32), a, b []float32) {
	na, nb := len(a)/t.batch, len(b)/t.batch
	for i := range t.batch {
		convert(a[i*na:][:na], b[i*nb:][:nb])
	}
}

// took adds what has passed since start to a time, and to the profile.
func (t *Trainer) took(to *time.Duration, start time.Time) {
	end := time.Now()
	*to += end.Sub(start)
	t.profiler.endLayer(start, end)
}

// A piece is a part of tensor i.
type piece struct{ i, from, to int }

// updateRun is how many weights an item of an update changes.
const updateRun = 1 << 16

// Update changes the weights by the mean of the gradients since the last Update, by
// PyTorch's rule, and drops the gradients:
//
//	v = momentum·v + (g + decay·w)
//	w = w − rate·v
func (t *Trainer) Update(rule SGD) {
	start := time.Now()
	t.team.Begin()
	defer t.team.End()
	t.profiler.goOn()
	defer t.profiler.endRun()
	t.beginPass(passUpdate, len(t.layers))
	first := t.firstParam()
	scale := float32(1) / float32(max(t.batches, 1))
	_ = t.team.Run(context.Background(), len(t.pieces), func(_, item int) { // the context never ends
		p := t.pieces[item]
		if f := t.lazy[p.i]; p.i < first || f != nil && (f.pending || t.grads[p.i] == nil) {
			return
		}
		g := t.grads[p.i][p.from:p.to]
		if t.batches > 1 {
			for j := range g {
				g[j] *= scale
			}
		}
		rule.step(t.weights[p.i][p.from:p.to], t.momentum[p.i][p.from:p.to], g)
	})
	t.profiler.endLayer(start, time.Now())
	for i, l := range t.layers {
		if f := l.fc; f != nil && f.pending {
			start := time.Now()
			t.beginPass(passUpdate, i)
			f.update(t, rule)
			t.profiler.endLayer(start, time.Now())
		}
	}
	t.batches, t.stale = 0, true
	t.times.Update += time.Since(start)
}

// Times returns the times since the last call: in all, and of each layer. The sum also has
// the loss and the change of the weights, which belong to no layer.
func (t *Trainer) Times() (all StepTimes, layers []LayerStepTimes) {
	all, t.times = t.times, StepTimes{}
	for i, l := range t.layers {
		layers = append(layers, LayerStepTimes{t.cfg.Layers[t.first+i].Name, l.times})
		all.add(l.times)
		l.times = StepTimes{}
	}
	return all, layers
}

// InputGradient returns the gradient of the last batch's loss with respect to its
// input, in the input's shape, if the Trainer was made with InputGrad.
func (t *Trainer) InputGradient() []float32 {
	dx := t.layers[0].dx
	if dx == nil {
		return nil
	}
	size, blocked := t.in.Len(), len(dx)/t.batch
	out := make([]float32, t.batch*size)
	for i := range t.batch {
		layout.ToNCHW(t.in.C, t.in.H, t.in.W, out[i*size:][:size], dx[i*blocked:][:blocked])
	}
	return out
}

// firstTrained returns the first layer whose weights change, or the first of all
// if the gradient of the input is wanted.
func (t *Trainer) firstTrained() int {
	if t.opts.inputGrad {
		return t.first
	}
	return t.frozen()
}

// frozen returns the number of layers that do not change.
func (t *Trainer) frozen() int {
	if t.opts.freeze == "" {
		return t.first
	}
	i, _ := t.cfg.layerIndex(t.opts.freeze) // checked by plan
	return max(i+1, t.first)
}

// firstParam returns the first tensor that is trained.
func (t *Trainer) firstParam() int {
	n := 0
	for _, l := range t.cfg.Layers[:t.frozen()] {
		if l.weighted() {
			n += 2
		}
	}
	return n
}

// gradient returns where a layer writes the gradient of tensor i, and add adds it
// to what earlier batches have left there.
func (t *Trainer) gradient(i int) []float32 {
	if t.batches == 0 {
		return t.grads[i]
	}
	fresh := &t.fresh[i%2]
	if len(*fresh) < len(t.grads[i]) {
		*fresh = make([]float32, len(t.grads[i]))
	}
	return (*fresh)[:len(t.grads[i])]
}

func (t *Trainer) add(i int) {
	if t.batches == 0 {
		return
	}
	sum, fresh := t.grads[i], t.fresh[i%2]
	_ = t.team.Run(context.Background(), (len(sum)+updateRun-1)/updateRun, func(_, item int) { // the context never ends
		for j := item * updateRun; j < min((item+1)*updateRun, len(sum)); j++ {
			sum[j] += fresh[j]
		}
	})
}

// plan makes the layers. Activations are kept for the way back; the gradients of
// blocked ones use two buffers in turn, and all convolutions one scratch.
func (t *Trainer) plan() error {
	if t.opts.freeze != "" {
		if _, err := t.cfg.layerIndex(t.opts.freeze); err != nil {
			return err
		}
	}
	in, shapes, err := t.cfg.nominal()
	if err != nil {
		return err
	}
	t.in = in
	if t.opts.features != "" {
		i, err := t.cfg.layerIndex(t.opts.features)
		if err != nil {
			return err
		}
		if i >= t.cfg.firstFC() || i == len(t.cfg.Layers)-1 {
			return fmt.Errorf("vgg: features of %s: want those of a layer before the fully connected ones: %w", t.opts.features, ErrConfig)
		}
		t.first, t.in = i+1, shapes[i]
	}
	if err := checkBatch(t.batch, append([]Shape{t.in}, shapes[t.first:]...)...); err != nil {
		return err
	}
	t.input = layout.Alloc(t.batch * layout.Len(t.in.C, t.in.H, t.in.W))
	t.prob = layout.Alloc(t.batch * t.cfg.Classes())
	if t.cfg.lastFC() < 0 {
		t.logits = layout.Alloc(len(t.prob))
	}
	return t.bind(t.cfg.walk(t.first, len(t.cfg.Layers)-1, t.in, shapes, nil))
}

// bind makes the layers of ops.
func (t *Trainer) bind(ops []op) error {
	b := trainBuilder{t: t, mult: gemm.NewMultiplier(t.team), grads: newInTurn(t.batch * widest(ops)), y: t.input, scale: 1}
	for _, o := range ops {
		l, err := b.layer(o)
		if err != nil {
			return err
		}
		t.layers = append(t.layers, l)
		if l.fc != nil {
			t.lazy[o.param] = l.fc
		}
	}
	return nil
}
