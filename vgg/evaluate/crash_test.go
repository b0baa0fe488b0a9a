package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nonet-go/nonet/internal/outfile/crash"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// logged5 writes the outcomes of two runs to a log: two lines, and the three after them.
func logged5(path string, outcomes []Outcome) error {
	for _, part := range [][]Outcome{outcomes[:2], outcomes[2:]} {
		l, err := OpenLog(path, "run", true)
		if err != nil {
			return err
		}
		for _, o := range part {
			if err := l.Append(o); err != nil {
				return errors.Join(err, l.Close())
			}
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// kept returns how many outcomes a log has, which are the first of a list.
func kept(t *testing.T, path, state string, outcomes []Outcome) int {
	t.Helper()
	l, err := OpenLog(path, "run", true)
	require.NoError(t, err, state)
	n := 0
	for o, err := range l.Done() {
		require.NoError(t, err, state)
		require.Equal(t, outcomes[n], o, state)
		n++
	}
	for _, o := range outcomes[n:] { // the evaluation goes on
		require.NoError(t, l.Append(o))
	}
	require.NoError(t, l.Close())
	return n
}

// TestLogCrash: whichever call fails and whenever the machine crashes, the log can be opened
// again, and has the first outcomes: those of all parts that were closed.
func TestLogCrash(t *testing.T) {
	var outcomes []Outcome
	for i := range 5 {
		outcomes = append(outcomes, Outcome{Path: fmt.Sprint("picture", i, strings.Repeat("x", 200)), // lines of several sectors
			Class: i, Label: "a", Top: []vgg.Prediction{{Class: i, Label: "b", Probability: 0.5}}})
	}
	for _, name := range []string{"x.jsonl", "x.csv"} {
		whole := filepath.Join(t.TempDir(), name)
		require.NoError(t, logged5(whole, outcomes))
		want, err := os.ReadFile(whole)
		require.NoError(t, err)
		completes := func(dir, state string) {
			kept(t, filepath.Join(dir, name), state, outcomes)
			got, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), state)
		}
		crash.Each(t, []error{syscall.ENOSPC, syscall.EIO, syscall.EINTR}, func(string) {}, func(d *crash.Disk) error {
			return logged5(filepath.Join(d.Dir, name), outcomes)
		}, func(d *crash.Disk, failure string, err error) {
			d.Failed(t, completes)
			if err == nil && d.Err == syscall.EIO { // nothing has failed
				d.States(t, completes)
				d.Final(t, func(dir, state string) {
					require.Equal(t, 5, kept(t, filepath.Join(dir, name), state, outcomes), failure)
				})
			}
		})
	}
}

// TestLogIsNone: a file that is no log is not changed by --resume.
func TestLogIsNone(t *testing.T) {
	for _, name := range []string{"x.jsonl", "x.csv"} {
		for _, text := range []string{
			"notes without an end", "notes\n", "{\n", `{"run":"y","path":"a"}` + "\n", `{"runs":`, "\x00\x00\x00\x18ftypmp42", "\x00\x01\x00\x00\n",
			"run;path\n", "run,path,x", "\n", "[]\n", `{"run":"run"} and more` + "\n",
		} {
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := OpenLog(path, "run", true)
			require.ErrorIs(t, err, ErrData, "%s: %q", name, text)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, text, string(got))
		}
	}
}
