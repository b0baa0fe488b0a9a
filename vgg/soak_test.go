package vgg_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// resources is what a program that runs for months must not use up.
type resources struct {
	goroutines, files      int
	heap, resident, mapped int64 // bytes
}

// measure counts after all garbage is gone. Files and memory are those that Linux
// tells; elsewhere they are 0.
func measure() (r resources) {
	runtime.GC() // finalizers and the pools of idle sessions
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap = int64(m.HeapAlloc)
	r.goroutines = runtime.NumGoroutine()
	entries, _ := os.ReadDir("/proc/self/fd")
	r.files = len(entries)
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, _ = fmt.Sscan(string(text), &r.mapped, &r.resident)
	}
	page := int64(os.Getpagesize())
	r.mapped, r.resident = r.mapped*page, r.resident*page
	return r
}

// beginThreads lets the runtime begin as many threads as it may ever need at once,
// which stay: on a loaded machine one more would begin in the midst of a
// measurement, with 72 MiB of address space for its stack and for C's heap.
func beginThreads(n int) {
	var begun, ended sync.WaitGroup
	begun.Add(n)
	ended.Add(n)
	release := make(chan struct{})
	for range n {
		go func() {
			defer ended.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Done()
			<-release
		}()
	}
	begun.Wait()
	close(release)
	ended.Wait()
}

// TestSoak opens a model 200 times and infers 10,000 pictures, some of them by
// sessions of their own and some of which are cancelled, and finds the process as
// it was after the first tenth: no goroutine, no open file and no memory more.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds: needs a run without -short")
	}
	const reloads, inferences = 200, 60 // of each model, five of which are cancelled
	cfg := smallConfig(t, "D")
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false))
	img := &picture.RGB{Pix: make([]uint8, 3*40*36), W: 40, H: 36}
	x := testutil.Normal(1, 3*32*32)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	beginThreads(16)
	var start resources
	var want []float32
	for i := range reloads {
		if i == reloads/10 {
			start = measure()
		}
		m, err := vgg.Open(path)
		require.NoError(t, err)
		s, err := m.NewSession(vgg.Workers(2))
		require.NoError(t, err)
		out := make([]float32, 10)
		for j := range inferences - 10 {
			if j%10 == 0 {
				require.ErrorIs(t, s.Run(ended, out, x), context.Canceled)
				continue
			}
			require.NoError(t, s.Run(context.Background(), out, x))
		}
		for range 10 {
			_, err := m.Features(context.Background(), img, "conv3_2")
			require.NoError(t, err)
		}
		if want == nil {
			want = out
		}
		testutil.CheckBits(t, "logits", i, out, want)
	}
	// Helpers and finalizers end by themselves after a run, soon but not at once.
	// A leak of each model's 1.5 MB would come to 280 MB, one of 1 kB an inference to 9.
	// What is resident also holds what the runtime keeps of pages in part used, so it
	// may vary by more than a leak within the heap would come to.
	var end resources
	defer func() { t.Logf("after %d models: %+v; after %d: %+v", reloads/10, start, reloads, end) }()
	testutil.Wait(t, "the process to be as it was", func() bool {
		end = measure()
		return end.goroutines <= start.goroutines && end.files <= start.files && end.heap <= start.heap+4<<20 &&
			end.resident <= start.resident+64<<20 && end.mapped <= start.mapped+64<<20
	})
}
