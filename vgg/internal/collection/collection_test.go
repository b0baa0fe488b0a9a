package collection

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

func tarOf(t testing.TB, names ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "picture", "testdata", "p_plain.png"))
	require.NoError(t, err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}))
		_, err := w.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// readAll lists a file's pictures, and decodes some.
func readAll(path string) (n int, err error) {
	c, err := Open(path, picture.MaxPixels(1<<16))
	if err != nil {
		return 0, err
	}
	for it, err2 := range c.Items() {
		if err = err2; err != nil {
			break
		}
		if n++; n <= 4 {
			if _, err = c.Decode(it); err != nil {
				break
			}
		}
	}
	return n, errors.Join(err, c.Close())
}

// TestHostileNames: names of members are quoted in messages, and cut.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"\x1b[2J.png", "cat/\x1b]0;x\x07.png/" + strings.Repeat("x", 3000) + ".png"} {
		path := filepath.Join(t.TempDir(), "x.tar")
		file := tarOf(t, name)
		if strings.HasPrefix(name, "cat") { // its content is no picture
			file = bytes.ReplaceAll(file, []byte("\x89PNG"), []byte("\x89PMG"))
		}
		require.NoError(t, os.WriteFile(path, file, 0o600))
		_, err := readAll(path)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\x1b")
		testutil.Message(t, err)
	}
}

// FuzzOpen reads damaged tar files and lists.
func FuzzOpen(f *testing.F) {
	trees := []*structured.Part{
		structured.Parse(tarOf(f, "cat/1.png", "dog/2.png", "dog/\x1b.png")),
		structured.Parse([]byte("a.png\tcat\nb c.jpg  dog\n\n/x.png 3\n")),
	}
	for i := range byte(20) {
		f.Add(i, []byte{i / 2, i, 0, 19 * i})
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, seed uint8, program []byte) {
		file := trees[int(seed)%len(trees)].Edit(program, 1<<18).Bytes(1 << 18)
		if file == nil {
			return
		}
		path := filepath.Join(dir, "x")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		_ = testutil.Bounded(t, len(file), func() (int64, error) {
			n, err := readAll(path)
			return int64(n), err
		})
	})
}
