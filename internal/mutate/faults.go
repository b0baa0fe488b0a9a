package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A fault is a change that somebody has thought of, with the test that finds it.
type fault struct {
	name    string
	file    string // from the root of the module
	was, is string // was stands once in the file
	arch    string // GOARCH of the test, or empty for that of this machine
	pkg     string // of the test: ./vgg
	test    string // its name
}

//go:embed faults.txt
var faultsText string

// readFaults returns the faults of faults.txt.
func readFaults(text string) ([]fault, error) {
	var faults []fault
	for block := range strings.SplitSeq(text, "\n\n") {
		var f fault
		var was, is []string
		for line := range strings.SplitSeq(strings.Trim(block, "\n"), "\n") {
			key, value, _ := strings.Cut(line, ": ")
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '-':
				was = append(was, line[1:])
			case line[0] == '+':
				is = append(is, line[1:])
			case key == "fault":
				f.name = value
			case key == "file":
				f.file = value
			case key == "arch":
				f.arch = value
			case key == "test":
				f.pkg, f.test, _ = strings.Cut(value, " ")
			default:
				return nil, fmt.Errorf("faults.txt: %q", line)
			}
		}
		if f.was, f.is = strings.Join(was, "\n"), strings.Join(is, "\n"); f == (fault{}) {
			continue // a comment
		}
		if f.name == "" || f.file == "" || f.was == "" || f.test == "" {
			return nil, fmt.Errorf("faults.txt: the fault %q lacks a part", f.name)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func (f fault) String() string { return fmt.Sprintf("%s (%s): %s %s", f.name, f.file, f.pkg, f.test) }

// generator reports whether the fault is one of a generator of assembly.
func (f fault) generator() bool { return strings.HasPrefix(f.file, "asm/") }

// changed returns the file with the fault.
func (f fault) changed(root string) (path, text string, err error) {
	path = filepath.Join(root, filepath.FromSlash(f.file))
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	if n := strings.Count(string(b), f.was); n != 1 {
		return "", "", fmt.Errorf("%s: %s has the text of the fault %d times, want once", f.name, f.file, n)
	}
	return path, strings.Replace(string(b), f.was, f.is, 1), nil
}

// try puts the fault into the module and runs its test.
func (f fault) try(root string, limit time.Duration) (outcome, error) {
	path, text, err := f.changed(root)
	if err != nil {
		return 0, err
	}
	o, err := newOverlay(map[string]string{path: text})
	if err != nil {
		return 0, err
	}
	defer o.remove()
	if f.generator() {
		if err := o.generate(root, f.pkg); err != nil {
			return 0, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return o.test(testRun{dir: root, arch: f.arch, pkg: f.pkg, pattern: "^" + f.test + "$"}, limit)
}

// generate runs the changed generators of a package, or all if it is theirs, and adds the
// files that they change.
func (o *overlay) generate(root, pkg string) error {
	out := filepath.Join(o.dir, "generated")
	args := []string{"run", "-overlay", o.list, "./asm", out}
	if pkg != "./asm" {
		args = append(args, strings.TrimPrefix(pkg, "./"))
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go run ./asm: %w: %s", err, text)
	}
	changed := map[string]string{}
	err := filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		stored, err := os.ReadFile(filepath.Join(root, name))
		if string(stored) != string(text) {
			changed[filepath.Join(root, name)] = string(text)
		}
		return err
	})
	if err == nil && len(changed) == 0 {
		err = fmt.Errorf("no generated file changes")
	}
	if err != nil {
		return err
	}
	return o.replace(changed)
}
