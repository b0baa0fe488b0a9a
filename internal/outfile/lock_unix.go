//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package outfile

import "syscall"

// lock locks an open file until it is closed. It returns errHeld if another open file has
// the lock, and errNoLock if the file system has no locks.
func lock(f File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return errHeld
		default:
			return errNoLock
		}
	}
}
