package outfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

var (
	errHeld   = errors.New("locked by another program")
	errNoLock = errors.New("the file system has no locks")
)

// Lock is the right to be the only program that replaces a file.
type Lock struct{ file *os.File }

// HeldError says which program has a Lock already.
type HeldError struct {
	Path  string // of the file that is locked
	Owner string // "process 17 on host since 2026-01-02 15:04:05 UTC", or empty if it is not known
}

func (e *HeldError) Error() string {
	owner := e.Owner
	if owner == "" {
		owner = "another program"
	}
	return fmt.Sprintf("%s is in use by %s", e.Path, owner)
}

// Acquire takes the lock of a file that Write replaces, whether it exists or not. It
// is kept in a file <target>.lock, and is free again after Release and when the program
// ends in any way, although the file may then be left: it has no meaning by itself.
// Where the file system has no locks it is always free. If another program has it the
// error is a *HeldError.
func Acquire(path string) (*Lock, error) {
	target, err := Target(path)
	if err != nil {
		return nil, err
	}
	for range 100 {
		f, err := os.OpenFile(target+".lock", os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, inPath(path, err)
		}
		switch err := lock(f); {
		case err == errHeld:
			owner := readOwner(f)
			f.Close()
			return nil, &HeldError{path, owner}
		case !stillNamed(f): // released, and removed, since it was opened
			f.Close()
			continue
		}
		l := &Lock{f}
		if err := l.sign(); err != nil {
			l.Release()
			return nil, inPath(path, err)
		}
		return l, nil
	}
	return nil, &HeldError{Path: path}
}

const ownerEnd = " has this lock\n"

// sign writes who has the lock.
func (l *Lock) sign() error {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.file, "process %d on %s since %s%sas long as it runs; afterwards this file means nothing.\n",
		os.Getpid(), host, time.Now().UTC().Format("2006-01-02 15:04:05 UTC"), ownerEnd)
	return err
}

// readOwner returns who has signed. It waits a moment for one who has just begun.
func readOwner(f *os.File) string {
	for range 20 {
		text := make([]byte, 1000)
		n, err := f.ReadAt(text, 0)
		if owner, _, ok := strings.Cut(string(text[:n]), ownerEnd); ok {
			return owner
		}
		if err != nil && err != io.EOF {
			return ""
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ""
}

// Release gives the lock back. A nil Lock has nothing to give.
func (l *Lock) Release() {
	if l == nil {
		return
	}
	if runtime.GOOS == "windows" { // which removes no open file
		l.file.Close()
	}
	_ = os.Remove(l.file.Name()) // it has no meaning by itself
	l.file.Close()
}
