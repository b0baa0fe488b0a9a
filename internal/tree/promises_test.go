package tree

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// declared returns the names that each package declares: functions, methods, types,
// fields, variables and constants. The key "" has those of all packages.
func declared(t *testing.T) map[string]map[string]bool {
	t.Helper()
	names := map[string]map[string]bool{"": {}}
	for _, f := range source(t) {
		pkg := path.Base(f.pkg)
		if names[pkg] == nil {
			names[pkg] = map[string]bool{}
		}
		add := func(id *ast.Ident) { names[pkg][id.Name], names[""][id.Name] = true, true }
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				add(n.Name)
			case *ast.TypeSpec:
				add(n.Name)
			case *ast.ValueSpec:
				for _, id := range n.Names {
					add(id)
				}
			case *ast.Field:
				for _, id := range n.Names {
					add(id)
				}
			}
			return true
		})
	}
	return names
}

var (
	quoted    = regexp.MustCompile("`([^`\n]+)`")
	qualified = regexp.MustCompile(`^([a-z]\w*)\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?(?:\(.*\))?$`)
	kernel    = regexp.MustCompile(`\b[a-z]\w*(?:AVX2|AVX512|NEON|Generic)\b`)
	sourceRef = regexp.MustCompile(`(?:^|[\s(])((?:asm|bench|cmd|conv3x3|docs|gemm|internal|layout|parallel|pool|vgg|winograd|\.ci)/[\w./*-]*\w)`)
)

// pages calls f with every page that describes the present code, without its blocks of code.
func pages(t *testing.T, f func(name, text string)) {
	t.Helper()
	_, files, _ := testutil.Documents(t)
	fence := regexp.MustCompile("(?s)```.*?```")
	n := 0
	for name, text := range files {
		if name == "CHANGELOG.md" || name == "NOTE.md" || strings.HasPrefix(name, "bench/results/") {
			continue
		}
		f(name, fence.ReplaceAllString(text, ""))
		n++
	}
	require.Greater(t, n, 10)
}

// TestNamesInPages: what the pages call by a package and a name is declared there, and the
// kernels that they name exist.
func TestNamesInPages(t *testing.T) {
	names, seen := declared(t), 0
	pages(t, func(page, text string) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			q := qualified.FindStringSubmatch(m[1])
			if q == nil || names[q[1]] == nil || files[q[2]] {
				continue
			}
			seen++
			if !names[q[1]][q[2]] || q[3] != "" && !names[q[1]][q[3]] {
				t.Errorf("%s: `%s` is not declared", page, m[1])
			}
		}
		for _, k := range kernel.FindAllString(text, -1) {
			seen++
			if !names[""][k] {
				t.Errorf("%s: there is no kernel %s", page, k)
			}
		}
	})
	require.Greater(t, seen, 40)
}

// files are endings of names of files, which look like names in a package.
var files = map[string]bool{"go": true, "s": true, "json": true, "md": true, "safetensors": true, "pth": true, "bin": true}

// TestFilesInPages: the files and folders that the pages name exist.
func TestFilesInPages(t *testing.T) {
	seen := 0
	pages(t, func(page, text string) {
		for _, m := range sourceRef.FindAllStringSubmatch(strings.ReplaceAll(text, "`", " "), -1) {
			seen++
			found, err := filepath.Glob(filepath.Join("../..", m[1]))
			require.NoError(t, err)
			if _, err := os.Stat(filepath.Join("../..", path.Dir(page), m[1])); len(found) == 0 && err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	})
	require.Greater(t, seen, 40)
}
