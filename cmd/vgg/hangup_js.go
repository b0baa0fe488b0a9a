package main

import (
	"os"
	"syscall"
)

// hangup has no meaning here: there is no terminal to close.
var hangup os.Signal = syscall.Signal(1)
