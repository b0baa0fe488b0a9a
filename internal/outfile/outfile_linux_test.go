//go:build linux

package outfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

// TestLinks: a link stays, and its target is replaced, with its mode.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "deep"), 0o700))
	target, link, second := filepath.Join(dir, "deep", "real"), filepath.Join(dir, "link"), filepath.Join(dir, "second")
	require.NoError(t, os.Symlink(filepath.Join("deep", "real"), link))
	require.NoError(t, os.Symlink("link", second))
	require.NoError(t, Check(second))
	require.NoError(t, Write(second, text("1")), "through links that lead to nothing yet")
	requireText(t, target, "1")
	for _, m := range []os.FileMode{0o600, 0o664} {
		require.NoError(t, os.Chmod(target, m))
		require.NoError(t, Write(second, text("2")))
		requireText(t, target, "2")
		require.Equal(t, m, mode(t, target))
	}
	require.NotZero(t, mode(t, link)&os.ModeSymlink)
	require.NotZero(t, mode(t, second)&os.ModeSymlink)
	require.True(t, Same(second, target))
	require.Equal(t, []string{"deep", "link", "second"}, names(t, dir))
	require.Equal(t, []string{"real"}, names(t, filepath.Dir(target)))

	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink("loop", loop))
	require.Error(t, Check(loop))
}

// TestOwner: a superuser's program leaves a file to its owner.
func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a superuser")
	}
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Chown(path, 12, 34))
	require.NoError(t, Write(path, text("x")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 12, info.Sys().(*syscall.Stat_t).Uid)
	require.EqualValues(t, 34, info.Sys().(*syscall.Stat_t).Gid)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

// TestReadOnly: a file that its owner has protected is not replaced.
func TestReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("a superuser may write anywhere")
	}
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o400))
	require.ErrorIs(t, Check(path), os.ErrPermission)
	require.ErrorIs(t, Write(path, text("x")), os.ErrPermission)
	requireText(t, path, "old")
}

// TestSpecial: pipes and devices are written into, and stay.
func TestSpecial(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	require.NoError(t, Check(pipe), "without waiting for a reader")
	read := make(chan string)
	go func() {
		f, err := os.Open(pipe)
		if err == nil {
			b, _ := io.ReadAll(f)
			read <- string(b)
		}
		close(read)
	}()
	require.NoError(t, Write(pipe, text("through")))
	require.Equal(t, "through", <-read)
	require.NotZero(t, mode(t, pipe)&os.ModeNamedPipe)
	require.Equal(t, []string{"pipe"}, names(t, dir))

	device := os.DevNull
	if os.Getuid() == 0 { // who could lose it
		device = filepath.Join(dir, "null")
		if err := unix.Mknod(device, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
			t.Skip("no device can be made here: ", err)
		}
	}
	require.NoError(t, Check(device))
	if err := Write(device, text("x")); !errors.Is(err, os.ErrPermission) { // of a file system without devices
		require.NoError(t, err)
	}
	require.NotZero(t, mode(t, device)&os.ModeDevice)
}
