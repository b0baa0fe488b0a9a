package testutil

import (
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// readBounds are the bounds of a reader.
type readBounds struct {
	memory        int64         // bytes for a file of any length
	memoryPerByte int64         // and for each byte of it
	time          time.Duration // of processors for a file of any length
	timePerMB     time.Duration // and for each megabyte
	stack         int           // of a goroutine, bytes: nesting is bounded
}

// bounded are the bounds of [Bounded]. A slow or emulated processor meets them.
var bounded = readBounds{
	memory: Forgetful * 64 << 20, memoryPerByte: 8,
	time: 10 * Slower * time.Second, timePerMB: Slower * time.Second,
	stack: 32 << 20,
}

const boundedMessage = 1000 // bytes of an error's text

// Bounded runs read, which reads outside data of size bytes, and returns its error. read
// returns how many bytes of data it found in them: where data are compressed or used more
// than once, these can be more than size. The test fails, but continues, if read
//
//   - allocates more than 64 MiB and 8 bytes for each byte of data, freed memory included.
//     Under the race detector it is a hundred times that: pools, such as that of regexp, forget
//     things there at random;
//   - takes more than 10 seconds of processor time and one for each megabyte of data. A
//     machine that is busy with something else does not count. Under the race detector it is
//     ten times that;
//   - returns an error whose text has more than 1000 bytes, or a character that is not
//     printable, which could be an escape sequence for a terminal.
//
// A stack of more than 32 MiB ends the process. What other goroutines take meanwhile counts
// as read's: a test that calls Bounded is not parallel.
func Bounded(t testing.TB, size int, read func() (found int64, err error)) error {
	t.Helper()
	return bounded.run(t, size, read)
}

// run is [Bounded] with other bounds.
func (b readBounds) run(t testing.TB, size int, read func() (found int64, err error)) error {
	t.Helper()
	defer debug.SetMaxStack(debug.SetMaxStack(b.stack))
	var found int64
	var err error
	memory, spent := Spent(func() { found, err = read() })
	n := max(int64(size), found)
	if most := b.memory + b.memoryPerByte*n; memory > most {
		t.Errorf("%d bytes allocated for %d bytes with %d of data, want at most %d (error: %.200v)", memory, size, found, most, err)
	}
	if most := b.time + time.Duration(float64(b.timePerMB)*float64(n)/1e6); spent > most {
		t.Errorf("%v of processors for %d bytes with %d of data, want at most %v (error: %.200v)", spent, size, found, most, err)
	}
	Message(t, err)
	return err
}

// Message fails the test if err's text is longer than 1000 bytes or has a character that is
// not printable. Lines may be broken.
func Message(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if len(text) > boundedMessage {
		t.Errorf("a message of %d bytes, want at most %d: %.300q …", len(text), boundedMessage, text)
	}
	for i, r := range text {
		broken := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD")
		if r != '\n' && (broken || !unicode.IsPrint(r)) {
			t.Errorf("byte %d of a message is %U, want printable text: %.300q", i, r, text)
			break
		}
	}
}

// Spent returns how many bytes f allocates, freed memory included, and how much time of
// processors it takes. What other goroutines take meanwhile counts as f's.
func Spent(f func()) (memory int64, processors time.Duration) {
	memory, processors = allocated(), ProcessorTime()
	f()
	return allocated() - memory, ProcessorTime() - processors
}

func allocated() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

// Patience is how long a test waits for what must come. It bounds hangs only, and no speed:
// a machine that is busy with something else keeps it.
const Patience = 3 * time.Minute

// Wait returns once holds does. The test ends if that lasts longer than Patience.
func Wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", Patience, what)
		}
	}
}

// Ends runs f and ends the test if f takes longer than Patience.
func Ends(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatalf("waited %v for the end of %s", Patience, what)
	}
}

// AllocsPerRun returns how often f allocates, as [testing.AllocsPerRun] does, in the best of
// several measurements: f's own allocations are in each of them, and those of finalizers and
// goroutines that other tests have left are not.
func AllocsPerRun(runs int, f func()) float64 {
	runtime.GC() // what it finds unused is finalized now
	least := math.Inf(1)
	for try := 0; try < 5 && least > 0; try++ {
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}
