package weights

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"unsafe"
)

// File is an open file of tensors. It implements Source.
type File struct {
	name     string
	format   string
	names    []string
	entries  map[string]entry
	metadata map[string]string

	size   int64
	data   []byte      // all of the file, or nil if
	r      io.ReaderAt // it is read on demand
	mapped bool
	closer io.Closer    // or nil
	path   bool         // name is that of a file, in a folder
	beside []*File      // that hold elements of tensors, see openExternal
	disk   *os.File     // or nil; for Unchanged
	opened fs.FileInfo  // of disk
	mu     sync.RWMutex // of data, r, mapped, closer, which Close changes
}

// entry is the place of a tensor in the file.
type entry struct {
	dtype  DType
	shape  []int
	offset int64  // from the start of the file
	length int64  // bytes
	file   *File  // that offset is in, nil for this one
	own    []byte // instead: not as the file has them

	compute func() ([]byte, error) // instead: the caller's, made anew each time
}

var _ Source = (*File)(nil)

// Name returns the name that the file was opened by.
func (f *File) Name() string { return f.name }

// Format returns the name of the file's format.
func (f *File) Format() string { return f.format }

// Names lists the tensors in ascending order.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Metadata returns the file's free text by its keys.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Info returns the type and shape of a tensor without reading it. The error wraps
// ErrNotFound if there is no such tensor.
func (f *File) Info(name string) (DType, []int, error) {
	e, err := f.find(name)
	return e.dtype, slices.Clone(e.shape), err
}

func (f *File) find(name string) (entry, error) {
	e, ok := f.entries[name]
	if !ok {
		return e, &Error{File: f.name, Tensor: name, Err: ErrNotFound,
			Detail: fmt.Sprintf("the file has %d others", len(f.names))}
	}
	return e, nil
}

// Tensor returns the tensor of the given name. If the file is mapped or in memory, Data is a
// view of it, valid until Close. Otherwise each call reads Data anew, and Data belongs to
// the caller. The error wraps ErrNotFound if there is no such tensor.
func (f *File) Tensor(name string) (Tensor, error) {
	e, err := f.find(name)
	if err != nil {
		return Tensor{}, err
	}
	if e.dtype.Size() == 0 {
		return Tensor{}, &Error{File: f.name, Tensor: name, Detail: "elements made by " + quote(string(e.dtype)), Err: ErrUnsupported}
	}
	data, err := f.entryData(e)
	if err != nil {
		return Tensor{}, &Error{File: f.name, Tensor: name, Err: err}
	}
	from := f
	if e.file != nil {
		from = e.file
	}
	return Tensor{Name: name, DType: e.dtype, Shape: slices.Clone(e.shape), Data: data, file: from}, nil
}

// entryData returns the bytes of a tensor.
func (f *File) entryData(e entry) ([]byte, error) {
	switch {
	case e.compute != nil:
		return e.compute()
	case e.own != nil:
		return e.own, nil
	case e.file != nil:
		return e.file.section(e.offset, e.length)
	}
	return f.section(e.offset, e.length)
}

// Release tells the system that no page of the file is needed soon, see Tensor.Release.
func (f *File) Release() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.mapped {
		release(f.data)
	}
	for _, b := range f.beside {
		b.Release()
	}
}

// releasePart is Release for the part of a mapping that b is a view of. It does nothing if b
// is not, or no longer, a view of the mapping: the address may belong to other memory by
// now, which the system would discard.
func (f *File) releasePart(b []byte) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if start, ok := f.mappedAt(b); ok {
		// Whole pages, even if they hold a little of the neighbours.
		release(f.data[start/os.Getpagesize()*os.Getpagesize() : start+len(b)])
	}
}

// mappedAt returns where in the mapping b is, or false if it is no view of it. The caller holds mu.
func (f *File) mappedAt(b []byte) (offset int, ok bool) {
	if !f.mapped || len(b) == 0 {
		return 0, false
	}
	start, base := uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&f.data[0]))
	if start < base || start-base+uintptr(len(b)) > uintptr(len(f.data)) {
		return 0, false
	}
	return int(start - base), true
}

// copyPart copies part, which is a part of a tensor's Data, to dst of the same length. What is mapped
// it reads from the file.
func (f *File) copyPart(dst, part []byte) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	start, ok := f.mappedAt(part)
	if !ok || f.disk == nil {
		return guard(func() { copy(dst, part) })
	}
	switch n, err := f.disk.ReadAt(dst, int64(start)); {
	case n == len(dst):
		return nil
	case err == io.EOF:
		return errCut
	default:
		return plain(err)
	}
}

// Unchanged returns an error that wraps ErrFormat if another process wrote to the file after
// it was opened: then some of the content may be old and some new. It compares the size and
// the time of modification. A file that was replaced by another of its name, as WriteFile
// does, is unchanged.
func (f *File) Unchanged() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.disk == nil {
		return nil
	}
	now, err := f.disk.Stat()
	if err != nil {
		return inFile(f.name, plain(err))
	}
	if now.Size() != f.opened.Size() || !now.ModTime().Equal(f.opened.ModTime()) {
		return inFile(f.name, formatf("", "the file was written to while it was read"))
	}
	for _, b := range f.beside {
		if err := b.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the file. Views of its tensors become invalid: reading one afterwards may
// crash the program. A second call does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	if f.mapped {
		errs = append(errs, unmapFile(f.data))
	}
	if f.closer != nil {
		errs = append(errs, f.closer.Close())
	}
	for _, b := range f.beside {
		errs = append(errs, b.Close())
	}
	f.data, f.mapped, f.r, f.closer, f.disk = nil, false, closed{}, nil, nil
	if err := errors.Join(errs...); err != nil {
		return inFile(f.name, err)
	}
	return nil
}

// closed is the reader of a closed file.
type closed struct{}

func (closed) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrClosed }

// section returns bytes of the file. The caller has checked that they are inside.
func (f *File) section(offset, length int64) ([]byte, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.data != nil {
		return f.data[offset : offset+length : offset+length], nil
	}
	if length != int64(int(length)) {
		return nil, fmt.Errorf("%d bytes are more than memory can hold: %w", length, ErrUnsupported)
	}
	b := make([]byte, length)
	n, err := f.r.ReadAt(b, offset)
	if int64(n) == length {
		return b, nil
	}
	if err == io.EOF {
		err = fmt.Errorf("the file ends %d bytes before it should: %w", length-int64(n), ErrFormat)
	}
	return nil, err
}

// setEntries makes f hold the given tensors.
func (f *File) setEntries(entries map[string]entry) {
	f.entries = entries
	f.names = slices.Sorted(maps.Keys(entries))
}

// openFile opens a regular file, mapped if the system can.
func openFile(path string) (*File, error) {
	f, err := openBy(os.Stat, os.Open, path, path)
	if err != nil {
		return nil, inFile(path, plain(err))
	}
	f.path = true
	return f, nil
}

// openIn is openFile for a file in a folder. A link must not lead out of the folder.
func openIn(root *os.Root, name, path string) (*File, error) {
	return openBy(root.Stat, root.Open, name, path)
}

// openBy opens a regular file with the functions of a folder.
func openBy(stat func(string) (fs.FileInfo, error), open func(string) (*os.File, error), name, path string) (*File, error) {
	// Look before opening: opening a named pipe waits for a writer.
	info, err := stat(name)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = checkRegular(info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	f := &File{name: path, size: info.Size(), r: file, closer: file, disk: file, opened: info}
	if f.size > 0 && f.size == int64(int(f.size)) {
		if data, ok := mapFile(file, int(f.size)); ok {
			f.data, f.mapped, f.r = data, true, nil
		}
	}
	return f, nil
}

func checkRegular(info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return formatf("", "not a regular file (%v)", info.Mode())
}

// plain removes the path from an error of package os: ours already has it.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
