package main

import (
	"fmt"
	"io"

	"github.com/nonet-go/nonet/internal/outfile"
)

// checkedWriter remembers the first error of a writer, so that lost output ends the command
// with status 1, whoever wrote it.
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

// output is a file to write, and the flag that names it.
type output struct{ flag, path string }

// checkOutputs returns an error for outputs that cannot be written, that are one of the
// inputs, or that are the same file, before any work is done. An output without a path does
// not count.
func checkOutputs(inputs []string, outputs ...output) error {
	for i, o := range outputs {
		if o.path == "" {
			continue
		}
		if err := outfile.Check(o.path); err != nil {
			return fmt.Errorf("%s: %w", o.flag, err)
		}
		for _, in := range inputs {
			if in != "" && outfile.Same(in, o.path) {
				return fmt.Errorf("%s %s is an input as well, which would be lost", o.flag, o.path)
			}
		}
		for _, other := range outputs[:i] {
			if other.path != "" && outfile.Same(other.path, o.path) {
				return fmt.Errorf("%s and %s are one file: %s", other.flag, o.flag, o.path)
			}
		}
	}
	return nil
}
