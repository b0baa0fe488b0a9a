package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCache: with the activations of frozen convolutions kept, the weights become
// the same bits, also where an uncached run goes on; and the run tells what it does.
func TestCache(t *testing.T) {
	d := openFolder(t, 13)
	var notes []string
	run := func(change func(*Run)) Run {
		r := smallRun(t, d)
		r.Freeze, r.Augment, r.Cache, r.Workers = "pool2", Augment{}, 1<<20, 2
		r.OnNote = func(n string) { notes = append(notes, n) }
		change(&r)
		return r
	}
	plain, history, err := Train(context.Background(), run(func(r *Run) { r.Cache = 0 }))
	require.NoError(t, err)
	require.Empty(t, notes)
	cached, kept, err := Train(context.Background(), run(func(*Run) {}))
	require.NoError(t, err)
	requireSame(t, "cached", plain, cached)
	require.Contains(t, strings.Join(notes, "\n"), "pool2 and all before it are frozen")
	require.Contains(t, notes[0], "of 39 pictures, 1 MiB, are computed once")
	for i, e := range kept {
		e.Seconds, e.PerSecond = history[i].Seconds, history[i].PerSecond
		require.Equal(t, history[i], e)
	}

	file := filepath.Join(t.TempDir(), "checkpoint")
	ctx, cancel := context.WithCancel(context.Background())
	_, _, err = Train(ctx, run(func(r *Run) {
		r.Checkpoint, r.Freeze = file, "fc3" // a later layer, and with it the same one is kept
		r.OnEpoch = func(Epoch) error { cancel(); return nil }
	}))
	require.ErrorIs(t, err, context.Canceled)
	resumed, _, err := Train(context.Background(), run(func(r *Run) { r.Checkpoint, r.Freeze, r.Resume, r.Cache = file, "fc3", true, 0 }))
	require.NoError(t, err)
	plain, _, err = Train(context.Background(), run(func(r *Run) { r.Freeze, r.Cache = "fc3", 0 }))
	require.NoError(t, err)
	requireSame(t, "resumed without a cache", plain, resumed)

	for want, change := range map[string]func(*Run){
		"mirrored at random":           func(r *Run) { r.Augment.Flip = true },
		"cut out at random":            func(r *Run) { r.Augment = Augment{Min: 8, Max: 9} },
		"moved at random":              func(r *Run) { r.Augment.Pad = 1 },
		"painted over at random":       func(r *Run) { r.Augment.Cutout = 1 },
		"coloured at random":           func(r *Run) { r.Augment.Colour = 0.1 },
		"more than the 0 MiB for them": func(r *Run) { r.Cache = 1000 },
	} {
		notes = nil
		_, _, err := Train(context.Background(), run(func(r *Run) { r.Epochs = 1; change(r) }))
		require.NoError(t, err)
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], "computed anew in each epoch")
		require.Contains(t, notes[0], want)
	}
	notes = nil
	_, _, err = Train(context.Background(), run(func(r *Run) { r.Freeze, r.Epochs = "pool1", 1 }))
	require.NoError(t, err)
	require.Empty(t, notes, "a convolution is trained")
}

// TestCacheUnreadable: a picture that cannot be read ends the run before its first
// step, by name.
func TestCacheUnreadable(t *testing.T) {
	dir := folder(t, 13)
	bad := filepath.Join(dir, "bee", "03.png")
	require.NoError(t, os.WriteFile(bad, []byte("no picture"), 0o600))
	d, err := Open(dir)
	require.NoError(t, err)
	defer d.Close()
	r := smallRun(t, d)
	r.Freeze, r.Augment, r.Cache = "pool2", Augment{}, 1<<20
	_, history, err := Train(context.Background(), r)
	require.ErrorContains(t, err, filepath.Join("bee", "03.png"))
	require.Empty(t, history)
}
