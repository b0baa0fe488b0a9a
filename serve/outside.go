package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
)

// version is that of the module, as the program knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/nonet-go/nonet" {
			return m.Version
		}
	}
	return "unknown"
}

// loadFromOutside loads the networks of a name because a request says so. What it is and
// where it comes from is the server's own: parameters that would change that are refused.
func (s *Server) loadFromOutside(ctx context.Context, name string, changed bool) error {
	switch {
	case s.opts.fixed:
		return faultf(http.StatusForbidden, "this server loads and unloads nothing by request")
	case changed:
		return faultf(http.StatusBadRequest, "a network is loaded as the server was started: parameters config and file are not taken")
	}
	err := s.load(context.WithoutCancel(ctx), strings.TrimSuffix(name, imageSuffix))
	var f *fault
	if err != nil && !errors.As(err, &f) {
		return faultf(http.StatusInternalServerError, "%s could not be loaded, and what was there before is kept; the server's log says why", shorten(name))
	}
	return err
}

func (s *Server) unloadFromOutside(name string) error {
	if s.opts.fixed {
		return faultf(http.StatusForbidden, "this server loads and unloads nothing by request")
	}
	err := s.repository.unload(name)
	if err == nil {
		s.opts.log.Info("unload", "model", strings.TrimSuffix(name, imageSuffix))
	}
	return err
}

// readJSON reads a body that is one JSON value.
func readJSON(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return faultf(http.StatusBadRequest, "something follows the JSON")
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return faultf(http.StatusBadRequest, "the body is not the JSON of this request: %v", err)
	}
	return err
}
