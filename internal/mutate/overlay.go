package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An overlay holds files that the go command takes in place of those of the tree.
type overlay struct {
	dir   string            // of the files
	list  string            // the file that tells the go command
	files map[string]string // in dir, by the absolute paths that they stand for
}

// newOverlay replaces files by texts.
func newOverlay(texts map[string]string) (*overlay, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	o := &overlay{dir: dir, list: filepath.Join(dir, "overlay.json"), files: map[string]string{}}
	if err := o.replace(texts); err != nil {
		o.remove()
		return nil, err
	}
	return o, nil
}

// replace replaces more files.
func (o *overlay) replace(texts map[string]string) error {
	for path, text := range texts {
		file := filepath.Join(o.dir, fmt.Sprint(len(o.files), filepath.Ext(path)))
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			return err
		}
		o.files[path] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": o.files})
	if err != nil {
		return err
	}
	return os.WriteFile(o.list, list, 0o666)
}

func (o *overlay) remove() { _ = os.RemoveAll(o.dir) } // it only takes room

// A testRun says which tests run.
type testRun struct {
	dir     string // of the go command, or empty for the present one
	arch    string // GOARCH, or empty for that of this machine
	pkg     string
	pattern string // of the tests' names, or empty for all
}

// emulators run programs for other processors.
var emulators = map[string]string{"arm64": "qemu-aarch64 -cpu cortex-a53"}

// An outcome is what tests say of a change.
type outcome int

const (
	dies outcome = iota
	lives
	doesNotCompile
)

// clockSlack is how much longer than its processor time a test may take by the clock where
// watch holds the bounds: for one that neither sleeps nor works.
const clockSlack = 10

// test runs the short tests of a package. They die if they exceed the bounds of limit.
func (o *overlay) test(run testRun, limit time.Duration) (outcome, error) {
	args := []string{"test", "-short", "-failfast", "-vet=off", "-overlay", o.list}
	if run.pattern != "" {
		args = append(args, "-run", run.pattern)
	}
	through := ""
	if run.arch != "" {
		through = emulators[run.arch]
	}
	if canWatch {
		self, err := os.Executable()
		if err != nil {
			return 0, err
		}
		through = fmt.Sprintf("'%s' -watch %v %s", self, limit, through)
		limit *= clockSlack
	}
	args = append(args, "-timeout", limit.String(), "-exec", through)
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit) // with the compiler
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, run.pkg)...)
	cmd.Dir, cmd.WaitDelay = run.dir, 5*time.Second
	if run.arch != "" {
		cmd.Env = append(cmd.Environ(), "GOARCH="+run.arch)
	}
	out, err := cmd.CombinedOutput()
	switch text := string(out); {
	case err == nil:
		return lives, nil
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return doesNotCompile, nil
	case strings.Contains(text, "FAIL") || ctx.Err() != nil:
		return dies, nil
	default:
		return 0, fmt.Errorf("go test: %w: %s", err, text)
	}
}
