package extract

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"iter"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
)

// ErrData is wrapped by errors about a collection of pictures.
var ErrData = collection.ErrData

// Data is a collection of pictures.
type Data struct {
	Name string // for messages
	N    int    // how many pictures there are
	Hash string // of their paths, in order
	c    *collection.Collection
}

// Open finds the pictures of a directory and those below it, of a tar file, or of a
// list: a text file whose lines are the path of a picture, relative to the list, and
// may go on with a tab and anything. Pictures are told by the endings of their names,
// but in a list. They are counted now and listed again when they are used, one at a
// time: memory does not depend on their number, but for the names within one
// directory. Pictures are decoded with the options. Errors wrap ErrData or those of
// the file system.
func Open(name string, opts ...picture.Option) (*Data, error) {
	c, err := collection.OpenUnlabelled(name, opts...)
	if err != nil {
		return nil, fmt.Errorf("extract: %w", err)
	}
	d := &Data{Name: name, c: c}
	if err := d.count(); err != nil {
		return nil, errors.Join(fmt.Errorf("extract: %s: %w", name, err), c.Close())
	}
	return d, nil
}

// Close ends the use of the data.
func (d *Data) Close() error { return d.c.Close() }

func (d *Data) count() error {
	h := sha256.New()
	for it, err := range d.c.Items() {
		if err != nil {
			return err
		}
		d.N++
		fmt.Fprintf(h, "%q\n", it.Path)
	}
	if d.N == 0 {
		return fmt.Errorf("%w: it holds no pictures (%s)", ErrData, collection.Extensions())
	}
	d.Hash = fmt.Sprintf("%x", h.Sum(nil))
	return nil
}

// input is one picture of a Data.
type input struct {
	path   string
	size   func() (int64, error) // of the file
	decode func() (image.Image, error)
}

// each lists the pictures of a shard but for the first skip.
func (d *Data) each(s shard.Shard, skip int) iter.Seq2[input, error] {
	first, end := s.Range(d.N)
	first += skip
	return func(yield func(input, error) bool) {
		n := 0
		for it, err := range d.c.Items() {
			if err != nil {
				yield(input{}, fmt.Errorf("extract: %s: %w", d.Name, err))
				return
			}
			if n++; n <= first {
				continue
			}
			if n > end {
				return
			}
			in := input{it.Path, func() (int64, error) { return d.c.Size(it) }, func() (image.Image, error) { return d.c.Decode(it) }}
			if !yield(in, nil) {
				return
			}
		}
		if n < end {
			yield(input{}, fmt.Errorf("extract: %s: it has %d pictures, and had %d when it was opened: %w", d.Name, n, d.N, ErrData))
		}
	}
}
