package oip

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"unsafe"
)

// Decode reads a request from the body of an HTTP request. header is the value of
// HeaderLength, or negative if there is none. Errors are those of r, or wrap ErrFormat or
// ErrTooLarge.
func Decode(r io.Reader, header int64, limits Limits) (*Request, error) {
	text := r
	if header >= 0 {
		text = io.LimitReader(r, header)
	}
	s, free := borrowScanner(text)
	defer free()
	d := decoder{scanner: s, limits: limits}
	if err := s.object("the request", d.member); err != nil {
		return nil, err
	}
	switch end, err := s.atEnd(); {
	case err != nil:
		return nil, err
	case !end && header < 0:
		return nil, formatErrorf("something follows the JSON, and there is no header %s", HeaderLength)
	case !end:
		return nil, formatErrorf("something follows the JSON")
	}
	if err := d.binary(r, header >= 0); err != nil {
		return nil, err
	}
	for i := range d.request.Inputs {
		if err := d.finish(&d.request.Inputs[i], d.data[i]); err != nil {
			return nil, err
		}
	}
	return &d.request, d.request.check()
}

// decoder is a request that is being read.
type decoder struct {
	*scanner
	limits  Limits // what is left of them
	request Request
	data    []*data // of each input, or nil
}

func (d *decoder) member(name string) (err error) {
	switch name {
	case "id":
		d.request.ID, err = d.text(maxName)
	case "parameters":
		d.request.Parameters, err = d.parameters()
	case "inputs":
		err = d.array(d.input)
	case "outputs":
		err = d.array(d.output)
	default:
		err = d.skip(0)
	}
	return err
}

func (d *decoder) parameters() (Parameters, error) {
	p := Parameters{}
	return p, d.object("parameters", func(name string) error {
		c, err := d.peek()
		if err == nil && (c == '{' || c == '[') {
			return d.skip(0) // what an extension that is not ours has to say
		}
		v, err := d.scalar()
		if err == nil && v != nil {
			p[name] = v
		}
		return err
	})
}

func (d *decoder) input() error {
	if len(d.request.Inputs) == maxInputs {
		return largeErrorf("more than %d inputs", maxInputs)
	}
	var t Tensor
	var values *data
	err := d.object("an input", func(name string) (err error) {
		switch name {
		case "name":
			t.Name, err = d.text(maxName)
		case "datatype":
			t.Datatype, err = d.text(maxName)
		case "shape":
			t.Shape, err = d.shape()
		case "parameters":
			t.Parameters, err = d.parameters()
		case "data":
			values = &data{limits: d.limits}
			if n, err := t.Len(); err == nil && t.Datatype == FP32 { // the usual order: they come before
				values.floats = newFloats(min(n, d.limits.Numbers))
			}
			err = values.read(d.scanner)
			d.limits.Numbers -= len(values.floats)
			d.limits.Strings -= len(values.strings)
			d.limits.Bytes -= values.bytes
		default:
			err = d.skip(0)
		}
		return err
	})
	d.request.Inputs, d.data = append(d.request.Inputs, t), append(d.data, values)
	return err
}

func (d *decoder) shape() (shape []int64, err error) {
	err = d.array(func() error {
		v, err := d.scalar()
		n, ok := v.(int64)
		if err == nil && (!ok || n < 0) {
			return formatErrorf("a shape has %v, want integers from 0", v)
		}
		if len(shape) == maxDims {
			return formatErrorf("a shape of more than %d dimensions", maxDims)
		}
		shape = append(shape, n)
		return err
	})
	return shape, err
}

func (d *decoder) output() error {
	if len(d.request.Outputs) == maxOutputs {
		return largeErrorf("more than %d outputs", maxOutputs)
	}
	var o Output
	err := d.object("an output", func(name string) (err error) {
		switch name {
		case "name":
			o.Name, err = d.text(maxName)
		case "parameters":
			o.Parameters, err = d.parameters()
		default:
			err = d.skip(0)
		}
		return err
	})
	d.request.Outputs = append(d.request.Outputs, o)
	return err
}

// binary reads the data that follow the JSON.
func (d *decoder) binary(r io.Reader, allowed bool) error {
	for i := range d.request.Inputs {
		t := &d.request.Inputs[i]
		size, ok, err := t.Parameters.Int("binary_data_size")
		switch {
		case err != nil:
			return err
		case !ok:
			continue
		case !allowed:
			return formatErrorf("input %s has a binary_data_size, and there is no header %s", t.Name, HeaderLength)
		case d.data[i] != nil:
			return formatErrorf("input %s has both data and binary_data_size", t.Name)
		}
		d.data[i] = &data{binary: true}
		if err := d.raw(r, t, size); err != nil {
			return err
		}
	}
	if !allowed {
		return nil
	}
	if n, err := io.CopyN(io.Discard, r, 1); err == nil || n > 0 {
		return formatErrorf("the body goes on behind the data of its inputs")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// raw reads the binary data of a tensor.
func (d *decoder) raw(r io.Reader, t *Tensor, size int64) (err error) {
	n, err := t.Len()
	if err != nil {
		return err
	}
	switch t.Datatype {
	case FP32:
		if size != 4*int64(n) {
			return formatErrorf("input %s has a binary_data_size of %d, and its shape %v takes %d", t.Name, size, t.Shape, 4*int64(n))
		}
		if n > d.limits.Numbers {
			return largeErrorf("input %s has %d numbers, the limit is %d", t.Name, n, d.limits.Numbers)
		}
		d.limits.Numbers -= n
		t.Floats, err = readFloats(r, n)
	case BYTES:
		if size > int64(d.limits.Bytes)+4*int64(d.limits.Strings) {
			return largeErrorf("input %s has %d bytes, the limit is %d", t.Name, size, d.limits.Bytes)
		}
		var raw []byte
		if raw, err = readAll(r, int(size)); err != nil {
			break
		}
		t.Strings, err = splitStrings(raw, d.limits.Strings)
		d.limits.Strings -= len(t.Strings)
		d.limits.Bytes -= len(raw)
	default:
		return formatErrorf("input %s has datatype %s, want %s or %s", t.Name, t.Datatype, FP32, BYTES)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return formatErrorf("the body ends within the data of input %s", t.Name)
	}
	return err
}

// readAll reads n bytes; memory grows as they arrive.
func readAll(r io.Reader, n int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(b) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// firstFloats is how many numbers have room before they have arrived.
const firstFloats = 1 << 18

// released keeps the memory of requests that have been released, as *[]float32.
var released sync.Pool

// newFloats returns a slice without elements with room for n, or for firstFloats.
func newFloats(n int) []float32 {
	n = min(n, firstFloats)
	if x, ok := released.Get().(*[]float32); ok && cap(*x) >= n {
		return (*x)[:0]
	}
	return make([]float32, 0, n)
}

// Release gives the memory of the inputs' numbers to requests to come. Nothing may use them
// any more.
func (r *Request) Release() {
	for i := range r.Inputs {
		if x := r.Inputs[i].Floats; cap(x) > 0 && cap(x) <= 2*firstFloats {
			released.Put(&x)
		}
		r.Inputs[i].Floats = nil
	}
}

// readFloats reads n little-endian float32; memory grows as they arrive.
func readFloats(r io.Reader, n int) ([]float32, error) {
	floats := newFloats(n)
	for len(floats) < n {
		at := len(floats)
		floats = slices.Grow(floats, min(n-at, max(at, 1)))
		floats = floats[:min(n, cap(floats))]
		if _, err := io.ReadFull(r, bytesOf(floats[at:])); err != nil {
			return nil, err
		}
		fromLittleEndian(floats[at:])
	}
	return floats, nil
}

// bytesOf returns the memory of x.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// fromLittleEndian makes numbers of x, whose memory has the bytes of little-endian ones.
func fromLittleEndian(x []float32) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return
	}
	for i, b := 0, bytesOf(x); i < len(x); i++ {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

// splitStrings returns the elements of a BYTES tensor, which are parts of raw.
func splitStrings(raw []byte, most int) (list [][]byte, err error) {
	for len(raw) > 0 {
		if len(list) == most {
			return nil, largeErrorf("more than %d elements", most)
		}
		if len(raw) < 4 || uint64(len(raw)-4) < uint64(binary.LittleEndian.Uint32(raw)) {
			return nil, formatErrorf("BYTES data end within an element")
		}
		end := 4 + int(binary.LittleEndian.Uint32(raw))
		list, raw = append(list, raw[4:end:end]), raw[end:]
	}
	return list, nil
}

// finish gives a tensor the data that the JSON had.
func (d *decoder) finish(t *Tensor, values *data) error {
	switch {
	case values == nil:
		return formatErrorf("input %s has no data", t.Name)
	case values.binary:
		return nil
	case !values.fits(t.Shape):
		return formatErrorf("the data of input %s are arrays of %v, and its shape is %v", t.Name, values.dims, t.Shape)
	case values.strings != nil && t.Datatype != BYTES:
		return formatErrorf("the data of input %s are texts, and its datatype is %s", t.Name, t.Datatype)
	case values.floats != nil && t.Datatype == BYTES:
		return formatErrorf("the data of input %s are numbers, and its datatype is %s", t.Name, t.Datatype)
	}
	t.Floats, t.Strings = values.floats, values.strings
	return decodeBase64(t)
}

// decodeBase64 replaces the elements of a BYTES tensor that came as JSON: a text holds no
// arbitrary bytes, so that they are base64 (RFC 4648).
func decodeBase64(t *Tensor) error {
	if t.Datatype != BYTES {
		return nil
	}
	if t.Parameters["content_type"] != "base64" {
		return formatErrorf("input %s is BYTES in JSON: send binary data, or base64 with the parameter content_type \"base64\"", t.Name)
	}
	for i, text := range t.Strings {
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(b, text)
		if err != nil {
			return formatErrorf("element %d of input %s is not base64", i, t.Name)
		}
		t.Strings[i] = b[:n]
	}
	return nil
}
