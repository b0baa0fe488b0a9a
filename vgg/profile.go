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

// Profiled makes a session tell what it does: its goroutines carry the pprof
// label "layer" with the name of the layer that they work on, and WriteTrace
// has the times of every worker in the last Run. Labels and memory are made
// once, so that a Run allocates nothing after the first few. It costs some
// 100 ns for each piece of work, of which there are a few for each worker and
// millisecond.
func Profiled() SessionOption { return func(o *sessionOptions) { o.profiled = true } }

// profiler observes the team of a session.
type profiler struct {
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

// A span is a time in which a layer was worked on.
type span struct {
	layer      int
	begin, end time.Time
}

func newProfiler(layers []Layer, workers int) *profiler {
	p := &profiler{workers: make([]workerProfile, workers)}
	for _, l := range layers {
		p.names = append(p.names, l.Name)
		p.labels = append(p.labels, pprof.WithLabels(context.Background(), pprof.Labels("layer", l.Name)))
	}
	return p
}

// beginRun forgets the run before. Helpers of a new run are new goroutines, and
// have no labels. A nil profiler does nothing.
func (p *profiler) beginRun() {
	if p == nil {
		return
	}
	p.start, p.spans = time.Now(), p.spans[:0]
	for i := range p.workers {
		w := &p.workers[i]
		w.layer, w.spans = -1, w.spans[:0]
	}
}

// endRun gives the goroutine the labels of ctx again.
func (p *profiler) endRun(ctx context.Context) {
	if p != nil {
		pprof.SetGoroutineLabels(ctx)
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

// WriteTrace writes the last Run of a Profiled session in Chrome's trace event
// format, which ui.perfetto.dev and chrome://tracing open: a line with the
// layers, and a line for each worker with every piece of work that it did.
func (s *Session) WriteTrace(w io.Writer) error {
	p := s.profiler
	if p == nil {
		return errors.New("vgg: a session without Profiled has no trace")
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
