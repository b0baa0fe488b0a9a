package weights

import (
	"encoding/binary"
	"math"
)

// message is a protocol buffer inside a file: its bytes, and where they begin.
// Fields are read in their order; the schema is in the hands of the caller.
// See https://protobuf.dev/programming-guides/encoding.
type message struct {
	b    []byte
	base int64
}

// field is one field of a message.
type field struct {
	number int
	wire   int     // 0: value, 1 and 5: value of 8 and 4 bytes, 2: body
	value  uint64  // of wire types 0, 1 and 5
	body   message // of wire type 2
}

// each calls f for every field.
func (m message) each(f func(field) error) error {
	for at := 0; at < len(m.b); {
		tag, n := binary.Uvarint(m.b[at:])
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return formatf("", "byte %d: no field of a protocol buffer", m.base+int64(at))
		}
		at += n
		x := field{number: int(tag >> 3), wire: int(tag & 7)}
		size := 0
		switch x.wire {
		case 0:
			if x.value, size = binary.Uvarint(m.b[at:]); size <= 0 {
				return formatf("", "byte %d: a number without end", m.base+int64(at))
			}
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			length, n := binary.Uvarint(m.b[at:])
			if n <= 0 || length > uint64(len(m.b)-at-n) {
				return formatf("", "byte %d: field %d is longer than what holds it", m.base+int64(at), x.number)
			}
			at += n
			size = int(length)
			x.body = message{m.b[at:][:size], m.base + int64(at)}
		default:
			return formatf("", "byte %d: field %d has wire type %d", m.base+int64(at), x.number, x.wire)
		}
		if size > len(m.b)-at {
			return formatf("", "byte %d: field %d is longer than what holds it", m.base+int64(at), x.number)
		}
		switch x.wire {
		case 1:
			x.value = binary.LittleEndian.Uint64(m.b[at:])
		case 5:
			x.value = uint64(binary.LittleEndian.Uint32(m.b[at:]))
		}
		at += size
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

// ints appends the values of a repeated integer, packed or not.
func (x field) ints(list []int64) ([]int64, error) {
	if x.wire != 2 {
		return append(list, int64(x.value)), nil
	}
	for b := x.body.b; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, formatf("", "byte %d: a number without end", x.body.base)
		}
		list, b = append(list, int64(v)), b[n:]
	}
	return list, nil
}

func (x field) text() string { return string(x.body.b) }

func (x field) float() float64 { return float64(math.Float32frombits(uint32(x.value))) }

// message returns the whole file.
func (f *File) message() (message, error) {
	b, err := f.section(0, f.size)
	return message{b, 0}, err
}

// values collects a repeated float or double, packed or not. Packed values in one
// piece stay where they are in the file.
type values struct {
	entry
	parts int
	view  bool // own is that piece
}

func (v *values) add(d DType, x field) {
	v.dtype = d
	switch {
	case x.wire == 2 && v.parts == 0:
		n := len(x.body.b)
		v.offset, v.view = x.body.base, true
		v.own = x.body.b[:n:n] // so that what may follow is put elsewhere
	case x.wire == 2:
		v.own, v.view = append(v.own, x.body.b...), false
	default: // one value
		b := binary.LittleEndian.AppendUint64(nil, x.value)
		v.own, v.view = append(v.own, b[:d.Size()]...), false
	}
	v.parts++
}

// place returns the entry of the values in the given shape.
func (v *values) place(name string, shape []int) (entry, error) {
	e := v.entry
	e.shape = shape
	length, ok := byteLen(e.dtype, shape)
	if !ok || length != int64(len(v.own)) {
		return e, formatf(name, "shape %v in %d bytes of %s", shape, len(v.own), e.dtype)
	}
	if v.view {
		e.own = nil // the file itself
	}
	e.length = length
	return e, nil
}
