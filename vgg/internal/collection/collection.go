// Package collection lists labelled pictures of a directory, a tar file or a list, with one
// picture in memory at a time.
package collection

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg/picture"
)

// ErrData is wrapped by errors about a collection of pictures.
var ErrData = errors.New("bad data set")

// Item is one picture of a Collection.
type Item struct {
	Path         string // in the collection, with slashes; in a list, as it stands there
	Class        string // the name of the directory that it lies in, or what the list says
	Offset, Size int64  // in a tar file
}

// Collection is a directory, a tar file or a list. It is immutable, and several goroutines
// may use it.
type Collection struct {
	Name string
	dir  string   // that paths are relative to
	tar  *os.File // nil for others
	each func(yield func(Item) error) error
	opts []picture.Option
	// unlabelled ones may hold pictures without a class.
	unlabelled bool
}

// Open opens a directory that has one directory of pictures for each class (an
// "ImageFolder"), a tar file of one, or a list. A list is a text file; a line has the path
// of a picture, relative to the list, a tab or spaces, and the class. Pictures are decoded
// with the options. Errors wrap ErrData or those of the file system.
func Open(name string, opts ...picture.Option) (*Collection, error) {
	return open(&Collection{Name: name, dir: filepath.Dir(name), opts: opts})
}

// OpenUnlabelled is Open for pictures whose classes do not matter. They may be in the
// directory itself, and a line of a list may be only a path. A line that ends as a picture's
// name does is only a path, unless it has a tab.
func OpenUnlabelled(name string, opts ...picture.Option) (*Collection, error) {
	return open(&Collection{Name: name, dir: filepath.Dir(name), opts: opts, unlabelled: true})
}

func open(c *Collection) (*Collection, error) {
	name := c.Name
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		c.dir, c.each = name, c.eachInDir
		return c, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if _, err := tar.NewReader(f).Next(); err == nil || strings.HasSuffix(strings.ToLower(name), ".tar") {
		c.tar, c.each = f, c.eachInTar
		return c, nil
	}
	c.each = c.eachInList
	return c, f.Close()
}

// Close closes the collection.
func (c *Collection) Close() error {
	if c.tar == nil {
		return nil
	}
	return c.tar.Close()
}

// Items lists the pictures, always in the same order: that of the names within each
// directory, of the tar file, or of the list. It ends after an error. Its memory depends on
// the names of one directory, but not on the number of pictures.
func (c *Collection) Items() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		stop := errors.New("stop")
		err := c.each(func(it Item) error {
			if !yield(it, nil) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			yield(Item{}, err)
		}
	}
}

// Decode reads a picture. The error names the collection and the picture.
func (c *Collection) Decode(it Item) (image.Image, error) {
	switch {
	case c.tar != nil:
		return picture.Decode(c.Name+": "+it.Path, io.NewSectionReader(c.tar, it.Offset, it.Size), c.opts...)
	case filepath.IsAbs(it.Path):
		return picture.Open(it.Path, c.opts...)
	}
	return picture.Open(filepath.Join(c.dir, filepath.FromSlash(it.Path)), c.opts...)
}

// Extensions lists the endings of pictures' names in a directory or a tar file.
func Extensions() string { return strings.Join(picture.Extensions(), " ") }

func isPicture(name string) bool {
	return slices.Contains(picture.Extensions(), strings.ToLower(path.Ext(name))) && !strings.HasPrefix(path.Base(name), ".")
}

// inFolder makes the item of a picture whose class is its directory.
func (c *Collection) inFolder(p string) (Item, error) {
	class := path.Base(path.Dir(p))
	if class == "." || class == "/" {
		if c.unlabelled {
			return Item{Path: p}, nil
		}
		return Item{}, fmt.Errorf("%w: %s lies in no directory of a class", ErrData, printable.Name(p))
	}
	return Item{Path: p, Class: class}, nil
}

func (c *Collection) eachInDir(yield func(Item) error) error { return c.walk("", nil, yield) }

// walk lists the pictures below a directory, in the order of names. It follows symbolic
// links: several sets of classes may share their pictures. within are the directories that it
// is in.
func (c *Collection) walk(rel string, within []fs.FileInfo, yield func(Item) error) error {
	dir := filepath.Join(c.Name, filepath.FromSlash(rel))
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(within, func(above fs.FileInfo) bool { return os.SameFile(above, info) }) {
		return fmt.Errorf("%w: %s is a link to a directory that it lies in", ErrData, printable.Name(dir))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	within = append(slices.Clip(within), info)
	for _, e := range entries {
		p := path.Join(rel, e.Name())
		switch {
		case isDir(dir, e):
			err = c.walk(p, within, yield)
		case isPicture(p):
			var it Item
			if it, err = c.inFolder(p); err == nil {
				err = yield(it)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isDir reports whether an entry of a directory is one, or a link to one.
func isDir(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

func (c *Collection) eachInTar(yield func(Item) error) error {
	f, err := os.Open(c.Name) // a place in the file of our own
	if err != nil {
		return err
	}
	defer f.Close()
	// tar.Reader asks a Seeker to skip contents. Its position after a header is the
	// beginning of the content.
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: tar file: %v", ErrData, err)
		}
		if h.Typeflag != tar.TypeReg || !isPicture(h.Name) {
			continue
		}
		it, err := c.inFolder(path.Clean(h.Name))
		if err != nil {
			return err
		}
		if it.Offset, err = f.Seek(0, io.SeekCurrent); err != nil {
			return err
		}
		it.Size = h.Size
		if err := yield(it); err != nil {
			return err
		}
	}
}

func (c *Collection) eachInList(yield func(Item) error) error {
	f, err := os.Open(c.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimRight(sc.Text(), " \t\r")
		if line == "" {
			continue
		}
		it, ok := c.listed(line)
		if !ok {
			return fmt.Errorf("%w: neither a directory, nor a tar file, nor a list: line %d is not a path, a tab or a space, and a class: %.60q", ErrData, n, line)
		}
		if err := yield(it); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%w: neither a directory, nor a tar file, nor a list: %v", ErrData, err)
	}
	return nil
}

// listed splits a line of a list.
func (c *Collection) listed(line string) (it Item, ok bool) {
	at := strings.IndexByte(line, '\t')
	if at < 0 && c.unlabelled && slices.Contains(picture.Extensions(), strings.ToLower(path.Ext(line))) {
		at = len(line)
	}
	if at < 0 {
		at = strings.LastIndexByte(line, ' ')
	}
	if at < 1 || strings.IndexByte(line, 0) >= 0 {
		return it, false
	}
	return Item{Path: strings.TrimRight(line[:at], " \t"), Class: strings.TrimLeft(line[at:], " \t")}, true
}
