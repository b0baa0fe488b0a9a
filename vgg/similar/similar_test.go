package similar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/peak"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/weights"
)

// model is a small network with random weights.
func model(t testing.TB) *vgg.Model {
	t.Helper()
	layers, err := vgg.ParseLayers("8 M 16 M F20 F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 4)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src)
	require.NoError(t, err)
	return m
}

// pictures makes a directory of n different pictures, of two classes, and one that is
// none. The last is the first once more.
func pictures(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 20+i%3, 24))
		seed := uint64(i % (n - 1))
		if seed == 0 {
			img = image.NewRGBA(image.Rect(0, 0, 20, 24))
		}
		for k, v := range testutil.Uniform(seed+1, len(img.Pix)) {
			img.Pix[k] = uint8(127 + 127*v)
		}
		for y := range 24 {
			img.Set(i%2*5, y, color.RGBA{uint8(seed * 9), 0, 255, 255})
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		path := filepath.Join(dir, fmt.Sprint("class", i%2), fmt.Sprintf("%02d\n.png", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "class0", "bad.png"), []byte("words"), 0o600))
	return dir
}

func data(t testing.TB, name string) *extract.Data {
	t.Helper()
	d, err := extract.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// built builds an index and opens it.
func built(t testing.TB, m *vgg.Model, d *extract.Data, o Options) (*Index, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index")
	r, err := Build(context.Background(), path, m, d, o)
	require.NoError(t, err)
	require.Equal(t, 1, r.Failed)
	x, err := Open(path, 2)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	_, err = os.Stat(path + ".part")
	require.ErrorIs(t, err, os.ErrNotExist)
	return x, path
}

// TestIndex compares cosines with those of Model.Features in float64.
func TestIndex(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such names")
	}
	ctx, m, dir := context.Background(), model(t), pictures(t, 9)
	d := data(t, dir)
	for _, short := range []bool{false, true} {
		x, _ := built(t, m, d, Options{Network: "n", Half: short, Batch: 4})
		require.Equal(t, 9, x.Len())
		require.Equal(t, 20, x.Dim)
		require.Equal(t, 1, x.Failed)
		require.Equal(t, short, x.Half)
		var want [][]float32
		for _, p := range x.Paths {
			f, err := os.Open(filepath.Join(dir, filepath.FromSlash(p)))
			require.NoError(t, err)
			img, err := png.Decode(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			features, err := m.Features(ctx, img, "embedding")
			require.NoError(t, err)
			Normalize(features.Data)
			want = append(want, features.Data)
		}
		s, err := x.NewSearcher(1, 2)
		require.NoError(t, err)
		tolerance := 1e-6
		if short {
			tolerance = 2e-3
		}
		for i, q := range want {
			hits, err := s.Nearest(ctx, q, 99)
			require.NoError(t, err)
			require.Len(t, hits, 9)
			require.InDelta(t, 1, float64(hits[0].Cosine), tolerance)
			for k, h := range hits {
				cosine := 0.0
				for j := range q {
					cosine += float64(q[j]) * float64(want[h.Picture][j])
				}
				require.InDelta(t, cosine, float64(h.Cosine), tolerance, "picture %d with %d", i, h.Picture)
				require.True(t, k == 0 || hits[k-1].Cosine >= h.Cosine)
			}
		}
		// The first picture is there twice.
		pairs, n, err := x.Pairs(ctx, 0.9999, 10, 2)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, "class0/00\n.png", x.Paths[pairs[0].A])
		require.Equal(t, "class0/08\n.png", x.Paths[pairs[0].B])
		all, n, err := x.Pairs(ctx, -1, 3, 1)
		require.NoError(t, err)
		require.Equal(t, 36, n)
		require.Len(t, all, 3)
		require.Equal(t, pairs[0], all[0])
		hits, err := x.Neighbours(ctx, 2)
		require.NoError(t, err)
		require.Equal(t, pairs[0].B, hits[pairs[0].A].Picture)
		require.GreaterOrEqual(t, x.SameClass(hits), 2.0/9)
	}
}

func TestBest(t *testing.T) {
	require.Equal(t, []Hit{{1, 5}, {3, 5}, {0, 2}}, best([]float32{2, 5, 1, 5, 2}, 3))
	require.Empty(t, best([]float32{2, 5}, 0))
	require.Empty(t, best(nil, 3))
	require.Equal(t, []Hit{{0, 2}}, best([]float32{2}, 9))
}

var errStop = errors.New("stop")

// TestInterrupted: a build that was stopped goes on to the same bytes.
func TestInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such names")
	}
	m, d := model(t), data(t, pictures(t, 9))
	_, calm := built(t, m, d, Options{Batch: 2})
	want, err := os.ReadFile(calm)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "index")
	for stop := 1; stop < 9; stop += 2 {
		n := 0
		o := Options{Batch: 2, OnPicture: func(_ extract.Item, earlier bool) error {
			if n++; n > stop {
				return errStop
			}
			return nil
		}}
		_, err := Build(context.Background(), path, m, d, o)
		require.ErrorIs(t, err, errStop)
		_, err = Open(path, 1)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	earlier := 0
	_, err = Build(context.Background(), path, m, d, Options{OnPicture: func(_ extract.Item, before bool) error {
		if before {
			earlier++
		}
		return nil
	}})
	require.NoError(t, err)
	require.GreaterOrEqual(t, earlier, 7)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestCheck(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such names")
	}
	m, d := model(t), data(t, pictures(t, 9))
	x, path := built(t, m, d, Options{Network: "n"})
	require.NoError(t, x.Check(d, Options{Network: "n"}, m))
	require.NoError(t, x.Check(d, Options{Network: "n", Layer: "fc3"}, m)) // it is the embedding
	require.ErrorIs(t, x.Check(d, Options{Network: "other"}, m), ErrOther)
	require.ErrorIs(t, x.Check(d, Options{Network: "n", Half: true}, m), ErrOther)
	require.ErrorIs(t, x.Check(d, Options{Network: "n", Layer: "pool1"}, m), ErrOther)
	require.ErrorIs(t, x.Check(data(t, pictures(t, 8)), Options{Network: "n"}, m), ErrOther)

	_, err := x.NewSearcher(0, 1)
	require.Error(t, err)
	s, err := x.NewSearcher(1, 1)
	require.NoError(t, err)
	_, err = s.Nearest(context.Background(), make([]float32, 19), 1)
	require.ErrorIs(t, err, ErrShape)
	require.ErrorIs(t, x.Vectors(make([]float32, 40), 8), ErrShape)

	other := filepath.Join(t.TempDir(), "w")
	require.NoError(t, weights.WriteFile(other, []weights.Out{{Name: "embeddings", DType: weights.F32, Shape: []int{1, 1}, Floats: []float32{1}}}, nil))
	_, err = Open(other, 1)
	require.ErrorIs(t, err, weights.ErrFormat)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(other, b[:len(b)-3], 0o600))
	_, err = Open(other, 1)
	require.Error(t, err)
}

func TestThumbnails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such names")
	}
	dir := pictures(t, 4)
	small, err := Thumbnails(dir, []string{"class1/01\n.png", "class0/bad.png", "absent"}, 12)
	require.NoError(t, err)
	require.Len(t, small, 1)
	img, _, err := image.Decode(bytes.NewReader(small["class1/01\n.png"]))
	require.NoError(t, err)
	require.Equal(t, 12, img.Bounds().Dy())
}

// BenchmarkSearch compares a query with 100,000 embeddings of 4096, and says how a plain
// read of the same bytes compares.
func BenchmarkSearch(b *testing.B) {
	const n, dim = 100_000, 4096
	ctx := context.Background()
	for _, short := range []bool{false, true} {
		size := 4
		if short {
			size = 2
		}
		x := &Index{Paths: make([]string, n), Dim: dim, Half: short}
		row := testutil.Uniform(1, dim)
		Normalize(row)
		require.NoError(b, x.packRows(2, func(dst []float32, _ int) error {
			for len(dst) > 0 {
				dst = dst[copy(dst, row):]
			}
			return nil
		}))
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("half=%v/workers=%d", short, workers), func(b *testing.B) {
				s, err := x.NewSearcher(1, workers)
				require.NoError(b, err)
				dst, read := make([]float32, n), layout.Alloc(n*dim*size/4)
				least, fastest := math.Inf(1), 0.0
				for b.Loop() {
					begin := time.Now()
					require.NoError(b, s.Cosines(ctx, dst, row, 1))
					least = min(least, time.Since(begin).Seconds())
					fastest = max(fastest, peak.ReadGBytes(workers, read))
				}
				b.ReportMetric(least*1e3, "least-ms")
				b.ReportMetric(float64(n*dim*size)/least/1e9, "GB/s")
				b.ReportMetric(least*fastest*1e9/float64(n*dim*size), "of-a-plain-read")
			})
		}
	}
}
