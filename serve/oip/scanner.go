package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"unicode/utf8"
)

// scanner reads JSON (RFC 8259) as it arrives.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int
	eof      bool
}

const (
	scanBuffer = 1 << 16
	maxNumber  = 1 << 10 // bytes of a number
	maxDepth   = 64      // of values that are skipped
)

func newScanner(r io.Reader) *scanner { return &scanner{r: r, buf: make([]byte, scanBuffer)} }

// scanners keeps those that have done.
var scanners = sync.Pool{New: func() any { return newScanner(nil) }}

// borrowScanner returns a scanner until free is called.
func borrowScanner(r io.Reader) (s *scanner, free func()) {
	s = scanners.Get().(*scanner)
	*s = scanner{r: r, buf: s.buf}
	return s, func() {
		s.r = nil
		scanners.Put(s)
	}
}

// more makes n bytes available from pos on, or all that there are.
func (s *scanner) more(n int) error {
	if s.end-s.pos >= n || s.eof {
		return nil
	}
	copy(s.buf, s.buf[s.pos:s.end])
	s.pos, s.end = 0, s.end-s.pos
	for s.end < n {
		k, err := s.r.Read(s.buf[s.end:])
		s.end += k
		if errors.Is(err, io.EOF) {
			s.eof = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// peek returns the next byte that is no white space.
func (s *scanner) peek() (byte, error) {
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
				s.pos++
			default:
				return c, nil
			}
		}
		if s.eof {
			return 0, formatErrorf("the JSON ends too early")
		}
		if err := s.more(1); err != nil {
			return 0, err
		}
	}
}

// expect reads c.
func (s *scanner) expect(c byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != c {
		return formatErrorf("JSON has %q, want %q", got, c)
	}
	s.pos++
	return nil
}

// atEnd says whether only white space is left.
func (s *scanner) atEnd() (bool, error) {
	_, err := s.peek()
	if err != nil && s.eof && s.pos == s.end {
		return true, nil
	}
	return false, err
}

// list calls element for each element of a list between open and its partner, which is to
// read it.
func (s *scanner) list(begin, end byte, element func() error) error {
	if err := s.expect(begin); err != nil {
		return err
	}
	c, err := s.peek()
	if err == nil && c == end {
		s.pos++
		return nil
	}
	for err == nil {
		if err = element(); err != nil {
			break
		}
		if c, err = s.peek(); err != nil {
			break
		}
		s.pos++
		switch c {
		case ',':
		case end:
			return nil
		default:
			return formatErrorf("JSON has %q, want a comma or %q", c, end)
		}
	}
	return err
}

// array calls element for each element of an array, which is to read it.
func (s *scanner) array(element func() error) error { return s.list('[', ']', element) }

// object calls member for each member of an object, which is to read its value. A name
// that is there twice is an error.
func (s *scanner) object(what string, member func(name string) error) error {
	seen := map[string]bool{}
	return s.list('{', '}', func() error {
		name, err := s.text(maxName)
		if err != nil {
			return err
		}
		if seen[name] {
			return formatErrorf("%s has %q twice", what, name)
		}
		if len(seen) == maxParameters {
			return largeErrorf("%s has more than %d members", what, maxParameters)
		}
		seen[name] = true
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// text reads a string of at most limit bytes.
func (s *scanner) text(limit int) (string, error) {
	b, err := s.str(limit)
	return string(b), err
}

// str reads a string of at most limit bytes, which is a new slice.
func (s *scanner) str(limit int) ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	raw, escaped := []byte{'"'}, false
	for {
		part := s.buf[s.pos:s.end]
		i := bytes.IndexAny(part, `"\`)
		if i < 0 {
			raw, s.pos = append(raw, part...), s.end
		} else {
			raw, s.pos = append(raw, part[:i+1]...), s.pos+i+1
		}
		if len(raw) > limit+2 && (!escaped || len(raw) > 6*limit+2) {
			return nil, largeErrorf("a text of more than %d bytes", limit)
		}
		switch {
		case i >= 0 && part[i] == '"':
			return unquote(raw, escaped)
		case i >= 0: // the byte behind is part of the escape
			escaped = true
			if err := s.more(1); err != nil {
				return nil, err
			}
			if s.pos < s.end {
				raw, s.pos = append(raw, s.buf[s.pos]), s.pos+1
			}
		}
		if s.pos == s.end {
			if s.eof {
				return nil, formatErrorf("the JSON ends within a text")
			}
			if err := s.more(1); err != nil {
				return nil, err
			}
		}
	}
}

// unquote returns the text between quotes.
func unquote(raw []byte, escaped bool) ([]byte, error) {
	plain := raw[1 : len(raw)-1]
	if !escaped && utf8.Valid(plain) {
		if i := bytes.IndexFunc(plain, func(r rune) bool { return r < ' ' }); i >= 0 {
			return nil, formatErrorf("a text with a control character")
		}
		return plain, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, formatErrorf("a text that is not JSON")
	}
	return []byte(text), nil
}

// number returns the bytes of the next number, which stay until the next read.
func (s *scanner) number() ([]byte, error) {
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	if err := s.more(maxNumber); err != nil {
		return nil, err
	}
	n := numberLen(s.buf[s.pos:s.end])
	if n == 0 {
		return nil, s.unexpected("a number")
	}
	if n >= maxNumber {
		return nil, largeErrorf("a number of more than %d bytes", maxNumber)
	}
	b := s.buf[s.pos:][:n]
	s.pos += n
	return b, nil
}

// unexpected is the error of other bytes than what is wanted.
func (s *scanner) unexpected(want string) error {
	part := s.buf[s.pos:min(s.end, s.pos+12)]
	return formatErrorf("JSON has %q, want %s", part, want)
}

// literal reads true, false or null.
func (s *scanner) literal() (any, error) {
	if err := s.more(5); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		text  string
		value any
	}{{"true", true}, {"false", false}, {"null", nil}} {
		if bytes.HasPrefix(s.buf[s.pos:s.end], []byte(l.text)) {
			s.pos += len(l.text)
			return l.value, nil
		}
	}
	return nil, s.unexpected("a value")
}

// scalar reads a value that is no array and no object: nil, bool, string, int64 or
// float64.
func (s *scanner) scalar() (any, error) {
	c, err := s.peek()
	switch {
	case err != nil:
		return nil, err
	case c == '"':
		return s.text(maxName)
	case c == '-' || '0' <= c && c <= '9':
		b, err := s.number()
		if err != nil {
			return nil, err
		}
		return parseScalar(b)
	}
	return s.literal()
}

// skip reads any value.
func (s *scanner) skip(depth int) error {
	if depth == maxDepth {
		return largeErrorf("JSON of more than %d levels", maxDepth)
	}
	c, err := s.peek()
	switch {
	case err != nil:
		return err
	case c == '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case c == '{':
		return s.list('{', '}', func() error {
			if _, err := s.text(maxName); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
			return s.skip(depth + 1)
		})
	}
	_, err = s.scalar()
	return err
}
