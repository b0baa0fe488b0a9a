package testutil

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var kept []byte

// TestBounded: each bound is one.
func TestBounded(t *testing.T) {
	grow := func(n int) func() (int64, error) {
		return func() (int64, error) {
			kept = make([]byte, n)
			kept = nil
			return 0, nil
		}
	}
	say := func(text string) func() (int64, error) {
		return func() (int64, error) { return 0, errors.New(text) }
	}
	for name, c := range map[string]struct {
		size int
		read func() (int64, error)
		want string // of the failure
	}{
		"memory":              {100, grow(int(bounded.memory) + 1<<20), "bytes allocated for 100 bytes"},
		"memory of the file":  {1 << 20, grow(int(bounded.memory) + 7<<20), ""},
		"a long message":      {100, say(strings.Repeat("x", boundedMessage+1)), "a message of 1001 bytes"},
		"a message":           {100, say(strings.Repeat("x", boundedMessage)), ""},
		"two lines":           {100, say("a\nb ü"), ""},
		"an escape sequence":  {100, say("a\x1b[2J"), "is U+001B"},
		"no UTF-8":            {100, say("a\xff"), "want printable text"},
		"a change of writing": {100, say("a\u202eb"), "is U+202E"},
	} {
		r := record(func(t testing.TB) { _ = Bounded(t, c.size, c.read) })
		if c.want == "" {
			require.Empty(t, r.failures, name)
			continue
		}
		require.Len(t, r.failures, 1, name)
		require.Contains(t, r.failures[0], c.want, name)
	}
}

// work takes processor time.
func work(d time.Duration) {
	for begin := ProcessorTime(); ProcessorTime()-begin < d; {
	}
}

// TestProcessorTime: work counts.
func TestProcessorTime(t *testing.T) {
	_, busy := Spent(func() { work(50 * time.Millisecond) })
	require.GreaterOrEqual(t, busy, 50*time.Millisecond)
}

// TestWait: it asks until the answer is yes.
func TestWait(t *testing.T) {
	asked := 0
	require.Empty(t, record(func(t testing.TB) { Wait(t, "three", func() bool { asked++; return asked == 3 }) }).failures)
	require.Equal(t, 3, asked)
}

// TestAllocsPerRun: what f allocates each time counts, what it allocates once does not.
func TestAllocsPerRun(t *testing.T) {
	require.EqualValues(t, 2, AllocsPerRun(3, func() { kept = make([]byte, 100); kept = make([]byte, 100) }))
	n := 0
	require.Zero(t, AllocsPerRun(1, func() {
		if n++; n == 2 { // in the first measurement
			kept = make([]byte, 100)
		}
	}))
}

// TestBoundedTime: a reader that takes more processor time than it may is found, and its other
// bounds do not hide it. What it finds in a file counts as the file does.
func TestBoundedTime(t *testing.T) {
	b := readBounds{memory: 1 << 30, time: 20 * time.Millisecond, timePerMB: time.Hour, stack: bounded.stack}
	for name, c := range map[string]struct {
		size  int
		found int64
		err   error
		want  bool
	}{
		"short file":          {0, 0, nil, true},
		"error":               {0, 0, errors.New("no file"), true},
		"long file":           {1e6, 0, nil, false},
		"much in a short one": {0, 1e6, nil, false},
	} {
		r := record(func(t testing.TB) {
			require.Equal(t, c.err, b.run(t, c.size, func() (int64, error) {
				work(100 * time.Millisecond)
				return c.found, c.err
			}))
		})
		if !c.want {
			require.Empty(t, r.failures, name)
			continue
		}
		require.Len(t, r.failures, 1, name)
		require.Contains(t, r.failures[0], "of processors for", name)
	}
}

// TestBoundedStack: a reader whose nesting has no bound ends the process, one of 8 MiB does
// not, and what runs after it has the stack of before.
func TestBoundedStack(t *testing.T) {
	const variable = "NONET_NESTED"
	if deep := os.Getenv(variable); deep != "" {
		size, err := strconv.Atoi(deep)
		require.NoError(t, err)
		_ = Bounded(t, 0, func() (int64, error) { return int64(nest(size)), nil })
		nest(2 * bounded.stack)
		fmt.Println("nested")
		return
	}
	for _, c := range []struct {
		size int
		want string
	}{{8 << 20, "nested"}, {2 * bounded.stack, "stack exceeds"}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBoundedStack$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, c.size))
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skip("this machine runs the test by an emulator, and would run no other program for it")
		}
		require.Contains(t, string(out), c.want)
		require.Equal(t, c.want == "nested", err == nil, "%v", err)
	}
}

// nest takes some bytes of stack.
func nest(size int) byte {
	var frame [1 << 10]byte
	frame[size&1023] = byte(size)
	if size > 0 {
		frame[0] += nest(size - len(frame))
	}
	return frame[size&1023]
}
