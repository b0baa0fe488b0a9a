package evaluate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"iter"
	"slices"
	"strconv"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/train"
)

// ErrData is wrapped by errors about a collection of pictures.
var ErrData = collection.ErrData

// Data is a stream of labelled pictures.
type Data struct {
	Name    string   // for messages
	Classes []string // their names, by the number that an Example gives
	N       int      // how many pictures there are
	Hash    string   // of the paths and classes of all pictures, in order
	// Each lists the pictures, in the same order each time.
	Each  iter.Seq2[Example, error]
	close func() error
}

// Example is one picture of a Data.
type Example struct {
	Path    string // distinct, for messages and for going on after an interruption
	Class   int    // in Data.Classes
	Picture func() (image.Image, error)
}

// Open finds the pictures of a directory that has one directory of pictures for each class,
// of a tar file of one, or of a list. A list is a text file; a line has the path of a
// picture, relative to the list, a tab or spaces, and the name of its class.
//
// Open counts the pictures. They are listed again when they are used, one at a time. So
// memory depends on the names within one directory and on those of the classes, but not on
// the number of pictures. Pictures are decoded with the options. Errors wrap ErrData or
// those of the file system.
func Open(name string, opts ...picture.Option) (*Data, error) {
	c, err := collection.Open(name, opts...)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	d := &Data{Name: name, close: c.Close}
	if err := d.count(c); err != nil {
		return nil, errors.Join(fmt.Errorf("evaluate: %s: %w", name, err), c.Close())
	}
	return d, nil
}

// Close ends the use of the data.
func (d *Data) Close() error {
	if d.close == nil {
		return nil
	}
	return d.close()
}

// maxClasses bounds the memory for a file that is no list.
const maxClasses = 1 << 20

// count lists c once and numbers its classes in ascending order.
func (d *Data) count(c *collection.Collection) error {
	numbers := map[string]int{}
	h := sha256.New()
	for it, err := range c.Items() {
		if err != nil {
			return err
		}
		d.N++
		fmt.Fprintf(h, "%q %q\n", it.Path, it.Class)
		if numbers[it.Class] = 0; len(numbers) > maxClasses {
			return fmt.Errorf("%w: it has more than %d classes", ErrData, maxClasses)
		}
	}
	if d.N == 0 {
		return fmt.Errorf("%w: it holds no pictures (%s)", ErrData, collection.Extensions())
	}
	for name := range numbers {
		d.Classes = append(d.Classes, name)
	}
	slices.Sort(d.Classes)
	d.Hash = fmt.Sprintf("%x", h.Sum(nil))
	for i, name := range d.Classes {
		numbers[name] = i
	}
	d.Each = func(yield func(Example, error) bool) {
		for it, err := range c.Items() {
			class, known := numbers[it.Class]
			if err == nil && !known {
				err = fmt.Errorf("%w: class %s was not there when it was opened", ErrData, it.Class)
			}
			if err != nil {
				yield(Example{}, fmt.Errorf("evaluate: %s: %w", d.Name, err))
				return
			}
			if !yield(Example{it.Path, class, func() (image.Image, error) { return c.Decode(it) }}, nil) {
				return
			}
		}
	}
	return nil
}

// Shard returns the pictures of a shard, with the classes of all. Each shard is
// evaluated on its own; Merge joins their logs. Errors wrap ErrData.
func (d *Data) Shard(s shard.Shard) (*Data, error) {
	if !s.Valid() || d.N < s.Count {
		return nil, fmt.Errorf("evaluate: %s: shard %v of %d pictures: some would be empty: %w", d.Name, s, d.N, ErrData)
	}
	first, end := s.Range(d.N)
	part := *d
	part.N, part.close = end-first, nil
	part.Each = func(yield func(Example, error) bool) {
		n := 0
		for x, err := range d.Each {
			if n++; err == nil && n <= first {
				continue
			}
			if err == nil && n > end || !yield(x, err) {
				return
			}
		}
	}
	return &part, nil
}

// FromDataset returns the pictures of a data set of package train, for instance of a part
// that training has not seen.
func FromDataset(t *train.Dataset) *Data {
	h := sha256.New()
	for _, e := range t.Examples {
		fmt.Fprintf(h, "%q %q\n", e.Path, t.Classes[e.Class])
	}
	hash := fmt.Sprintf("%x", h.Sum(nil))
	return &Data{Name: t.Name, Classes: slices.Clone(t.Classes), N: len(t.Examples), Hash: hash, Each: func(yield func(Example, error) bool) {
		for i, e := range t.Examples {
			if !yield(Example{e.Path, e.Class, func() (image.Image, error) { return t.Picture(i) }}, nil) {
				return
			}
		}
	}}
}

// NameClasses replaces classes that are numbers by names: number i by names[i]. Lists of
// pictures for Caffe have such numbers, with a separate file of names.
func (d *Data) NameClasses(names []string) error {
	for i, class := range d.Classes {
		n, err := strconv.Atoi(class)
		if err != nil || n < 0 || n >= len(names) {
			return fmt.Errorf("evaluate: %s: class %q is not a number below %d, which is how many names there are: %w", d.Name, class, len(names), ErrData)
		}
		d.Classes[i] = names[n]
	}
	return nil
}
