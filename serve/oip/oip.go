package oip

import (
	"errors"
	"fmt"
	"math"
)

// The datatypes that tensors have here.
const (
	FP32  = "FP32"
	BYTES = "BYTES"
)

// HeaderLength is the HTTP header with the length of the JSON in front of binary data.
const HeaderLength = "Inference-Header-Content-Length"

// ErrFormat is wrapped by errors about a message that is not of the protocol.
var ErrFormat = errors.New("not of the protocol")

// ErrTooLarge is wrapped by errors about a message that exceeds its Limits.
var ErrTooLarge = errors.New("too large")

func formatErrorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrFormat)
}

func largeErrorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrTooLarge)
}

// Limits bound what a request may hold.
type Limits struct {
	Numbers int // of all inputs together
	Strings int // elements of BYTES inputs
	Bytes   int // in all elements of BYTES inputs
}

// How much else a request may hold: more than any client sends.
const (
	maxInputs     = 16
	maxOutputs    = 256
	maxParameters = 64
	maxDims       = 8
	maxName       = 1 << 12 // bytes of a name or of a parameter's text
)

// Parameters are the parameters of a message, an input or an output: values are bool,
// string, int64 or float64.
type Parameters map[string]any

// Bool returns a parameter that is true or false, and false if it is absent.
func (p Parameters) Bool(name string) (bool, error) {
	v, ok := p[name]
	if !ok {
		return false, nil
	}
	b, ok := v.(bool)
	if !ok {
		return false, formatErrorf("parameter %s is %v, want true or false", name, v)
	}
	return b, nil
}

// Int returns a parameter that is an integer from 0, and whether there is one.
func (p Parameters) Int(name string) (n int64, ok bool, err error) {
	switch v := p[name].(type) {
	case nil:
		return 0, false, nil
	case int64:
		if v >= 0 {
			return v, true, nil
		}
	case float64:
		if v >= 0 && v < 1<<53 && v == math.Trunc(v) {
			return int64(v), true, nil
		}
	}
	return 0, false, formatErrorf("parameter %s is %v, want an integer from 0", name, p[name])
}

// Tensor is an input or an output. Floats has the elements of an FP32 tensor in row-major
// order, and Strings those of a BYTES tensor.
type Tensor struct {
	Name, Datatype string
	Shape          []int64
	Parameters     Parameters
	Floats         []float32
	Strings        [][]byte
}

// Len returns the number of elements that the shape stands for.
func (t *Tensor) Len() (int, error) {
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d != 0 && n > math.MaxInt32/d {
			return 0, formatErrorf("input %s has shape %v", t.Name, t.Shape)
		}
		n *= d
	}
	return int(n), nil
}

// checkLen compares the elements with the shape.
func (t *Tensor) checkLen() error {
	want, err := t.Len()
	if err != nil {
		return err
	}
	if got := len(t.Floats) + len(t.Strings); got != want {
		return formatErrorf("input %s has %d elements, and its shape %v stands for %d", t.Name, got, t.Shape, want)
	}
	return nil
}

// Output is an output that is asked for.
type Output struct {
	Name       string
	Parameters Parameters
}

// Request asks for inference.
type Request struct {
	ID         string
	Parameters Parameters
	Inputs     []Tensor
	Outputs    []Output // none: those that the model has by itself
}

// check holds what is so for either form of the message.
func (r *Request) check() error {
	if len(r.Inputs) == 0 {
		return formatErrorf("the request has no inputs")
	}
	for i := range r.Inputs {
		if err := r.Inputs[i].checkLen(); err != nil {
			return err
		}
	}
	return nil
}

// Response is the answer to a Request.
type Response struct {
	ModelName, ModelVersion, ID string
	Outputs                     []Tensor
	Binary                      []bool // of each output: whether its data follow the JSON
}
