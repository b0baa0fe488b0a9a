package main

import (
	"os"
	"syscall"
)

// hangup has no name where no terminal is closed.
var hangup os.Signal = syscall.Signal(1)
