package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// byStep trains a run that is stopped after each step, and returns how often.
func byStep(t *testing.T, run Run) (tr *vgg.Trainer, history []Epoch, stops int) {
	t.Helper()
	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c"), true
	for ; ; stops++ {
		ctx, cancel := context.WithCancel(context.Background())
		run.OnProgress = func(Progress) { cancel() }
		tr, history, err := Train(ctx, run)
		cancel()
		if err == nil {
			return tr, history, stops
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, stops, 1000)
	}
}

// TestResumePlateau: a run that is stopped after each step knows the best error, and how long
// ago it was: its rate falls, and it ends, where the undisturbed run's does.
func TestResumePlateau(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Schedule, run.Epochs = Schedule{Kind: "plateau", Rate: 0.001, Factor: 2, Patience: 1, Drops: 2}, 40
	want, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	last := history[len(history)-1]
	require.Less(t, last.Epoch, 40, "it ends by its schedule")
	require.Equal(t, 0.00025, last.Rate)
	got, again, stops := byStep(t, run)
	require.GreaterOrEqual(t, stops, len(history)*3)
	requireSame(t, "resumed", want, got)
	require.Len(t, again, len(history))
	for i := range history {
		require.Equal(t, history[i].Rate, again[i].Rate)
		require.Equal(t, history[i].Loss, again[i].Loss)
		require.Equal(t, history[i].Accuracy, again[i].Accuracy)
	}
}

// TestSave goes on from each checkpoint that Save has written within an epoch, as after a
// kill: the weights and the results of the epochs are those of a run without it.
func TestSave(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Epochs = 2
	want, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	same := func(what string, tr *vgg.Trainer, again []Epoch) {
		requireSame(t, what, want, tr)
		for i := range history {
			require.Equal(t, history[i].Loss, again[i].Loss, what)
			require.Equal(t, history[i].Validation, again[i].Validation, what)
		}
	}
	run.Save, run.Checkpoint = time.Nanosecond, filepath.Join(t.TempDir(), "c")
	var saved []string
	run.OnProgress = func(Progress) { // what the step before has saved
		if _, err := os.Stat(run.Checkpoint); err == nil {
			saved = append(saved, filepath.Join(t.TempDir(), "c"))
			require.NoError(t, os.WriteFile(saved[len(saved)-1], read(t, run.Checkpoint), 0o600))
		}
	}
	tr, again, err := Train(context.Background(), run)
	require.NoError(t, err)
	same("with Save", tr, again)
	require.Greater(t, len(saved), 4)
	for i, path := range saved {
		s, err := readState(path)
		require.NoError(t, err)
		perEpoch := (len(saved) + 1) / 2
		require.Equal(t, i+1, s.Epoch*perEpoch+s.Step, "step %d of epoch %d", s.Step, s.Epoch)
		run.Checkpoint, run.Resume, run.OnProgress = path, true, nil
		tr, again, err := Train(context.Background(), run)
		require.NoError(t, err)
		same(fmt.Sprint("from checkpoint ", i), tr, again)
	}
}

// TestStepTakenAgain: a step that is broken off between its parts leaves the state, and the
// number that dropout depends on, as they were.
func TestStepTakenAgain(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	r := &trainer{Run: run}
	require.NoError(t, r.prepare(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := &loader{data: r.train, cfg: r.Config, pic: r.Picture, seed: r.Seed, order: inOrder(len(r.train.Examples)), batch: r.Micro}
	next, giveBack := l.batches(ctx, 0, 4)
	step := func(next func() *Batch) error { return r.step(ctx, 2, 0.01, next, giveBack) }
	require.NoError(t, step(next))
	before, batches := *r.state, r.t.Batches()
	require.EqualValues(t, 2, batches)
	n := 0
	err := step(func() *Batch {
		if n++; n == 2 {
			return &Batch{err: context.Canceled}
		}
		return next()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, *r.state)
	require.Equal(t, batches, r.t.Batches())
}

// TestMissingPicture: a picture that is missing ends a run with an error that says so.
// When it is back the run goes on. It may be the first one, and one of the validation.
func TestMissingPicture(t *testing.T) {
	for _, validation := range []bool{false, true} {
		dir := folder(t, 12)
		d, err := Open(dir)
		require.NoError(t, err)
		defer d.Close()
		run := smallRun(t, openFolder(t, 12))
		run.Validate = d
		if !validation {
			run.Data, run.Validate = d, run.Data
		}
		run.Epochs, run.Batch, run.Augment = 2, 12, Augment{} // 12 divides 36: an epoch sees all
		want, _, err := Train(context.Background(), run)
		require.NoError(t, err)
		run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c"), true
		bad := filepath.Join(dir, "ant", "00.png")
		good := read(t, bad)
		run.OnEpoch = func(Epoch) error { return os.Remove(bad) }
		_, history, err := Train(context.Background(), run)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, bad)
		require.Len(t, history, 1)
		run.OnEpoch = nil
		if !validation {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ant", "01.png"), good[1:], 0o600))
			_, _, err = Train(context.Background(), run)
			require.ErrorContains(t, err, "other data")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ant", "01.png"), photo(t, 0, 1), 0o600))
		}
		require.NoError(t, os.WriteFile(bad, good, 0o600))
		got, _, err := Train(context.Background(), run)
		require.NoError(t, err)
		requireSame(t, "mended", want, got)
	}
}
