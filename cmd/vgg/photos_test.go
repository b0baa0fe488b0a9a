package main

import (
	"compress/gzip"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// photoDir has two pictures, one in a directory below, a text called a picture, and
// files that are none.
func photoDir(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "more"), 0o777))
	writePhoto(t, filepath.Join(dir, "a.png"), 50, 40, color.White)
	writePhoto(t, filepath.Join(dir, "more", "b.PNG"), 50, 40, color.White)
	for _, name := range []string{"notes.txt", ".hidden.png", "bad.jpg"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o666))
	}
	return dir
}

// TestClassifyMany: a bad picture does not keep the others from being read, and is
// told of by line and status.
func TestClassifyMany(t *testing.T) {
	dir := photoDir(t)
	status, out, errs := vggCmd("classify", "--top", "1", dir)
	require.Equal(t, 1, status)
	require.Equal(t, 2, strings.Count(out, "%"), out)
	require.Contains(t, errs, "bad.jpg: no picture in a known format")
	require.Contains(t, errs, "vgg: 1 of 3 pictures could not be classified\n")
	require.Equal(t, 2, strings.Count(errs, "\n"), errs)

	a := filepath.Join(dir, "a.png")
	out = requireOK(t, "classify", "--top", "1", "--json", a, filepath.Join(dir, "[am]*.png"))
	require.Equal(t, 2, strings.Count(out, `a.png"`), out)
	requireFails(t, []string{"no file matches", "x*.png"}, "classify", filepath.Join(dir, "x*.png"))
	requireFails(t, []string{"has no pictures", ".webp"}, "classify", t.TempDir())
	requireFails(t, []string{"--format safetensors, npy, jsonl or csv"}, "features", dir)
	_, _, errs = vggCmd("classify", filepath.Join(dir, "bad.jpg"))
	require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	require.NotContains(t, errs, "unknown format")
}

// TestClassifyInput reads a picture from the standard input.
func TestClassifyInput(t *testing.T) {
	f, err := os.Open(filepath.Join(photoDir(t), "a.png"))
	require.NoError(t, err)
	defer f.Close()
	old := os.Stdin
	defer func() { os.Stdin = old }()
	os.Stdin = f
	require.Contains(t, requireOK(t, "classify", "--top", "1", "-"), "-\n")
	requireFails(t, []string{"standard input", "empty file"}, "features", "-") // it was read
}

// TestMaxPixels: each command that reads pictures has the limit.
func TestMaxPixels(t *testing.T) {
	data := t.TempDir()
	for _, class := range []string{"airplane", "ship"} {
		require.NoError(t, os.Mkdir(filepath.Join(data, class), 0o777))
		for _, name := range []string{"a.png", "b.png"} {
			writePhoto(t, filepath.Join(data, class, name), 50, 40, color.White)
		}
	}
	a := filepath.Join(data, "ship", "a.png")
	for _, command := range []string{"classify", "features"} {
		requireFails(t, []string{"50×40 pixels, the limit is 1999; --max-pixels raises it\n"}, command, a, "--max-pixels", "1999")
		requireOK(t, command, a, "--max-pixels", "2000")
	}
	requireFails(t, []string{"50×40 pixels, the limit is 1999"}, "eval", "--data", data, "--max-pixels", "1999")
	requireFails(t, []string{"50×40 pixels, the limit is 1999"}, "train", "--data", data, "--max-pixels", "1999", "-o", filepath.Join(data, "w.safetensors"),
		"--net", "8 M F2", "--size", "8", "--epochs", "1", "--batch", "2", "--validation", "0.5")
}

// hostileLabels is a network whose labels are escape sequences.
func hostileLabels(t *testing.T) []byte {
	f, err := os.Open(filepath.Join("..", "..", "vgg", "testdata", "hostile", "esc.safetensors.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	return b
}

// TestNamesOnTerminal: a name cannot command a terminal.
func TestNamesOnTerminal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such names")
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "\x1b[31mgood.png"), filepath.Join(dir, "\x1b]0;\x07bad.png")
	writePhoto(t, good, 50, 40, color.White)
	require.NoError(t, os.WriteFile(bad, nil, 0o666))
	_, out, errs := vggCmd("classify", good, bad, filepath.Join(dir, "\u009babsent.png"))
	require.Contains(t, out, `\x1b[31mgood.png`)
	require.Contains(t, errs, `\x1b]0;\abad.png`)
	require.Contains(t, errs, `\u009babsent.png`)
	// The classes of this network are called by escape sequences and an end of line.
	weights := filepath.Join(dir, "esc.safetensors")
	require.NoError(t, os.WriteFile(weights, hostileLabels(t), 0o666))
	labels := requireOK(t, "classify", good, "--weights", weights)
	require.Contains(t, labels, `dog\nINJECTED LINE`)
	for _, text := range []string{out, errs, labels} {
		require.NotContains(t, text, "\x1b")
		require.NotContains(t, text, "\u009b")
	}
}
