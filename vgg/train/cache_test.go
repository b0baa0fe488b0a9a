package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nonet-go/nonet/vgg"
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

// TestCachedLayer: the layer is the last one before the fully connected ones, if it is frozen.
func TestCachedLayer(t *testing.T) {
	for _, c := range []struct{ layers, freeze, want string }{
		{"8 M 16 M F16 F3", "pool2", "pool2"},
		{"8 M 16 M F16 F3", "fc3", "pool2"},
		{"8 M 16 M F16 F3", "conv2_1", ""},
		{"8 M 16 M F16 F3", "", ""},
		{"8 F3", "conv1_1", "conv1_1"},
		{"8 F3", "", ""},
		{"F8 F3", "fc1", ""},
		{"8 M 3 G", "pool1", ""},
	} {
		layers, err := vgg.ParseLayers(c.layers)
		require.NoError(t, err)
		r := Run{Recipe: Recipe{Config: vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}, Freeze: c.freeze}}
		layer, why := r.cachedLayer()
		require.Equal(t, c.want, layer, "%+v", c)
		require.Empty(t, why)
	}
}

// TestPlanCache: activations are kept where they fit to the byte, and the run tells their size
// in MiB, rounded up.
func TestPlanCache(t *testing.T) {
	layers, err := vgg.ParseLayers("8 F3")
	require.NoError(t, err)
	const need = 4 * 39 * 8 * 33 * 33 // 1.3 MiB
	for cache, want := range map[int64]string{
		need:     "conv1_1 and all before it are frozen, and nothing is random before: its activations of 39 pictures, 2 MiB, are computed once",
		need - 1: "conv1_1 and all before it are frozen, but its activations are computed anew in each epoch: those of 39 pictures take 2 MiB, more than the 1 MiB for them",
		0:        "",
	} {
		run := smallRun(t, openFolder(t, 13))
		note := ""
		run.Config.Layers, run.Config.Size, run.Freeze, run.Augment = layers, 33, "conv1_1", Augment{}
		run.Cache, run.OnNote = cache, func(s string) { note = s }
		r := &trainer{Run: run}
		require.NoError(t, r.splitData())
		layer, err := r.planCache()
		require.NoError(t, err)
		require.Equal(t, want, note)
		require.Equal(t, cache == need, layer == "conv1_1")
		if cache > 0 {
			require.Equal(t, 8*33*33, r.features)
		}
	}
}

// TestCacheNotes: what takes long is told every ten seconds, in pictures; an error of the
// network ends it.
func TestCacheNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := smallRun(t, openFolder(t, 3))
		run.Augment = Augment{}
		var notes []string
		run.OnNote = func(s string) { notes = append(notes, s) }
		r := &trainer{Run: run, features: 2}
		count := 0
		slow := func(_ context.Context, dst, _ []float32) error {
			count++
			for i := range dst {
				dst[i] = float32(10*count + i)
			}
			time.Sleep(5250 * time.Millisecond)
			return nil
		}
		all, err := r.compute(t.Context(), slow, r.Data, nil)
		require.NoError(t, err)
		require.Equal(t, []float32{10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31}, all)
		require.Equal(t, []string{"activations of 8 of 9 pictures of " + r.Data.Name}, notes)
		run.Micro = 5
		r.Run, notes = run, nil
		_, err = r.compute(t.Context(), slow, r.Data, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"activations of 9 of 9 pictures of " + r.Data.Name}, notes)
		failed := errors.New("no")
		_, err = r.compute(t.Context(), func(context.Context, []float32, []float32) error { return failed }, r.Data, nil)
		require.Equal(t, failed, err)
	})
}
