package weights

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/nonet-go/nonet/internal/outfile"
)

// Out is a tensor to write, from one of Data, Floats and Stream.
type Out struct {
	Name   string
	DType  DType
	Shape  []int
	Data   []byte    // elements, little-endian; it may be the Data of a Tensor
	Floats []float32 // values, rounded to DType, which is F32, F16, BF16 or F64
	// Stream writes the elements, little-endian, of a tensor that memory need not hold.
	Stream func(io.Writer) error
}

// bufferLen is how many bytes are written at a time.
const bufferLen = 1 << 18

// Write writes a safetensors file. Tensors are ordered by descending size of an element, so
// that each is aligned, and otherwise stay in the order given. The bytes depend only on the
// arguments. Write needs memory for the header and a buffer. It checks the tensors before it
// writes the first byte: errors about them wrap ErrFormat, or ErrShape if a tensor does not
// have as many elements as its shape.
func Write(w io.Writer, tensors []Out, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Out) int { return cmp.Compare(b.DType.Size(), a.DType.Size()) })
	head, err := encodeHeader(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	buf := make([]byte, bufferLen)
	for _, t := range tensors {
		if err := t.writeTo(w, buf); err != nil {
			return &Error{Tensor: t.Name, Err: err}
		}
	}
	return nil
}

// WriteFile writes a safetensors file in one step. path keeps its old content, or does not
// exist, until the new file is complete and on the disk. The new file keeps the permissions
// of the old one. A symbolic link is followed. A device or a pipe is written to. A program
// that is killed during the write leaves a file in the same folder, .<name>.<number>.tmp.
// The next WriteFile to the same path removes it.
func WriteFile(path string, tensors []Out, metadata map[string]string) error {
	return WriteFileContext(context.Background(), path, tensors, metadata)
}

// WriteFileContext is WriteFile until ctx ends, which it looks at every 256 KiB. Then it removes
// what it has written and returns an error that wraps ctx's, and path is as it was.
func WriteFileContext(ctx context.Context, path string, tensors []Out, metadata map[string]string) error {
	err := outfile.Write(path, func(w io.Writer) error {
		if err := Write(writerUntil{ctx, w}, tensors, metadata); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return inFile(path, plain(err))
	}
	return nil
}

// writerUntil is a writer that can be written to until ctx ends.
type writerUntil struct {
	ctx context.Context
	w   io.Writer
}

func (u writerUntil) Write(b []byte) (n int, err error) {
	for chunk := range slices.Chunk(b, bufferLen) {
		if err := u.ctx.Err(); err != nil {
			return n, err
		}
		wrote, err := u.w.Write(chunk)
		if n += wrote; err != nil {
			return n, err
		}
	}
	return n, nil
}

// encodeHeader returns the length and the JSON, padded with spaces to a
// multiple of 8 bytes.
func encodeHeader(tensors []Out, metadata map[string]string) ([]byte, error) {
	b := make([]byte, 8, 1024)
	b = append(b, '{')
	if len(metadata) > 0 {
		b = append(appendString(b, metadataKey), ':', '{')
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, formatf("", "metadata %s is not UTF-8", quote(key))
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = appendString(b, metadata[key])
		}
		b = append(b, '}')
	}
	seen := map[string]bool{}
	offset := int64(0)
	for i, t := range tensors {
		length, err := t.check()
		if err != nil {
			return nil, err
		}
		if seen[t.Name] {
			return nil, formatf(t.Name, "stands twice among those to be written")
		}
		seen[t.Name] = true
		if i > 0 || len(metadata) > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, t.Name), ':')
		shape, _ := json.Marshal(append([]int{}, t.Shape...)) // never null
		b = fmt.Appendf(b, `{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, t.DType, shape, offset, offset+length)
		offset += length
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if len(b)-8 > maxHeader {
		return nil, formatf("", "header of %d bytes, want at most %d", len(b)-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, nil
}

// appendString appends s as JSON; s is UTF-8.
func appendString(b []byte, s string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// check returns the number of bytes of t, if it is fit to be written.
func (t Out) check() (int64, error) {
	length, ok := byteLen(t.DType, t.Shape)
	switch {
	case !utf8.ValidString(t.Name) || t.Name == metadataKey:
		return 0, formatf(t.Name, "no name for a tensor")
	case t.DType.Size() == 0:
		return 0, formatf(t.Name, "unknown dtype %s", quote(string(t.DType)))
	case !ok:
		return 0, t.shapeErrorf("shape is %v", t.Shape)
	case t.Data != nil && t.Floats != nil || t.Stream != nil && (t.Data != nil || t.Floats != nil):
		return 0, t.shapeErrorf("two of Data, Floats and Stream are given")
	case t.Stream != nil:
		return length, nil
	case t.Floats != nil && !t.DType.IsFloat():
		return 0, t.shapeErrorf("elements are %s, want F32, F16, BF16 or F64 for Floats", t.DType)
	case t.Floats != nil && int64(len(t.Floats))*int64(t.DType.Size()) != length:
		return 0, t.shapeErrorf("shape is %v, but there are %d elements", t.Shape, len(t.Floats))
	case t.Floats == nil && int64(len(t.Data)) != length:
		return 0, t.shapeErrorf("%s of shape %v takes %d bytes, but there are %d", t.DType, t.Shape, length, len(t.Data))
	}
	return length, nil
}

func (t Out) shapeErrorf(format string, args ...any) error {
	return &Error{Tensor: t.Name, Detail: fmt.Sprintf(format, args...), Got: t.Shape, Err: ErrShape}
}

// stream writes what Stream gives, which must be as much as the shape says.
func (t Out) stream(w io.Writer) error {
	want, _ := byteLen(t.DType, t.Shape) // check has passed
	left := &leftWriter{w, want}
	if err := t.Stream(left); err != nil {
		return err
	}
	if left.n != 0 {
		return t.shapeErrorf("Stream wrote %d bytes, %s of shape %v takes %d", want-left.n, t.DType, t.Shape, want)
	}
	return nil
}

// leftWriter takes n more bytes.
type leftWriter struct {
	w io.Writer
	n int64
}

func (l *leftWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > l.n {
		return 0, fmt.Errorf("more bytes than the shape has: %w", ErrShape)
	}
	n, err := l.w.Write(b)
	l.n -= int64(n)
	return n, err
}

// writeTo writes the elements of t, converting Floats by way of buf.
func (t Out) writeTo(w io.Writer, buf []byte) (err error) {
	if t.Stream != nil {
		return t.stream(w)
	}
	if t.Floats == nil {
		// Data may be a view of a mapped file.
		if fault := guard(func() { _, err = w.Write(t.Data) }); fault != nil {
			return fault
		}
		return err
	}
	size := t.DType.Size()
	for chunk := range slices.Chunk(t.Floats, len(buf)/size) {
		putFloats(buf, t.DType, chunk)
		if _, err := w.Write(buf[:len(chunk)*size]); err != nil {
			return err
		}
	}
	return nil
}
