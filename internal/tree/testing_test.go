package tree

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

var testInPage = regexp.MustCompile("`(Test\\w+)`(?:, `(Test\\w+)`)? in ([a-z][\\w/]*)")

// TestTestsInPages: the tests that docs/testing.md names exist in the packages that it names.
func TestTestsInPages(t *testing.T) {
	root, files, _ := testutil.Documents(t)
	seen := 0
	for _, m := range testInPage.FindAllStringSubmatch(files["docs/testing.md"], -1) {
		dir := filepath.Join(root, filepath.FromSlash(m[3]))
		tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		var all strings.Builder
		for _, file := range tests {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			all.Write(b)
		}
		for _, name := range m[1:3] {
			if name != "" {
				require.Contains(t, all.String(), "func "+name+"(t *testing.T)", "docs/testing.md: %s", m[3])
				seen++
			}
		}
	}
	require.Greater(t, seen, 50)
}
