package parallel

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// spin takes a while.
func spin(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
		runtime.Gosched()
	}
}

// recovered returns what f panics with.
func recovered(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// usable runs a phase in which each item runs once.
func usable(t *testing.T, team *Team) {
	t.Helper()
	var sum atomic.Int64
	require.NoError(t, team.Run(context.Background(), 100, func(_, item int) { sum.Add(int64(item)) }))
	require.Equal(t, int64(4950), sum.Load())
}

// TestItemPanics: a panic on any worker is one on the caller, after all items that were
// under way, and the team works on.
func TestItemPanics(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		for bad := range workers {
			team := NewTeam(workers)
			team.Begin()
			testutil.Ends(t, "a phase", func() {
				for range 20 {
					var under, ran atomic.Int32
					var reached atomic.Bool
					p := recovered(func() {
						_ = team.Run(context.Background(), 100, func(worker, _ int) {
							under.Add(1)
							defer under.Add(-1)
							ran.Add(1)
							if worker == bad && reached.CompareAndSwap(false, true) {
								panic(io.ErrUnexpectedEOF)
							}
							spin(20 * time.Microsecond)
						})
					})
					if !reached.Load() { // that worker did not come
						require.Nil(t, p)
						continue
					}
					failed, ok := p.(*ItemPanic)
					require.True(t, ok, "%v", p)
					require.ErrorIs(t, failed, io.ErrUnexpectedEOF)
					require.Contains(t, failed.Error(), "TestItemPanics")
					require.Zero(t, under.Load(), "Run has returned before its items")
					usable(t, team)
				}
			})
			team.End()
		}
	}
	var none *Team
	p := recovered(func() { _ = none.Run(context.Background(), 2, func(_, _ int) { panic("no") }) })
	require.Equal(t, "no", p.(*ItemPanic).Value)
}

// TestAllItemsPanic: the first one is kept.
func TestAllItemsPanic(t *testing.T) {
	team := NewTeam(3)
	team.Begin()
	defer team.End()
	testutil.Ends(t, "a phase", func() {
		for range 200 {
			p := recovered(func() { _ = team.Run(context.Background(), 30, func(_, item int) { panic(item) }) })
			require.IsType(t, 0, p.(*ItemPanic).Value)
			usable(t, team)
		}
	})
}

// TestItemExits: an item may end its goroutine, as a test's FailNow does.
func TestItemExits(t *testing.T) {
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	testutil.Ends(t, "a phase", func() {
		for range 20 {
			var wg sync.WaitGroup
			var p any
			wg.Go(func() { // the caller may be the one that ends
				p = recovered(func() {
					_ = team.Run(context.Background(), 50, func(worker, _ int) {
						if spin(10 * time.Microsecond); worker == 1 {
							runtime.Goexit()
						}
					})
				})
			})
			wg.Wait()
			if p != nil {
				require.Contains(t, p.(*ItemPanic).Error(), "Goexit")
			}
			wg.Go(func() {
				_ = team.Run(context.Background(), 50, func(worker, _ int) {
					if worker == 0 {
						runtime.Goexit()
					}
				})
			})
			wg.Wait()
			team.Begin() // starts again who has gone
			usable(t, team)
		}
	})
}

// TestHelperReplaced: when Run has returned, the goroutine of an item that did not return has
// a successor, and leaves.
func TestHelperReplaced(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs GOMAXPROCS of 2 or more")
	}
	for _, c := range []struct {
		name, value string // what Run panics with
		end         func()
	}{
		{"panic", "no", func() { panic("no") }},
		{"exit", "runtime.Goexit on a helper's goroutine", runtime.Goexit},
		{"both", "no", func() {
			defer func() { panic("no") }()
			runtime.Goexit()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			team := NewTeam(2)
			var begun atomic.Int32
			left := make(chan struct{})
			start := team.helpers[0].start
			team.helpers[0].start = func() {
				begun.Add(1)
				defer func() { left <- struct{}{} }()
				start()
			}
			team.Begin()
			testutil.Ends(t, "phases that need the helper", func() {
				for range 10 {
					var both sync.WaitGroup
					both.Add(2)
					p := recovered(func() {
						_ = team.Run(context.Background(), 2, func(worker, _ int) {
							both.Done()
							both.Wait() // for the other one
							if worker == 1 {
								c.end()
							}
						})
					})
					require.IsType(t, &ItemPanic{}, p)
					require.Equal(t, c.value, p.(*ItemPanic).Value)
					require.True(t, team.helpers[0].running.Load())
					<-left // although the team works on
				}
			})
			team.End()
			<-left
			require.EqualValues(t, 11, begun.Load())
			require.False(t, team.helpers[0].running.Load())
		})
	}
}

// TestNestedRun: an item that calls Run of its own team is told so, on any worker; of
// another team it may.
func TestNestedRun(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		for _, n := range []int{1, 2, 50} {
			team, inner := NewTeam(workers), NewTeam(2)
			team.Begin()
			testutil.Ends(t, "a phase", func() {
				p := recovered(func() {
					_ = team.Run(context.Background(), n, func(_, _ int) {
						_ = team.Run(context.Background(), 4, func(_, _ int) {})
					})
				})
				failed, ok := p.(*ItemPanic)
				require.True(t, ok, "%v", p)
				require.Contains(t, failed.Value, "runs already")
				usable(t, team)
				var mu sync.Mutex
				require.NoError(t, team.Run(context.Background(), n, func(_, _ int) {
					mu.Lock()
					defer mu.Unlock()
					usable(t, inner)
				}))
			})
			team.End()
		}
	}
}

// TestInnerPanic: a panic of a team inside an item is told once, with its own value and stack.
func TestInnerPanic(t *testing.T) {
	team := NewTeam(2)
	team.Begin()
	defer team.End()
	testutil.Ends(t, "a phase", func() {
		p := recovered(func() {
			_ = team.Run(context.Background(), 10, func(_, _ int) {
				_ = NewTeam(1).Run(context.Background(), 1, func(_, _ int) { panic(io.ErrUnexpectedEOF) })
			})
		})
		require.Equal(t, io.ErrUnexpectedEOF, p.(*ItemPanic).Value)
	})
}

// TestManyItems: more of them than a ticket holds are none fewer.
func TestManyItems(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("an int has 32 bits")
	}
	team := NewTeam(2)
	stop := errors.New("enough")
	many := math.MaxInt32
	many = 4*many + 4 // 2³³, of which the lower 32 bits are 0
	seen := 0
	p := recovered(func() {
		_ = team.Run(context.Background(), many, func(_, item int) {
			if seen++; seen == 1000 {
				panic(stop)
			}
		})
	})
	require.ErrorIs(t, p.(*ItemPanic), stop)
}
