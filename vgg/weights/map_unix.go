//go:build linux || darwin

package weights

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file read-only, or returns false if its file system cannot.
func mapFile(f *os.File, size int) ([]byte, bool) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	return data, err == nil
}

func unmapFile(data []byte) error { return unix.Munmap(data) }

// release drops pages of a mapping, which begin at a page. If the system refuses, only
// memory suffers.
func release(data []byte) { _ = unix.Madvise(data, unix.MADV_DONTNEED) }
