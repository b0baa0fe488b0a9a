package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/outfile/crash"
)

// TestTrainCrash: whenever the machine crashes, --resume ends with a log that has one line
// for each epoch, whichever of checkpoint and log is ahead.
func TestTrainCrash(t *testing.T) {
	data, disk := dataFolder(t, 12), t.TempDir()
	args := func(dir, log string) []string {
		return shortTraining(data, filepath.Join(t.TempDir(), "w"), "--checkpoint", filepath.Join(dir, "c"), "--log", filepath.Join(dir, log), "--resume")
	}
	for _, log := range []string{"log", "log.csv"} {
		require.NoError(t, os.RemoveAll(disk))
		require.NoError(t, os.Mkdir(disk, 0o700))
		d := crash.New(t, disk)
		requireOK(t, args(disk, log)...)
		l := &trainLog{path: log}
		tried := map[string]bool{}
		d.States(t, func(dir, state string) {
			checkpoint, err := os.ReadFile(filepath.Join(dir, "c"))
			if err != nil {
				require.ErrorIs(t, err, os.ErrNotExist)
			}
			text, err := os.ReadFile(filepath.Join(dir, log))
			if err != nil {
				require.ErrorIs(t, err, os.ErrNotExist)
			}
			key := fmt.Sprintf("%x %q", checkpoint, text)
			if tried[key] {
				return
			}
			tried[key] = true
			requireOK(t, args(dir, log)...)
			got := readFile(t, filepath.Join(dir, log))
			require.False(t, bytes.Contains(got, []byte{0}), state)
			lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
			if l.csv() {
				require.Equal(t, logHeader, lines[0]+"\n", state)
				lines = lines[1:]
			}
			require.Len(t, lines, 2, "%s: %s", state, got)
			for i, line := range lines {
				require.Equal(t, i+1, l.epoch(line), "%s: %s", state, got)
			}
		})
		require.Greater(t, len(tried), 5)
	}
}
