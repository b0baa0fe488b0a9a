package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// TestDocuments parses every call of vgg in the documents, with files in the place
// of those that they name.
func TestDocuments(t *testing.T) {
	_, _, blocks := testutil.Documents(t)
	t.Chdir(t.TempDir())
	n := 0
	for _, b := range blocks {
		if b.Lang != "sh" {
			continue
		}
		for _, words := range b.Commands() {
			at := slices.Index(words, "./cmd/vgg")
			switch {
			case words[0] == "vgg":
				at = 0
			case words[0] != "go" || words[1] != "run" || at < 0:
				continue
			}
			args := words[at+1:]
			for _, a := range args {
				if strings.Contains(a, ".") && !strings.Contains(a, "/") {
					require.NoError(t, os.WriteFile(a, nil, 0o600))
				}
			}
			parser, err := kong.New(&cli{}, kong.Name("vgg"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
			require.NoError(t, err)
			_, err = parser.Parse(args)
			require.NoError(t, err, "%s:%d: %q", b.File, b.Line, words)
			n++
		}
	}
	require.Greater(t, n, 8)
}
