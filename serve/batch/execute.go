package batch

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"
)

// execute computes batches until ctx ends.
func (q *Queue[K, T]) execute(ctx context.Context) {
	defer q.shut()
	for {
		r, wait := q.take(ctx)
		switch {
		case r != nil:
			q.compute(r)
		case !q.sleep(ctx, wait):
			return
		}
	}
}

// sleep waits for a reason to look at the queue, for no longer than wait unless that is
// negative. It reports whether the executor goes on.
func (q *Queue[K, T]) sleep(ctx context.Context, wait time.Duration) bool {
	var timer <-chan time.Time
	if wait >= 0 {
		timer = time.After(wait)
	}
	select {
	case <-q.wake:
	case <-timer:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// take takes the next batch out of the queue, or returns how long it may yet take to fill:
// a negative time if nothing waits.
func (q *Queue[K, T]) take(ctx context.Context) (*running[K, T], time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range slices.Clone(q.calls) {
		if err := c.ctx.Err(); err != nil {
			q.end(c, err)
		}
	}
	if len(q.calls) == 0 || ctx.Err() != nil {
		return nil, -1
	}
	key := q.calls[0].key
	if wait := q.maxDelay - time.Since(q.oldest(key)); wait > 0 && q.waiting(key) < q.maxBatch {
		return nil, wait
	}
	r := q.fill(key)
	r.ctx, r.cancel = context.WithCancel(ctx)
	q.current = r
	return r, 0
}

// waiting counts the items of a key.
func (q *Queue[K, T]) waiting(key K) (n int) {
	for _, c := range q.calls {
		if c.key == key {
			n += len(c.items)
		}
	}
	return n
}

// oldest returns when the first of the calls of a key came.
func (q *Queue[K, T]) oldest(key K) (t time.Time) {
	for _, c := range q.calls {
		if c.key == key && (t.IsZero() || c.submitted.Before(t)) {
			t = c.submitted
		}
	}
	return t
}

// fill takes items of one key for a batch: one of each call in turn, as often as there is
// room. Calls that have had a turn and have items left go behind the others.
func (q *Queue[K, T]) fill(key K) *running[K, T] {
	r := &running[K, T]{key: key}
	now := time.Now()
	for more := true; more && len(r.items) < q.maxBatch; {
		more = false
		for _, c := range q.calls {
			if c.key != key || len(c.items) == 0 || len(r.items) == q.maxBatch {
				continue
			}
			if c.started.IsZero() {
				c.started = now
			}
			r.items, r.calls = append(r.items, c.items[0]), append(r.calls, c)
			c.items = c.items[1:]
			more = true
		}
	}
	var first, behind []*call[K, T]
	for _, c := range q.calls {
		switch {
		case len(c.items) == 0:
		case slices.Contains(r.calls, c):
			behind = append(behind, c)
		default:
			first = append(first, c)
		}
	}
	q.calls = append(first, behind...)
	return r
}

// compute runs a batch and tells its calls.
func (q *Queue[K, T]) compute(r *running[K, T]) {
	start := time.Now()
	err := q.runSafely(r)
	if err != nil && errors.Is(context.Cause(r.ctx), ErrDraining) {
		err = ErrDraining // Close cut it short
	}
	r.cancel()
	q.observe(Batch{Key: r.key, Items: len(r.items), Took: time.Since(start), Err: err})
	q.mu.Lock()
	defer q.mu.Unlock()
	q.current = nil
	for _, c := range r.calls {
		c.pending--
		if err != nil || c.pending == 0 {
			q.end(c, err)
		}
	}
}

func (q *Queue[K, T]) runSafely(r *running[K, T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return q.run(r.ctx, r.key, r.items)
}

// Drain refuses new items from now on and waits until none is left, or until ctx ends.
// The queue is still to be closed.
func (q *Queue[K, T]) Drain(ctx context.Context) error {
	q.mu.Lock()
	q.draining = true
	q.checkDrained()
	q.mu.Unlock()
	select {
	case <-q.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkDrained says so when nothing is left after Drain.
func (q *Queue[K, T]) checkDrained() {
	if !q.draining || q.reserved > 0 {
		return
	}
	select {
	case <-q.drained:
	default:
		close(q.drained)
	}
}

// Close ends the executor and what it computes; calls that wait get ErrDraining. It
// returns when the executor has ended, and may be called again.
func (q *Queue[K, T]) Close() {
	q.mu.Lock()
	q.draining = true
	q.checkDrained()
	q.mu.Unlock()
	q.stop(ErrDraining)
	<-q.over
}

// shut ends the calls that are left.
func (q *Queue[K, T]) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.over)
	for _, c := range slices.Clone(q.calls) {
		q.end(c, ErrDraining)
	}
}
