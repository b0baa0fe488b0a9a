package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFresh: the files are those that the command writes.
func TestFresh(t *testing.T) {
	root := filepath.Join("..", "..")
	files, err := contents(root)
	require.NoError(t, err)
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.True(t, string(have) == string(want), "%s is not up to date: go run ./internal/notice", name)
	}
	for _, text := range []string{"svgo", "FreeType", "Liberation", "Apache License", "BSD-3-Clause"} {
		require.Contains(t, string(files["NOTICE"]), text)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal(files["sbom.json"], &bom))
	require.Equal(t, "CycloneDX", bom.BOMFormat)
	require.Greater(t, len(bom.Components), 20)
	for _, c := range bom.Components {
		require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@v"), c.PURL)
		require.Contains(t, string(files["NOTICE"]), "\n"+c.Name+" "+c.Version+": ")
	}
}
