package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nonet-go/nonet/serve/batch"
)

// Server serves networks. It is an http.Handler, for any number of goroutines.
type Server struct {
	opts       options
	repository *repository
	queue      *batch.Queue[batchKey, *job]
	memory     memory
	apart      *apart
	decoders   chan struct{} // holds an element for each picture that is being decoded
	metrics    *metrics
	handler    http.Handler
	keys       atomic.Pointer[keySet]
	draining   atomic.Bool
	hold       func() // before a batch is computed, for tests

	mu    sync.Mutex
	stats map[string]*statistics // by name and version
}

// New makes a server of networks, which Load opens.
func New(sources []Source, opts ...Option) (*Server, error) {
	s := &Server{opts: defaults(), stats: map[string]*statistics{}}
	for _, opt := range opts {
		opt(&s.opts)
	}
	if err := s.opts.check(); err != nil {
		return nil, err
	}
	var err error
	if s.repository, err = newRepository(sources, &s.opts); err != nil {
		return nil, err
	}
	s.memory.most = s.opts.memory
	s.apart = newApart()
	s.decoders = make(chan struct{}, s.opts.decoders)
	s.metrics = newMetrics(s)
	if s.handler, err = s.newHandler(); err != nil {
		return nil, err
	}
	s.queue, err = batch.New(s.runBatch, batch.MaxBatch(s.opts.maxBatch), batch.Capacity(s.opts.queue),
		batch.MaxDelay(s.opts.maxDelay), batch.Observe(s.observe))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Load opens all networks, again if they are loaded: a network that cannot be opened
// leaves the one before in its place. The errors are those of all that failed.
func (s *Server) Load(ctx context.Context) error {
	var failed []error
	seen := map[string]bool{}
	for _, e := range s.repository.entries {
		if name := e.source.Name; !seen[name] {
			seen[name] = true
			failed = append(failed, s.load(ctx, name))
		}
	}
	return errors.Join(failed...)
}

// load opens the networks of a name and says so.
func (s *Server) load(ctx context.Context, name string) error {
	begin := time.Now()
	err := s.repository.load(ctx, name)
	if err != nil {
		s.opts.log.Error("load", "model", name, "error", err)
		return err
	}
	all := s.repository.all()
	total := int64(0)
	for _, m := range all {
		total += m.bytes()
	}
	for _, m := range all {
		if m.name == name {
			s.opts.log.Info("load", "model", name, "version", m.version, "bytes", m.bytes(), "bytes_of_all", total, "took", time.Since(begin))
		}
	}
	return nil
}

// Drain makes the server not ready, so that nobody sends it more. Requests that come
// meanwhile are served, and their connections closed, until Close.
func (s *Server) Drain() { s.draining.Store(true) }

// Close refuses further pictures, waits for those that are there, or until ctx ends, and
// ends the executor. The error is ctx's, if pictures were left.
func (s *Server) Close(ctx context.Context) error {
	s.draining.Store(true)
	err := s.queue.Drain(ctx)
	s.queue.Close()
	return err
}

// Ready says whether all networks are loaded and the server is not ending.
func (s *Server) Ready() bool { return !s.draining.Load() && s.repository.ready() }

// statistics returns those of a network under one of its names.
func (s *Server) statistics(name, version string) *statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name + "@" + version
	if s.stats[key] == nil {
		s.stats[key] = &statistics{}
	}
	return s.stats[key]
}

// runBatch computes a batch of the queue.
func (s *Server) runBatch(ctx context.Context, key batchKey, jobs []*job) error {
	if s.hold != nil {
		s.hold()
	}
	begin := time.Now()
	err := key.m.compute(ctx, key.layers, jobs)
	took := time.Since(begin)
	told := map[*statistics]bool{}
	for _, j := range jobs {
		if j.stats != nil && !told[j.stats] && err == nil {
			told[j.stats] = true
			j.stats.batch(len(jobs), took)
		}
	}
	return err
}

// observe counts a batch, and logs one that failed by a fault of the server's.
func (s *Server) observe(b batch.Batch) {
	key := b.Key.(batchKey)
	s.metrics.batch(key.m.name, b.Items, b.Took)
	var p *batch.PanicError
	switch {
	case errors.As(b.Err, &p):
		s.opts.log.Error("panic", "model", key.m.name, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	case b.Err != nil && !errors.Is(b.Err, context.Canceled) && !errors.Is(b.Err, batch.ErrDraining):
		s.opts.log.Error("batch", "model", key.m.name, "layers", key.layers, "error", b.Err)
	}
}

// finished counts a request for inference, and adds what it was to its log line.
func (s *Server) finished(ctx context.Context, v view, stats *statistics, t spent, all time.Duration, err error) {
	stats.done(t, all, err)
	s.metrics.inference(v.name(), t, err)
	if line, ok := ctx.Value(lineKey{}).(*logLine); ok {
		line.set(v.name(), t)
	}
}
