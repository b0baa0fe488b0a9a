//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package outfile

import "os"

// lock does nothing where there are no locks.
func lock(*os.File) error { return errNoLock }
