//go:build unix

package collection

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pictureFile is a small picture.
func pictureFile(t *testing.T) []byte {
	b, err := os.ReadFile(filepath.Join("..", "..", "picture", "testdata", "p_plain.png"))
	require.NoError(t, err)
	return b
}

// TestLinks: a link to a directory is one, for a class, below it and for all, in the order of
// names. One that leads to where it is is an error.
func TestLinks(t *testing.T) {
	dir, store := t.TempDir(), t.TempDir()
	for _, name := range []string{"0/b.png", "1/sub/a.png", "1/c.png"} {
		require.NoError(t, os.MkdirAll(filepath.Join(store, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(store, name), pictureFile(t), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "cow"), 0o700))
	for link, to := range map[string]string{"ant": "0", "bee": "1", "cow/again": "1", "cow/one.png": "0/b.png"} {
		require.NoError(t, os.Symlink(filepath.Join(store, to), filepath.Join(dir, link)))
	}
	link := filepath.Join(t.TempDir(), "all")
	require.NoError(t, os.Symlink(dir, link))
	for _, name := range []string{dir, link, link + "/"} {
		c, err := Open(name)
		require.NoError(t, err)
		var got []string
		for it, err := range c.Items() {
			require.NoError(t, err)
			_, err = c.Decode(it)
			require.NoError(t, err)
			got = append(got, it.Path+" "+it.Class)
		}
		require.Equal(t, []string{"ant/b.png ant", "bee/c.png bee", "bee/sub/a.png sub", "cow/again/c.png again", "cow/again/sub/a.png sub", "cow/one.png cow"}, got)
	}
	require.NoError(t, os.Symlink("..", filepath.Join(store, "1", "up")))
	require.NoError(t, os.Symlink(store, filepath.Join(dir, "dog")))
	c, err := Open(dir)
	require.NoError(t, err)
	for _, err = range c.Items() {
	}
	require.ErrorIs(t, err, ErrData)
	require.ErrorContains(t, err, "is a link to a directory that it lies in")
}

// TestPipes: a pipe in the place of a picture is an error at once, and not waited for.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "ant"), 0o700))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "ant", "a.png"), 0o600))
	c, err := Open(dir)
	require.NoError(t, err)
	testutil.Ends(t, "a pipe that nobody writes", func() {
		for it, err := range c.Items() {
			if err == nil {
				_, err = c.Decode(it)
			}
			assert.Error(t, err)
		}
	})
}
