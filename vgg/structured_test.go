package vgg_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// bounded opens a file of weights and makes the network in it, within bounds of memory, time,
// depth and the text of its error.
func bounded(t testing.TB, name string, data []byte) (m *vgg.Model, err error) {
	t.Helper()
	err = testutil.Bounded(t, len(data), func() (found int64, err error) {
		f, err := weights.FromBytes(name, data)
		if err != nil {
			return 0, err
		}
		for _, tensor := range f.Names() {
			d, shape, err := f.Info(tensor)
			require.NoError(t, err)
			found += int64(vgg.Param{Name: tensor, Shape: shape}.Len() * d.Size())
		}
		m, err = vgg.FromFile(f)
		return found, err
	})
	return m, err
}

// FuzzStructured changes tensors, layers, members of archives, instructions and fields of good
// files of every format.
func FuzzStructured(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "formats", "*"))
	require.NoError(f, err)
	var trees []*structured.Part
	for _, path := range paths {
		if ext := filepath.Ext(path); ext == ".py" || ext == ".h5" || ext == ".gz" {
			continue
		}
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		if len(data) < 70_000 {
			trees = append(trees, structured.Parse(data))
		}
	}
	require.Greater(f, len(trees), 12)
	for i := range trees {
		for op := range 10 {
			f.Add(uint8(i), []byte{byte(op), byte(3 * i), byte(i), byte(31 * op)})
		}
	}
	f.Fuzz(func(t *testing.T, seed uint8, program []byte) {
		data := trees[int(seed)%len(trees)].Edit(program, 1<<20).Bytes(1 << 20)
		if data == nil {
			return
		}
		_, _ = bounded(t, "fuzz", data)
	})
}
