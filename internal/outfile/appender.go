package outfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Appender is a file that lines are appended to. After a crash of the machine the lines
// that were not synced may be lost, cut, or zeros in part: see Whole.
type Appender struct {
	file    File
	special bool // a device or a pipe, which cannot be synced
}

// OpenAppender opens a file, or makes one. With create it must not exist. Errors are those
// of the file system.
func OpenAppender(path string, create bool) (*Appender, error) {
	flags := os.O_RDWR | os.O_CREATE | os.O_APPEND
	info, err := os.Stat(path)
	special := err == nil && !info.Mode().IsRegular()
	switch {
	case create:
		flags |= os.O_EXCL
	case special:
		flags = os.O_WRONLY
	}
	sys := systemOf(path)
	f, err := sys.OpenFile(path, flags, 0o666)
	if err != nil {
		return nil, err
	}
	a := &Appender{f, special}
	if special {
		return a, nil
	}
	if err := sys.SyncDir(filepath.Dir(path)); err != nil { // it keeps the file's name
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// Append writes lines, by one call.
func (a *Appender) Append(lines []byte) error {
	n, err := a.file.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	return err
}

// ReadAt reads what the file holds.
func (a *Appender) ReadAt(b []byte, at int64) (int, error) { return a.file.ReadAt(b, at) }

// Truncate cuts the file.
func (a *Appender) Truncate(size int64) error { return a.file.Truncate(size) }

// Sync puts the lines on the disk.
func (a *Appender) Sync() error {
	if a.special {
		return nil
	}
	return a.file.Sync()
}

// Close syncs and closes the file.
func (a *Appender) Close() error { return errors.Join(a.Sync(), a.file.Close()) }

// Whole returns the number of bytes of a file of text up to the end of its last whole line:
// before a line without end, and before the first line with a zero byte, which no text has.
func Whole(r io.ReaderAt) (int64, error) {
	block := make([]byte, 1<<16)
	for whole, at := int64(0), int64(0); ; at += int64(len(block)) {
		n, err := r.ReadAt(block, at)
		text, _, torn := bytes.Cut(block[:n], []byte{0})
		if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
			whole = at + int64(i) + 1
		}
		switch {
		case torn || err == io.EOF:
			return whole, nil
		case err != nil:
			return 0, err
		}
	}
}
