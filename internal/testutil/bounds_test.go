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
		for begin := processorTime(); processorTime()-begin < 50*time.Millisecond; {
		}
	})
	require.GreaterOrEqual(t, busy, 50*time.Millisecond)
}

func TestWithin(t *testing.T) {
	runs := 0
	slow := func(n int) func() {
		runs = 0
		return func() {
			if runs++; runs <= n {
				time.Sleep(30 * time.Millisecond)
			}
		}
	}
	require.Empty(t, record(func(t testing.TB) { Within(t, 20*time.Millisecond, slow(2)) }).failures)
	require.Equal(t, 3, runs)
	require.Len(t, record(func(t testing.TB) { Within(t, 20*time.Millisecond, slow(3)) }).failures, 1)
	require.Equal(t, 3, runs)
}
