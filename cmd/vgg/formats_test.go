package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// formatSamples has one file of each format that the help names.
var formatSamples = []string{"internal/jpeg/testdata/420.jpg", "testdata/p_plain.png", "testdata/g_off_trans.gif", "testdata/b_rle8_1.bmp", "testdata/t_lzw.tif", "testdata/odd.webp"}

// TestFormatsOfBinary runs the command as it is built: this test program would
// register decoders of its own.
func TestFormatsOfBinary(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "vgg.exe")
	out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	data := filepath.Join(dir, "data")
	args := []string{"classify"}
	for _, class := range []string{"airplane", "ship"} {
		require.NoError(t, os.MkdirAll(filepath.Join(data, class), 0o777))
		for _, name := range formatSamples {
			b, err := os.ReadFile(filepath.Join("..", "..", "vgg", "picture", filepath.FromSlash(name)))
			require.NoError(t, err)
			path := filepath.Join(data, class, filepath.Base(name))
			require.NoError(t, os.WriteFile(path, b, 0o666))
			args = append(args, path)
		}
	}
	binary := func(args ...string) string {
		out, err := exec.Command(exe, args...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return string(out)
	}
	require.Equal(t, 60, strings.Count(binary(args...), "%"), "five classes a picture")
	require.Contains(t, binary("eval", "--data", data), "12 pictures (0 unreadable)")
	require.Contains(t, binary("train", "--data", data, "-o", filepath.Join(dir, "w.safetensors"), "--net", "8 M F2", "--size", "8",
		"--epochs", "1", "--batch", "4", "--validation", "0.4", "--threads", "1"), "epoch 1:")
}
