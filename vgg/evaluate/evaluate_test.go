package evaluate

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// model is a small network with three classes.
func model(t testing.TB, opts ...vgg.Option) *vgg.Model {
	layers, err := vgg.ParseLayers("8 M F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

// folder holds n pictures of each class, in alphabetical order, and one that is none.
func folder(t testing.TB, n int, classes ...string) *train.Dataset {
	dir := t.TempDir()
	for c, name := range classes {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		for i := range n {
			img := image.NewGray(image.Rect(0, 0, 9, 11))
			for p := range img.Pix {
				img.Pix[p] = uint8(p*(i+2) + 80*c)
			}
			img.Set(i, c, color.White)
			f, err := os.Create(filepath.Join(dir, name, fmt.Sprintf("%d.png", i)))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, classes[0], "x.jpg"), []byte("words"), 0o600))
	d, err := train.Open(dir)
	require.NoError(t, err)
	return d
}

// TestSingle compares the counts with those of classifying one picture at a time.
func TestSingle(t *testing.T) {
	m, d := model(t), folder(t, 7, "a", "b", "c")
	wrong, confusion := 0, [3][3]int{}
	for i, e := range d.Examples {
		img, err := d.Picture(i)
		if err != nil {
			continue
		}
		top, err := m.Classify(context.Background(), img, 1)
		require.NoError(t, err)
		confusion[e.Class][top[0].Class]++
		if top[0].Class != e.Class {
			wrong++
		}
	}
	for _, batch := range []int{1, 4, 0} {
		var paths []string
		r, err := Single(context.Background(), m, d, Options{Batch: batch, Workers: 2, OnPicture: func(o Outcome) error {
			paths = append(paths, o.Path)
			return nil
		}})
		require.NoError(t, err)
		require.Equal(t, 21, r.N)
		require.Equal(t, 1, r.Unreadable)
		require.InDelta(t, float64(wrong)/21, r.Top1Error, 1e-12)
		require.Zero(t, r.Top5Error, "five of three classes")
		for c := range confusion {
			require.Equal(t, confusion[c][:], r.Confusion[c])
		}
		require.Len(t, paths, 22)
		for i, p := range paths {
			require.Equal(t, d.Examples[i].Path, p, "in the order of the data")
		}
	}
}

// TestLabels matches classes by name, whatever their order.
func TestLabels(t *testing.T) {
	m := model(t, vgg.Labels([]string{"C", "a", "b"}))
	classes, err := match(m, []string{"a", "b", "c", "d"})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 0, -1}, classes)
	_, err = match(m, []string{"x", "y"})
	require.ErrorIs(t, err, train.ErrData)
	_, err = match(model(t), []string{"1", "2", "3", "4"})
	require.ErrorIs(t, err, train.ErrData)
}

func TestStops(t *testing.T) {
	stop := errors.New("stop")
	_, err := Single(context.Background(), model(t), folder(t, 3, "a", "b", "c"), Options{OnPicture: func(Outcome) error { return stop }})
	require.ErrorIs(t, err, stop)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Single(ctx, model(t), folder(t, 3, "a", "b", "c"), Options{})
	require.ErrorIs(t, err, context.Canceled)
}
