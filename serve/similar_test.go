package serve

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/similar"
)

// TestSimilar: the nearest pictures of an index, the picture itself first.
func TestSimilar(t *testing.T) {
	dir := t.TempDir()
	for i := range 6 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), photo(i, 40+i, 50), 0o666))
	}
	m, err := small(t.Context())
	require.NoError(t, err)
	d, err := extract.Open(dir)
	require.NoError(t, err)
	index := filepath.Join(t.TempDir(), "index")
	_, err = similar.Build(t.Context(), index, m, d, similar.Options{Network: "n"})
	require.NoError(t, err)
	require.NoError(t, d.Close())
	x, err := similar.Open(index, 1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	c := &Collection{Index: x, Name: dir}
	s := serveTest(t, []Source{{Name: "indexed", Open: small, Similar: func(*vgg.Model) (*Collection, error) { return c, nil }}})

	got := s.json(200, "POST", "/v1/similar?model=indexed&top=3", photo(4, 44, 50))["neighbours"].([]any)
	require.Len(t, got, 3)
	last := 2.0
	for _, n := range got {
		n := n.(map[string]any)
		require.LessOrEqual(t, n["similarity"].(float64), last)
		last = n["similarity"].(float64)
		jpeg, ok := strings.CutPrefix(n["thumbnail"].(string), "data:image/jpeg;base64,")
		require.True(t, ok)
		b, err := base64.StdEncoding.DecodeString(jpeg)
		require.NoError(t, err)
		require.Equal(t, "\xff\xd8", string(b[:2]))
	}
	first := got[0].(map[string]any)
	require.Equal(t, "4.png", filepath.Base(first["name"].(string)))
	require.InDelta(t, 1, first["similarity"], 1e-6)
	require.NotContains(t, first["name"], dir, "no path of the disk")

	require.NoError(t, os.Remove(filepath.Join(dir, "4.png")))
	gone := s.json(200, "POST", "/v1/similar?model=indexed&top=1", photo(4, 44, 50))["neighbours"].([]any)
	require.NotContains(t, gone[0], "thumbnail")

	s.refused(404, "no index", "POST", "/v1/similar?model=small", photo(4, 44, 50))
	s.refused(400, "from 1 to 100", "POST", "/v1/similar?model=indexed&top=101", photo(4, 44, 50))
	s.refused(400, "picture", "POST", "/v1/similar?model=indexed", []byte("no picture"))
}

// TestOtherIndex: an index of embeddings of another length is refused when it is loaded.
func TestOtherIndex(t *testing.T) {
	s, err := New([]Source{{Name: "small", Open: small, Similar: func(*vgg.Model) (*Collection, error) {
		return &Collection{Index: &similar.Index{Layer: "conv1_1", Dim: 3}}, nil
	}}})
	require.NoError(t, err)
	require.ErrorIs(t, s.Load(t.Context()), vgg.ErrShape)
}
