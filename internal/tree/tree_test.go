// Package tree tests what holds for the source as a whole: which package may
// import which, what may be read from the machine, and that the lists of continuous
// integration are complete. It has no code of its own.
package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/nonet-go/nonet"

// levels lists folders from the bottom to the top. A package belongs to the
// longest entry that is its path or a folder above it, and imports nothing from a
// higher level.
var levels = [][]string{
	{"internal", "fuse", "vgg/labels", "vgg/picture", "vgg/weights"},
	{"layout", "parallel"},
	{"gemm", "vgg/internal/netfile"},
	{"winograd"},
	{"act", "pool"},
	{"conv3x3"},
	{"vgg/internal/netfile"},
	{"vgg"},
	{"vgg/"}, // the other packages below
	{"serve/batch", "serve/oip"},
	{"serve"},
	{"bench", "cmd"},
	{"asm"},
}

// level returns the place of a package in levels.
func level(pkg string) (at int, ok bool) {
	longest := -1
	for i, folders := range levels {
		for _, f := range folders {
			below := strings.TrimSuffix(f, "/") + "/"
			if (pkg == f || strings.HasPrefix(pkg, below)) && len(f) > longest {
				at, longest = i, len(f)
			}
		}
	}
	return at, longest >= 0
}

// file is a parsed source file.
type file struct {
	path, pkg string // from the root of the module
	test      bool
	set       *token.FileSet
	ast       *ast.File
}

// source parses all files of the module, for every system and tag.
func source(t *testing.T) (files []file) {
	t.Helper()
	set := token.NewFileSet()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		f, err := parser.ParseFile(set, filepath.Join("../..", name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), set, f})
	})
	require.Greater(t, len(files), 100, "the walk has missed the module")
	return files
}

// walk calls f with each file of the module, but for hidden folders, test data
// and nested modules.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			f(name)
			return nil
		}
		_, nested := fs.Stat(root, path.Join(name, "go.mod"))
		if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || nested == nil) {
			return fs.SkipDir
		}
		return nil
	})
	require.NoError(t, err)
}

func (f file) imports() (list []string) {
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		list = append(list, p)
	}
	return list
}

// TestImports holds the direction of imports: cmd/vgg → vgg → conv3x3, pool →
// winograd → gemm → internal. References stand on nothing of ours, and no program
// that runs has references, tests or generators inside.
func TestImports(t *testing.T) {
	for _, f := range source(t) {
		if f.test {
			continue
		}
		from, ok := level(f.pkg)
		require.True(t, ok, "%s: its folder has no place in the order of imports", f.path)
		for _, imported := range f.imports() {
			pkg, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			to, ok := level(pkg)
			switch {
			case !ok || to > from:
				t.Errorf("%s imports %s, which stands above it", f.path, pkg)
			case f.pkg == "internal/ref":
				t.Errorf("%s imports %s: references stand on nothing that they are to test", f.path, pkg)
			case pkg == "internal/testutil" || pkg == "internal/browsertest":
				t.Errorf("%s imports %s, which is for tests", f.path, pkg)
			case pkg == "asm" || strings.HasPrefix(pkg, "asm/") && f.pkg != "asm":
				t.Errorf("%s imports %s, a generator", f.path, pkg)
			case pkg == "internal/ref" && from < programs(t):
				if f.pkg != "vgg/check" {
					t.Errorf("%s imports the references", f.path)
				}
			}
		}
	}
}

// programs returns the level of programs.
func programs(t *testing.T) int {
	at, ok := level("cmd/vgg")
	require.True(t, ok)
	return at
}

// TestDependencies: at run time the libraries stand on the standard library,
// golang.org/x/sys and, for pictures, golang.org/x/image; and nothing is cgo. A server
// stands on what speaks its protocols.
func TestDependencies(t *testing.T) {
	extra := map[string][]string{ // adapters and tools, by package
		"gemm/gonumblas":       {"gonum.org/v1/gonum/"},
		"vgg/extract/parquet":  {"github.com/parquet-go/parquet-go"},
		"vgg/style":            {"gonum.org/v1/gonum/"},
		"internal/browsertest": {"github.com/chromedp/", "github.com/stretchr/testify/"},
		"internal/chart":       {"gonum.org/v1/plot"},
		"serve":                {"github.com/prometheus/client_golang/", "connectrpc.com/connect"},
	}
	for _, f := range source(t) {
		at, _ := level(f.pkg)
		for _, imported := range f.imports() {
			require.NotEqual(t, "C", imported, "%s: cgo", f.path)
			first, _, _ := strings.Cut(imported, "/")
			if f.test || at >= programs(t) || strings.HasPrefix(f.pkg, "serve/") || !strings.Contains(first, ".") || strings.HasPrefix(imported, module+"/") {
				continue
			}
			allowed := slices.ContainsFunc(extra[f.pkg], func(prefix string) bool { return strings.HasPrefix(imported, prefix) })
			switch {
			case strings.HasPrefix(imported, "golang.org/x/sys/"):
			case strings.HasPrefix(imported, "golang.org/x/image/") && strings.HasPrefix(f.pkg, "vgg/picture"):
			case allowed:
			default:
				t.Errorf("%s imports %s", f.path, imported)
			}
		}
	}
}

// TestMachine: libraries read one variable of the environment and no number of
// processors but GOMAXPROCS, which the Go runtime sets from a container's limit.
func TestMachine(t *testing.T) {
	allowed := map[string][]string{
		"os.Getenv":      {"internal/cpu/cpu.go", "internal/browsertest/browsertest.go", "internal/testutil/python.go", "internal/testutil/shared.go"},
		"runtime.NumCPU": {"cmd/vgg/selftest.go", "bench/compare/report.go"}, // to tell
	}
	banned := []string{"os.Getenv", "os.LookupEnv", "os.Environ", "runtime.NumCPU", "runtime.LockOSThread", "debug.SetGCPercent", "debug.SetMemoryLimit"}
	for _, f := range source(t) {
		at, _ := level(f.pkg)
		if f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			call := x.Name + "." + s.Sel.Name
			program := at >= programs(t) && call != "runtime.NumCPU"
			if slices.Contains(banned, call) && !program && !slices.Contains(allowed[call], f.path) {
				t.Errorf("%s: %s", f.path, call)
			}
			return true
		})
	}
}

// TestAssembly: every file of assembly comes from a generator.
func TestAssembly(t *testing.T) {
	n := 0
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".s") {
			return
		}
		n++
		text, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		if !strings.HasPrefix(string(text), "// Code generated by command: go run ./asm. DO NOT EDIT.\n") || !strings.Contains(name, "_gen_") {
			t.Errorf("%s is not generated", name)
		}
	})
	require.Greater(t, n, 10)
}

// TestWorkflow: the workflow runs .ci/run, and both run what the README promises.
func TestWorkflow(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		return string(text)
	}
	workflow, ci := read(".github/workflows/ci.yml"), read(".ci/run")
	require.Contains(t, workflow, "- run: .ci/run\n")
	_, block, ok := strings.Cut(read("README.md"), "## Two commands\n\n```sh\n")
	require.True(t, ok, "the README's two commands")
	block, _, _ = strings.Cut(block, "```")
	commands := 0
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "#")
		command = strings.TrimSpace(command)
		require.Contains(t, workflow, "- run: "+command+"\n")
		require.Contains(t, ci, "\n"+command+"\n")
		commands++
	}
	require.Equal(t, 2, commands)
	require.Contains(t, read(".github/ISSUE_TEMPLATE/fault.yml"), "vgg selftest")
	uses := regexp.MustCompile(`uses: (\S+)`).FindAllStringSubmatch(workflow, -1)
	require.NotEmpty(t, uses)
	for _, u := range uses { // a tag can be moved
		require.Regexp(t, `@[0-9a-f]{40}$`, u[1])
	}
}
