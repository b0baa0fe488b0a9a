package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// killCount is how often a test kills a command: 10 times, or as NONET_TEST_KILLS says.
func killCount(t testing.TB) int {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes: needs a run without -short")
	}
	text := os.Getenv("NONET_TEST_KILLS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// killer runs commands as processes and kills most of them at random moments.
type killer struct {
	t     testing.TB
	exe   string
	rng   *rand.Rand
	watch string        // three of four kills wait until this file changes: a command that is slow to begin works then
	takes time.Duration // within which a kill comes
	kills int
}

func newKiller(t testing.TB) *killer {
	exe, err := os.Executable()
	require.NoError(t, err)
	return &killer{t: t, exe: exe, rng: rand.New(rand.NewPCG(1, 2)), takes: 100 * time.Millisecond}
}

// run starts a command and kills it. It reports whether the command ended before.
func (k *killer) run(args ...string) (ended bool) {
	k.t.Helper()
	cmd := exec.Command(k.exe, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	before, _ := os.Stat(k.watch) // nil: it is not there
	begin := time.Now()
	require.NoError(k.t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	err := k.killWhen(cmd, done, before)
	require.NotContains(k.t, stderr.String(), "vgg:", "what a kill leaves can always be read")
	if err == nil {
		k.takes = 2 * time.Since(begin)
		return true
	}
	require.Equal(k.t, -1, cmd.ProcessState.ExitCode(), "killed, and not ended by an error: %s", &stderr)
	k.takes += k.takes / 20 // until it is long enough
	k.kills++
	return false
}

// killWhen kills a command at a random moment and returns what it ended with.
func (k *killer) killWhen(cmd *exec.Cmd, done <-chan error, before os.FileInfo) error {
	wait := time.Duration(k.rng.Int64N(int64(k.takes)))
	if k.watch != "" && k.rng.IntN(4) > 0 {
		wait = time.Duration(k.rng.Int64N(int64(30 * time.Millisecond)))
		for !k.changed(before) {
			select {
			case err := <-done:
				return err
			case <-time.After(time.Millisecond):
			}
		}
	}
	select {
	case err := <-done:
		return err
	case <-time.After(wait):
	}
	_ = cmd.Process.Kill() // it may have ended
	return <-done
}

// changed tells whether the watched file is another one than before, or of another length.
func (k *killer) changed(before os.FileInfo) bool {
	now, err := os.Stat(k.watch)
	if err != nil || before == nil {
		return err == nil
	}
	return !os.SameFile(before, now) || before.Size() != now.Size()
}

// waitForFile waits until there is a file.
func waitForFile(t testing.TB, path string) {
	t.Helper()
	testutil.Wait(t, path, func() bool { _, err := os.Stat(path); return err == nil })
}

// TestConvertKill kills a conversion at random moments: the output is the old file or
// the new one, each whole, and what the killed ones left beside it goes.
func TestConvertKill(t *testing.T) {
	want := killCount(t)
	dir := t.TempDir()
	in, out, calm := smallWeights(t, t.TempDir()), filepath.Join(dir, "out"), filepath.Join(t.TempDir(), "calm")
	requireOK(t, "convert", "--half", in, calm)
	old, converted := []byte("what was there before"), readFile(t, calm)
	exe, err := os.Executable()
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	var takes time.Duration
	kills, replaced, left := 0, 0, 0
	for tries := 0; kills < want; tries++ {
		require.Less(t, tries, 100*want, "conversions end before they are killed")
		require.NoError(t, os.WriteFile(out, old, 0o600))
		cmd := exec.Command(exe, "convert", "--half", in, out)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		begin := time.Now()
		require.NoError(t, cmd.Start())
		if takes > 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(takes))))
			_ = cmd.Process.Kill() // it may have ended
		}
		err := cmd.Wait()
		got := readFile(t, out)
		require.True(t, bytes.Equal(got, old) || bytes.Equal(got, converted), "%d bytes", len(got))
		if err == nil {
			require.Equal(t, converted, got)
			takes = time.Since(begin)
			continue
		}
		kills++
		left += len(names(t, dir)) - 1
		if !bytes.Equal(got, old) {
			replaced++
		}
	}
	t.Logf("killed %d times: %d outputs were replaced before, %d times a temporary file was there", kills, replaced, left)
	requireOK(t, "convert", "--half", in, out)
	if _, err := os.Stat("/proc/self"); err == nil { // elsewhere there may be no locks
		require.Equal(t, []string{"out"}, names(t, dir))
	}
}

// TestTwoTrainings starts a second training on the checkpoint of a first one, kills
// it and others, and the first goes on.
func TestTwoTrainings(t *testing.T) {
	want := killCount(t)
	data, dir := dataFolder(t, 24), t.TempDir()
	out := filepath.Join(dir, "w")
	exe, err := os.Executable()
	require.NoError(t, err)
	command := func() (*exec.Cmd, *bytes.Buffer) {
		cmd, stderr := exec.Command(exe, trainArgs(data, out, "100000")...), &bytes.Buffer{}
		cmd.Env = append(os.Environ(), asCommand+"=1")
		cmd.Stderr = stderr
		return cmd, stderr
	}
	first, stderr := command()
	require.NoError(t, first.Start())
	waitForFile(t, out+".checkpoint")
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range want {
		second, said := command()
		require.NoError(t, second.Start())
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(150*time.Millisecond))), func() { _ = second.Process.Kill() })
		require.Error(t, second.Wait())
		timer.Stop()
		if second.ProcessState.ExitCode() == 1 {
			require.Regexp(t, `is in use by process \d+ on .* since`, said.String())
			refused++
		}
	}
	require.NoError(t, first.Process.Kill(), "it lives: %s", stderr)
	_ = first.Wait() // killed
	require.NotContains(t, stderr.String(), "vgg:", "it lives on")
	t.Logf("%d of %d were refused before they were killed", refused, want)
	requireOK(t, "eval", "--data", data, "-w", out+".checkpoint")
}
