//go:build !js

package main

import (
	"os"
	"syscall"
)

// hangup is sent when a terminal is closed.
var hangup os.Signal = syscall.SIGHUP
