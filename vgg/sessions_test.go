package vgg

import (
	"context"
	"image"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sessionsModel(t *testing.T, opts ...Option) (*Model, error) {
	t.Helper()
	layers, err := ParseLayers("16 M 32 M F64 F3")
	require.NoError(t, err)
	cfg := Config{Name: "tiny", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	return New(cfg, src, opts...)
}

// count returns how many sessions there are.
func (p *sessions) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lent + len(p.idle)
}

// TestMaxSessions: many callers who want different layers never have more sessions
// between them than allowed, and all of them come to their result.
func TestMaxSessions(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		m, err := sessionsModel(t, MaxSessions(most))
		require.NoError(t, err)
		img := image.NewRGBA(image.Rect(0, 0, 16, 16))
		want := map[string]Tensor{}
		names := []string{"", "conv1_1", "pool1", "conv2_1", "fc3"}
		for _, name := range names {
			want[name], err = m.Features(t.Context(), img, name)
			require.NoError(t, err, name)
		}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 20 {
					name := names[(i+j)%len(names)]
					got, err := m.Features(t.Context(), img, name)
					if err != nil || len(got.Data) != len(want[name].Data) || got.Data[0] != want[name].Data[0] {
						t.Errorf("%s: %v", name, err)
					}
					if n := m.sessions.count(); n > most {
						t.Errorf("%d sessions, want at most %d", n, most)
					}
				}
			})
		}
		wg.Wait()
		require.Zero(t, m.sessions.lent)
	}
}

// TestMaxSessionsWaits: who finds no session waits until one is given back, or until
// its context ends.
func TestMaxSessionsWaits(t *testing.T) {
	m, err := sessionsModel(t, MaxSessions(1))
	require.NoError(t, err)
	img := image.NewRGBA(image.Rect(0, 0, 16, 16))
	s, err := m.borrow(t.Context(), "pool1")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = m.Classify(ctx, img, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = m.Features(t.Context(), img, "conv7_7") // which does not wait
	require.ErrorIs(t, err, ErrConfig)
	done := make(chan error)
	go func() {
		_, err := m.Classify(t.Context(), img, 1)
		done <- err
	}()
	select {
	case <-done:
		t.Fatal("a second session")
	case <-time.After(20 * time.Millisecond):
	}
	m.giveBack(s)
	require.NoError(t, <-done)
	require.Equal(t, 1, m.sessions.count(), "the idle one of another layer has gone")
}

// TestMaxSessionsDefault is GOMAXPROCS; fewer than one are refused.
func TestMaxSessionsDefault(t *testing.T) {
	m, err := sessionsModel(t)
	require.NoError(t, err)
	require.Equal(t, runtime.GOMAXPROCS(0), cap(m.sessions.slots))
	m, err = sessionsModel(t, MaxSessions(0))
	require.ErrorIs(t, err, ErrConfig)
	require.Nil(t, m)
}
