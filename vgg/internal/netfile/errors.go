package netfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/printable"
)

var (
	// ErrNetwork is wrapped by errors about files that hold no network of VGG's
	// shape, or do not tell which.
	ErrNetwork = errors.New("no network of VGG's shape")
	// ErrNotFinite is wrapped by errors about weights that are NaN or infinite.
	ErrNotFinite = errors.New("not finite")
)

// An Error says why a file is refused. Its text is complete without that of Err.
type Error struct {
	Text string
	Err  error
}

func (e *Error) Error() string { return printable.Text(e.Text) }
func (e *Error) Unwrap() error { return e.Err }

func refusef(format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...), ErrNetwork}
}

func notFinitef(format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...) + ": the weights are not finite", ErrNotFinite}
}

// A TensorError says which tensor does not fit.
type TensorError struct {
	Tensor    string
	Want, Got []int // Got is nil if the tensor is absent or cannot be read
	Err       error // nil if it is the shape, or what the reader said
}

func (e *TensorError) Error() string {
	return printable.Text(fmt.Sprintf("tensor %s has shape %v, want %v", Quote(e.Tensor), e.Got, e.Want))
}

func (e *TensorError) Unwrap() error { return e.Err }

// Quote returns a plain and short name of a file unchanged, and any other as a Go string,
// cut.
func Quote(name string) string {
	const most = 100
	cut := ""
	if len(name) > most {
		name, cut = name[:most], "…"
	}
	if cut == "" && name != "" && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) < 0 {
		return name
	}
	return strconv.Quote(name) + cut
}

// list names the first few of some things.
func list(names []string) string {
	const most = 6
	shown := make([]string, 0, most)
	for _, n := range names[:min(most, len(names))] {
		shown = append(shown, Quote(n))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
