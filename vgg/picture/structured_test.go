package picture

import (
	"bytes"
	"image"
	"image/gif"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
)

// seedFiles are small files of every format, as other programs wrote them.
func seedFiles(t testing.TB) (files [][]byte) {
	t.Helper()
	for _, pattern := range []string{filepath.Join("testdata", "*.*"), filepath.Join("internal", "jpeg", "testdata", "*.jpg")} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, path := range paths {
			if filepath.Ext(path) == ".txt" {
				continue
			}
			file, err := os.ReadFile(path)
			require.NoError(t, err)
			files = append(files, file)
		}
	}
	for _, b := range blanks {
		files = append(files, b.file(64, 40))
	}
	require.Greater(t, len(files), 100)
	return files
}

// FuzzStructured changes markers, chunks, blocks and entries of directories of good files.
// A second decoder, where there is one, sees the same picture.
func FuzzStructured(f *testing.F) {
	files := seedFiles(f)
	trees := make([]*structured.Part, len(files))
	for i, file := range files {
		trees[i] = structured.Parse(file)
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{byte(i), byte(i / 3), 0, byte(i * 7), byte(i + 5), byte(i), 0, 17})
	}
	f.Fuzz(func(t *testing.T, seed uint8, program []byte) {
		file := trees[int(seed)%len(trees)].Edit(program, 1<<18).Bytes(1 << 18)
		if file == nil {
			return
		}
		if m := fuzzDecode(t, file); m != nil {
			compareDecoders(t, file, m, len(program) < 4)
		}
	})
}

// compareDecoders decodes with another package, if that takes the file. Samples of JPEG are
// compared if the file is as an encoder wrote it: coefficients that none writes wrap around in
// libjpeg, and are cut in package image/jpeg. TestPillowAgain compares the others.
func compareDecoders(t *testing.T, file []byte, m image.Image, written bool) {
	var other image.Image
	var err error
	switch {
	case isJPEG(file):
		other, err = stdjpeg.Decode(bytes.NewReader(file))
	case bytes.HasPrefix(file, []byte("GIF8")):
		other, err = gif.Decode(bytes.NewReader(file))
		if err == nil && other.Bounds() != m.Bounds() {
			return // it has no canvas
		}
	case bytes.HasPrefix(file, []byte("BM")):
		other, err = bmp.Decode(bytes.NewReader(file))
	default:
		return
	}
	if err != nil {
		return
	}
	if o, ok := m.(*oriented); ok {
		m = o.Image
	}
	require.Equal(t, other.Bounds().Size(), m.Bounds().Size())
	if a, ok := m.(*image.YCbCr); ok {
		b, ok := other.(*image.YCbCr)
		if !ok || !written || a.SubsampleRatio != b.SubsampleRatio {
			return
		}
		w, h := m.Bounds().Dx(), m.Bounds().Dy()
		comparePlanes(t, w, h, a.Y, b.Y, a.YStride, b.YStride)
		return
	}
	if a, ok := m.(*image.Paletted); ok { // colours of a transparent index, and of one beyond the table, differ
		if b, ok := other.(*image.Paletted); ok {
			require.Equal(t, b.Pix, a.Pix)
		}
		return
	}
	if !isJPEG(file) {
		require.Equal(t, FromImage(other).Pix, FromImage(m).Pix)
	}
}

// comparePlanes: most samples are the same but for their rounding.
func comparePlanes(t *testing.T, w, h int, a, b []uint8, aStride, bStride int) {
	differences := make([]int, 0, w*h)
	for y := range h {
		for x := range w {
			differences = append(differences, max(int(a[y*aStride+x])-int(b[y*bStride+x]), int(b[y*bStride+x])-int(a[y*aStride+x])))
		}
	}
	slices.Sort(differences)
	require.LessOrEqual(t, differences[len(differences)/2], 2, "the median difference of %d samples", len(differences))
}
