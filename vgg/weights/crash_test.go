package weights

import (
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
