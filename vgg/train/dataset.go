package train

import (
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"io"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/picture"
)

// ErrData is wrapped by errors about a collection of pictures.
var ErrData = collection.ErrData

// Dataset is a collection of labelled pictures: a directory with one directory of pictures
// for each class (an "ImageFolder"), a tar file of one, or a list of paths and classes. It
// is immutable, and several goroutines may use it. It holds the paths of all pictures, some
// 100 bytes each.
type Dataset struct {
	Name     string
	Classes  []string // names, ascending
	Examples []Example
	pictures *collection.Collection
}

// Example is one picture of a Dataset.
type Example struct {
	Path         string
	Class        int
	offset, size int64 // in a tar file
}

// Open lists the pictures of a directory, of a tar file, or of a text file with a path and a
// class in each line, separated by a tab or a space. It lists them in ascending order of
// their paths. In a directory or a tar file the class of a picture is the directory that
// contains it. Pictures are decoded with the options. Errors wrap ErrData or those of the
// file system.
func Open(name string, opts ...picture.Option) (*Dataset, error) {
	c, err := collection.Open(name, opts...)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	d := &Dataset{Name: name, pictures: c}
	if err := d.list(); err != nil {
		return nil, errors.Join(fmt.Errorf("train: %s: %w", name, err), d.Close())
	}
	return d, nil
}

// Close ends the use of the data set.
func (d *Dataset) Close() error { return d.pictures.Close() }

// list orders the examples and numbers their classes.
func (d *Dataset) list() error {
	numbers := map[string]int{} // of the classes, in order of appearance
	for it, err := range d.pictures.Items() {
		if err != nil {
			return err
		}
		class, known := numbers[it.Class]
		if !known {
			class = len(d.Classes)
			numbers[it.Class] = class
			d.Classes = append(d.Classes, it.Class)
		}
		d.Examples = append(d.Examples, Example{it.Path, class, it.Offset, it.Size})
	}
	if len(d.Classes) == 0 {
		return fmt.Errorf("%w: it holds no pictures (%s)", ErrData, collection.Extensions())
	}
	byNumber := slices.Clone(d.Classes)
	slices.Sort(d.Classes)
	for i := range d.Examples {
		e := &d.Examples[i]
		e.Class, _ = slices.BinarySearch(d.Classes, byNumber[e.Class])
	}
	slices.SortFunc(d.Examples, func(a, b Example) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// Split returns two data sets: about a fraction of the pictures, and the others. Only a
// picture's path decides, so the parts stay the same when other pictures come or go. Both
// use d's file.
func (d *Dataset) Split(fraction float64) (part, rest *Dataset) {
	a, b := *d, *d
	a.Examples, b.Examples = nil, nil
	for _, e := range d.Examples {
		h := fnv.New64a()
		io.WriteString(h, e.Path)
		// The high bits of FNV-1a mix slowly: take the remainder.
		if float64(h.Sum64()%100003) < fraction*100003 {
			a.Examples = append(a.Examples, e)
		} else {
			b.Examples = append(b.Examples, e)
		}
	}
	return &a, &b
}

// Picture decodes example i. The error names the data set and the picture.
func (d *Dataset) Picture(i int) (image.Image, error) {
	e := d.Examples[i]
	return d.pictures.Decode(collection.Item{Path: e.Path, Offset: e.offset, Size: e.size})
}
