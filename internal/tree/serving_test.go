package tree

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuarantees: each guarantee of docs/serving.md names tests that exist.
func TestGuarantees(t *testing.T) {
	text, err := os.ReadFile("../../docs/serving.md")
	require.NoError(t, err)
	tests := map[string]bool{}
	for _, f := range source(t) {
		if !f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				tests[fn.Name.Name] = true
			}
		}
	}
	_, table, ok := strings.Cut(string(text), "| guarantee | test |\n|---|---|\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	n := 0
	for row := range strings.Lines(table) {
		names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(row, -1)
		require.NotEmpty(t, names, row)
		for _, m := range names {
			require.True(t, tests[m[1]], "there is no %s", m[1])
			n++
		}
	}
	require.Greater(t, n, 20)
}
