//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// limitCPU makes a control group that may use one processor, of the old kind or
// the new, and returns the file that takes processes in.
func limitCPU(t *testing.T) (procs string) {
	t.Helper()
	name := fmt.Sprintf("nonet-test-%d", os.Getpid())
	for _, kind := range []struct {
		root  string
		limit map[string]string
	}{
		{"/sys/fs/cgroup", map[string]string{"cpu.max": "100000 100000"}},
		{"/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}},
	} {
		dir := filepath.Join(kind.root, name)
		if _, err := os.Stat(filepath.Join(kind.root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
		ok := true
		for file, text := range kind.limit {
			ok = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644) == nil && ok
		}
		if ok {
			return filepath.Join(dir, "cgroup.procs")
		}
	}
	t.Skip("no right to make a control group")
	return ""
}

// TestContainerLimit runs the command in a control group of one processor, as in
// a container with that limit: it works, with as many threads as the Go runtime
// makes of such a limit, two at least. It needs a machine whose control groups
// may be changed, and so has to be asked for.
func TestContainerLimit(t *testing.T) {
	if os.Getenv("NONET_TEST_CGROUP") == "" {
		t.Skip("set NONET_TEST_CGROUP=1 to let the test make a control group")
	}
	procs := limitCPU(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, procs, self, "selftest", "--json")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var r struct{ GOMAXPROCS int }
	require.NoError(t, json.Unmarshal(out, &r))
	require.Equal(t, min(2, runtime.NumCPU()), r.GOMAXPROCS)
}
