package tree

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A twin is the Go form of a kernel, and where its body stands.
type twin struct {
	pkg, file, name string
	from            int // line of the body
	to              int
}

// tables returns the packages that have tables of kernels: those with generated assembly.
// internal/peak is none of them, for its kernels compute nothing.
func tables(t *testing.T) (dirs []string) {
	walk(t, func(name string) {
		dir := path.Dir(name)
		if strings.HasSuffix(name, "_gen_amd64.s") && dir != "internal/peak" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	})
	return dirs
}

// twins returns the functions of a package whose names end in Generic. What computes is
// the function that they return, if they return one.
func twins(t *testing.T, dir string) (list []twin) {
	for _, f := range source(t) {
		if f.pkg != dir || f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasSuffix(fn.Name.Name, "Generic") {
				continue
			}
			body := fn.Body
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if lit, ok := n.(*ast.FuncLit); ok {
					body = lit.Body
				}
				return true
			})
			line := func(p token.Pos) int { return f.set.Position(p).Line }
			list = append(list, twin{dir, path.Base(f.path), fn.Name.Name, line(body.Lbrace), line(body.Rbrace)})
		}
	}
	return list
}

// run returns the lines that a go test with these arguments has covered, as
// package/file:line where a block begins.
func run(t *testing.T, args ...string) map[string]bool {
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := exec.Command("go", append([]string{"test", "-coverprofile", profile}, args...)...)
	cmd.Dir, cmd.Env = filepath.FromSlash("../.."), append(os.Environ(), "NONET_ISA=generic")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	f, err := os.Open(profile)
	require.NoError(t, err)
	defer f.Close()
	covered := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line, ok := strings.CutPrefix(s.Text(), "github.com/nonet-go/nonet/")
		if !ok {
			continue // the mode
		}
		var block [6]int // first line.column,last line.column statements count
		place, numbers, _ := strings.Cut(line, ":")
		_, err := fmt.Sscanf(numbers, "%d.%d,%d.%d %d %d", &block[0], &block[1], &block[2], &block[3], &block[4], &block[5])
		require.NoError(t, err, line)
		if block[5] > 0 {
			covered[fmt.Sprintf("%s:%d", place, block[0])] = true
		}
	}
	return covered
}

// in reports whether lines has one inside the twin.
func (w twin) in(lines map[string]bool) bool {
	for line := w.from; line <= w.to; line++ {
		if lines[fmt.Sprintf("%s/%s:%d", w.pkg, w.file, line)] {
			return true
		}
	}
	return false
}

// TestKernelsAreTried: the self-test, a fuzz target and a benchmark run every kernel. All
// of them take the kernels from the tables, whose entries have the same fields for all
// instruction sets; on the portable path the profile of coverage tells what they ran.
func TestKernelsAreTried(t *testing.T) {
	if testing.Short() {
		t.Skip("builds packages with coverage and runs their benchmarks")
	}
	dirs := tables(t)
	require.GreaterOrEqual(t, len(dirs), 8)
	var pkgs []string
	for _, dir := range dirs {
		pkgs = append(pkgs, "./"+dir)
	}
	ways := map[string]map[string]bool{
		"self-test":   run(t, "-run=^TestKernels$", "-coverpkg="+strings.Join(pkgs, ","), "./vgg/check"),
		"fuzz target": run(t, append([]string{"-run=^Fuzz"}, pkgs...)...),
		"benchmark":   benchmarks(t, pkgs),
	}
	for _, dir := range dirs {
		list := twins(t, dir)
		require.NotEmpty(t, list, "%s: no function is named …Generic", dir)
		for _, w := range list {
			for way, lines := range ways {
				if !w.in(lines) {
					t.Errorf("%s.%s: no %s runs it", dir, w.name, way)
				}
			}
		}
	}
}

// benchmarks runs each once: of winograd the smallest layer, since the portable path is slow.
func benchmarks(t *testing.T, pkgs []string) map[string]bool {
	var small []string
	for _, p := range pkgs {
		if p != "./winograd" {
			small = append(small, p)
		}
	}
	once := []string{"-short", "-run=^$", "-benchtime=1x"}
	lines := run(t, append(append(once, "-bench=."), small...)...)
	for line := range run(t, append(once, "-bench=(Gradients|Fixed)/layer=conv5_1", "./winograd")...) {
		lines[line] = true
	}
	return lines
}
