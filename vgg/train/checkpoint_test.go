package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// stopAfter runs until some steps are done.
func stopAfter(t testing.TB, run Run, steps int) *Stopped {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	run.OnProgress = func(Progress) {
		if n++; n == steps {
			cancel()
		}
	}
	_, _, err := Train(ctx, run)
	var stopped *Stopped
	require.ErrorAs(t, err, &stopped)
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, run.Checkpoint+".lock")
	return stopped
}

// checkpointed is a run with a checkpoint of one epoch and a step.
func checkpointed(t testing.TB) Run {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint = filepath.Join(t.TempDir(), "c.safetensors")
	stopped := stopAfter(t, run, 4)
	require.Equal(t, run.Checkpoint, stopped.Checkpoint)
	require.Equal(t, "1 epochs and 1 steps", stopped.Holds)
	return run
}

// TestNotMine: a run that is no resume leaves another's checkpoint alone.
func TestNotMine(t *testing.T) {
	run := checkpointed(t)
	old := read(t, run.Checkpoint)
	_, _, err := Train(context.Background(), run)
	var exists *ExistsError
	require.ErrorAs(t, err, &exists)
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "1 epochs and 1 steps")
	require.Equal(t, old, read(t, run.Checkpoint))

	// Even where it may be replaced, it is not by nothing.
	run.Overwrite = true
	ctx, cancel := context.WithCancel(context.Background())
	run.OnBegin = func(history []Epoch) error {
		require.Empty(t, history)
		cancel()
		return nil
	}
	_, _, err = Train(ctx, run)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, old, read(t, run.Checkpoint))
	run.OnBegin = nil
	_, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 4)
	require.NotEqual(t, old, read(t, run.Checkpoint))

	run.Overwrite = false
	require.NoError(t, os.WriteFile(run.Checkpoint, []byte("my notes"), 0o600))
	_, _, err = Train(context.Background(), run)
	require.ErrorAs(t, err, &exists)
	require.ErrorContains(t, err, "no checkpoint")
	require.Equal(t, "my notes", string(read(t, run.Checkpoint)))
}

// TestTwoRuns: one run at a time uses a checkpoint.
func TestTwoRuns(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint = filepath.Join(t.TempDir(), "c.safetensors")
	second := run
	second.Resume = true
	tried := false
	run.OnEpoch = func(Epoch) error {
		_, _, err := Train(context.Background(), second)
		var held *outfile.HeldError
		require.ErrorAs(t, err, &held)
		require.Regexp(t, `^process \d+ on .* since `, held.Owner)
		tried = true
		return nil
	}
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.True(t, tried)
	_, _, err = Train(context.Background(), second)
	require.NoError(t, err, "the lock is free again")
}

// TestOtherRecipe: what differs is named, with both values; more epochs and other
// workers are no difference.
func TestOtherRecipe(t *testing.T) {
	run := checkpointed(t)
	run.Resume = true
	old := read(t, run.Checkpoint)
	for what, change := range map[string]func(r *Run){
		"Momentum is 0.9 in the checkpoint and 0.8 now":            func(r *Run) { r.Momentum = 0.8 },
		"Schedule.rate is 0.02 in the checkpoint and 0.01 now":     func(r *Run) { r.Schedule.Rate = 0.01 },
		"Augment.flip is not given in the checkpoint and true now": func(r *Run) { r.Augment.Flip = true },
		"Epochs is 4 in the checkpoint and 3 now":                  func(r *Run) { r.Epochs = 3 },
		"Seed is 7 in the checkpoint and 18446744073709551615 now": func(r *Run) { r.Seed = 1<<64 - 1 },
		"Augment.cutout is 2 in the checkpoint and not given now":  func(r *Run) { r.Augment.Cutout = 0 },
		"Config.Layers[0].Out is 8 in the checkpoint and 4 now":    func(r *Run) { r.Config = r.Config.Divide(2) },
	} {
		other := run
		change(&other)
		_, _, err := Train(context.Background(), other)
		require.ErrorContains(t, err, what)
		require.ErrorContains(t, err, "another recipe")
		require.Equal(t, old, read(t, run.Checkpoint))
	}
	run.Workers = 2
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
}

// TestLonger: a run that was lengthened ends with the bits of one that was so long
// from the beginning.
func TestLonger(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Schedule.Kind, run.Epochs = "constant", 5
	want, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Checkpoint, run.Resume, run.Epochs = filepath.Join(t.TempDir(), "c"), true, 2
	for run.Epochs < 5 {
		_, history, err := Train(context.Background(), run)
		require.NoError(t, err)
		require.Len(t, history, run.Epochs)
		run.Epochs++
	}
	got, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 5)
	requireSame(t, "lengthened", want, got)
}

// TestOtherData: a run goes on with the data that it began with, wherever they lie.
func TestOtherData(t *testing.T) {
	dir := folder(t, 12)
	open := func(dir string) *Dataset {
		d, err := Open(dir)
		require.NoError(t, err)
		t.Cleanup(func() { d.Close() })
		return d
	}
	val := open(folder(t, 3))
	run := smallRun(t, open(dir))
	run.Validate = val
	run.Checkpoint = filepath.Join(t.TempDir(), "c")
	stopAfter(t, run, 2)
	run.Resume = true
	fails := func(words ...string) {
		t.Helper()
		_, _, err := Train(context.Background(), run)
		require.ErrorContains(t, err, "other data")
		for _, w := range words {
			require.ErrorContains(t, err, w)
		}
	}
	one := filepath.Join(dir, "bee", "03.png")
	good := read(t, one)
	require.NoError(t, os.WriteFile(one, append(bytes.Clone(good), 0), 0o600))
	fails("bytes of pictures", dir)
	require.NoError(t, os.Remove(one))
	run.Data = open(dir)
	fails("36 pictures of "+dir, "35 of")
	moved := filepath.Join(dir, "bee", "x.png")
	require.NoError(t, os.WriteFile(moved, good, 0o600))
	run.Data = open(dir)
	fails("other paths, sizes or classes")
	require.NoError(t, os.Rename(moved, one))
	run.Data = open(dir)
	run.Validate = open(folder(t, 4))
	fails("9 pictures", "12 of")
	run.Validate = nil
	fails("validated")
	run.Validate = val
	elsewhere := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(dir, elsewhere))
	run.Data = open(elsewhere)
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
}

// TestFlippedBits: any bit of a checkpoint that is another is found before a step.
func TestFlippedBits(t *testing.T) {
	run := checkpointed(t)
	run.Resume = true
	good := read(t, run.Checkpoint)
	run.OnBegin = func([]Epoch) error { t.Fatal("the damage was not found"); return nil }
	rng := rand.New(rand.NewPCG(1, 2))
	places := []int{0, 8, 9, len(good) - 1}
	if i := bytes.Index(good, []byte(checksumKey)); i > 0 {
		places = append(places, i, i+3, i+len(checksumKey)+5)
	}
	if i := bytes.Index(good, []byte(`\"epoch\":1`)); i > 0 {
		places = append(places, i+len(`\"epoch\":`))
	}
	for range 100 {
		places = append(places, rng.IntN(len(good)))
	}
	for _, at := range places {
		bad := bytes.Clone(good)
		bad[at] ^= 1 << rng.IntN(8)
		require.NoError(t, os.WriteFile(run.Checkpoint, bad, 0o600))
		_, _, err := Train(context.Background(), run)
		require.Error(t, err, "byte %d", at)
		require.ErrorContains(t, err, run.Checkpoint, "byte %d", at)
		require.Equal(t, bad, read(t, run.Checkpoint))
	}
	run.OnBegin = nil
	require.NoError(t, os.WriteFile(run.Checkpoint, good, 0o600))
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
}

// TestOldCheckpoint: one without data and checksum is gone on with, and the run says
// what it does not know.
func TestOldCheckpoint(t *testing.T) {
	run := checkpointed(t)
	want := run
	want.Checkpoint = ""
	w, _, err := Train(context.Background(), want)
	require.NoError(t, err)
	rewrite(t, run.Checkpoint, func(meta map[string]string, out []weights.Out) []weights.Out {
		delete(meta, checksumKey)
		var s map[string]any
		require.NoError(t, json.Unmarshal([]byte(meta[stateKey]), &s))
		delete(s, "version")
		delete(s, "data")
		text, err := json.Marshal(s)
		require.NoError(t, err)
		meta[stateKey] = string(text)
		return out
	})
	note := ""
	run.Resume, run.OnNote = true, func(s string) { note = s }
	got, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Contains(t, note, "taken on trust")
	requireSame(t, "from an old checkpoint", w, got)
	_, err = vgg.Open(run.Checkpoint)
	require.NoError(t, err)
}

// TestNullCheckpoint: a device keeps none.
func TestNullCheckpoint(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("a superuser's mistake would replace the device")
	}
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint = os.DevNull
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
}

// rewrite changes the metadata and the tensors of a file of weights.
func rewrite(t *testing.T, path string, change func(meta map[string]string, out []weights.Out) []weights.Out) {
	t.Helper()
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	meta := f.Metadata()
	var out []weights.Out
	for _, name := range f.Names() {
		x, err := f.Tensor(name)
		require.NoError(t, err)
		out = append(out, weights.Out{Name: name, DType: x.DType, Shape: x.Shape, Data: bytes.Clone(x.Data)})
	}
	out = change(meta, out)
	require.NoError(t, weights.WriteFile(path, out, meta))
}

// TestForeignCheckpoints: a file that is no checkpoint, or one of a newer program, or one that
// lacks what it must have, is refused with the reason, by name.
func TestForeignCheckpoints(t *testing.T) {
	run := checkpointed(t)
	run.Resume = true
	good := read(t, run.Checkpoint)
	run.OnBegin = func([]Epoch) error { t.Error("the run has begun"); return nil }
	field := func(name string, value any) func(meta map[string]string, out []weights.Out) []weights.Out {
		return func(meta map[string]string, out []weights.Out) []weights.Out {
			var s map[string]any
			require.NoError(t, json.Unmarshal([]byte(meta[stateKey]), &s))
			s[name] = value
			b, err := json.Marshal(s)
			require.NoError(t, err)
			meta[stateKey] = string(b)
			return out
		}
	}
	for _, c := range []struct {
		change func(meta map[string]string, out []weights.Out) []weights.Out
		is     error
		words  string
	}{
		{func(meta map[string]string, out []weights.Out) []weights.Out { delete(meta, stateKey); return out }, weights.ErrFormat, "is no checkpoint"},
		{func(meta map[string]string, out []weights.Out) []weights.Out { meta[stateKey] = "{"; return out }, weights.ErrFormat, stateKey},
		{func(meta map[string]string, out []weights.Out) []weights.Out { delete(meta, checksumKey); return out }, weights.ErrFormat, "is damaged"},
		{func(_ map[string]string, out []weights.Out) []weights.Out { return out[1:] }, nil, "conv1_1"},
		{func(_ map[string]string, out []weights.Out) []weights.Out {
			out[0].Shape = append(out[0].Shape, 1)
			return out
		}, nil, "conv1_1"},
		{field("version", 3), weights.ErrUnsupported, "of version 3, this program knows those up to 2"},
		{field("version", 1), weights.ErrFormat, "is damaged"}, // it has a checksum
		{field("data", nil), nil, "was validated with other data"},
		{field("recipe", 7), nil, "another recipe"},
		{func(meta map[string]string, out []weights.Out) []weights.Out {
			meta[stateKey] = `{"version":2}`
			return out
		}, weights.ErrFormat, "recipe"},
		{field("unreadable", []map[string]string{{"path": "x", "mark": "00"}}), weights.ErrFormat, "32 hexadecimal digits"},
		{field("unreadable", []map[string]string{{"path": "x", "mark": "0123456789abcdef0123456789abcdeg"}}), weights.ErrFormat, "invalid byte"},
		{field("classes", []string{"ant", "bee"}), nil, `the classes are ["ant" "bee"] in the checkpoint and ["ant" "bee" "cow"] now`},
	} {
		require.NoError(t, os.WriteFile(run.Checkpoint, good, 0o600))
		rewrite(t, run.Checkpoint, c.change)
		_, _, err := Train(context.Background(), run)
		require.ErrorContains(t, err, c.words)
		require.ErrorContains(t, err, run.Checkpoint)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, c.words)
		}
	}
}

// TestManyDifferences: four differences are named, and the others are counted.
func TestManyDifferences(t *testing.T) {
	run := checkpointed(t)
	run.Resume = true
	changes := []func(r *Run){
		func(r *Run) { r.Momentum = 0 }, func(r *Run) { r.Decay = 0 }, func(r *Run) { r.Dropout = 0 },
		func(r *Run) { r.Seed = 1 }, func(r *Run) { r.Validation = 0.3 }, func(r *Run) { r.Schedule.Rate = 1 },
	}
	for n := 4; n <= len(changes); n++ {
		other := run
		for _, change := range changes[:n] {
			change(&other)
		}
		_, _, err := Train(context.Background(), other)
		require.ErrorContains(t, err, "cannot be resumed")
		require.Equal(t, 4, strings.Count(err.Error(), " in the checkpoint and "), "%v", err)
		require.Equal(t, n > 4, strings.HasSuffix(err.Error(), fmt.Sprintf(" now; and %d others", n-4)), "%v", err)
	}
}

// TestResumeDone: a run that has come to its end trains no more.
func TestResumeDone(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Epochs, run.Checkpoint, run.Resume = 1, filepath.Join(t.TempDir(), "c"), true
	want, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	old := read(t, run.Checkpoint)
	run.OnProgress = func(Progress) { t.Error("a step") }
	got, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 1)
	requireSame(t, "done", want, got)
	require.Equal(t, old, read(t, run.Checkpoint))
}

// TestSeconds: the time of a run that goes on is that since its beginning, without pauses.
func TestSeconds(t *testing.T) {
	run := checkpointed(t)
	run.Resume, run.Epochs = true, 4
	r := &trainer{Run: run}
	require.NoError(t, r.prepare(context.Background()))
	r.state.Seconds = 1e6
	require.NoError(t, r.state.save(run.Checkpoint, r.t))
	r.lock.Release()
	_, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 4)
	require.Less(t, history[0].Seconds, 1e6)
	for i, e := range history[1:] {
		require.Greater(t, e.Seconds, max(1e6, history[i].Seconds))
		require.Less(t, e.Seconds, 2e6)
	}
	s, err := readState(run.Checkpoint)
	require.NoError(t, err)
	require.GreaterOrEqual(t, s.Seconds, history[3].Seconds)
}

// TestNotSavedAgain: a run that stops right behind a checkpoint leaves it as it is.
func TestNotSavedAgain(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint = filepath.Join(t.TempDir(), "c")
	ctx, cancel := context.WithCancel(context.Background())
	var saved []byte
	run.OnEpoch = func(Epoch) error { saved = read(t, run.Checkpoint); cancel(); return nil }
	_, _, err := Train(ctx, run)
	var stopped *Stopped
	require.ErrorAs(t, err, &stopped)
	require.Equal(t, "1 epochs and 0 steps", stopped.Holds)
	require.Equal(t, saved, read(t, run.Checkpoint))
}

// TestCheckpointGone: a stopped run whose checkpoint cannot be written says both.
func TestCheckpointGone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder with an open file cannot be removed")
	}
	for _, save := range []time.Duration{0, time.Nanosecond} {
		run := smallRun(t, openFolder(t, 12))
		dir := filepath.Join(t.TempDir(), "sub")
		require.NoError(t, os.Mkdir(dir, 0o700))
		run.Checkpoint, run.Save = filepath.Join(dir, "c"), save
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		run.OnProgress = func(Progress) {
			require.NoError(t, os.RemoveAll(dir))
			if save == 0 {
				cancel()
			}
		}
		_, _, err := Train(ctx, run)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, run.Checkpoint)
		require.Equal(t, save == 0, errors.Is(err, context.Canceled), "%v", err)
		var stopped *Stopped
		require.False(t, errors.As(err, &stopped), "no checkpoint holds the run")
	}
}

// TestSaveSeldom: Save is the time from one checkpoint to the next.
func TestSaveSeldom(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint, run.Save = filepath.Join(t.TempDir(), "c"), 1000*time.Hour
	var steps []int
	run.OnProgress = func(Progress) { // what is on the disk after the step before
		if s, err := readState(run.Checkpoint); err == nil {
			steps = append(steps, s.Step)
		} else {
			steps = append(steps, -1)
		}
	}
	r := &trainer{Run: run}
	defer func() { r.lock.Release() }()
	require.NoError(t, r.prepare(context.Background()))
	require.NoError(t, r.epoch(context.Background()))
	require.Equal(t, []int{-1, -1, -1}, steps)
	steps = nil
	r.saved = time.Now().Add(-2000 * time.Hour)
	require.NoError(t, r.epoch(context.Background()))
	require.Equal(t, []int{0, 1, 1}, steps, "one in this epoch")
}

// TestDataChangeBesides: a picture that changes and is mended while a run stops is no other
// data: the checkpoint knows what the run began with.
func TestDataChangeBesides(t *testing.T) {
	dir := folder(t, 12)
	d, err := Open(dir)
	require.NoError(t, err)
	defer d.Close()
	run := smallRun(t, d)
	run.Checkpoint = filepath.Join(t.TempDir(), "c")
	one := filepath.Join(dir, "bee", "03.png")
	good := read(t, one)
	run.OnBegin = func([]Epoch) error { return os.WriteFile(one, append(bytes.Clone(good), 0), 0o600) }
	stopAfter(t, run, 2)
	require.NoError(t, os.WriteFile(one, good, 0o600))
	run.OnBegin, run.Resume, run.Epochs = nil, true, 4
	_, _, err = Train(context.Background(), run)
	require.NoError(t, err)
}
