package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"connectrpc.com/connect"

	"github.com/nonet-go/nonet/serve/batch"
	"github.com/nonet-go/nonet/serve/oip"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// statusGone is what logs and metrics say of a client that has gone.
const statusGone = 499

// fault is an error with its HTTP status.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

func faultf(status int, format string, args ...any) error {
	return &fault{status, fmt.Sprintf(format, args...)}
}

// errMemory is the error of a request that would exceed the bound on memory. Its code is
// for calls whose body is read by package connect.
var errMemory = connect.NewError(connect.CodeResourceExhausted, errors.New("the memory for requests is taken by others"))

// statuses are those of errors that other packages return, in the order in which they are
// looked for.
var statuses = []struct {
	is     error
	status int
}{
	{context.DeadlineExceeded, http.StatusGatewayTimeout},
	{context.Canceled, statusGone},
	{os.ErrDeadlineExceeded, http.StatusRequestTimeout},
	{batch.ErrFull, http.StatusTooManyRequests},
	{errMemory, http.StatusTooManyRequests},
	{batch.ErrTooMany, http.StatusRequestEntityTooLarge},
	{batch.ErrDraining, http.StatusServiceUnavailable},
	{oip.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{oip.ErrFormat, http.StatusBadRequest},
	{picture.ErrSize, http.StatusRequestEntityTooLarge},
	{picture.ErrFormat, http.StatusBadRequest},
	{vgg.ErrConfig, http.StatusBadRequest},
	{vgg.ErrShape, http.StatusBadRequest},
	{io.ErrUnexpectedEOF, http.StatusBadRequest},
}

// status returns the HTTP status of an error, and its text for the client. What is not
// the client's fault is not told.
func status(err error) (code int, text string) {
	var f *fault
	if errors.As(err, &f) {
		return f.status, f.text
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit)
	}
	for _, s := range statuses {
		if errors.Is(err, s.is) {
			return s.status, plain(err, s.is)
		}
	}
	return http.StatusInternalServerError, "an error inside of the server, which its log tells"
}

// plain returns an error's text without the sentinel behind it and the package in front.
func plain(err, sentinel error) string {
	switch sentinel {
	case context.DeadlineExceeded:
		return "the request's time was over before its result was there"
	case context.Canceled:
		return "the client has gone"
	case os.ErrDeadlineExceeded:
		return "the body took too long to arrive"
	case errMemory:
		return errMemory.Message()
	case batch.ErrFull:
		return "the queue is full"
	case batch.ErrDraining:
		return "the server is ending"
	}
	text := strings.TrimSuffix(err.Error(), ": "+sentinel.Error())
	for _, pkg := range []string{"vgg: ", "batch: ", "picture: "} {
		text = strings.TrimPrefix(text, pkg)
	}
	return text
}

// writeError answers with an error, as JSON.
func writeError(w http.ResponseWriter, err error) {
	code, text := status(err)
	if r, ok := w.(*recorder); ok {
		r.err = err
	}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if code == http.StatusRequestTimeout || code == http.StatusRequestEntityTooLarge || code == http.StatusTooManyRequests {
		// What is left of the body is not worth reading.
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, code, map[string]string{"error": text})
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // only by a fault of this package
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}
