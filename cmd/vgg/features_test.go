package main

import (
	"archive/tar"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/weights"
)

// featureRow is a line of features in jsonl.
type featureRow struct {
	Path string
	FC5  []float32 `json:"embedding"`
	Pool []float32 `json:"pool1"`
}

// TestFeaturesMany: a directory and pictures in one run, in each format.
func TestFeaturesMany(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	a, b := filepath.Join(dir, "d", "a.png"), filepath.Join(dir, "b.png")
	writePhoto(t, a, 40, 30, color.RGBA{B: 200, A: 255})
	writePhoto(t, b, 40, 30, color.RGBA{R: 200, A: 255})
	flags := []string{"--layer", "embedding,pool1", "--pool", "max", "--normalize"}
	with := func(more ...string) []string {
		return append(append([]string{"features", filepath.Join(dir, "d"), b}, flags...), more...)
	}

	var rows []featureRow
	for _, line := range strings.Split(strings.TrimSpace(requireOK(t, with("--format", "jsonl")...)), "\n") {
		var r featureRow
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		rows = append(rows, r)
	}
	require.Len(t, rows, 2)
	require.Equal(t, []string{a, b}, []string{rows[0].Path, rows[1].Path})
	require.Len(t, rows[0].Pool, 64)

	// One picture gives the same.
	one := filepath.Join(dir, "one.safetensors")
	requireOK(t, append(append([]string{"features", a}, flags...), "-o", one)...)
	f, err := weights.Open(one)
	require.NoError(t, err)
	defer f.Close()
	for name, want := range map[string][]float32{"embedding": rows[0].FC5, "pool1": rows[0].Pool} {
		x, err := f.Tensor(name)
		require.NoError(t, err)
		got := make([]float32, x.Len())
		require.NoError(t, x.Float32s(got))
		require.Equal(t, want, got)
	}

	table, err := csv.NewReader(strings.NewReader(requireOK(t, with("--format", "csv")...))).ReadAll()
	require.NoError(t, err)
	require.Len(t, table, 3)
	require.Equal(t, "embedding.0", table[0][1])
	require.Equal(t, a, table[1][0])

	out := filepath.Join(dir, "all.safetensors")
	requireOK(t, with("-o", out)...)
	g, err := weights.Open(out)
	require.NoError(t, err)
	defer g.Close()
	_, shape, err := g.Info("pool1")
	require.NoError(t, err)
	require.Equal(t, []int{2, 64}, shape)
	requireOK(t, with("-o", filepath.Join(dir, "x.npy"))...)
	require.FileExists(t, filepath.Join(dir, "x.embedding.npy"))
	require.FileExists(t, filepath.Join(dir, "x.pool1.npy"))
	require.NoDirExists(t, out+".part")
	requireFails(t, []string{"--format safetensors, npy, jsonl or csv"}, with()...)
	requireFails(t, []string{"--format npy takes -o"}, with("--format", "npy")...)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "d", "bad.png"), []byte("text"), 0o600))
	requireFails(t, []string{"bad.png", "1 of 3 pictures could not be read"}, with("--json")...)
}

// TestFeaturesTar reads a tar file.
func TestFeaturesTar(t *testing.T) {
	dir := t.TempDir()
	photo, path := filepath.Join(dir, "p.png"), filepath.Join(dir, "photos.tar")
	writePhoto(t, photo, 40, 30, color.RGBA{B: 200, A: 255})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	data := readFile(t, photo)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "p.png", Mode: 0o600, Size: int64(len(data))}))
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	require.Contains(t, requireOK(t, "features", path, "--json"), `"path":"p.png"`)
	requireFails(t, []string{"a tar file comes alone"}, "features", path, photo, "--json")
}
