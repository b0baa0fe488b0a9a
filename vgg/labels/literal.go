package labels

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nonet-go/nonet/internal/printable"
)

// A literal is nil, a bool, an int64, a float64, a string, []any or a dict.

// A dict is an object with its keys in their order.
type dict []pair

type pair struct{ key, value any }

func (d dict) get(key string) (any, bool) {
	for _, p := range d {
		if p.key == key {
			return p.value, true
		}
	}
	return nil, false
}

// maxDepth bounds lists in lists.
const maxDepth = 32

// literalParser reads JSON, or what Python writes for lists, tuples, dictionaries,
// strings and numbers.
type literalParser struct {
	text  string
	at    int
	json  bool // which escapes strings have
	depth int
}

// parseLiteral reads one literal and fails if anything follows it.
func parseLiteral(text string, json bool) (any, error) {
	p := &literalParser{text: text, json: json}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, p.failf("more behind the end: %s", quote(text[p.at:]))
	}
	return v, nil
}

func (p *literalParser) failf(format string, args ...any) error {
	line := 1 + strings.Count(p.text[:min(p.at, len(p.text))], "\n")
	return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
}

func (p *literalParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// next skips space, and then c if it is the next byte.
func (p *literalParser) next(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// what shows the next bytes, for messages.
func (p *literalParser) what() string {
	if p.at >= len(p.text) {
		return "the end"
	}
	return quote(p.text[p.at:])
}

func (p *literalParser) value() (any, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.failf("lists inside lists, more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	p.space()
	rest := p.text[p.at:]
	switch {
	case rest == "":
		return nil, p.failf("the text ends where a value is wanted")
	case rest[0] == '{':
		p.at++
		return p.dict()
	case rest[0] == '[':
		p.at++
		return p.list(']')
	case rest[0] == '(':
		p.at++
		return p.list(')')
	case rest[0] == '"' || rest[0] == '\'':
		return p.string()
	case len(rest) > 1 && rest[0] == 'u' && (rest[1] == '"' || rest[1] == '\''):
		p.at++
		return p.string()
	}
	return p.word()
}

func (p *literalParser) dict() (dict, error) {
	var d dict
	seen := map[any]bool{}
	for !p.next('}') {
		p.space()
		start := p.at
		key, err := p.value()
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case string, int64:
		default:
			p.at = start
			return nil, p.failf("%s is no key", show(key))
		}
		if seen[key] {
			return nil, p.failf("%s is there twice", show(key))
		}
		seen[key] = true
		if !p.next(':') {
			return nil, p.failf("want : behind %s, not %s", show(key), p.what())
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		d = append(d, pair{key, value})
		if !p.next(',') {
			if !p.next('}') {
				return nil, p.failf("want , or }, not %s", p.what())
			}
			break
		}
	}
	return d, nil
}

func (p *literalParser) list(end byte) ([]any, error) {
	list := []any{}
	for !p.next(end) {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if !p.next(',') {
			if !p.next(end) {
				return nil, p.failf("want , or %c, not %s", end, p.what())
			}
			break
		}
	}
	return list, nil
}

// word reads a number or a constant.
func (p *literalParser) word() (any, error) {
	rest := p.text[p.at:]
	n := strings.IndexAny(rest, " \t\r\n,:]})[{(\"'")
	if n < 0 {
		n = len(rest)
	}
	word := rest[:n]
	var v any
	switch word {
	case "null", "None":
	case "true", "True":
		v = true
	case "false", "False":
		v = false
	default:
		if i, err := strconv.ParseInt(word, 10, 64); err == nil {
			v = i
		} else if f, err := strconv.ParseFloat(word, 64); err == nil {
			v = f
		} else {
			return nil, p.failf("%s is neither text in quotes nor a number", p.what())
		}
	}
	p.at += n
	return v, nil
}

// string reads text in quotes of either kind.
func (p *literalParser) string() (string, error) {
	end := p.text[p.at]
	start := p.at
	if strings.HasPrefix(p.text[p.at:], strings.Repeat(string(end), 3)) {
		return "", p.failf("text in three quotes")
	}
	var b strings.Builder
	for p.at++; p.at < len(p.text); {
		c := p.text[p.at]
		p.at++
		switch c {
		case end:
			return b.String(), nil
		case '\n':
			p.at = start
			return "", p.failf("the text that begins with %s has no end in its line", p.what())
		case '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteString(r)
		default:
			b.WriteByte(c)
		}
	}
	p.at = start
	return "", p.failf("the text that begins with %s has no end", p.what())
}

var simpleEscapes = map[byte]string{'\\': "\\", '"': "\"", '\'': "'", 'n': "\n", 'r': "\r", 't': "\t", 'b': "\b", 'f': "\f"}

// escape reads what follows a backslash.
func (p *literalParser) escape() (string, error) {
	if p.at >= len(p.text) {
		return "", p.failf("the text ends with a backslash")
	}
	c := p.text[p.at]
	p.at++
	if s, ok := simpleEscapes[c]; ok {
		return s, nil
	}
	switch {
	case c == 'u':
		return p.unicode(4)
	case p.json && c == '/':
		return "/", nil
	case p.json:
	case c == 'x':
		return p.unicode(2)
	case c == 'U':
		return p.unicode(8)
	case c == 'a' || c == 'v' || c >= '0' && c <= '7' || c == 'N':
		// Control characters, octal and names: no repr writes them.
	case c < utf8.RuneSelf: // Python keeps both
		return "\\" + string(rune(c)), nil
	}
	return "", p.failf("escape \\%s is not read", strings.Trim(strconv.Quote(string(rune(c))), `"`))
}

// unicode reads a character by its number, and in JSON both halves of a pair.
func (p *literalParser) unicode(digits int) (string, error) {
	r, err := p.hex(digits)
	if err != nil {
		return "", err
	}
	if p.json && utf16.IsSurrogate(r) && strings.HasPrefix(p.text[p.at:], `\u`) {
		p.at += 2
		low, err := p.hex(4)
		if err != nil {
			return "", err
		}
		r = utf16.DecodeRune(r, low)
	}
	if !utf8.ValidRune(r) || r == utf8.RuneError {
		return "", p.failf("an escape that is no character")
	}
	return string(r), nil
}

func (p *literalParser) hex(digits int) (rune, error) {
	if len(p.text)-p.at < digits {
		return 0, p.failf("an escape that is cut short")
	}
	n, err := strconv.ParseUint(p.text[p.at:][:digits], 16, 32)
	if err != nil {
		return 0, p.failf("an escape of other than %d hexadecimal digits", digits)
	}
	p.at += digits
	return rune(min(n, 1<<30)), nil
}

// show writes a literal for a person.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return quote(v)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case dict:
		return fmt.Sprintf("an object of %d", len(v))
	}
	return fmt.Sprint(v)
}

// quote returns s as a Go string, cut to a readable length.
func quote(s string) string { return printable.Quote(s, 40) }
