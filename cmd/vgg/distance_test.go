package main

import (
	"encoding/json"
	"image/color"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// twoPhotos are two pictures of 40×40 pixels, and one of 32×40.
func twoPhotos(t *testing.T) (a, b, other string) {
	dir := t.TempDir()
	a, b, other = filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), filepath.Join(dir, "c.png")
	writePhoto(t, a, 40, 40, color.RGBA{80, 130, 220, 255})
	writePhoto(t, b, 40, 40, color.RGBA{90, 120, 200, 255})
	writePhoto(t, other, 32, 40, color.White)
	return a, b, other
}

func TestDistanceCosine(t *testing.T) {
	a, b, other := twoPhotos(t)
	require.Equal(t, "0.000000\n", requireOK(t, "distance", "--metric", "cosine", a, a))
	near, err := strconv.ParseFloat(strings.TrimSpace(requireOK(t, "distance", "--metric", "cosine", a, b)), 64)
	require.NoError(t, err)
	far, err := strconv.ParseFloat(strings.TrimSpace(requireOK(t, "distance", "--metric", "cosine", a, other)), 64)
	require.NoError(t, err)
	require.Less(t, near, far)
	requireFails(t, []string{"nowhere"}, "distance", "--metric", "cosine", "--layer", "nowhere", a, b)
}

func TestDistanceRefusals(t *testing.T) {
	a, b, _ := twoPhotos(t)
	requireFails(t, []string{"--weights", "--linear", "lpips_vgg.pth", "cosine"}, "distance", a, b)
	requireFails(t, []string{"dists_weights.pt"}, "distance", "--metric", "dists", a, b)
	requireFails(t, []string{"--layer goes with --metric cosine"}, "distance", "--layer", "conv1_1", a, b)
	requireFails(t, []string{"--linear goes with"}, "distance", "--metric", "cosine", "--linear", "x.pth", a, b)
	requireFails(t, []string{"both pictures are the standard input"}, "distance", "--metric", "cosine", "-", "-")
	requireMisused(t, []string{"metric"}, "distance", "--metric", "ssim", a, b)
}

// TestDistancePerceptual: both metrics with random weights, and what they refuse.
func TestDistancePerceptual(t *testing.T) {
	a, b, other := twoPhotos(t)
	for metric, file := range map[string]string{"lpips": "lpips_vgg.pth", "dists": "dists_weights.pt"} {
		args := []string{"distance", "--metric", metric, "--config", "D", "--linear", testutil.Shared(t, "data", "perceptual", file), "--json"}
		var r distance
		require.NoError(t, json.Unmarshal([]byte(requireOK(t, append(args, a, b)...)), &r))
		require.Greater(t, r.Distance, 0.0)
		total := 0.0
		for _, v := range r.Parts {
			total += v
		}
		require.Equal(t, r.Distance, total)
		requireFails(t, []string{"40×40 and 32×40", "--resize"}, append(args, a, other)...)
		requireOK(t, append(args, a, other, "--resize", "32x48")...)
	}
	requireFails(t, []string{"configuration D"}, "distance", "--config", "A", "--divide", "8", "--linear", testutil.Shared(t, "data", "perceptual", "lpips_vgg.pth"), a, b)
}
