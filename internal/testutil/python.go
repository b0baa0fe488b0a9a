package testutil

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// Python runs a program of Debian's Python, which has Debian's packages, and returns what it
// prints. The test is skipped where that has not all of the modules; with NONET_REQUIRE_PYTHON it
// fails.
func Python(t testing.TB, modules, program, input string, args ...string) string {
	t.Helper()
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import "+modules).CombinedOutput(); err != nil {
		if os.Getenv("NONET_REQUIRE_PYTHON") != "" {
			t.Fatalf("testutil: %s has not all of %s: %s", python, modules, out)
		}
		t.Skipf("%s has not all of %s", python, modules)
	}
	cmd := exec.Command(python, append([]string{"-c", program}, args...)...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader([]byte(input)), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("testutil: Python: %v\n%s", err, errs.Bytes())
	}
	return string(out)
}
