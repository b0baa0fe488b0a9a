package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPage writes the page, and keeps what is in a directory.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "index.html")
	require.NoError(t, os.WriteFile(other, []byte("mine"), 0o666))
	requireFails(t, []string{"is not empty", "--overwrite"}, "page", "-o", dir)
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
	if testing.Short() {
		t.Skip("compiles the network to WebAssembly")
	}
	out := filepath.Join(dir, "new", "page")
	requireOK(t, "page", "-o", out)
	for _, name := range []string{"index.html", "page.js", "engine.js", "maps.js", "worker.js", "style.css", "icon.svg", "vgg.wasm", "wasm_exec.js"} {
		require.FileExists(t, filepath.Join(out, name))
	}
	wasm, err := os.ReadFile(filepath.Join(out, "vgg.wasm"))
	require.NoError(t, err)
	require.Equal(t, "\x00asm", string(wasm[:4]))
}
