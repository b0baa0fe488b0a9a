// Package testutil holds what the tests of all packages share: deterministic
// data, memory that tells when something outside of it was touched, and
// comparisons whose failures say what to look at.
package testutil

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of elem below internal/testutil/testdata/shared, or else below the
// folder "shared" that stands next to the root of the repository and holds test data too large,
// or too little ours, to be part of it. The test is skipped where both are absent. If the
// variable NONET_SKIPS names a file, a line about that is appended to it.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	name := filepath.Join(elem...)
	own := filepath.Join(root, "internal", "testutil", "testdata", "shared", name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	path := filepath.Join(filepath.Dir(root), "shared", name)
	if _, err := os.Stat(path); err != nil {
		noteSkip(t, name)
		t.Skipf("no test data: %v", err)
	}
	return path
}

// noteSkip appends a line to the file that NONET_SKIPS names.
func noteSkip(t testing.TB, name string) {
	path := os.Getenv("NONET_SKIPS")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	defer f.Close()
	dir, _ := os.Getwd() // for the reader alone
	fmt.Fprintf(f, "%s in %s: no shared/%s\n", t.Name(), filepath.Base(dir), filepath.ToSlash(name))
}

// moduleRoot returns the nearest folder upwards that has a go.mod. Tests run in
// the folder of their package.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", &os.PathError{Op: "find go.mod above", Path: start, Err: os.ErrNotExist}
		}
	}
}

// Golden returns the path of PyTorch's results for a configuration of the paper with a
// thirty-second of its channels, 32×32 pixels, 10 classes, a batch of 2 and the weights
// of seed 7; for RepVGG-A0 with a sixteenth of its channels and 48×48 pixels. The repository
// holds these files. Beside them, full_RepVGG-A0 and full_RepVGG-B1 have logits and probes of
// every layer in float64 for one picture of 224×224 and the weights of seed 1.
func Golden(t testing.TB, config string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	return filepath.Join(root, "internal", "testutil", "testdata", "golden", "tiny_"+config+".safetensors")
}
