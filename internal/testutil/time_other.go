//go:build !unix

package testutil

import "time"

// processorTime returns the time of a clock where processor time is not known.
func processorTime() time.Duration { return time.Since(begun) }

var begun = time.Now()
