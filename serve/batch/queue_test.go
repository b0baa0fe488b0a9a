package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// item is a number to be squared, for a client.
type item struct {
	client int
	x, y   int
}

// executor is a fake: a batch takes some time, as a network does, and is the sum of what
// it was asked to do.
type executor struct {
	took    func(n int) time.Duration
	mu      sync.Mutex
	busy    bool
	batches [][]*item
	keys    []string
}

func (e *executor) run(ctx context.Context, key string, items []*item) error {
	e.mu.Lock()
	if e.busy {
		panic("two batches at a time")
	}
	e.busy = true
	e.batches, e.keys = append(e.batches, append([]*item(nil), items...)), append(e.keys, key)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.busy = false
		e.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(e.took(len(items))):
	}
	for _, it := range items {
		it.y = it.x * it.x
	}
	return nil
}

func tenMillis(int) time.Duration { return 10 * time.Millisecond }

func start(t *testing.T, e *executor, opts ...Option) *Queue[string, *item] {
	t.Helper()
	q, err := New(e.run, opts...)
	require.NoError(t, err)
	return q
}

func numbers(client, n int) (items []*item) {
	for i := range n {
		items = append(items, &item{client: client, x: client*1000 + i})
	}
	return items
}

// do is a whole call.
func do(ctx context.Context, q *Queue[string, *item], key string, items []*item) (Times, error) {
	p, err := q.Reserve(len(items))
	if err != nil {
		return Times{}, err
	}
	defer p.Release()
	return p.Do(ctx, key, items)
}

// TestProperties: whatever the load, the queue is bounded, a batch has one key and no more
// items than it may, results are right, and no item is begun after its client has gone.
func TestProperties(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { testProperties(t, seed) })
	}
}

func testProperties(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	maxBatch, capacity := 1+rng.IntN(8), 8+rng.IntN(40)
	e := &executor{took: func(n int) time.Duration { return time.Duration(5+n) * time.Millisecond }}
	q := start(t, e, MaxBatch(maxBatch), Capacity(capacity), MaxDelay(time.Duration(rng.IntN(3))*4*time.Millisecond))
	type outcome struct {
		items []*item
		gone  time.Time
		err   error
	}
	outcomes := make([]outcome, 120)
	begun := map[int]time.Time{}
	inner := q.run
	q.run = func(ctx context.Context, key string, items []*item) error {
		require.LessOrEqual(t, len(items), maxBatch)
		for _, it := range items {
			require.Equal(t, key, fmt.Sprint(it.client%3))
			begun[it.x] = time.Now()
		}
		return inner(ctx, key, items)
	}
	var wg sync.WaitGroup
	for client := range outcomes {
		pause := time.Duration(rng.IntN(1500)) * time.Millisecond
		patience := time.Duration(1+rng.IntN(200)) * time.Millisecond
		o := &outcomes[client]
		o.items = numbers(client, 1+rng.IntN(12))
		wg.Go(func() {
			time.Sleep(pause)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			o.gone = time.Now().Add(patience)
			_, o.err = do(ctx, q, fmt.Sprint(client%3), o.items)
			require.LessOrEqual(t, q.Len(), capacity)
		})
	}
	wg.Wait()
	q.Close()
	results := map[string]int{}
	for client, o := range outcomes {
		results[fmt.Sprint(o.err)]++
		for _, it := range o.items {
			at, ok := begun[it.x]
			require.True(t, !ok || !at.After(o.gone), "client %d was computed after it had gone", client)
			if o.err == nil {
				require.Equal(t, it.x*it.x, it.y)
			}
			require.True(t, !ok || !errors.Is(o.err, ErrFull), "refused, and computed")
		}
	}
	require.Greater(t, results["<nil>"], 5, "%v", results)
	require.Zero(t, q.Len())
	for _, o := range outcomes {
		require.True(t, o.err == nil || errors.Is(o.err, ErrFull) || errors.Is(o.err, ErrTooMany) || errors.Is(o.err, context.DeadlineExceeded), "%v", o.err)
	}
}

// TestBatches: a lone item is begun at once, and what has come meanwhile is one batch.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &executor{took: tenMillis}
		q := start(t, e)
		defer q.Close()
		var wg sync.WaitGroup
		begin := time.Now()
		for client := range 11 {
			wg.Go(func() {
				time.Sleep(time.Duration(client) * time.Microsecond)
				times, err := do(t.Context(), q, "", numbers(client, 1))
				require.NoError(t, err)
				require.Equal(t, 10*time.Millisecond, times.Compute)
			})
		}
		wg.Wait()
		require.Equal(t, 30*time.Millisecond, time.Since(begin))
		require.Len(t, e.batches, 3)
		require.Len(t, e.batches[0], 1)
		require.Len(t, e.batches[1], 8)
		require.Len(t, e.batches[2], 2)
	})
}

// TestMaxDelay: with a delay the executor waits for a batch to fill, but no longer.
func TestMaxDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &executor{took: tenMillis}
		q := start(t, e, MaxBatch(3), MaxDelay(7*time.Millisecond))
		defer q.Close()
		begin := time.Now()
		_, err := do(t.Context(), q, "", numbers(0, 1))
		require.NoError(t, err)
		require.Equal(t, 17*time.Millisecond, time.Since(begin))

		var wg sync.WaitGroup
		begin = time.Now()
		for client := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(client) * time.Millisecond)
				_, err := do(t.Context(), q, "", numbers(client, 1))
				require.NoError(t, err)
				require.Equal(t, 12*time.Millisecond, time.Since(begin), "a full batch waits no longer")
			})
		}
		wg.Wait()
		require.Len(t, e.batches, 2)
	})
}

// TestFairness: a call of many items does not hold up one that comes later, and a key is
// not passed over.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &executor{took: tenMillis}
		q := start(t, e, MaxBatch(4))
		defer q.Close()
		var wg sync.WaitGroup
		var small, other time.Duration
		begin := time.Now()
		wg.Go(func() {
			_, err := do(t.Context(), q, "", numbers(0, 40))
			require.NoError(t, err)
		})
		wg.Go(func() {
			time.Sleep(time.Millisecond)
			_, err := do(t.Context(), q, "", numbers(1, 1))
			require.NoError(t, err)
			small = time.Since(begin)
		})
		wg.Go(func() {
			time.Sleep(2 * time.Millisecond)
			_, err := do(t.Context(), q, "other", numbers(2, 1))
			require.NoError(t, err)
			other = time.Since(begin)
		})
		wg.Wait()
		require.Equal(t, 20*time.Millisecond, small, "in the batch after the one under way")
		require.Equal(t, 30*time.Millisecond, other)
	})
}

// TestGone: a client that goes is answered at once; what it waited for is never begun, and
// a batch that nobody waits for ends.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &executor{took: func(int) time.Duration { return time.Hour }}
		q := start(t, e, MaxBatch(2))
		defer q.Close()
		begin := time.Now()
		var wg sync.WaitGroup
		for client := range 4 {
			wg.Go(func() {
				time.Sleep(time.Duration(client))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute-time.Duration(client)*time.Second)
				defer cancel()
				_, err := do(ctx, q, "", numbers(client, 2))
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		wg.Wait()
		require.Less(t, time.Since(begin), time.Minute+time.Second)
		require.Len(t, e.batches, 1, "three had gone before their turn")
		synctest.Wait()
		require.False(t, e.busy, "the batch has ended with its client")
		e.took = tenMillis
		_, err := do(t.Context(), q, "", numbers(9, 1))
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = do(ctx, q, "", numbers(9, 1))
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, e.batches, 2)
	})
}

// TestOneStays: a batch goes on while one of its clients is there.
func TestOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &executor{took: tenMillis}
		q := start(t, e, MaxDelay(time.Millisecond))
		defer q.Close()
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
			defer cancel()
			_, err := do(ctx, q, "", numbers(0, 1))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		wg.Go(func() {
			_, err := do(t.Context(), q, "", numbers(1, 1))
			require.NoError(t, err)
		})
		wg.Wait()
		require.Len(t, e.batches, 1)
	})
}

// TestFull: beyond the capacity a place is refused at once, and given when others go.
func TestFull(t *testing.T) {
	q := start(t, &executor{took: tenMillis}, Capacity(10))
	defer q.Close()
	p, err := q.Reserve(7)
	require.NoError(t, err)
	_, err = q.Reserve(4)
	require.ErrorIs(t, err, ErrFull)
	_, err = q.Reserve(11)
	require.ErrorIs(t, err, ErrTooMany)
	_, err = q.Reserve(0)
	require.Error(t, err)
	p.Release()
	p.Release()
	require.Zero(t, q.Len())
	p, err = q.Reserve(10)
	require.NoError(t, err)
	p.Release()
}

// TestPanic: a panic of run is an error of its batch alone.
func TestPanic(t *testing.T) {
	bad := true
	q, err := New(func(context.Context, string, []*item) error {
		if bad {
			panic("a fault")
		}
		return nil
	})
	require.NoError(t, err)
	defer q.Close()
	_, err = do(t.Context(), q, "", numbers(0, 1))
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.Equal(t, "a fault", p.Value)
	require.Contains(t, string(p.Stack), "TestPanic")
	require.Contains(t, err.Error(), "a fault")
	bad = false
	_, err = do(t.Context(), q, "", numbers(0, 1))
	require.NoError(t, err)
}

// TestRunError: an error of one batch ends the calls that are in it, whole.
func TestRunError(t *testing.T) {
	fault := errors.New("fault")
	batches := 0
	var seen []Batch
	q, err := New(func(_ context.Context, _ string, items []*item) error {
		if batches++; batches == 2 {
			return fault
		}
		return nil
	}, MaxBatch(2), Observe(func(b Batch) { seen = append(seen, b) }))
	require.NoError(t, err)
	_, err = do(t.Context(), q, "k", numbers(0, 9))
	require.ErrorIs(t, err, fault)
	q.Close()
	require.Equal(t, 2, batches, "the rest is not computed")
	require.Len(t, seen, 2)
	require.Equal(t, Batch{Key: "k", Items: 2, Took: seen[1].Took, Err: fault}, seen[1])
}

// TestDrain: what is reserved is finished, and nothing else is taken.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := start(t, &executor{took: tenMillis}, MaxBatch(1))
		defer q.Close()
		var wg sync.WaitGroup
		for client := range 5 {
			wg.Go(func() {
				_, err := do(t.Context(), q, "", numbers(client, 1))
				require.NoError(t, err)
			})
		}
		late, err := q.Reserve(1) // has a place, and is yet to be decoded
		require.NoError(t, err)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, q.Drain(ctx), context.DeadlineExceeded)
		_, err = q.Reserve(1)
		require.ErrorIs(t, err, ErrDraining)
		wg.Go(func() {
			defer late.Release()
			_, err := late.Do(t.Context(), "", numbers(9, 1))
			require.NoError(t, err)
		})
		require.NoError(t, q.Drain(t.Context()))
		require.Zero(t, q.Len())
		wg.Wait()
	})
}

// TestClose: calls that are left end with ErrDraining, and the executor with them.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	q := start(t, &executor{took: func(int) time.Duration { return time.Hour }}, MaxBatch(1))
	var wg sync.WaitGroup
	for client := range 3 {
		wg.Go(func() {
			_, err := do(t.Context(), q, "", numbers(client, 1))
			require.ErrorIs(t, err, ErrDraining)
		})
	}
	p, err := q.Reserve(1)
	require.NoError(t, err)
	for q.Len() < 4 {
		runtime.Gosched()
	}
	time.Sleep(5 * time.Millisecond)
	q.Close()
	q.Close()
	_, err = p.Do(t.Context(), "", numbers(0, 1))
	require.ErrorIs(t, err, ErrDraining)
	wg.Wait()
	testutil.Wait(t, "the queue's goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestOptions(t *testing.T) {
	for _, opts := range [][]Option{{MaxBatch(0)}, {MaxBatch(9), Capacity(8)}, {MaxDelay(-1)}} {
		q, err := New((&executor{}).run, opts...)
		require.Nil(t, q)
		require.True(t, err != nil && strings.HasPrefix(err.Error(), "batch: "))
	}
	q := start(t, &executor{took: tenMillis})
	defer q.Close()
	p, err := q.Reserve(1)
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = p.Do(t.Context(), "", numbers(0, 2)) })
}

func BenchmarkDo(b *testing.B) {
	q, err := New(func(context.Context, string, []*item) error { return nil })
	require.NoError(b, err)
	defer q.Close()
	items := numbers(0, 1)
	for b.Loop() {
		if _, err := do(b.Context(), q, "", items); err != nil {
			b.Fatal(err)
		}
	}
}
