package browsertest

import (
	_ "embed"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// favicon is what the browser says of the icon that it asks for beside a picture.
const favicon = "status of 404"

//go:embed testdata/texts.js
var texts string

// TestPictures renders each SVG of the repository and holds that no text of it overlaps
// another, is cut, or lies over a bar's end; and that it has a ground of its own.
func TestPictures(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	ctx, url := Open(t, http.FileServer(http.Dir(root)), favicon)
	n := 0
	for _, dir := range []string{"bench/results", "docs"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".svg" {
				return err
			}
			name, err := filepath.Rel(root, path)
			require.NoError(t, err)
			Do(t, ctx, name, chromedp.Navigate(url+"/"+name))
			assert.Empty(t, Eval[[]string](t, ctx, texts), name)
			n++
			return nil
		})
		require.NoError(t, err)
	}
	require.Positive(t, n)
}

// TestPicturesFinds holds that the check above can fail.
func TestPicturesFinds(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{
		"overlaps":      `<rect width="100" height="100" fill="#fff"/><text x="5" y="50">one</text><text x="15" y="52">two</text>`,
		"is cut":        `<rect width="100" height="100" fill="#fff"/><text x="80" y="50">a long text</text>`,
		"has no ground": `<text x="5" y="50">one</text>`,
	} {
		svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">%s</svg>`, body)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".svg"), []byte(svg), 0o666))
	}
	ctx, url := Open(t, http.FileServer(http.Dir(dir)), favicon)
	for _, want := range []string{"overlaps", "is cut", "has no ground"} {
		Do(t, ctx, want, chromedp.Navigate(url+"/"+strings.ReplaceAll(want, " ", "%20")+".svg"))
		found := Eval[[]string](t, ctx, texts)
		require.Len(t, found, 1)
		assert.Contains(t, found[0], want)
	}
}
