package vgg

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime/pprof"
	"time"
)

// Profiled makes a session record what it does. Its goroutines carry the pprof label "layer"
// with the name of their present layer, and WriteTrace writes the times of every worker in
// the last Run. Labels and memory are made once, so that after the first few a Run allocates
// nothing. Each item of work costs some 100 ns more; a worker does a few items a
// millisecond.
func Profiled() SessionOption { return func(o *sessionOptions) { o.profiled = true } }

// profiler observes the team of a session or a trainer.
type profiler struct {
	ctx     context.Context   // of the last run
	names   []string          // of the layers
	labels  []context.Context // with each layer's label
	layer   int               // under way: written between phases, read inside of them
	start   time.Time         // of the last Run
	spans   []span            // of whole layers
	workers []workerProfile
}

type workerProfile struct {
	layer int // whose label the worker carries, or -1
	begin time.Time
	spans []span
	_     [64]byte // workers on different processors write theirs
}

// A span is the time of one item of work on a layer.
type span struct {
	layer      int
	begin, end time.Time
}

func newProfiler(layers []Layer, workers int) *profiler {
	p := &profiler{workers: make([]workerProfile, workers)}
	for _, l := range layers {
		p.add(l.Name, pprof.Labels("layer", l.Name))
	}
	return p
}

// add registers another layer.
func (p *profiler) add(name string, labels pprof.LabelSet) {
	p.names = append(p.names, name)
	p.labels = append(p.labels, pprof.WithLabels(context.Background(), labels))
}

// beginRun drops the previous run. A nil profiler does nothing.
func (p *profiler) beginRun(ctx context.Context) {
	if p == nil {
		return
	}
	p.ctx, p.start, p.spans = ctx, time.Now(), p.spans[:0]
	for i := range p.workers {
		p.workers[i].spans = p.workers[i].spans[:0]
	}
	p.goOn()
}

// goOn continues the previous run: helpers are new goroutines and have no labels.
func (p *profiler) goOn() {
	if p == nil {
		return
	}
	for i := range p.workers {
		p.workers[i].layer = -1
	}
}

// endRun restores the goroutine's labels of beginRun's ctx.
func (p *profiler) endRun() {
	if p != nil && p.ctx != nil {
		pprof.SetGoroutineLabels(p.ctx)
	}
}

func (p *profiler) beginLayer(layer int) {
	if p == nil {
		return
	}
	p.layer, p.workers[0].layer = layer, layer
	pprof.SetGoroutineLabels(p.labels[layer])
}

func (p *profiler) endLayer(begin, end time.Time) {
	if p != nil {
		p.spans = append(p.spans, span{p.layer, begin, end})
	}
}

// Begin implements parallel.Observer.
func (p *profiler) Begin(worker int) {
	w := &p.workers[worker]
	if w.layer != p.layer {
		w.layer = p.layer
		pprof.SetGoroutineLabels(p.labels[p.layer])
	}
	w.begin = time.Now()
}

// End implements parallel.Observer.
func (p *profiler) End(worker int) {
	w := &p.workers[worker]
	w.spans = append(w.spans, span{p.layer, w.begin, time.Now()})
}

// traceEvent is one event of Chrome's trace event format; times are in µs.
type traceEvent struct {
	Name  string            `json:"name"`
	Phase string            `json:"ph"` // X: a span, M: a name
	Time  float64           `json:"ts"`
	Dur   float64           `json:"dur,omitempty"`
	PID   int               `json:"pid"`
	TID   int               `json:"tid"`
	Args  map[string]string `json:"args,omitempty"`
}

// WriteTrace writes the last Run of a Profiled session in Chrome's trace event format, which
// ui.perfetto.dev and chrome://tracing open. It has a line with the layers, and a line for
// each worker with every item of its work.
func (s *Session) WriteTrace(w io.Writer) error {
	return s.profiler.writeTrace(w)
}

func (p *profiler) writeTrace(w io.Writer) error {
	if p == nil {
		return errors.New("vgg: without a profile there is no trace")
	}
	us := func(t time.Time) float64 { return float64(t.Sub(p.start).Nanoseconds()) / 1e3 }
	var events []traceEvent
	line := func(tid int, name string, spans []span) {
		events = append(events, traceEvent{Name: "thread_name", Phase: "M", TID: tid, Args: map[string]string{"name": name}})
		for _, sp := range spans {
			events = append(events, traceEvent{Name: p.names[sp.layer], Phase: "X", Time: us(sp.begin), Dur: us(sp.end) - us(sp.begin), TID: tid})
		}
	}
	line(0, "layers", p.spans)
	for i := range p.workers {
		line(i+1, "worker", p.workers[i].spans)
	}
	b := bufio.NewWriter(w)
	if err := json.NewEncoder(b).Encode(map[string]any{"traceEvents": events, "displayTimeUnit": "ms"}); err != nil {
		return err
	}
	return b.Flush()
}

// The passes of a step, as the label "pass" names them.
const (
	passForward = iota
	passBackward
	passUpdate
)

var passNames = [...]string{"forward", "backward", "update"}

// ProfiledSteps is Profiled for a Trainer. Besides "layer", its goroutines carry the label
// "pass": forward, backward or update. The update of the convolutions' weights belongs to no
// single layer.
func ProfiledSteps() TrainerOption { return func(o *trainerOptions) { o.profiled = true } }

// newStepProfiler makes the profiler of a trainer: it has each layer in each pass, and the
// update of all.
func newStepProfiler(layers []Layer, workers int) *profiler {
	p := &profiler{workers: make([]workerProfile, workers)}
	for _, pass := range passNames {
		for _, l := range layers {
			p.add(l.Name+" "+pass, pprof.Labels("layer", l.Name, "pass", pass))
		}
	}
	p.add(passNames[passUpdate], pprof.Labels("pass", passNames[passUpdate]))
	return p
}

// beginPass is beginLayer for layer i in a pass of a step; i may be the number of
// layers, for the update of all.
func (t *Trainer) beginPass(pass, i int) { t.profiler.beginLayer(pass*len(t.layers) + i) }

// WriteTrace writes the last step of a Trainer with ProfiledSteps, from the
// beginning of the last Gradients or Logits, as Session.WriteTrace does.
func (t *Trainer) WriteTrace(w io.Writer) error { return t.profiler.writeTrace(w) }
