package weights

import (
	"errors"
	"fmt"

	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/internal/shape"
)

var (
	// ErrFormat is wrapped by errors about files that break the rules of their
	// format, and about tensors and metadata that no such file can hold.
	ErrFormat = errors.New("bad format")
	// ErrUnsupported is wrapped by errors about valid content that this package
	// does not read.
	ErrUnsupported = errors.New("not supported")
	// ErrShape is wrapped by errors about tensors of another shape, number of elements or
	// type than wanted. It is the ErrShape of every package of this module.
	ErrShape = shape.Err
	// ErrNotFound is wrapped by errors about tensors that a file does not have.
	ErrNotFound = errors.New("no such tensor")
)

// An Error says what is wrong with which tensor of which file.
type Error struct {
	File      string // as given to Open, or the name given to Read
	Tensor    string // empty if the error is about the file as a whole
	Detail    string // what was found and what was wanted
	Want, Got []int  // shapes, if the error is about a shape
	Err       error  // one of this package's, or one of the file system's
}

func (e *Error) Error() string {
	s := "weights: "
	if e.File != "" {
		s += printable.Name(e.File) + ": "
	}
	if e.Tensor != "" {
		s += "tensor " + quote(e.Tensor) + ": "
	}
	if e.Detail != "" {
		s += e.Detail + ": "
	}
	return printable.Text(s + e.Err.Error())
}

func (e *Error) Unwrap() error { return e.Err }

// formatf makes the error of a broken file. The reader adds the File.
func formatf(tensor, format string, args ...any) error {
	return &Error{Tensor: tensor, Detail: fmt.Sprintf(format, args...), Err: ErrFormat}
}

// inFile adds the name of the file to an error of a reader.
func inFile(name string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.File == "" {
			e.File = name
		}
		return err
	}
	return &Error{File: name, Err: err}
}

// quote returns s as a Go string, cut to a readable length: names in a broken file may have
// megabytes.
func quote(s string) string { return printable.Quote(s, 100) }
