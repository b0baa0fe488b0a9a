// Package outfile writes the files that a user names for results.
//
// A regular file is replaced in one step: its name stands for the old content, or
// for none, until the new one is whole and on the disk. The new file keeps the old
// one's permissions, and its owner where the system allows that. A symbolic link
// stays: the file that it leads to is replaced. A device or a pipe is written into.
//
// A program that is killed while it writes leaves a file beside the target, called
// .<name>.<number>.tmp. The next Write to the same target removes it, but never one
// that a living program still writes: those are locked.
package outfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
)

// Write writes a file through a buffer, as the package's comment says. Its errors are
// those of write, or name the path and wrap those of the file system.
func Write(path string, write func(io.Writer) error) error {
	target, old, err := resolve(path)
	if err != nil {
		return inPath(path, err)
	}
	if old != nil && !old.Mode().IsRegular() {
		return writeInto(path, write)
	}
	return replace(path, target, old, write)
}

// Check returns the error that Write would give for a path that cannot be written to,
// as far as that can be told, and changes nothing.
func Check(path string) error {
	target, old, err := resolve(path)
	if err != nil {
		return inPath(path, err)
	}
	if old != nil && !old.Mode().IsRegular() {
		return inPath(path, access(path))
	}
	sys := systemOf(target)
	f, err := createTemp(sys, target, old)
	if err != nil {
		return inPath(path, err)
	}
	discard(sys, f)
	return nil
}

// Target returns the path of the file that Write would replace: path without the
// symbolic links at its end, absolute.
func Target(path string) (string, error) {
	target, _, err := resolve(path)
	if err == nil {
		target, err = filepath.Abs(target)
	}
	if err != nil {
		return "", inPath(path, err)
	}
	return target, nil
}

// Same reports whether two paths name one regular file, or would if it existed.
func Same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX == nil && errY == nil {
		return x.Mode().IsRegular() && os.SameFile(x, y)
	}
	ta, errA := Target(a)
	tb, errB := Target(b)
	return errX != nil && errY != nil && errA == nil && errB == nil && ta == tb
}

var errNoFile = errors.New("no name of a file")

// resolve follows symbolic links. old is nil if there is no file yet. A path that is
// no regular file is returned as it is.
func resolve(path string) (target string, old fs.FileInfo, err error) {
	if path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return "", nil, errNoFile
	}
	old, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target, err = dangling(path)
		return target, nil, err
	case err != nil:
		return "", nil, err
	case old.IsDir():
		return "", nil, errors.New("is a directory")
	case !old.Mode().IsRegular():
		return path, old, nil
	}
	target, err = filepath.EvalSymlinks(path)
	return target, old, err
}

// dangling follows the symbolic links of a path that leads to no file.
func dangling(path string) (string, error) {
	for range 40 {
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or no file
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", errors.New("too many symbolic links")
}

// writeInto writes to a device or a pipe.
func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return inPath(path, err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}

// replace writes beside the target and renames.
func replace(path, target string, old fs.FileInfo, write func(io.Writer) error) error {
	sweep(target)
	sys := systemOf(target)
	f, err := createTemp(sys, target, old)
	if err != nil {
		return inPath(path, err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = inPath(path, finish(sys, f, w, target, old))
	}
	if err != nil {
		discard(sys, f)
		return err
	}
	forget(f.Name())
	return inPath(path, sys.SyncDir(filepath.Dir(target)))
}

// finish brings the file to the disk and gives it its name.
func finish(sys System, f File, w *bufio.Writer, target string, old fs.FileInfo) error {
	if err := w.Flush(); err != nil {
		return err
	}
	if old != nil {
		keepOwner(f, old)
		if err := f.Chmod(old.Mode()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // which renames no open file
		if err := f.Close(); err != nil {
			return err
		}
		return sys.Rename(f.Name(), target)
	}
	// The lock, which is the open file's, must last until the name is another.
	if err := sys.Rename(f.Name(), target); err != nil {
		return err
	}
	return f.Close()
}

// createTemp makes a locked file beside the target, which must be writable itself.
func createTemp(sys System, target string, old fs.FileInfo) (File, error) {
	mode := fs.FileMode(0o666)
	if old != nil {
		f, err := sys.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		f.Close()
		mode = 0o600 // until it gets the old one's
	}
	dir, base := filepath.Split(target)
	for range 100 {
		name := filepath.Join(dir, fmt.Sprintf(".%s.%016x.tmp", base, rand.Uint64()))
		if err := remember(name); err != nil {
			return nil, err
		}
		f, err := sys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			forget(name)
			return nil, err
		}
		// Another program may have taken it for a dead one's before it was locked.
		if lock(f) != errHeld && stillNamed(f) {
			return f, nil
		}
		discard(sys, f)
	}
	return nil, errors.New("temporary files are removed as they are made")
}

// stillNamed reports whether the name of an open file still stands for it.
func stillNamed(f File) bool {
	a, errA := f.Stat()
	b, errB := os.Lstat(f.Name())
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// discard removes a temporary file.
func discard(sys System, f File) {
	if runtime.GOOS == "windows" {
		f.Close()
	}
	_ = sys.Remove(f.Name()) // the error before is the one that counts
	f.Close()
	forget(f.Name())
}

// inPath names the path that the user gave in place of that of a temporary file.
func inPath(path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return &fs.PathError{Op: "write", Path: path, Err: err}
}
