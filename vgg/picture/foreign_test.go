package picture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForeign: what is no picture of a format that is read is called what it is.
func TestForeign(t *testing.T) {
	for _, c := range []struct{ file, says string }{
		{"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC is not read; to convert it: heif-convert"},
		{"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00", "HEIC is not read"},
		{"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "AVIF is not read; to convert it: avifdec"},
		{"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01", "camera raw (CR3) is not read"},
		{"II*\x00\x10\x00\x00\x00CR\x02\x00", "camera raw (CR2) is not read"},
		{"FUJIFILMCCD-RAW 0201", "camera raw is not read"},
		{"\xff\x0a\xfa\x1f", "JPEG XL is not read; to convert it: djxl"},
		{"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL is not read"},
		{"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000 is not read; to convert it: opj_decompress"},
		{"%PDF-1.7\n", "PDF is not read; to convert it: pdftoppm"},
		{`<svg xmlns="http://www.w3.org/2000/svg">`, "SVG is not read; to convert it: rsvg-convert"},
		{"<?xml version=\"1.0\"?>\n<svg width=\"3\">", "SVG is not read"},
		{"P6\n3 2\n255\n", "PNM is not read"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "a pointer of git-lfs"},
		{"\ufeff\r\n<!DOCTYPE html><title>Sign in</title>", "a page of HTML"},
	} {
		_, err := Decode("a.jpg", strings.NewReader(c.file))
		require.ErrorIs(t, err, ErrFormat)
		require.ErrorContains(t, err, "picture: a.jpg: "+c.says)
	}
}

// TestOpenNoFile: a folder and a device are not read, and waiting for them would not end.
func TestOpenNoFile(t *testing.T) {
	_, err := Open(t.TempDir())
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "is a directory")
	if info, err := os.Stat("/dev/zero"); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Skip("no /dev/zero here")
	}
	_, err = Open("/dev/zero")
	require.ErrorContains(t, err, "/dev/zero is a device")
}

// TestPanorama: a picture beyond the limit is read with a higher one.
func TestPanorama(t *testing.T) {
	file := pngFile(t, draw(letterF))
	path := filepath.Join(t.TempDir(), "f.png")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	_, err := Open(path, MaxPixels(19))
	require.ErrorIs(t, err, ErrSize)
	m, err := Open(path, MaxPixels(20))
	require.NoError(t, err)
	require.Equal(t, 20, m.Bounds().Dx()*m.Bounds().Dy())
}
