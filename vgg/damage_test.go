package vgg_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// damaged writes a network whose first fully connected layer has many pages.
func damaged(t *testing.T) (cfg vgg.Config, path string) {
	layers, err := vgg.ParseLayers("64 64 M 64 M F512 F3")
	require.NoError(t, err)
	cfg = vgg.Config{Name: "x", Channels: 3, Size: 32, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false))
	return cfg, path
}

// TestCutShort cuts a file at several places after it was opened: an error, where
// to read the mapping is a fault.
func TestCutShort(t *testing.T) {
	cfg, whole := damaged(t)
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	for _, size := range []int64{0, 20000, 300000, int64(len(content)) - 5000, int64(len(content)) - 1} {
		for name, open := range map[string]func(weights.Source) error{
			"model":   func(f weights.Source) error { _, err := vgg.FromFile(f); return err },
			"half":    func(f weights.Source) error { _, err := vgg.FromFile(f, vgg.HalfFC()); return err },
			"trainer": func(f weights.Source) error { return trainFrom(cfg, f) },
		} {
			path := filepath.Join(t.TempDir(), "w.safetensors")
			require.NoError(t, os.WriteFile(path, content, 0o666))
			f, err := weights.Open(path)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, size))
			err = open(f)
			require.ErrorIs(t, err, weights.ErrFormat, "%s of %d bytes", name, size)
			require.ErrorContains(t, err, path)
			require.NoError(t, f.Close())
		}
	}
}

func trainFrom(cfg vgg.Config, f weights.Source) error {
	n, err := vgg.Describe(f)
	if err != nil {
		return err
	}
	_, err = vgg.NewTrainer(cfg, n.Source, 1)
	return err
}

// saveFrom writes the network of a file to another.
func saveFrom(t *testing.T, cfg vgg.Config, f weights.Source) error {
	n, err := vgg.Describe(f)
	if err != nil {
		return err
	}
	out := filepath.Join(t.TempDir(), "out.safetensors")
	if err := vgg.Save(out, cfg, n.Source, false); err != nil {
		require.NoFileExists(t, out)
		return err
	}
	return nil
}

// TestWrittenTo: a file of which another process has changed one byte is no longer
// the file that was opened.
func TestWrittenTo(t *testing.T) {
	cfg, path := damaged(t)
	for name, open := range map[string]func(weights.Source) error{
		"model":   func(f weights.Source) error { _, err := vgg.FromFile(f); return err },
		"trainer": func(f weights.Source) error { return trainFrom(cfg, f) },
		"save":    func(f weights.Source) error { return saveFrom(t, cfg, f) },
	} {
		old := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(path, old, old))
		f, err := weights.Open(path)
		require.NoError(t, err)
		require.NoError(t, f.Unchanged())
		require.NoError(t, open(f))
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = w.WriteAt([]byte{0}, 100000)
		require.NoError(t, errors.Join(err, w.Close()))
		require.ErrorContains(t, open(f), "written to while it was read", name)
		require.NoError(t, f.Close())
	}
}

// TestRewritten opens a file while another goroutine writes it anew in place, as
// cp does. Each time the result is a network or an error.
func TestRewritten(t *testing.T) {
	_, path := damaged(t)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(path, content, 0o666) // an error leaves a short file, which is what is wanted
			}
		}
	})
	failed := 0
	for range 100 {
		_, err := vgg.Open(path)
		if err != nil {
			failed++
			require.True(t, errors.Is(err, weights.ErrFormat) || errors.Is(err, weights.ErrUnsupported) || errors.Is(err, fs.ErrInvalid), "%v", err)
		}
	}
	close(stop)
	writer.Wait()
	require.Positive(t, failed, "no file was ever cut short")
}

// TestNotFiniteWeights: a NaN or infinity is found wherever it stands, and named.
func TestNotFiniteWeights(t *testing.T) {
	layers, err := vgg.ParseLayers("16 8/1 M F70 F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "x", Channels: 3, Size: 4, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	params, err := cfg.Params()
	require.NoError(t, err)
	for i, p := range params {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
			var out []weights.Out
			for j, q := range params {
				w, err := src.Tensor(q.Name, q.Shape)
				require.NoError(t, err)
				if i == j {
					w[len(w)-1] = bad
				}
				out = append(out, weights.Out{Name: q.Name, DType: weights.F32, Shape: q.Shape, Floats: w})
			}
			meta, err := vgg.Metadata(cfg)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "w.safetensors")
			require.NoError(t, weights.WriteFile(path, out, meta))
			_, err = vgg.Open(path)
			require.ErrorIs(t, err, vgg.ErrNotFinite, p.Name)
			last := make([]int, len(p.Shape))
			for d, n := range p.Shape {
				last[d] = n - 1
			}
			require.ErrorContains(t, err, fmt.Sprintf("tensor %s of shape %v: element %v is ", p.Name, p.Shape, last))
		}
	}
}

// TestNaNClassifier reads what a project published without its classifier.
func TestNaNClassifier(t *testing.T) {
	_, err := vgg.Open(testutil.Shared(t, "data", "people", "31_nan_classifier.pth"), smallNet(t))
	require.ErrorIs(t, err, vgg.ErrNotFinite)
	require.ErrorContains(t, err, "tensor classifier.0.bias of shape [24]: element [0] is NaN")
}

// smallNet is the network of most of the small files.
func smallNet(t testing.TB) vgg.Option {
	layers, err := vgg.ParseLayers("8 8 M 16 16 M F24 F24 F10")
	require.NoError(t, err)
	return vgg.Configuration(vgg.Config{Name: "custom", Channels: 3, Size: 28, Pad: 1, Layers: layers})
}
