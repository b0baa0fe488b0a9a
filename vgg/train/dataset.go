package train

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/picture"
)

// ErrData is wrapped by errors about a collection of pictures.
var ErrData = errors.New("bad data set")

// Dataset is a collection of labelled pictures: a directory with one directory
// of pictures for each class (an "ImageFolder"), or a tar file of one. It is
// immutable and may be used by several goroutines.
type Dataset struct {
	Name     string
	Classes  []string // names of the directories, ascending
	Examples []Example
	read     func(e Example) ([]byte, error)
	closer   io.Closer
}

// Example is one picture of a Dataset.
type Example struct {
	Path         string
	Class        int
	offset, size int64 // in a tar file
}

// extensions are those of the formats that package picture reads.
var extensions = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}

// Open lists the pictures of a directory or a tar file, in ascending order of
// their paths. A picture's class is the directory that it lies in. Errors wrap
// ErrData or those of the file system.
func Open(name string) (*Dataset, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	d := &Dataset{Name: name}
	if info.IsDir() {
		err = d.openDir()
	} else {
		err = d.openTar()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("train: %s: %w", name, err), d.Close())
	}
	return d, nil
}

// Close ends the use of the data set.
func (d *Dataset) Close() error {
	if d.closer == nil {
		return nil
	}
	return d.closer.Close()
}

func (d *Dataset) openDir() error {
	err := filepath.WalkDir(d.Name, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && isPicture(p) {
			rel, _ := filepath.Rel(d.Name, p) // p begins with d.Name
			d.Examples = append(d.Examples, Example{Path: filepath.ToSlash(rel)})
		}
		return err
	})
	if err != nil {
		return err
	}
	d.read = func(e Example) ([]byte, error) { return os.ReadFile(filepath.Join(d.Name, filepath.FromSlash(e.Path))) }
	return d.classify()
}

func (d *Dataset) openTar() error {
	f, err := os.Open(d.Name)
	if err != nil {
		return err
	}
	d.closer = f
	// tar.Reader asks a Seeker to skip contents; where it stands after a header
	// is where the content begins.
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: no directory, and no tar file: %v", ErrData, err)
		}
		if h.Typeflag != tar.TypeReg || !isPicture(h.Name) {
			continue
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		d.Examples = append(d.Examples, Example{Path: path.Clean(h.Name), offset: at, size: h.Size})
	}
	d.read = func(e Example) ([]byte, error) {
		b := make([]byte, e.size)
		_, err := f.ReadAt(b, e.offset)
		return b, err
	}
	return d.classify()
}

func isPicture(name string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name))) && !strings.HasPrefix(path.Base(name), ".")
}

// classify orders the examples and numbers their directories.
func (d *Dataset) classify() error {
	slices.SortFunc(d.Examples, func(a, b Example) int { return strings.Compare(a.Path, b.Path) })
	class := func(e Example) string { return path.Base(path.Dir(e.Path)) }
	for _, e := range d.Examples {
		if c := class(e); c == "." || c == "/" {
			return fmt.Errorf("%w: %s lies in no directory of a class", ErrData, e.Path)
		}
		d.Classes = append(d.Classes, class(e))
	}
	slices.Sort(d.Classes)
	d.Classes = slices.Compact(d.Classes)
	if len(d.Classes) == 0 {
		return fmt.Errorf("%w: it holds no pictures (%s)", ErrData, strings.Join(extensions, " "))
	}
	for i := range d.Examples {
		d.Examples[i].Class, _ = slices.BinarySearch(d.Classes, class(d.Examples[i]))
	}
	return nil
}

// Split returns two data sets: about a fraction of the pictures, and the others.
// A picture's path alone decides, so that the parts stay the same when pictures
// come or go. Both use d's file.
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
	b, err := d.read(e)
	if err != nil {
		return nil, fmt.Errorf("train: %s: %s: %w", d.Name, e.Path, err)
	}
	return picture.Decode(d.Name+": "+e.Path, bytes.NewReader(b))
}
