package structured

import (
	"archive/tar"
	"bytes"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"image/png"
)

// files are of every format that Parse knows.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	list := map[string][]byte{"x.json": []byte(`{"a":[1,2,{"b":"c"}],"d":null}`)}
	for _, pattern := range []string{"../../vgg/testdata/formats/*.*", "../../vgg/picture/testdata/*.*", "../../vgg/picture/internal/jpeg/testdata/*.jpg"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, p := range paths {
			b, err := os.ReadFile(p)
			require.NoError(t, err)
			list[filepath.Base(p)] = b
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"ship/1.png", "cat/\x1b.png"} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 3}))
		_, err := w.Write([]byte("abc"))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	list["x.tar"] = b.Bytes()
	var p bytes.Buffer
	require.NoError(t, png.Encode(&p, image.NewGray(image.Rect(0, 0, 9, 7))))
	list["x.png"] = p.Bytes()
	return list
}

// TestParse: a tree that is not edited is printed as the file, or as one that is parsed into the
// same tree; and every format has parts.
func TestParse(t *testing.T) {
	for name, file := range files(t) {
		p := Parse(file)
		if ext := filepath.Ext(name); ext != ".h5" && ext != ".py" && ext != ".txt" && !bytes.HasPrefix(file, []byte("MM")) && !bytes.HasPrefix(file, []byte("II+")) {
			require.Greater(t, len(p.all()), 4, name)
		}
		again := p.Bytes(1 << 24)
		require.Equal(t, again, Parse(again).Bytes(1<<24), name)
	}
	require.Equal(t, `{"a":[1,2,{"b":"c"}],"d":null}`, string(Parse([]byte(`{"a":[1,2,{"b":"c"}],"d":null}`)).Bytes(1<<16)))
}

// TestPrint: files from which parts were taken are printed, whatever is left.
func TestPrint(t *testing.T) {
	for name, file := range files(t) {
		p := Parse(file)
		for at := range byte(12) {
			_ = p.Edit([]byte{remove, at, 0, at / 3, remove, at, 0, 0, cut, at, 0, 0, replace, at, 0, 0}, 1<<20).Bytes(1 << 20)
		}
		for len(p.parts) > 0 {
			p.parts = p.parts[1:]
			_ = p.Bytes(1 << 20)
		}
		require.NotEmpty(t, file, name)
	}
}

// TestEdit: each kind of edit changes a file, and never the tree that it began with.
func TestEdit(t *testing.T) {
	file := []byte(`{"a":[1,2,{"b":"c"}],"d":5}`)
	p := Parse(file)
	for op := range kinds {
		changed := false
		for at := range 8 {
			for _, arg := range []byte{0, 1, 0x13, 0x80} {
				got := p.Edit([]byte{byte(op), byte(at), 0, arg}, 1<<16).Bytes(1 << 16)
				changed = changed || !bytes.Equal(got, file)
			}
		}
		require.True(t, changed, "edits of kind %d", op)
		require.Equal(t, string(file), string(p.Bytes(1<<16)))
	}
	deep := p.Edit([]byte{nest, 1, 0, 100}, 1<<20).Bytes(1 << 20)
	require.Nil(t, p.Edit([]byte{many, 1, 0, 0xf0, many, 0, 0, 0xf0}, 1<<20).Bytes(1<<10), "more bytes than wanted")
	require.Greater(t, len(deep), 400)
}
