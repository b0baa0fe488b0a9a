package vgg

import (
	"fmt"
	"strings"
)

// readRows returns a function that sets dst to whole rows of a matrix of src, from row first
// on. The largest matrix has hundreds of megabytes, and no caller needs all of it at once.
// Several goroutines may call the function.
func readRows(src Source, name string, shape []int) (read func(dst []float32, first int) error, err error) {
	if s, ok := src.(*fileSource); ok {
		if read, err := s.rows(name, shape); err != nil || read != nil {
			return read, err
		}
	}
	w, err := src.Tensor(name, shape)
	return func(dst []float32, first int) error { copy(dst, w[first*shape[1]:]); return nil }, err
}

// rows is readRows for weights that need no change; for others it returns nil.
func (s *fileSource) rows(name string, shape []int) (func(dst []float32, first int) error, error) {
	layer, _, _ := strings.Cut(name, ".")
	read, err := s.tensors.Rows(layer, shape)
	if err != nil || read == nil {
		return nil, fileError(s.file, err)
	}
	return func(dst []float32, first int) error { return fileError(s.file, read(dst, first)) }, nil
}

// unchanged returns an error if the file of a source was written to while it was read.
func unchanged(src Source) error {
	s, ok := src.(*fileSource)
	if !ok {
		return nil
	}
	if f, ok := s.file.(interface{ Unchanged() error }); ok {
		if err := f.Unchanged(); err != nil {
			return fmt.Errorf("vgg: %w", err)
		}
	}
	return nil
}
