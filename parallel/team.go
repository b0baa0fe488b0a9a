// Package parallel runs the items of a phase on a team of workers.
//
// The items are divided into equal ranges, one for each worker. A worker takes items from
// its own range first, and then from the other ranges. So a worker finds in its caches what
// it wrote in the phase before, if both phases order their items alike. That matters because
// cores without a common last-level cache read each other's writes slowly. A phase ends when
// a counter shows that every item is done. There is no barrier: the caller works too, and
// does every item itself if no helper comes in time. So a loaded machine makes a phase
// slower, but never slower than one worker. Which worker does an item is not determined. A
// phase is deterministic if the result of each item is.
//
// Helpers are ordinary goroutines. They are started once per forward pass (Begin), not once
// per phase, because waking a thread can cost 100 µs. Between phases they spin for a bounded
// time and then park. Nothing runs outside Begin and End, so an unused team costs nothing
// and needs no Close.
package parallel

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// spinRounds bounds the busy wait for the next phase. spinGosched bounds the wait after
	// it, which lets other goroutines run; then a worker parks. On Zen 4 and Zen 5 the two
	// together last some 100 µs: longer than the gap between two phases of a network,
	// shorter than a time slice.
	spinRounds  = 20000
	spinGosched = 200

	// The caller waits longer for the end of a phase: as long as an item may take. Where a
	// wait lasted longPark, a helper has lost its processor to another program. The system
	// gives it the caller's if that parks soon, which it does until End.
	patience = 400 * time.Microsecond
	longPark = time.Millisecond
)

// MaxWorkers is the largest number of workers of a team.
const MaxWorkers = 1 << 12

// Team is a number of workers: the goroutine that calls Run, and its helpers. One goroutine
// at a time may use a Team. An item must not use its own Team: Run inside Run of the same
// Team panics. A nil Team is a team of one, which any number of goroutines may use.
type Team struct {
	workers int

	ranges []itemRange // one for each worker
	phase  uint32
	_      [56]byte
	done   atomic.Int64 // items of this phase that are finished
	_      [56]byte

	// Written by Run before it publishes the tickets, and read only between a
	// successful claim and the matching increment of done.
	n        int
	fn       func(worker, item int)
	observer Observer

	loaded   bool                      // a helper has lost its processor since Begin
	busy     atomic.Bool               // Run runs
	failed   atomic.Pointer[ItemPanic] // the first of this phase, on a helper
	open     atomic.Bool
	parked   atomic.Int32
	wake     chan struct{} // one token wakes one parked helper
	waiting  atomic.Bool   // the caller is parked until the phase is done
	finished chan struct{}
	helpers  []helper
}

// itemRange is the part of a phase's items that one worker starts with.
type itemRange struct {
	// ticket holds the phase in its upper and the unclaimed items in its lower
	// 32 bits. An item is claimed by decrementing it, so that a late helper can
	// never claim an item of a phase that it has not seen begin.
	ticket atomic.Uint64
	_      [56]byte
}

type helper struct {
	running atomic.Bool
	start   func() // prebuilt: a go statement without arguments allocates nothing
	_       [48]byte
}

// NewTeam returns a team of workers, at least 1 and at most MaxWorkers.
func NewTeam(workers int) *Team {
	t := &Team{workers: min(max(workers, 1), MaxWorkers), finished: make(chan struct{}, 1)}
	t.ranges = make([]itemRange, t.workers)
	t.helpers = make([]helper, t.workers-1)
	t.wake = make(chan struct{}, len(t.helpers))
	for i := range t.helpers {
		t.helpers[i].start = func() { t.help(i) }
	}
	return t
}

// An Observer is told of each item: profilers use it. Both methods are called on the
// goroutine of the worker, before and after the item.
type Observer interface {
	Begin(worker int)
	End(worker int)
}

// Observe makes o the team's observer; nil removes it. It must not be called while Run runs.
func (t *Team) Observe(o Observer) { t.observer = o }

// Workers returns the number of workers: the bound of the worker argument of
// the function given to Run.
func (t *Team) Workers() int {
	if t == nil {
		return 1
	}
	return t.workers
}

// Begin starts the helpers. They work in Run until End.
func (t *Team) Begin() {
	if t == nil {
		return
	}
	t.loaded = false
	t.open.Store(true)
	for i := range t.helpers[:min(len(t.helpers), runtime.GOMAXPROCS(0)-1)] {
		h := &t.helpers[i]
		if h.running.CompareAndSwap(false, true) {
			go h.start()
		}
	}
}

// End dismisses the helpers. It does not wait for them.
func (t *Team) End() {
	if t == nil {
		return
	}
	t.open.Store(false)
	t.wakeParked()
}

// Run calls fn(worker, item) once for each item in [0, n) and returns when all calls have
// returned. Between Begin and End several goroutines make the calls, otherwise only this
// one. worker is in [0, Workers()), and no two calls with the same worker run at the same
// time.
//
// If ctx ends, Run drops the items that have not begun and returns ctx's error. Run
// allocates nothing. The caller allocates nothing either if it builds fn once and keeps it.
//
// If an item panics, on any goroutine, Run drops the items that have not begun, waits for
// the others, and panics with an *ItemPanic. The Team stays usable. Run also panics if the
// Team is running already, because an item or another goroutine has called it.
func (t *Team) Run(ctx context.Context, n int, fn func(worker, item int)) error {
	if t == nil {
		return t.runAlone(ctx, n, fn)
	}
	if !t.busy.CompareAndSwap(false, true) {
		panic("parallel: Run of a team that runs already: inside an item, or from another goroutine")
	}
	defer t.busy.Store(false)
	if len(t.helpers) == 0 || n <= 1 || int64(n) > math.MaxUint32 { // what a ticket holds
		return t.runAlone(ctx, n, fn)
	}
	return t.runTogether(ctx, n, fn)
}

func (t *Team) runTogether(ctx context.Context, n int, fn func(worker, item int)) error {
	t.n, t.fn = n, fn
	t.done.Store(0)
	t.phase++
	for i := range t.ranges {
		t.ranges[i].ticket.Store(uint64(t.phase)<<32 | uint64(t.rangeEnd(i)-t.rangeEnd(i-1)))
	}
	t.wakeParked()

	item, ok := t.claim(0)
	defer func() { t.end(ok, recover()) }()
	var err error
	for ; ok && err == nil; item, ok = t.claim(0) {
		t.call(0, item)
		t.done.Add(1)
		if err = ctx.Err(); err != nil {
			t.done.Add(t.dropRest())
		}
	}
	return err
}

// end waits for the end of a phase. underWay says that an item of this goroutine has not
// returned: it has panicked with p, or the goroutine exits.
func (t *Team) end(underWay bool, p any) {
	if underWay {
		t.done.Add(1 + t.dropRest())
	}
	t.await(int64(t.n))
	t.fn = nil
	failed := t.failed.Swap(nil)
	if p != nil {
		failed = newItemPanic(p)
	}
	if failed != nil {
		panic(failed)
	}
}

// ItemPanic is the value that Run panics with when an item has panicked.
type ItemPanic struct {
	Value any    // what the item panicked with
	Stack []byte // of the goroutine that it panicked on
}

func newItemPanic(value any) *ItemPanic {
	if p, ok := value.(*ItemPanic); ok { // of a team inside this one
		return p
	}
	return &ItemPanic{value, debug.Stack()}
}

func (p *ItemPanic) Error() string {
	return fmt.Sprintf("parallel: an item panicked: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns Value if it is an error.
func (p *ItemPanic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

func (t *Team) runAlone(ctx context.Context, n int, fn func(worker, item int)) error {
	defer func() {
		if p := recover(); p != nil {
			panic(newItemPanic(p))
		}
	}()
	var o Observer
	if t != nil {
		o = t.observer
	}
	for item := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o == nil {
			fn(0, item)
			continue
		}
		o.Begin(0)
		fn(0, item)
		o.End(0)
	}
	return ctx.Err()
}

// call runs a claimed item, between the two calls of the observer.
func (t *Team) call(worker, item int) {
	o := t.observer
	if o == nil {
		t.fn(worker, item)
		return
	}
	o.Begin(worker)
	t.fn(worker, item)
	o.End(worker)
}

// rangeEnd returns the item after those of worker i, or 0 for −1.
func (t *Team) rangeEnd(i int) int { return int(int64(t.n) * int64(i+1) / int64(t.workers)) }

// claim takes one item of the current phase: of the worker's own range, or of the next range
// that has one.
func (t *Team) claim(worker int) (item int, ok bool) {
	for i := worker; i < worker+t.workers; i++ {
		owner := i % t.workers
		if left := t.ranges[owner].claim(); left > 0 {
			return t.rangeEnd(owner) - left, true
		}
	}
	return 0, false
}

// claim returns how many items were left before it took one; 0 if there was none.
func (r *itemRange) claim() (left int) {
	for {
		v := r.ticket.Load()
		left := uint32(v)
		if left == 0 || r.ticket.CompareAndSwap(v, v-1) {
			return int(left)
		}
	}
}

// dropRest claims every remaining item and returns how many there were.
func (t *Team) dropRest() (n int64) {
	for i := range t.ranges {
		for r := &t.ranges[i]; r.claim() > 0; n++ {
		}
	}
	return n
}

// idle reports whether no item is left to claim.
func (t *Team) idle() bool {
	for i := range t.ranges {
		if uint32(t.ranges[i].ticket.Load()) > 0 {
			return false
		}
	}
	return true
}

// await returns when n items are done. Only items in flight on other workers are left, so
// the wait is short unless a helper has lost its processor.
func (t *Team) await(n int64) {
	for i := range spinRounds + spinGosched {
		if t.done.Load() == n {
			return
		}
		if i >= spinRounds {
			runtime.Gosched()
		}
	}
	for start := time.Now(); !t.loaded && time.Since(start) < patience; runtime.Gosched() {
		if t.done.Load() == n {
			return
		}
	}
	t.waiting.Store(true)
	if t.done.Load() == n && t.waiting.CompareAndSwap(true, false) {
		return
	}
	start := time.Now()
	<-t.finished
	t.loaded = t.loaded || time.Since(start) > longPark
}

// help is the body of a helper, from Begin to End.
func (t *Team) help(i int) {
	h := &t.helpers[i]
	for t.work(i + 1) {
		h.running.Store(false)
		// Begin may have found this helper still running, and left it running.
		if !t.open.Load() || !h.running.CompareAndSwap(false, true) {
			return
		}
	}
}

// work does items until End. It returns false after an item that has not returned: another
// goroutine has taken this one's place.
func (t *Team) work(worker int) bool {
	for idle := 0; t.open.Load(); idle++ {
		if item, ok := t.claim(worker); ok {
			if !t.do(worker, item) {
				return false
			}
			idle = -1
			continue
		}
		switch {
		case idle < spinRounds:
		case idle < spinRounds+spinGosched:
			runtime.Gosched()
		default:
			t.park()
			idle = -1
		}
	}
	return true
}

// do runs a claimed item and wakes the caller after the phase's last one. It reports whether
// the item has returned. One that has not may have ended this goroutine. So the helper goes on
// as another one, which starts before the item counts as done.
func (t *Team) do(worker, item int) (returned bool) {
	n := int64(t.n) // once done reaches n, the next phase may write t.n
	defer func() {
		ended := int64(1)
		if !returned {
			t.fail(recover())
			ended += t.dropRest()
			go t.helpers[worker-1].start()
		}
		if t.done.Add(ended) == n && t.waiting.CompareAndSwap(true, false) {
			t.finished <- struct{}{}
		}
	}()
	t.call(worker, item)
	return true
}

// fail keeps the value that a helper's item has panicked with for the caller, or nil if the
// item has ended the goroutine.
func (t *Team) fail(p any) {
	if p == nil {
		p = "runtime.Goexit on a helper's goroutine"
	}
	t.failed.CompareAndSwap(nil, newItemPanic(p))
}

// park sleeps until there is a new phase or the team is closed. It may also return without a
// reason.
func (t *Team) park() {
	t.parked.Add(1)
	// Look again: what came before the increment has sent no token.
	if t.open.Load() && t.idle() {
		<-t.wake
	}
	t.parked.Add(-1)
}

// wakeParked sends a token for each parked helper. A full channel holds enough
// of them already.
func (t *Team) wakeParked() {
	for range t.parked.Load() {
		select {
		case t.wake <- struct{}{}:
		default:
			return
		}
	}
}
