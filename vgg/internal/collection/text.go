package collection

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns s for a file of lines: s itself, or a Go literal if s has control
// characters, is no UTF-8 or looks like a literal.
func Quote(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) || strings.HasPrefix(s, `"`) {
		return strconv.Quote(s)
	}
	return s
}

// Unquote is the inverse of Quote.
func Unquote(s string) string {
	if q, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return q
	}
	return s
}
