//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// command is this test program as the command, with what it says.
type command struct {
	*exec.Cmd
	out, err testutil.Said
}

func startCommand(t testing.TB, args ...string) *command {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return start(t, exe, args...)
}

// start starts a program and returns once signals stop it as they stop the command.
func start(t testing.TB, exe string, args ...string) *command {
	t.Helper()
	ready, w, err := os.Pipe()
	require.NoError(t, err)
	defer ready.Close()
	c := &command{Cmd: exec.Command(exe, args...)}
	c.Env = append(os.Environ(), asCommand+"=1", readyPipe+"=1")
	c.ExtraFiles = []*os.File{w}
	c.Stdout, c.Stderr = &c.out, &c.err
	require.NoError(t, c.Start())
	require.NoError(t, w.Close())
	_, err = ready.Read(make([]byte, 1))
	require.NoError(t, err, "it has begun")
	return c
}

// prepare is startCommand without the start, and without its standard output.
func prepare(t testing.TB, args ...string) *command {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := &command{Cmd: exec.Command(exe, args...)}
	c.Env = append(os.Environ(), asCommand+"=1")
	c.Stderr = &c.err
	return c
}

// stop sends a signal and returns the exit status.
func (c *command) stop(t testing.TB, sig syscall.Signal) (status int) {
	t.Helper()
	require.NoError(t, c.Process.Signal(sig))
	testutil.Ends(t, c.Path, func() { _ = c.Wait() }) // the status says it
	return c.ProcessState.ExitCode()
}

// TestSignals stops each command while it works, also where it looks at no context.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for seconds: needs a run without -short")
	}
	dir := t.TempDir()
	photo, data := filepath.Join(dir, "p.png"), dataFolder(t, 200)
	writePhoto(t, photo, 3000, 3000, color.White)
	big := filepath.Join(dir, "big.safetensors")
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	cfg = cfg.Divide(2).WithClasses(2) // as the data have
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	require.NoError(t, vgg.Save(big, cfg, src, false))
	out := filepath.Join(dir, "out")
	for _, args := range [][]string{
		{"bench", "--config", "D", "--rounds", "10000"},
		{"bench", "--config", "E", "--train", "--batch", "4"},
		{"bench", "--gemm", "8192x8192x8192", "--rounds", "1000"},
		{"bench", "--gemm", "128x128x128", "--rounds", "1000000"},
		{"check", "--full"},
		{"classify", "--config", "E", photo, photo, photo, photo, photo, photo},
		{"features", "--config", "E", photo, "-o", out},
		{"convert", "--half", big, out},
		{"eval", "--data", data, "-w", big, "--protocol", "multi-crop+dense", "--train-scale", "256"},
		{"train", "--data", data, "--config", "E", "-o", out, "--batch", "16", "--colour", "0.1"},
	} {
		for sig, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
			if signal.Ignored(sig) { // the tests run under nohup, and so do the commands
				continue
			}
			c, got := startCommand(t, args...), 0
			for works := 100 * time.Millisecond; ; works /= 2 {
				time.Sleep(works)
				if got = c.stop(t, sig); got != 0 {
					break
				}
				require.NoError(t, os.RemoveAll(out)) // it came to its end before
				c = startCommand(t, args...)
			}
			require.Equal(t, status, got, "%v: %s", args, &c.err)
			require.Contains(t, c.err.String(), "vgg: stopped by SIG", args)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, files, "what was written when the signal came is removed")
	require.NoFileExists(t, out)
}

// TestStoppedTraining stops a training: it says what goes on, and that does, with the
// weights of one that nobody stopped.
func TestStoppedTraining(t *testing.T) {
	data, dir := dataFolder(t, 24), t.TempDir()
	out, calm := filepath.Join(dir, "it's w"), filepath.Join(dir, "calm")
	args := func(out string) []string { return append(shortTraining(data, out), "--epochs", "30") }
	requireOK(t, args(calm)...)
	c := startCommand(t, append(args(out), "--epochs", "100000")...)
	waitForFile(t, out+".checkpoint")
	require.Equal(t, 143, c.stop(t, syscall.SIGTERM))
	said := c.err.String()
	require.Contains(t, said, "stopped by SIGTERM: the checkpoint "+out+".checkpoint was written and holds ")
	_, line, ok := strings.Cut(said, "; to go on:\n  vgg ")
	require.True(t, ok, said)
	require.True(t, strings.HasSuffix(line, " --resume\n"))
	require.NoFileExists(t, out+".checkpoint.lock")

	// The line is one for a shell. The command stands for vgg.
	exe, err := os.Executable()
	require.NoError(t, err)
	before, err := os.Stat(out + ".checkpoint")
	require.NoError(t, err)
	again := start(t, "/bin/sh", "-c", "exec "+shellWord(exe)+" "+line)
	testutil.Wait(t, "the next checkpoint", func() bool {
		now, err := os.Stat(out + ".checkpoint")
		return err == nil && !os.SameFile(before, now)
	})
	require.Equal(t, -1, again.stop(t, syscall.SIGKILL), "it goes on: %s", &again.err)
	require.Empty(t, again.err.String())
}

// TestStoppedColours stops a training while it decodes pictures for their colours.
func TestStoppedColours(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	for _, class := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(data, class), 0o700))
		first := filepath.Join(data, class, "00.png")
		writePhoto(t, first, 1500, 1500, color.White)
		for i := range 400 {
			require.NoError(t, os.Link(first, filepath.Join(data, class, fmt.Sprintf("%02d.png", i+1))))
		}
	}
	c := startCommand(t, "train", "--data", data, "--net", "8 M F2", "--size", "16", "--side", "16", "--batch", "8", "--epochs", "1", "--colour", "0.1", "-o", filepath.Join(dir, "w"))
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, 130, c.stop(t, syscall.SIGINT), "%s", &c.err)
	left := slices.DeleteFunc(names(t, dir), func(name string) bool { return strings.HasSuffix(name, ".lock") }) // which nobody holds
	require.Empty(t, left)
}

// TestNohup: a program that was started to ignore SIGHUP does.
func TestNohup(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	c := start(t, "/bin/sh", "-c", `trap "" HUP; exec "$0" "$@"`, exe, "bench", "--gemm", "128x128x128", "--rounds", "1000000")
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, 143, c.stop(t, syscall.SIGTERM), "alive until then: %s", &c.err)
}

// testStopper returns a stopper whose exit status comes from a channel, and what it prints.
func testStopper() (ctx context.Context, s *stopper, ended chan int, text *bytes.Buffer) {
	ended, text = make(chan int, 2), &bytes.Buffer{}
	ctx, s = newStopper(text, func(status int) {
		ended <- status
		s.mu.Unlock() // the process would be no more
	})
	return ctx, s, ended, text
}

// TestGrace: a command that does not look at its context ends after the time of grace, and
// at once after a second signal.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s, ended, text := testStopper()
		begin := time.Now()
		s.stop(stopError{"SIGX", 200})
		require.Error(t, ctx.Err())
		require.Equal(t, 200, <-ended)
		require.Equal(t, grace, time.Since(begin))
		require.Equal(t, "vgg: stopped by SIGX\n", text.String())

		_, s, ended, _ = testStopper()
		begin = time.Now()
		s.stop(stopError{"SIGX", 200})
		s.stop(stopError{"SIGY", 201})
		require.Equal(t, 201, <-ended)
		require.Zero(t, time.Since(begin))
	})
}

// TestHold: what holds the end is finished, unless a second signal comes.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s, ended, text := testStopper()
		release := hold(ctx)
		s.stop(stopError{"SIGX", 200})
		require.Error(t, ctx.Err())
		time.Sleep(time.Hour)
		require.Empty(t, ended, "held")
		release()
		release()
		require.Equal(t, 200, <-ended)
		require.Equal(t, "vgg: stopped by SIGX\n", text.String())

		ctx, s, ended, _ = testStopper()
		hold(ctx)
		s.stop(stopError{"SIGX", 200})
		s.stop(stopError{"SIGY", 201})
		require.Equal(t, 201, <-ended)
	})
}

func TestShellWords(t *testing.T) {
	for _, word := range []string{"", "a", "a b", "it's", "$HOME `x` \"", "\n", "--net=8 M F2"} {
		out, err := exec.Command("/bin/sh", "-c", fmt.Sprintf("printf %%s %s", shellWord(word))).Output()
		require.NoError(t, err)
		require.Equal(t, word, string(out))
	}
	require.Equal(t, "a-1.b/c=d", shellWord("a-1.b/c=d"))
	require.True(t, strings.HasPrefix(shellWord("a b"), "'"))
}
