package main

import (
	"encoding/json"
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/picture"
)

// TestExplainMethods: each method writes a picture of what the embedded network sees.
func TestExplainMethods(t *testing.T) {
	dir := t.TempDir()
	photo := filepath.Join(dir, "p.png")
	writePhoto(t, photo, 80, 60, color.RGBA{80, 130, 220, 255})
	for _, method := range []string{"gradcam", "saliency", "guided", "occlusion"} {
		out := filepath.Join(dir, method+".png")
		require.Contains(t, requireOK(t, "explain", photo, "--method", method, "--class", "Ship", "-o", out), method+" of ship, ")
		img, err := picture.Open(out)
		require.NoError(t, err)
		require.Equal(t, 224, img.Bounds().Dx())
	}
	var r struct {
		Class  int
		Label  string
		Output string
	}
	jpg := filepath.Join(dir, "a.JPG")
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "explain", photo, "--class", "3", "-o", jpg, "--json")), &r))
	require.Equal(t, 3, r.Class)
	require.Equal(t, "cat", r.Label)
	_, err := picture.Open(jpg)
	require.NoError(t, err)
	requireOK(t, "explain", photo, "--method", "occlusion", "--patch", "16", "-o", jpg)
	requireOK(t, "explain", photo, "--layer", "conv3_1", "-o", jpg)
}

func TestExplainRefusals(t *testing.T) {
	dir := t.TempDir()
	photo, out := filepath.Join(dir, "p.png"), filepath.Join(dir, "o.png")
	writePhoto(t, photo, 80, 60, color.White)
	requireFails(t, []string{".png or .jpg"}, "explain", photo, "-o", filepath.Join(dir, "o.gif"))
	requireFails(t, []string{"input as well"}, "explain", photo, "-o", photo)
	requireFails(t, []string{"classes 0 to 9"}, "explain", photo, "-o", out, "--class", "10")
	requireFails(t, []string{"no class has this label"}, "explain", photo, "-o", out, "--class", "zebra")
	requireFails(t, []string{"a layer goes with gradcam"}, "explain", photo, "-o", out, "--method", "saliency", "--layer", "conv1_1")
	requireFails(t, []string{"a square of 33 pixels"}, "explain", photo, "-o", out, "--method", "occlusion", "--patch", "33")
	requireMisused(t, []string{"method"}, "explain", photo, "-o", out, "--method", "lime")
	_, err := os.Stat(out)
	require.ErrorIs(t, err, os.ErrNotExist)
}
