package main

import (
	"fmt"
	"io"
)

// checkedWriter remembers the first error of a writer, so that output that was lost
// ends the command with status 1 whoever wrote it.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("the output was not written: %w", err)
	}
	return n, err
}
