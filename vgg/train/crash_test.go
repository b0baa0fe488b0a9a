package train

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/outfile/crash"
)

// TestCheckpointCrash: whichever call fails and whenever the machine crashes, a run goes on
// from the checkpoint that is there to the weights of an undisturbed run.
func TestCheckpointCrash(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Epochs = 2
	want, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Resume = true
	tried := map[string]bool{}
	goesOn := func(dir, state string) {
		again := run
		again.Checkpoint = filepath.Join(dir, "c")
		b, err := os.ReadFile(again.Checkpoint)
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		if tried[string(b)] {
			return
		}
		tried[string(b)] = true
		got, history, err := Train(context.Background(), again)
		require.NoError(t, err, state)
		require.Len(t, history, 2)
		requireSame(t, state, want, got)
	}
	crash.Each(t, []error{syscall.EIO}, func(string) {}, func(d *crash.Disk) error {
		again := run
		again.Checkpoint = filepath.Join(d.Dir, "c")
		_, _, err := Train(context.Background(), again)
		return err
	}, func(d *crash.Disk, failure string, err error) {
		if err == nil && d.Err != nil {
			d.States(t, goesOn)
			return
		}
		d.Failed(t, goesOn)
	})
	require.Greater(t, len(tried), 2)
}
