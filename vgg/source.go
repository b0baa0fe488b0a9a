package vgg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/vgg/internal/netfile"
	"github.com/nonet-go/nonet/vgg/weights"
)

// fileSource reads the tensors of a configuration from a file.
type fileSource struct {
	file    weights.Source
	tensors *netfile.Tensors
}

func (s *fileSource) Name() string { return s.file.Name() }
func (s *fileSource) Release()     { s.file.Release() }

func (s *fileSource) Tensor(name string, want []int) ([]float32, error) {
	w, err := s.tensors.Tensor(name, want)
	if err != nil {
		return nil, fileError(s.file, err)
	}
	return w, nil
}

// trim releases a file's pages again and again until stop is called: not all pages of a
// large tensor need to be resident while it is packed. Pages that are still needed are
// mapped again.
func trim(file weights.Source) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				file.Release()
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// wants lists the layers with tensors for package netfile.
func (c Config) wants() ([]netfile.Want, error) {
	params, err := c.Params()
	if err != nil {
		return nil, err
	}
	var wants []netfile.Want
	for _, p := range params {
		layer, kind, _ := strings.Cut(p.Name, ".")
		if kind != "weight" {
			continue
		}
		w := netfile.Want{Name: layer, Kind: netfile.Scale, Shape: p.Shape}
		switch len(p.Shape) {
		case 4:
			w.Kind = netfile.Conv
		case 2:
			w.Kind = netfile.FC
		}
		wants = append(wants, w)
	}
	return wants, nil
}

// A fileErr is an error about a file as a whole: its text, and the error that it wraps.
type fileErr struct {
	text string
	is   []error
}

func (e *fileErr) Error() string   { return e.text }
func (e *fileErr) Unwrap() []error { return e.is }

// fileError adds the name of the file to an error.
func fileError(file weights.Source, err error) error {
	var tensor *netfile.TensorError
	var whole *netfile.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tensor):
		is := tensor.Err
		if is == nil {
			is = ErrShape
		}
		return &TensorError{File: file.Name(), Tensor: tensor.Tensor, Want: slices.Clone(tensor.Want), Got: tensor.Got, Err: is}
	case errors.As(err, &whole):
		is := whole.Err
		switch {
		case errors.Is(is, netfile.ErrNetwork):
			is = ErrConfig
		case errors.Is(is, netfile.ErrNotFinite):
			is = ErrNotFinite
		}
		return &fileErr{fmt.Sprintf("vgg: %s: %s", file.Name(), whole.Text), []error{is}}
	}
	return fmt.Errorf("vgg: %s: %w", file.Name(), err)
}
