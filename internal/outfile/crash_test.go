package outfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/outfile/crash"
)

// failures are what a call of the file system may fail with.
var failures = []error{syscall.ENOSPC, syscall.EIO, syscall.EINTR}

// large is more than Write's buffer, so that it takes two writes.
var large = strings.Repeat("new ", 5<<16)

func write(path, text string) error {
	return outfile.Write(path, func(w io.Writer) error {
		for part := range slices.Chunk([]byte(text), 1<<16) {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// content returns the text of a file, or none.
func content(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(b)
}

// TestWriteCrash: whenever the machine crashes, the file is the old one or the new one, and
// after Write it is the new one.
func TestWriteCrash(t *testing.T) {
	for _, old := range []string{"", "the old content"} {
		dir := t.TempDir()
		if old != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), []byte(old), 0o600))
		}
		d := crash.New(t, dir)
		require.NoError(t, write(filepath.Join(dir, "x"), large))
		were := map[string]bool{}
		d.States(t, func(dir, state string) {
			got := content(t, filepath.Join(dir, "x"))
			require.True(t, got == old || got == large, "%s: %.40q", state, got)
			were[got] = true
		})
		require.Len(t, were, 2)
		d.Final(t, func(dir, state string) {
			require.True(t, large == content(t, filepath.Join(dir, "x")), state)
		})
	}
}

// TestWriteFailures: whichever call fails, and whenever the machine crashes after that, the
// file is the old one or the new one, and Write says which: without an error it is the new one.
func TestWriteFailures(t *testing.T) {
	prepare := func(dir string) { require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), []byte("old"), 0o600)) }
	for _, c := range []struct {
		text string
		errs []error
	}{{"new", failures}, {large, failures[:1]}} {
		failed := 0
		crash.Each(t, c.errs, prepare, func(d *crash.Disk) error { return write(filepath.Join(d.Dir, "x"), c.text) }, func(d *crash.Disk, failure string, err error) {
			said := func(dir, state string) {
				got := content(t, filepath.Join(dir, "x"))
				require.True(t, got == "old" && err != nil || got == c.text, "%s, %s: %.40q", failure, state, got)
			}
			said(d.Dir, "before a crash")
			if len(c.text) < len(large) {
				d.Final(t, said)
				d.Failed(t, func(dir, state string) {
					got := content(t, filepath.Join(dir, "x"))
					require.True(t, got == "old" || got == c.text, "%s, %s: %.40q", failure, state, got)
				})
			}
			if err == nil {
				return
			}
			failed++
			want := d.Err
			if d.Short {
				want = io.ErrShortWrite
			}
			require.ErrorIs(t, err, want, failure)
			entries, err := os.ReadDir(d.Dir)
			require.NoError(t, err)
			require.Len(t, entries, 1, "%s: nothing is left beside it", failure)
		})
		require.Greater(t, failed, 8*len(c.errs), "of %d calls", failed)
	}
}

// TestAppenderCrash: lines that were synced stay, those after them are whole or not counted.
func TestAppenderCrash(t *testing.T) {
	dir := t.TempDir()
	d := crash.New(t, dir)
	a, err := outfile.OpenAppender(filepath.Join(dir, "x"), true)
	require.NoError(t, err)
	all, synced := "", 0
	for i, line := range []string{"one\n", "two\n", "and three\n", "4\n", "five\n"} {
		require.NoError(t, a.Append([]byte(line)))
		all += line
		if i == 1 {
			require.NoError(t, a.Sync())
			synced = len(all)
		}
	}
	whole := func(dir, state string) string {
		f, err := os.Open(filepath.Join(dir, "x"))
		require.NoError(t, err, state)
		defer f.Close()
		n, err := outfile.Whole(f)
		require.NoError(t, err)
		text := content(t, filepath.Join(dir, "x"))[:n]
		require.True(t, strings.HasPrefix(all, text) && (text == "" || text[n-1] == '\n'), "%s: %q", state, text)
		return text
	}
	d.Final(t, func(dir, state string) { require.GreaterOrEqual(t, len(whole(dir, state)), synced, state) })
	require.NoError(t, a.Close())
	d.Final(t, func(dir, state string) { require.Equal(t, all, whole(dir, state), state) })
	_, err = outfile.OpenAppender(filepath.Join(dir, "x"), true)
	require.ErrorIs(t, err, os.ErrExist)
}

// TestAppenderFailures: a line of which a part was written is an error, and not counted.
func TestAppenderFailures(t *testing.T) {
	prepare := func(dir string) { require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), []byte("old\n"), 0o600)) }
	what := func(d *crash.Disk) error {
		a, err := outfile.OpenAppender(filepath.Join(d.Dir, "x"), false)
		if err != nil {
			return err
		}
		return errors.Join(a.Append([]byte("a line\n")), a.Close())
	}
	crash.Each(t, failures, prepare, what, func(d *crash.Disk, failure string, err error) {
		d.Failed(t, func(dir, state string) {
			text := content(t, filepath.Join(dir, "x"))
			n, failed := outfile.Whole(strings.NewReader(text))
			require.NoError(t, failed)
			require.Contains(t, []string{"old\n", "old\na line\n"}, text[:n], "%s, %s", failure, state)
		})
		text := content(t, filepath.Join(d.Dir, "x"))
		n, failed := outfile.Whole(strings.NewReader(text))
		require.NoError(t, failed)
		if err == nil {
			require.Equal(t, "old\na line\n", text, failure)
			return
		}
		require.Contains(t, []string{"old\n", "old\na line\n"}, text[:n], failure)
	})
}

// TestWhole finds the end of the last whole line, wherever the blocks of a read end.
func TestWhole(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for text, want := range map[string]int{
		"": 0, "a": 0, "a\n": 2, "a\nb": 2, "a\nb\n": 4, "\n": 1,
		"a\n\x00b\n": 2, "\x00\n": 0, "a\x00\n\n": 0, "a\nb\x00c\nd\n": 2,
		long: 0, long + "\n": 1<<16 + 1, long[1:] + "\nb": 1 << 16, "a\n" + long: 2, "a\n" + long + "\x00\n": 2,
	} {
		n, err := outfile.Whole(strings.NewReader(text))
		require.NoError(t, err)
		require.EqualValues(t, want, n, "%.20q", text)
	}
}

// TestFailed: the states after a failure are those of the call that fails and of the later
// ones: here of the removal of what was written.
func TestFailed(t *testing.T) {
	dir := t.TempDir()
	d := crash.New(t, dir)
	d.Fail, d.Err = 3, syscall.EIO // open and write come before it
	require.ErrorIs(t, write(filepath.Join(dir, "x"), "new"), syscall.EIO)
	were := map[int]bool{} // how many files there are
	d.Failed(t, func(dir, state string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		were[len(entries)] = true
	})
	require.Equal(t, map[int]bool{0: true, 1: true}, were)
	d.Final(t, func(dir, state string) { require.Empty(t, content(t, filepath.Join(dir, "x")), state) })
}
