package vgg

import (
	"errors"
	"fmt"

	"github.com/nonet-go/nonet/internal/shape"
)

// ErrShape is wrapped by errors about tensors or pictures of the wrong size. It is
// the ErrShape of every package of this module.
var ErrShape = shape.Err

// ErrNotFinite is wrapped by errors about weights of a file, and results,
// that are NaN or infinite.
var ErrNotFinite = errors.New("not finite")

// A TensorError says which tensor of which file does not fit the network.
type TensorError struct {
	File, Tensor string
	Want, Got    []int // shapes; Got is nil if the tensor is absent
	Err          error // ErrShape, or what the file's reader said
}

func (e *TensorError) Error() string {
	if e.Got == nil {
		return fmt.Sprintf("vgg: %s: tensor %s: want shape %v: %v", e.File, e.Tensor, e.Want, e.Err)
	}
	return fmt.Sprintf("vgg: %s: tensor %s has shape %v, want %v: %v", e.File, e.Tensor, e.Got, e.Want, e.Err)
}

func (e *TensorError) Unwrap() error { return e.Err }
