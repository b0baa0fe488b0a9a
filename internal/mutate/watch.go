package main

import (
	"fmt"
	"time"
)

// bounds are what the tests of a mutant may take. None is of the clock, which goes on while
// other programs have the processors, or while the tests are stopped.
type bounds struct {
	processor time.Duration // time of processors
	idle      time.Duration // how long all may sleep, which is longer than any test does
	memory    int64         // bytes that they hold at one time
}

// boundsOf returns the bounds for a limit of processor time.
func boundsOf(limit time.Duration) bounds {
	return bounds{processor: limit, idle: 30 * time.Second, memory: 6 << 30}
}

// usage is what the processes of a group take.
type usage struct {
	processor time.Duration
	memory    int64
	asleep    bool // each waits for something
}

// exceeded names the bound that is exceeded, or nothing. idle is for how long all have slept.
func (b bounds) exceeded(u usage, idle time.Duration) string {
	switch {
	case u.processor > b.processor:
		return fmt.Sprintf("more than %v of processors", b.processor)
	case idle > b.idle:
		return fmt.Sprintf("all sleep for %v", b.idle)
	case u.memory > b.memory:
		return fmt.Sprintf("more than %d MiB", b.memory>>20)
	}
	return ""
}
