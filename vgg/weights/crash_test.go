package weights

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/outfile/crash"
)

// TestWriteFileCrash: whichever call fails and whenever the machine crashes, there is a file
// of weights, the old one or the new one.
func TestWriteFileCrash(t *testing.T) {
	out := func(value float32) []Out {
		floats := make([]float32, 3000)
		for i := range floats {
			floats[i] = value
		}
		return []Out{{Name: "w", DType: F32, Shape: []int{30, 100}, Floats: floats}, {Name: "b", DType: F16, Shape: []int{2}, Floats: floats[:2]}}
	}
	oldOrNew := func(dir, state string) {
		f, err := Open(filepath.Join(dir, "x"))
		require.NoError(t, err, state)
		defer f.Close()
		for _, name := range f.Names() {
			w, err := f.Tensor(name)
			require.NoError(t, err, state)
			x := make([]float32, w.Len())
			require.NoError(t, w.Float32s(x), state)
			for _, v := range x {
				require.Equal(t, f.Metadata()["value"] == "new", v == 2, state)
			}
		}
	}
	prepare := func(dir string) {
		require.NoError(t, WriteFile(filepath.Join(dir, "x"), out(1), map[string]string{"value": "old"}))
	}
	write := func(d *crash.Disk) error {
		return WriteFile(filepath.Join(d.Dir, "x"), out(2), map[string]string{"value": "new"})
	}
	crash.Each(t, []error{syscall.ENOSPC, syscall.EIO, syscall.EINTR}, prepare, write, func(d *crash.Disk, failure string, err error) {
		if err != nil && !d.Short {
			require.ErrorIs(t, err, d.Err, failure)
			require.ErrorContains(t, err, d.Dir, failure)
		}
		d.Failed(t, oldOrNew)
		if err == nil && d.Err == syscall.EIO { // nothing has failed
			d.States(t, oldOrNew)
		}
	})
}

// endsAt is a context that ends when it is looked at for the last time that is left.
type endsAt struct {
	context.Context
	left int
}

func (c *endsAt) Err() error {
	if c.left--; c.left > 0 {
		return nil
	}
	return context.Canceled
}

// TestWriteFileContext: wherever the context ends, the old file is whole and alone.
func TestWriteFileContext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	large := make([]byte, 3*bufferLen+5)
	out := []Out{{Name: "b", DType: U8, Shape: []int{len(large)}, Data: large}, {Name: "w", DType: F32, Shape: []int{bufferLen/2 + 1}, Floats: make([]float32, bufferLen/2+1)}}
	for looks := 1; ; looks++ {
		err := WriteFileContext(&endsAt{context.Background(), looks}, path, out, nil)
		entries, errDir := os.ReadDir(dir)
		require.NoError(t, errDir)
		require.Len(t, entries, 1, "look %d", looks)
		if err == nil {
			require.Equal(t, 10, looks, "the header, four parts of b, three of w and the end were looks")
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, path)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "old", string(text), "look %d", looks)
	}
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := f.Tensor("b")
	require.NoError(t, err)
	require.Equal(t, large, b.Data)
}
