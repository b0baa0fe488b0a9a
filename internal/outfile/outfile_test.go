package outfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestMain lets tests start this program as one that holds a temporary file or a
// lock until it is killed.
func TestMain(m *testing.M) {
	switch path := os.Getenv("NONET_TEST_HOLD"); {
	case strings.HasSuffix(path, ".locked"):
		if _, err := Acquire(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		time.Sleep(2 * testutil.Patience)
	case path != "":
		_ = Write(path, func(io.Writer) error {
			fmt.Println("held")
			time.Sleep(2 * testutil.Patience)
			return nil
		})
	default:
		os.Exit(m.Run())
	}
}

// holder starts a program that holds path until the function returned kills it.
func holder(t *testing.T, path string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NONET_TEST_HOLD="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 5)
	_, err = io.ReadFull(out, line)
	require.NoError(t, err)
	require.Equal(t, "held\n", string(line))
	return func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func requireText(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(b))
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w [1].txt")
	require.NoError(t, Check(path))
	require.Empty(t, names(t, dir))
	require.NoError(t, Write(path, text("old")))
	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, Write(path, text("new")))
	requireText(t, path, "new")
	failed := errors.New("failed")
	require.ErrorIs(t, Write(path, func(w io.Writer) error { return errors.Join(text("half")(w), failed) }), failed)
	require.NoError(t, Check(path))
	requireText(t, path, "new")
	require.Equal(t, []string{"w [1].txt"}, names(t, dir))

	for _, bad := range []string{"", dir, dir + string(os.PathSeparator), filepath.Join(dir, "absent", "x"), filepath.Join(path, "x")} {
		err := Check(bad)
		require.Error(t, err, bad)
		require.ErrorContains(t, err, bad)
		require.NotContains(t, err.Error(), ".tmp")
		require.Error(t, Write(bad, text("x")), bad)
	}
}

// TestSweep: what a killed program left is removed, what a living one writes is not.
func TestSweep(t *testing.T) {
	if errors.Is(lockNew(t), errNoLock) {
		t.Skip("this system has no locks")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	stranger := filepath.Join(dir, ".x.tmp")
	require.NoError(t, os.WriteFile(stranger, nil, 0o600))
	kill := holder(t, path)
	defer kill()
	require.NoError(t, Write(path, text("1")))
	require.Len(t, names(t, dir), 3, "the stranger, the living program's file and x")
	killed := holder(t, path)
	require.Len(t, names(t, dir), 4)
	killed()
	delete(unfinished.swept, path)
	require.NoError(t, Write(path, text("2")))
	require.Len(t, names(t, dir), 3)
	require.FileExists(t, stranger)
	requireText(t, path, "2")
}

func lockNew(t *testing.T) error {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	return lock(f)
}

// TestAcquire: a lock has one owner, who is named, until it is released or killed.
func TestAcquire(t *testing.T) {
	if errors.Is(lockNew(t), errNoLock) {
		t.Skip("this system has no locks")
	}
	path := filepath.Join(t.TempDir(), "x.locked")
	kill := holder(t, path)
	_, err := Acquire(path)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Regexp(t, `^process \d+ on `+host+` since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$`, held.Owner)
	kill()
	l, err := Acquire(path)
	require.NoError(t, err)
	_, err = Acquire(path)
	require.ErrorAs(t, err, &held)
	require.Contains(t, held.Owner, fmt.Sprintf("process %d on", os.Getpid()))
	l.Release()
	require.NoFileExists(t, path+".lock")
	l, err = Acquire(path)
	require.NoError(t, err)
	l.Release()
	(*Lock)(nil).Release()
	_, err = Acquire(filepath.Join(path, "absent", "x"))
	require.Error(t, err)
}

func TestSame(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	require.True(t, Same(a, filepath.Join(dir, "x", "..", "a")))
	require.False(t, Same(a, b))
	require.NoError(t, os.WriteFile(a, nil, 0o600))
	require.False(t, Same(a, b))
	require.NoError(t, os.Link(a, b))
	require.True(t, Same(a, b))
	require.False(t, Same(os.DevNull, os.DevNull), "no file")
}
