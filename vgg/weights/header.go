package weights

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf8"
)

// parseHeader reads the JSON object of a header. It refuses other fields, a name that occurs
// twice, and unknown types.
func parseHeader(text []byte) (*header, error) {
	if !utf8.Valid(text) {
		return nil, formatf("", "header is not UTF-8")
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, formatf("", "header does not begin with {")
	}
	p := newParser(text)
	h := &header{metadata: map[string]string{}}
	p.object(func(key string) {
		if key == metadataKey {
			p.object(func(key string) { h.metadata[key] = p.string() })
			return
		}
		h.tensors = append(h.tensors, p.named(key))
	})
	if p.err == nil {
		if _, err := p.dec.Token(); err != io.EOF {
			p.failf("more after the header's last }")
		}
	}
	return h, p.err
}

// parser reads JSON token by token: json.Unmarshal would accept a name twice. After the
// first error it reads nothing more.
type parser struct {
	dec    *json.Decoder
	tensor string // being read, for errors
	err    error
}

func newParser(text []byte) *parser {
	p := &parser{dec: json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	return p
}

func (p *parser) failf(format string, args ...any) {
	if p.err == nil {
		p.err = formatf(p.tensor, format, args...)
	}
}

func (p *parser) token() json.Token {
	if p.err != nil {
		return nil
	}
	t, err := p.dec.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.failf("header, near byte %d: %v", p.dec.InputOffset(), err)
	}
	return t
}

// delim reads one of { } [ ].
func (p *parser) delim(want json.Delim) {
	if t := p.token(); p.err == nil && t != want {
		p.failf("header, near byte %d: want %v, not %s", p.dec.InputOffset(), want, describe(t))
	}
}

// object reads an object, calling field to read the value of each key.
func (p *parser) object(field func(key string)) {
	p.delim('{')
	seen := map[string]bool{}
	for p.err == nil && p.dec.More() {
		key := p.string()
		if seen[key] {
			p.failf("%s stands twice in the header", quote(key))
		}
		seen[key] = true
		if p.err == nil {
			field(key)
		}
	}
	p.delim('}')
}

// list reads an array of numbers, none of them negative or beyond int64.
func (p *parser) list(most int) []int64 {
	var list []int64
	p.delim('[')
	for p.err == nil && p.dec.More() {
		t := p.token()
		number, ok := t.(json.Number)
		n, err := strconv.ParseUint(string(number), 10, 63)
		switch {
		case p.err != nil:
		case !ok || err != nil:
			p.failf("header, near byte %d: want a number from 0 to 2⁶³-1, not %s", p.dec.InputOffset(), describe(t))
		case len(list) == most:
			p.failf("a list of more than %d numbers", most)
		}
		list = append(list, int64(n))
	}
	p.delim(']')
	return list
}

func (p *parser) string() string {
	t := p.token()
	s, ok := t.(string)
	if !ok && p.err == nil {
		p.failf("header, near byte %d: want a string, not %s", p.dec.InputOffset(), describe(t))
	}
	return s
}

// named reads the description of a tensor.
func (p *parser) named(name string) named {
	p.tensor = name
	defer func() { p.tensor = "" }()
	t := named{name: name}
	var shape, offsets []int64
	fields := 0
	p.object(func(key string) {
		fields++
		switch key {
		case "dtype":
			t.dtype = DType(p.string())
		case "shape":
			shape = p.list(maxRank)
		case "data_offsets":
			offsets = p.list(2)
		default:
			p.failf("unknown field %s, want dtype, shape and data_offsets", quote(key))
		}
	})
	switch {
	case p.err != nil:
		return t
	case fields != 3: // none is unknown, none stands twice
		p.failf("%d fields, want dtype, shape and data_offsets", fields)
		return t
	case t.dtype.Size() == 0:
		p.failf("unknown dtype %s", quote(string(t.dtype)))
		return t
	case len(offsets) != 2 || offsets[0] > offsets[1]:
		p.failf("data_offsets %v, want a begin and an end", offsets)
		return t
	}
	t.shape = make([]int, len(shape))
	for i, d := range shape {
		t.shape[i] = int(d)
		if int64(t.shape[i]) != d {
			p.failf("dimension %d is more than this machine counts to", d)
		}
	}
	t.offset, t.length = offsets[0], offsets[1]-offsets[0]
	if want, ok := byteLen(t.dtype, t.shape); !ok {
		p.failf("shape %v has more elements than can be counted", shape)
	} else if want != t.length {
		p.failf("data_offsets %v hold %d bytes, %s of shape %v takes %d", offsets, t.length, t.dtype, shape, want)
	}
	return t
}

// describe names a token in an error.
func describe(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case string:
		return quote(t)
	case json.Number:
		return quote(string(t))
	case bool:
		return strconv.FormatBool(t)
	case json.Delim:
		return t.String()
	}
	return "anything else"
}
