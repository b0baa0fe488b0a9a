//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package outfile

// lock does nothing where there are no locks.
func lock(File) error { return errNoLock }
