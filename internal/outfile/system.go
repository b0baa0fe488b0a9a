package outfile

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// System is what the package changes files with. Tests have one that fails, see package
// crash.
type System interface {
	OpenFile(name string, flag int, mode fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
}

// File is an open file of a System. An *os.File is one.
type File interface {
	io.Writer
	io.ReaderAt
	Name() string
	Stat() (fs.FileInfo, error)
	Fd() uintptr
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error
	Truncate(size int64) error
	Sync() error
	Close() error
}

// OS is the operating system's.
type OS struct{}

// OpenFile is os.OpenFile.
func (OS) OpenFile(name string, flag int, mode fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err // no File of a nil *os.File
	}
	return f, nil
}

// Rename is os.Rename.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove is os.Remove.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir puts the names in a folder on the disk, where the file system does so.
func (OS) SyncDir(name string) error { return syncDir(name) }

// systems are the Systems of tests, by their folders.
var systems sync.Map

// Intercept makes s the System of the files in a folder, for tests. It returns a function
// that ends this.
func Intercept(dir string, s System) (end func()) {
	systems.Store(filepath.Clean(dir), s)
	return func() { systems.Delete(filepath.Clean(dir)) }
}

func systemOf(path string) System {
	if s, ok := systems.Load(filepath.Dir(path)); ok {
		return s.(System)
	}
	return OS{}
}
