package main

import (
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/picture"
)

// styleArgs makes a small picture by the embedded network.
func styleArgs(t *testing.T, dir string) []string {
	t.Helper()
	a, b := filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png")
	writePhoto(t, a, 48, 32, color.RGBA{80, 130, 220, 255})
	writePhoto(t, b, 40, 40, color.RGBA{220, 60, 20, 255})
	return []string{"style", a, b, "--style-layers", "conv1_1,conv2_1", "--content-layers", "conv3_1:0.1"}
}

func TestStyle(t *testing.T) {
	dir := t.TempDir()
	args := styleArgs(t, dir)
	out, preview := filepath.Join(dir, "o.png"), filepath.Join(dir, "preview.jpg")
	lines := requireOK(t, append(args, "-o", out, "--iterations", "4", "--preview", preview, "--every", "2", "--json")...)
	require.Equal(t, 4, strings.Count(lines, `"loss":`))
	for _, path := range []string{out, preview} {
		img, err := picture.Open(path)
		require.NoError(t, err)
		require.Equal(t, 48, img.Bounds().Dx())
	}
	require.ElementsMatch(t, []string{"a.png", "b.png", "o.png", "preview.jpg"}, names(t, dir))

	small := filepath.Join(dir, "small.png")
	requireOK(t, "style", args[1], "--invert", "conv2_1", "-o", small, "--iterations", "2", "--longer", "24", "--method", "adam")
	img, err := picture.Open(small)
	require.NoError(t, err)
	require.Equal(t, 16, img.Bounds().Dy())
	requireOK(t, "style", "", args[2], "--style-layers", "conv1_1", "-o", small, "--iterations", "2")
}

func TestStyleRefusals(t *testing.T) {
	dir := t.TempDir()
	args := styleArgs(t, dir)
	out := filepath.Join(dir, "o.png")
	requireFails(t, []string{"--invert LAYER takes one"}, "style", args[1], "-o", out)
	requireFails(t, []string{"--invert takes one picture"}, append(args, "--invert", "conv1_1", "-o", out)...)
	requireFails(t, []string{".png or .jpg"}, append(args, "-o", filepath.Join(dir, "o.tif"))...)
	requireFails(t, []string{"input as well"}, append(args, "-o", args[1])...)
	requireFails(t, []string{"conv9_1"}, append(args[:3:3], "--style-layers", "conv9_1", "-o", out)...)
	requireFails(t, []string{"exclude each other"}, append(args, "-o", out, "--resume", "--overwrite")...)
	require.NoError(t, os.WriteFile(out+".checkpoint", []byte("x"), 0o600))
	requireFails(t, []string{"--resume goes on with it, --overwrite"}, append(args, "-o", out)...)
	requireOK(t, append(args, "-o", out, "--overwrite", "--iterations", "1")...)
}

// TestStyleKill: a transfer that is killed and one that is stopped go on to the same bits.
func TestStyleKill(t *testing.T) {
	want := min(killCount(t), 5)
	dir := t.TempDir()
	args := append(styleArgs(t, dir), "--iterations", "40", "--save", "0s")
	calm, out := filepath.Join(dir, "calm.png"), filepath.Join(dir, "o.png")
	begin := time.Now()
	requireOK(t, append(args, "-o", calm)...)
	takes := time.Since(begin)
	exe, err := os.Executable()
	require.NoError(t, err)
	for stopped := 0; stopped < want; {
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
			cmd := exec.Command(exe, append(args, "-o", out, "--resume")...)
			cmd.Env = append(os.Environ(), asCommand+"=1")
			require.NoError(t, cmd.Start())
			time.Sleep(takes / time.Duration(2*want))
			_ = cmd.Process.Signal(sig) // it may have ended
			if cmd.Wait() != nil {
				stopped++
				continue
			}
			require.Equal(t, readFile(t, calm), readFile(t, out))
			require.NoError(t, os.Remove(out)) // and begin again
			require.NoError(t, os.Remove(out+".checkpoint"))
		}
	}
	requireOK(t, append(args, "-o", out, "--resume")...)
	require.Equal(t, readFile(t, calm), readFile(t, out))
}
