package testutil

import (
	"errors"
	"strings"
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
		"memory":              {100, grow(boundedMemory + 1<<20), "bytes allocated for 100 bytes"},
		"memory of the file":  {1 << 20, grow(boundedMemory + 7<<20), ""},
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

// TestProcessorTime: work counts.
func TestProcessorTime(t *testing.T) {
	_, busy := Spent(func() {
		for begin := ProcessorTime(); ProcessorTime()-begin < 50*time.Millisecond; {
		}
	})
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
