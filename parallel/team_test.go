package parallel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryItemOnce runs many phases of every small size and checks that each
// item ran once and that no worker did two things at a time.
func TestEveryItemOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		team := NewTeam(workers)
		busy := make([]atomic.Int32, workers)
		var count [40]atomic.Int32
		fn := func(worker, item int) {
			if busy[worker].Add(1) != 1 {
				t.Error("a worker runs two items at a time")
			}
			count[item].Add(1)
			busy[worker].Add(-1)
		}
		for round := range 200 {
			team.Begin()
			for n := range len(count) {
				require.NoError(t, team.Run(context.Background(), n, fn))
				for i := range count {
					want := int32(0)
					if i < n {
						want = 1
					}
					require.Equal(t, want, count[i].Swap(0), "round %d, %d workers, item %d of %d", round, workers, i, n)
				}
			}
			team.End()
		}
	}
}

// TestRanges: a worker begins with the first item of its own range, and does not
// leave it before the others have begun theirs.
func TestRanges(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs GOMAXPROCS of 2 or more")
	}
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	var first [2]atomic.Int32
	for i := range first {
		first[i].Store(-1)
	}
	var begun sync.WaitGroup
	begun.Add(2)
	require.NoError(t, team.Run(context.Background(), 10, func(worker, item int) {
		if first[worker].CompareAndSwap(-1, int32(item)) {
			begun.Done()
			begun.Wait() // for the other one
		}
	}))
	require.Equal(t, []int32{0, 5}, []int32{first[0].Load(), first[1].Load()})

	// While the helper is busy, the caller does its own range in order, and then the rest. A
	// helper that saw its own range empty just before the phase may begin in the caller's: then
	// the next phase shows it.
	var did []int
	for try := 0; ; try++ {
		require.Less(t, try, 100, "the helper never begins with its own range")
		did = nil
		begun.Add(2)
		for i := range first {
			first[i].Store(-1)
		}
		free := make(chan struct{})
		require.NoError(t, team.Run(context.Background(), 10, func(worker, item int) {
			if first[worker].CompareAndSwap(-1, int32(item)) {
				begun.Done()
				begun.Wait()
			}
			if worker == 1 {
				<-free
				return
			}
			if did = append(did, item); len(did) == 9 {
				close(free)
			}
		}))
		if first[1].Load() == 5 {
			break
		}
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 6, 7, 8, 9}, did)
}

// TestParkedHelpersCome leaves gaps longer than the spin between phases, and
// items long enough that the caller parks too.
func TestParkedHelpersCome(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs GOMAXPROCS of 2 or more")
	}
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	testutil.Ends(t, "phases that need the helper", func() {
		for range 20 {
			time.Sleep(5 * time.Millisecond)
			var both sync.WaitGroup
			both.Add(2)
			assert.NoError(t, team.Run(context.Background(), 2, func(worker, _ int) {
				both.Done()
				both.Wait() // for the other one
				if worker == 1 {
					time.Sleep(5 * time.Millisecond)
				}
			}))
		}
	})
}

// TestNoParkBesideItems: a helper does not park while there are items, whose Run may have found
// nobody to wake.
func TestNoParkBesideItems(t *testing.T) {
	team := NewTeam(3)
	team.open.Store(true)
	for i := range team.ranges {
		team.ranges[i].ticket.Store(7<<32 | 1)
		testutil.Ends(t, "a helper that looks for items", team.park)
		team.ranges[i].ticket.Store(7 << 32)
	}
	require.Zero(t, team.parked.Load())
	team.open.Store(false)
	testutil.Ends(t, "a helper of a team that ends", team.park)
}

// TestHelpersComeAgain: after each Begin a helper comes, also after those before have left.
func TestHelpersComeAgain(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs GOMAXPROCS of 2 or more")
	}
	team := NewTeam(2)
	for range 5 {
		team.Begin()
		testutil.Ends(t, "a phase", func() {
			var both sync.WaitGroup
			both.Add(2)
			require.NoError(t, team.Run(context.Background(), 2, func(_, _ int) {
				both.Done()
				both.Wait() // for the other one
			}))
		})
		team.End()
		for team.helpers[0].running.Load() {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestLastItem: Run waits for the last of several helpers, although another one ends its
// item while the caller is parked.
func TestLastItem(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	team := NewTeam(3)
	team.Begin()
	defer team.End()
	testutil.Ends(t, "a phase", func() {
		var all sync.WaitGroup
		all.Add(3)
		var slow atomic.Bool
		require.NoError(t, team.Run(context.Background(), 3, func(worker, _ int) {
			all.Done()
			all.Wait() // each worker has an item
			switch worker {
			case 1:
				time.Sleep(50 * time.Millisecond)
			case 2:
				time.Sleep(150 * time.Millisecond)
				slow.Store(true)
			}
		}))
		require.True(t, slow.Load())
	})
}

// TestNewTeam: any number gives a team.
func TestNewTeam(t *testing.T) {
	for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, MaxWorkers: MaxWorkers, MaxWorkers + 1: MaxWorkers, math.MaxInt: MaxWorkers} {
		require.Equal(t, want, NewTeam(n).Workers())
	}
}

// TestOneItem: the caller does a single item itself, for which nobody is woken.
func TestOneItem(t *testing.T) {
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	for range 2000 {
		require.NoError(t, team.Run(context.Background(), 1, func(worker, item int) {
			if worker != 0 || item != 0 {
				t.Errorf("worker %d does item %d", worker, item)
			}
		}))
	}
	require.Zero(t, team.phase)
	require.NoError(t, team.Run(context.Background(), 0, func(_, _ int) { t.Error("an item") }))
}

func TestCancel(t *testing.T) {
	for _, workers := range []int{1, 2} {
		ctx, cancel := context.WithCancel(context.Background())
		team := NewTeam(workers)
		team.Begin()
		var ran atomic.Int32
		err := team.Run(ctx, 1000, func(worker, _ int) {
			if ran.Add(1) == 3 {
				cancel()
			}
			if ran.Load() < 3 {
				return
			}
			<-ctx.Done()
			for worker > 0 && !team.idle() { // until the caller has dropped the rest
				runtime.Gosched()
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		require.LessOrEqual(t, ran.Load(), int32(1+2*workers), "the rest is dropped")
		// The team is as good as new.
		var after atomic.Int32
		require.NoError(t, team.Run(context.Background(), 50, func(_, _ int) { after.Add(1) }))
		require.Equal(t, int32(50), after.Load())
		team.End()
	}
}

// TestHelpersLeave: after End no goroutine stays.
func TestHelpersLeave(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 100 {
		team := NewTeam(4)
		team.Begin()
		require.NoError(t, team.Run(context.Background(), 10, func(_, _ int) {}))
		team.End()
	}
	testutil.Wait(t, "helpers that leave", func() bool { return runtime.NumGoroutine() <= before })
}

// TestHelpersNeverCome: whatever keeps the helpers away, the caller does all.
func TestHelpersNeverCome(t *testing.T) {
	team := NewTeam(4)
	block := make(chan struct{})
	defer close(block)
	for i := range team.helpers {
		team.helpers[i].start = func() { <-block }
	}
	team.Begin()
	defer team.End()
	for range 3 {
		var ran atomic.Int32
		require.NoError(t, team.Run(context.Background(), 100, func(worker, _ int) {
			if worker != 0 {
				t.Error("a helper is there")
			}
			ran.Add(1)
		}))
		require.Equal(t, int32(100), ran.Load())
	}
}

// TestOneProcessor: with GOMAXPROCS of 1 there is no helper, and none waits.
func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	team := NewTeam(8)
	team.Begin()
	defer team.End()
	for i := range team.helpers {
		require.False(t, team.helpers[i].running.Load())
	}
	require.NoError(t, team.Run(context.Background(), 100, func(worker, _ int) {
		require.Zero(t, worker)
	}))
}

func TestNoAllocation(t *testing.T) {
	team := NewTeam(2)
	var sum atomic.Int64
	fn := func(_, item int) { sum.Add(int64(item)) }
	ctx := context.Background()
	got := testutil.AllocsPerRun(100, func() {
		team.Begin()
		for range 5 {
			if team.Run(ctx, 8, fn) != nil {
				t.Error(errors.New("unexpected error"))
			}
		}
		team.End()
	})
	require.Zero(t, got)
}

func TestNilTeam(t *testing.T) {
	var team *Team
	require.Equal(t, 1, team.Workers())
	team.Begin()
	n := 0
	require.NoError(t, team.Run(context.Background(), 3, func(worker, item int) { n += item + worker }))
	require.Equal(t, 3, n)
	team.End()
}

func BenchmarkPhase(b *testing.B) {
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	fn := func(_, _ int) {}
	for b.Loop() {
		_ = team.Run(context.Background(), 2, fn)
	}
}

// BenchmarkOversubscribed compares a team of more workers than processors, beside a
// goroutine that is always busy, with one worker in the same company. The helpers can only
// take work off the caller; waiting for one that has lost its processor may cost a little.
func BenchmarkOversubscribed(b *testing.B) {
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for x := 0.0; !done.Load(); x = math.Sqrt(x + 1) {
		}
	})
	defer func() { done.Store(true); wg.Wait() }()
	var sink [64]struct {
		x float64
		_ [56]byte
	}
	fn := func(worker, _ int) { // 10 µs or so: a tile of a convolution
		x := 0.0
		for i := range 3000 {
			x = math.Sqrt(x + float64(i))
		}
		sink[worker%64].x = x
	}
	for _, workers := range []int{1, 2 * runtime.GOMAXPROCS(0)} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			team := NewTeam(workers)
			for b.Loop() {
				team.Begin()
				for range 20 {
					_ = team.Run(context.Background(), 40, fn)
				}
				team.End()
			}
		})
	}
}

// watcher counts what it sees of each worker.
type watcher struct{ begun, ended []atomic.Int32 }

func (w watcher) Begin(worker int) { w.begun[worker].Add(1) }
func (w watcher) End(worker int)   { w.ended[worker].Add(1) }

func TestObserver(t *testing.T) {
	for _, workers := range []int{1, 3} {
		team := NewTeam(workers)
		w := watcher{make([]atomic.Int32, workers), make([]atomic.Int32, workers)}
		team.Observe(w)
		team.Begin()
		did := make([]atomic.Int32, workers)
		for range 10 {
			require.NoError(t, team.Run(context.Background(), 7, func(worker, _ int) { did[worker].Add(1) }))
		}
		team.End()
		sum := int32(0)
		for i := range did {
			require.Equal(t, did[i].Load(), w.begun[i].Load())
			require.Equal(t, did[i].Load(), w.ended[i].Load())
			sum += did[i].Load()
		}
		require.EqualValues(t, 70, sum)
	}
}
