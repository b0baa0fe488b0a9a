//go:build linux

package train

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoSpace: files may not grow from the second epoch on, as on a full disk. The
// error names the checkpoint; the one of the first epoch is whole, nothing is left
// beside it, and the run goes on from there.
//
// It runs in a process of its own: the limit holds for what the test's runner
// writes as well.
func TestNoSpace(t *testing.T) {
	const child = "NONET_TEST_NO_SPACE"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoSpace$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	run := smallRun(t, openFolder(t, 12))
	want, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c.safetensors"), true
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	run.OnEpoch = func(Epoch) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: old.Max})
	}
	_, _, err = Train(context.Background(), run)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorContains(t, err, run.Checkpoint)
	files, err := os.ReadDir(filepath.Dir(run.Checkpoint))
	require.NoError(t, err)
	require.Len(t, files, 1)
	run.OnEpoch = nil
	got, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 4)
	requireSame(t, "after a full disk", want, got)
}

// TestPipeCheckpoint: what is no file keeps no checkpoint, and stays what it is.
func TestPipeCheckpoint(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint, run.Epochs, run.Resume = filepath.Join(t.TempDir(), "pipe"), 1, true
	require.NoError(t, syscall.Mkfifo(run.Checkpoint, 0o600))
	fd, err := syscall.Open(run.Checkpoint, syscall.O_RDWR, 0) // else a writer would wait
	require.NoError(t, err)
	defer syscall.Close(fd)
	_, _, err = Train(context.Background(), run)
	require.NoError(t, err)
	info, err := os.Lstat(run.Checkpoint)
	require.NoError(t, err)
	require.Equal(t, os.ModeNamedPipe, info.Mode().Type())
}
