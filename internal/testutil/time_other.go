//go:build !unix

package testutil

import "time"

// ProcessorTime returns the time of a clock where processor time is not known.
func ProcessorTime() time.Duration { return time.Since(begun) }

var begun = time.Now()
