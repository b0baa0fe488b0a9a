package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrFull is the error of Reserve when the items do not fit at present.
var ErrFull = errors.New("batch: the queue is full")

// ErrDraining is the error of Reserve after Drain or Close, and of calls that Close cuts
// short.
var ErrDraining = errors.New("batch: the queue takes no more")

// ErrTooMany is the error of Reserve for more items than the queue ever holds.
var ErrTooMany = errors.New("batch: more items than the queue holds")

// A PanicError is the error of the calls whose batch ended with a panic of run.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("batch: panic: %v", e.Value) }

// Batch tells an observer of a batch that has been computed.
type Batch struct {
	Key   any
	Items int
	Took  time.Duration
	Err   error
}

// Times says where the time of a call went: until its first item was begun, and from
// then to the end of its last.
type Times struct{ Queue, Compute time.Duration }

type options struct {
	maxBatch, capacity int
	maxDelay           time.Duration
	observe            func(Batch)
}

// An Option changes how a Queue works.
type Option func(*options)

// MaxBatch sets the most items of a batch; 8 if not given.
func MaxBatch(n int) Option { return func(o *options) { o.maxBatch = n } }

// Capacity sets how many items the queue holds, reserved, waiting or being computed; 128
// if not given.
func Capacity(n int) Option { return func(o *options) { o.capacity = n } }

// MaxDelay sets how long an item waits for others to fill a batch while the executor has
// nothing else to do; 0 if not given.
func MaxDelay(d time.Duration) Option { return func(o *options) { o.maxDelay = d } }

// Observe sets a function that is told of each batch, by the executor, so that it should
// take no time.
func Observe(f func(Batch)) Option { return func(o *options) { o.observe = f } }

// A RunFunc computes the items of one batch, from 1 to MaxBatch. Items belong to it until
// it returns, and the slice itself no longer.
type RunFunc[K comparable, T any] func(ctx context.Context, key K, items []T) error

// Queue is a bounded queue in front of one executor. Any number of goroutines may use it.
type Queue[K comparable, T any] struct {
	options
	run  RunFunc[K, T]
	wake chan struct{} // has an element if the executor is to look again
	stop context.CancelCauseFunc
	over chan struct{} // closed when the executor has ended

	mu       sync.Mutex
	reserved int
	calls    []*call[K, T] // with items that wait, in the order of their turns
	current  *running[K, T]
	draining bool
	drained  chan struct{} // closed when nothing is reserved after Drain
}

// call is the items of one Do.
type call[K comparable, T any] struct {
	ctx       context.Context
	key       K
	items     []T // those that wait
	pending   int // items that have no result
	submitted time.Time
	started   time.Time
	ended     time.Time
	err       error
	done      chan struct{} // closed when pending is 0 or err is set
}

// running is a batch that is being computed.
type running[K comparable, T any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	key    K
	calls  []*call[K, T] // of each item
	items  []T
}

// New starts a queue whose batches run computes.
func New[K comparable, T any](run RunFunc[K, T], opts ...Option) (*Queue[K, T], error) {
	o := options{maxBatch: 8, capacity: 128, observe: func(Batch) {}}
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case o.maxBatch < 1:
		return nil, fmt.Errorf("batch: at most %d items in a batch, want at least 1", o.maxBatch)
	case o.capacity < o.maxBatch:
		return nil, fmt.Errorf("batch: a queue of %d items, want at least a batch of %d", o.capacity, o.maxBatch)
	case o.maxDelay < 0:
		return nil, fmt.Errorf("batch: a delay of %v, want at least 0", o.maxDelay)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	q := &Queue[K, T]{options: o, run: run, wake: make(chan struct{}, 1), stop: cancel, over: make(chan struct{}), drained: make(chan struct{})}
	go q.execute(ctx)
	return q, nil
}

// Place is room for items in a queue.
type Place[K comparable, T any] struct {
	q    *Queue[K, T]
	n    int
	once sync.Once
}

// Reserve makes room for n items, or returns ErrFull, ErrTooMany or ErrDraining. The
// place is to be released.
func (q *Queue[K, T]) Reserve(n int) (*Place[K, T], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case n < 1:
		return nil, fmt.Errorf("batch: a place for %d items, want at least 1", n)
	case q.draining:
		return nil, ErrDraining
	case n > q.capacity:
		return nil, fmt.Errorf("%w: %d, and it holds %d", ErrTooMany, n, q.capacity)
	case n > q.capacity-q.reserved:
		return nil, ErrFull
	}
	q.reserved += n
	return &Place[K, T]{q: q, n: n}, nil
}

// Release gives the room back. It may be called again.
func (p *Place[K, T]) Release() {
	p.once.Do(func() {
		q := p.q
		q.mu.Lock()
		defer q.mu.Unlock()
		q.reserved -= p.n
		q.checkDrained()
	})
}

// Len returns the number of items that are reserved, waiting or being computed.
func (q *Queue[K, T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved
}

// Do waits until all items are computed, and returns run's error if it failed for one of
// them. If ctx ends before, Do returns its error at once: items that wait are forgotten,
// and one that is being computed may be written to for some milliseconds more. It panics
// if there are more items than the place was reserved for, or none.
func (p *Place[K, T]) Do(ctx context.Context, key K, items []T) (Times, error) {
	if len(items) < 1 || len(items) > p.n {
		panic("batch: the place was reserved for another number of items")
	}
	if err := ctx.Err(); err != nil {
		return Times{}, err
	}
	c := &call[K, T]{ctx: ctx, key: key, items: slices.Clone(items), pending: len(items), submitted: time.Now(), done: make(chan struct{})}
	if !p.q.submit(c) {
		return Times{}, ErrDraining
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		p.q.abandon(c, ctx.Err())
		<-c.done
	}
	if c.started.IsZero() {
		return Times{Queue: c.ended.Sub(c.submitted)}, c.err
	}
	return Times{Queue: c.started.Sub(c.submitted), Compute: c.ended.Sub(c.started)}, c.err
}

// submit lets a call wait, unless the queue is closed.
func (q *Queue[K, T]) submit(c *call[K, T]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.over:
		return false
	default:
	}
	q.calls = append(q.calls, c)
	q.look()
	return true
}

// look lets the executor look at the queue again.
func (q *Queue[K, T]) look() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// abandon ends a call whose context has ended, unless it has ended by itself.
func (q *Queue[K, T]) abandon(c *call[K, T], err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end(c, err)
	if r := q.current; r != nil && !slices.ContainsFunc(r.calls, (*call[K, T]).live) {
		r.cancel()
	}
}

func (c *call[K, T]) live() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// end ends a call with err, and forgets its items that wait. A call that has ended
// stays as it is.
func (q *Queue[K, T]) end(c *call[K, T], err error) {
	if !c.live() {
		return
	}
	c.err, c.ended, c.items = err, time.Now(), nil
	q.calls = slices.DeleteFunc(q.calls, func(o *call[K, T]) bool { return o == c })
	close(c.done)
}
