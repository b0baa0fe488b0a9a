package main

import (
	"encoding/json"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// similarFolder has four pictures, two of which are the same, and one that is none.
func similarFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "photos")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a"), 0o700))
	for name, c := range map[string]color.Color{"blue.png": color.RGBA{B: 250, A: 255}, "red.png": color.RGBA{R: 250, A: 255},
		filepath.Join("a", "red.png"): color.RGBA{R: 250, A: 255}, filepath.Join("a", "white.png"): color.White} {
		writePhoto(t, filepath.Join(dir, name), 40, 30, c)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.jpg"), []byte("text"), 0o600))
	return dir
}

func TestSimilar(t *testing.T) {
	dir := similarFolder(t)
	photo, html := filepath.Join(dir, "red.png"), filepath.Join(t.TempDir(), "page.html")
	status, out, errs := vggCmd("similar", dir, photo, "-n", "2", "--html", html)
	require.Zero(t, status, errs)
	require.Contains(t, errs, "bad.jpg")
	require.Contains(t, errs, "5 pictures (1 failed)")
	require.Equal(t, []string{photo, "  1.0000  a/red.png", "  1.0000  red.png"}, strings.Split(strings.TrimSpace(out), "\n"))
	page, err := os.ReadFile(html)
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(string(page), `src="data:image/jpeg;base64,`))

	// The index is there; pairs.
	status, out, errs = vggCmd("similar", dir, "--threshold", "0.9999", "--json", "--thumbnails", "16", "--same-class")
	require.Zero(t, status, errs)
	require.Contains(t, errs, "of 4 pictures have their nearest neighbour")
	require.NotContains(t, errs, "failed")
	var m matches
	require.NoError(t, json.Unmarshal([]byte(out), &m))
	require.Equal(t, "a/red.png", m.Picture)
	require.Equal(t, "red.png", m.Similar[0].Path)
	require.Contains(t, m.Similar[0].Thumbnail, "data:image/jpeg")

	// Another picture: the index is of others.
	writePhoto(t, filepath.Join(dir, "green.png"), 40, 30, color.RGBA{G: 250, A: 255})
	requireFails(t, []string{"--rebuild replaces it"}, "similar", dir, photo)
	requireOK(t, "similar", dir, photo, "--rebuild", "--half", "--html", html)
	requireFails(t, []string{"precision", "--rebuild"}, "similar", dir, photo)
	requireOK(t, "similar", dir, photo, "--half", "--threads", "1")
	requireFails(t, []string{"no such file"}, "similar", filepath.Join(dir, "absent"))
	requireFails(t, []string{"is an input as well"}, "similar", dir, photo, "--index", photo)
}
