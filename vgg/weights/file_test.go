package weights

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFileClosed: what is closed is read no more, once or twice.
func TestFileClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, WriteFile(path, []Out{{Name: "w", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}}}, nil))
	f, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, f.Unchanged())
	f.Release()
	w, err := f.Tensor("w")
	require.NoError(t, err)
	w.Release()
	require.Equal(t, []byte{1, 2, 3}, w.Data, "they are read again")
	_, err = f.Tensor("v")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "the file has 1 others")
	_, _, err = f.Info("v")
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	require.NoError(t, f.Unchanged())
	_, err = f.Tensor("w")
	require.ErrorIs(t, err, fs.ErrClosed)
	w.Release()
	f.Release()
}

// TestFileChanged: a file that was written to after it was opened is told from one that was not.
func TestFileChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	out := []Out{{Name: "w", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}}}
	require.NoError(t, WriteFile(path, out, nil))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime().Add(1e9)))
	require.ErrorIs(t, f.Unchanged(), ErrFormat, "the time")
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	require.NoError(t, f.Unchanged())
	more, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = more.Write([]byte{0})
	require.NoError(t, err)
	require.NoError(t, more.Close())
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	require.ErrorIs(t, f.Unchanged(), ErrFormat, "the size")
	require.NoError(t, WriteFile(path, out, nil))
	g, err := Open(path)
	require.NoError(t, err)
	defer g.Close()
	require.NoError(t, WriteFile(path, out, map[string]string{"k": "v"}))
	require.NoError(t, g.Unchanged(), "another file has its name now")
}

// TestMappedAt: only bytes of the mapping itself have a place in it.
func TestMappedAt(t *testing.T) {
	data := make([]byte, 10)
	f := &File{mapped: true, data: data[2:8:8]}
	for _, c := range []struct {
		part []byte
		at   int
		ok   bool
	}{
		{data[2:8], 0, true}, {data[3:5], 1, true}, {data[7:8], 5, true}, {data[7:9], 0, false}, {data[8:9], 0, false}, {data[1:3], 0, false}, {data[2:2], 0, false}, {nil, 0, false}, {make([]byte, 3), 0, false},
	} {
		at, ok := f.mappedAt(c.part)
		require.Equal(t, c.ok, ok)
		require.Equal(t, c.at, at)
	}
	f.mapped = false
	_, ok := f.mappedAt(data[3:5])
	require.False(t, ok)
}

// TestReadAtShort: a reader that ends too early, or has an error, is told apart.
func TestReadAtShort(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Write(&b, []Out{{Name: "w", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}}}, nil))
	f, err := Read("x", bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	w, err := f.Tensor("w")
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2, 3}, w.Data)
	require.NoError(t, f.Unchanged(), "nothing is known")
	f.r = bytes.NewReader(b.Bytes()[:b.Len()-2])
	_, err = f.Tensor("w")
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "ends 2 bytes before it should")
}

// TestOpenKinds: what is no regular file is not opened.
func TestOpenKinds(t *testing.T) {
	dir := t.TempDir()
	_, err := openFile(dir)
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "not a regular file")
	_, err = openFile(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	f, err := openFile(filepath.Join(dir, "empty"))
	require.NoError(t, err)
	require.False(t, f.mapped)
	require.NoError(t, f.Close())
}
