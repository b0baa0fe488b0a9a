//go:build unix

package testutil

import (
	"syscall"
	"time"
)

// ProcessorTime returns what this process has taken of all processors.
func ProcessorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
