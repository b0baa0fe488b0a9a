package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows every relative link of every document.
func TestLinks(t *testing.T) {
	root, files, _ := testutil.Documents(t)
	n := 0
	for name, text := range files {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(root, path.Join(path.Dir(name), target)))
			require.NoError(t, err, "%s links to %s", name, m[1])
			n++
		}
	}
	require.Greater(t, n, 20)
}

// TestPages: README.md or another page leads to each page below docs.
func TestPages(t *testing.T) {
	_, files, _ := testutil.Documents(t)
	linked := map[string]bool{}
	for name, text := range files {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			linked[path.Join(path.Dir(name), m[1])] = true
		}
	}
	for name := range files {
		if strings.HasPrefix(name, "docs/") {
			require.True(t, linked[name], "nothing links to %s", name)
		}
	}
}

// given are the variables that a fragment of code in a document may use without
// saying where they come from.
const given = `ctx context.Context, m *vgg.Model, img image.Image, weights, bias, logits, input, dst, src []float32`

// packages are what a fragment may use, by their names.
var packages = map[string]string{
	"context": "context", "fmt": "fmt", "image": "image", "os": "os", "log": "log", "errors": "errors",
	"vgg": module + "/vgg", "picture": module + "/vgg/picture", "train": module + "/vgg/train", "evaluate": module + "/vgg/evaluate",
	"conv3x3": module + "/conv3x3", "winograd": module + "/winograd", "gemm": module + "/gemm", "pool": module + "/pool", "act": module + "/act", "fuse": module + "/fuse",
	"layout": module + "/layout", "parallel": module + "/parallel", "pretrained": module + "/vgg/pretrained",
	"gonumblas": module + "/gemm/gonumblas", "blas32": "gonum.org/v1/gonum/blas/blas32",
}

// program makes a fragment of a function's body a whole file.
func program(t *testing.T, b testutil.Block) string {
	t.Helper()
	if strings.HasPrefix(b.Text, "package ") {
		return b.Text
	}
	wrap := func(imports, uses string) string {
		return fmt.Sprintf("package main\n\n%s\nfunc main() {}\n\nfunc fragment(%s) error {\n{\n//line %s:%d\n%s\n%s}\nreturn nil\n}\n", imports, given, b.File, b.Line, b.Text, uses)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", wrap("", ""), parser.SkipObjectResolution)
	require.NoError(t, err, "%s:%d", b.File, b.Line)
	var used, imports []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && packages[x.Name] != "" && !slices.Contains(imports, x.Name) {
				imports = append(imports, x.Name)
			}
		}
		return true
	})
	// What a fragment declares it need not use.
	body := f.Decls[len(f.Decls)-1].(*ast.FuncDecl).Body.List[0].(*ast.BlockStmt)
	for _, s := range body.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, x := range a.Lhs {
				if id := x.(*ast.Ident); id.Name != "_" {
					used = append(used, "_ = "+id.Name)
				}
			}
		}
	}
	text := ""
	for _, name := range imports {
		text += fmt.Sprintf("import %q\n", packages[name])
	}
	if strings.HasSuffix(strings.TrimSpace(b.Text), "return") {
		used = nil
	}
	return wrap(text, strings.Join(used, "\n")+"\n")
}

// overlay puts files into packages ./document0, ./document1 … that exist for the go
// command alone, which then runs in the root of the module.
func overlay(t *testing.T, root string, texts map[string]string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	for name, text := range texts {
		file := filepath.Join(dir, name+".go")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		files[filepath.Join(root, name, "main.go")] = file
		args = append(args, "./"+name)
	}
	list, err := json.Marshal(map[string]any{"Replace": files})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, list, 0o600))
	cmd := exec.Command("go", slices.Insert(args, 1, "-overlay", path)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestCode compiles every block of Go in the documents.
func TestCode(t *testing.T) {
	root, _, blocks := testutil.Documents(t)
	texts := map[string]string{}
	for i, b := range blocks {
		if b.Lang == "go" {
			texts[fmt.Sprint("document", i)] = program(t, b)
		}
	}
	require.Greater(t, len(texts), 5)
	overlay(t, root, texts, "build")
}

// TestReadmeProgram runs the program of README.md on a small network and a picture.
func TestReadmeProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: needs a run without -short")
	}
	root, _, blocks := testutil.Documents(t)
	at := slices.IndexFunc(blocks, func(b testutil.Block) bool { return b.File == "README.md" && b.Lang == "go" })
	require.GreaterOrEqual(t, at, 0)
	dir := t.TempDir()
	exe := filepath.Join(dir, "program.exe")
	overlay(t, root, map[string]string{"document0": blocks[at].Text}, "build", "-o", exe)

	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithSize(32).WithClasses(10)
	weights, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	require.NoError(t, vgg.Save(filepath.Join(dir, "vgg16.safetensors"), cfg, weights, false))
	var photo bytes.Buffer
	require.NoError(t, jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 60, 40)), nil))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "photo.jpg"), photo.Bytes(), 0o600))
	cmd := exec.Command(exe)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `^\[({\d [^}]*0\.\d+} ?){5}\] <nil>\n$`, string(out))
}

// TestGoCommands: what the documents run with go exists: packages, and tests and
// benchmarks by their names. The flags of our own programs are tested beside them.
func TestGoCommands(t *testing.T) {
	root, _, blocks := testutil.Documents(t)
	n := 0
	for _, b := range blocks {
		if b.Lang != "sh" {
			continue
		}
		at := root
		for _, words := range b.Commands() {
			if words[0] == "cd" {
				at = filepath.Join(at, words[1])
			}
			if words[0] != "go" {
				continue
			}
			for _, w := range words {
				if dir, ok := strings.CutPrefix(strings.TrimSuffix(w, "/..."), "./"); ok {
					require.DirExists(t, filepath.Join(at, dir), "%s:%d", b.File, b.Line)
					n++
				}
			}
		}
	}
	require.Greater(t, n, 5)
}
