package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/serve/page"
)

// pageCmd writes the page of vgg serve as files that any web server can serve.
type pageCmd struct {
	Out       string `short:"o" required:"" placeholder:"DIR" help:"Directory for the files. It is made if it is not there."`
	Overwrite bool   `help:"Replace files of the same names in a directory that is not empty."`
}

const (
	modulePath  = "github.com/nonet-go/nonet"
	wasmPackage = modulePath + "/serve/page/wasm"
)

func (c *pageCmd) Run(ctx context.Context, s streams) error {
	entries, err := os.ReadDir(c.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !c.Overwrite {
		return fmt.Errorf("%s is not empty; --overwrite replaces the files of the page in it", c.Out)
	}
	work, err := os.MkdirTemp("", "vgg-page-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	fmt.Fprintln(s.err, "Compiling the network to WebAssembly; the first time takes a minute.")
	files := page.Static()
	if err := compilePage(ctx, work, files); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o777); err != nil {
		return err
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		total += len(files[name])
		if err := outfile.Write(filepath.Join(c.Out, name), func(w io.Writer) error {
			_, err := w.Write(files[name])
			return err
		}); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "%s: %d files, %.1f MB. Serve the directory with any web server, for example: python3 -m http.server -d %s\n",
		c.Out, len(files), float64(total)/1e6, c.Out)
	return err
}

// compilePage adds vgg.wasm and wasm_exec.js, both of the Go that is installed, to files.
func compilePage(ctx context.Context, work string, files map[string][]byte) error {
	dir, err := moduleDir(ctx, work)
	if err != nil {
		return err
	}
	wasm := filepath.Join(work, "vgg.wasm")
	if _, err := runGo(ctx, dir, "build", "-trimpath", "-ldflags=-s -w", "-o", wasm, wasmPackage); err != nil {
		return err
	}
	root, err := runGo(ctx, dir, "env", "GOROOT")
	if err != nil {
		return err
	}
	for name, path := range map[string]string{"vgg.wasm": wasm, "wasm_exec.js": filepath.Join(root, "lib", "wasm", "wasm_exec.js")} {
		if files[name], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	return nil
}

// moduleDir returns a directory in which the go command finds this module: the current
// one, or else a new module in work that requires the version of this program.
func moduleDir(ctx context.Context, work string) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("the page is compiled by Go, and there is no go command: %w", err)
	}
	if _, err := runGo(ctx, ".", "list", "-f", "{{.Dir}}", modulePath+"/serve/page"); err == nil {
		return ".", nil
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || !strings.HasPrefix(info.Main.Version, "v") || strings.Contains(info.Main.Version, "dirty") {
		return "", errors.New("this vgg is no released version: run it in a checkout of " + modulePath + " or in a module that requires it")
	}
	if _, err := runGo(ctx, work, "mod", "init", "page"); err != nil {
		return "", err
	}
	_, err := runGo(ctx, work, "get", wasmPackage+"@"+info.Main.Version)
	return work, err
}

// runGo runs the go command for WebAssembly and returns what it prints. Its complaints
// are the error.
func runGo(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(complaints.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
