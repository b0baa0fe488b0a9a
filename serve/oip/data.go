package oip

import "slices"

// data collects the elements of a tensor's data, which stand in one array or in arrays of
// arrays.
type data struct {
	limits  Limits
	floats  []float32
	strings [][]byte
	bytes   int   // in strings
	binary  bool  // they followed the JSON
	dims    []int // elements of an array of each level, −1 where none has ended
	leaf    int   // level of the elements, or −1
}

// read reads the value of "data".
func (d *data) read(s *scanner) error {
	d.leaf = -1
	return d.array(s, 0)
}

// array reads an array of that level.
func (d *data) array(s *scanner, level int) error {
	if level == maxDims {
		return formatErrorf("data of more than %d levels", maxDims)
	}
	if err := s.expect('['); err != nil {
		return err
	}
	c, err := s.peek()
	if err != nil {
		return err
	}
	n := 0
	switch {
	case c == ']':
		s.pos++
	case c == '[':
		n, err = d.elements(s, func() error { return d.array(s, level+1) })
		if err != nil {
			return err
		}
		return d.close(level, n, false)
	case c == '"':
		n, err = d.elements(s, func() error { return d.string(s) })
	default:
		n, err = d.numbers(s)
	}
	if err != nil {
		return err
	}
	return d.close(level, n, true)
}

// close holds an array of n elements of a level against the others.
func (d *data) close(level, n int, leaf bool) error {
	for len(d.dims) <= level {
		d.dims = append(d.dims, -1)
	}
	if leaf && d.leaf < 0 {
		d.leaf = level
	}
	if leaf != (d.leaf == level) || d.dims[level] >= 0 && d.dims[level] != n {
		return formatErrorf("the arrays of data are not of one shape")
	}
	d.dims[level] = n
	return nil
}

// fits says whether the arrays are as the shape says, or one for all elements.
func (d *data) fits(shape []int64) bool {
	if len(d.dims) == 1 {
		return true
	}
	if len(d.dims) != len(shape) {
		return false
	}
	for i, n := range d.dims {
		if int64(n) != shape[i] {
			return false
		}
	}
	return true
}

// elements calls element for each element up to the array's end.
func (d *data) elements(s *scanner, element func() error) (n int, err error) {
	for {
		if err := element(); err != nil {
			return n, err
		}
		n++
		c, err := s.peek()
		if err != nil {
			return n, err
		}
		s.pos++
		switch c {
		case ',':
		case ']':
			return n, nil
		default:
			return n, formatErrorf("JSON has %q, want a comma or ']'", c)
		}
	}
}

func (d *data) string(s *scanner) error {
	if len(d.strings) == d.limits.Strings {
		return largeErrorf("more than %d elements", d.limits.Strings)
	}
	b, err := s.str(d.limits.Bytes - d.bytes)
	d.strings, d.bytes = append(d.strings, b), d.bytes+len(b)
	return err
}

// numbers reads numbers up to the array's end.
func (d *data) numbers(s *scanner) (n int, err error) {
	for {
		if _, err := s.peek(); err != nil {
			return n, err
		}
		if err := s.more(maxNumber); err != nil {
			return n, err
		}
		at := len(d.floats)
		if err := d.some(s); err != nil {
			return n, err
		}
		n += len(d.floats) - at
		c, err := s.peek()
		if err != nil {
			return n, err
		}
		s.pos++
		switch c {
		case ',':
		case ']':
			return n, nil
		default:
			return n, formatErrorf("JSON has %q, want a comma or ']'", c)
		}
	}
}

// some reads one number and those behind it that are in the buffer and as usual.
func (d *data) some(s *scanner) error {
	if len(d.floats) == d.limits.Numbers {
		return largeErrorf("more than %d numbers", d.limits.Numbers)
	}
	at := len(d.floats)
	d.floats = slices.Grow(d.floats, 1)
	if n, end := parseFloats(d.floats[at:min(cap(d.floats), d.limits.Numbers)], s.buf[s.pos:s.end]); n > 0 {
		d.floats, s.pos = d.floats[:at+n], s.pos+end
		return nil
	}
	f, length, ok := parseSlowly(s.buf[s.pos:s.end])
	switch {
	case length == 0:
		return s.unexpected("a number")
	case length >= maxNumber:
		return largeErrorf("a number of more than %d bytes", maxNumber)
	case !ok:
		return formatErrorf("the number %s is beyond FP32", s.buf[s.pos:][:length])
	}
	d.floats = append(d.floats, f)
	s.pos += length
	return nil
}
