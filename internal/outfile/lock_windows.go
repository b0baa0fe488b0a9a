package outfile

import "golang.org/x/sys/windows"

// lock locks an open file until it is closed. It returns errHeld if another open file has
// the lock, and errNoLock if the file system has no locks. It locks a byte after any
// content, so that others can read the content.
func lock(f File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	switch err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30}); err {
	case nil:
		return nil
	case windows.ERROR_LOCK_VIOLATION, windows.ERROR_IO_PENDING:
		return errHeld
	}
	return errNoLock
}
