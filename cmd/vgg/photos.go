package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg/picture"
)

// photoFlags say how pictures are read.
type photoFlags struct {
	MaxPixels int `name:"max-pixels" placeholder:"N" default:"100000000" min:"1" help:"Largest number of pixels of a picture; decoding takes up to 16 bytes for each."`
}

func (f photoFlags) pictureOptions() []picture.Option {
	return []picture.Option{picture.MaxPixels(f.MaxPixels)}
}

// read decodes the picture at path, or the standard input for "-".
func (f photoFlags) read(ctx context.Context, path string) (img image.Image, err error) {
	opts := append(f.pictureOptions(), picture.Context(ctx))
	if path == "-" {
		img, err = picture.Decode("standard input", os.Stdin, opts...)
	} else {
		img, err = picture.Open(path, opts...)
	}
	if errors.Is(err, picture.ErrSize) && strings.Contains(err.Error(), "the limit is") {
		err = fmt.Errorf("%s; --max-pixels raises it: %w", strings.TrimSuffix(err.Error(), ": "+picture.ErrSize.Error()), picture.ErrSize)
	}
	return img, err
}

// photos lists the pictures of the arguments. For a directory these are all pictures in it
// and below, by the endings of their names. A pattern that the shell has not replaced, and
// that is no file's name, means the files that match it.
func photos(args []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, arg := range args {
			for path, err := range expand(arg) {
				if !yield(path, err) {
					return
				}
			}
		}
	}
}

func expand(arg string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		info, err := os.Stat(arg)
		switch {
		case arg == "-":
			yield(arg, nil)
		case err == nil && info.IsDir():
			expandDir(arg, yield)
		case err != nil && strings.ContainsAny(arg, "*?["):
			list, err := filepath.Glob(arg)
			if err == nil && len(list) == 0 {
				err = fmt.Errorf("no file matches %s", arg)
			}
			if err != nil {
				yield(arg, err)
				return
			}
			for _, path := range list {
				if !yield(path, nil) {
					return
				}
			}
		default:
			yield(arg, nil)
		}
	}
}

func expandDir(dir string, yield func(string, error) bool) {
	found, stopped := false, false
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || !isPhoto(path)) {
			return nil
		}
		found = true
		if !yield(path, err) {
			stopped = true
			return fs.SkipAll
		}
		return nil
	})
	if !stopped && (err != nil || !found) {
		if err == nil {
			err = fmt.Errorf("%s has no pictures (%s)", dir, strings.Join(picture.Extensions(), " "))
		}
		yield(dir, err)
	}
}

// isPhoto looks at the ending of a name. A hidden file is no photo.
func isPhoto(path string) bool {
	return slices.Contains(picture.Extensions(), strings.ToLower(filepath.Ext(path))) && !strings.HasPrefix(filepath.Base(path), ".")
}

// printableLines is an error's text for a terminal: lines are kept, and what would act on it is escaped.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable.Line(line)
	}
	return strings.Join(lines, "\n")
}
