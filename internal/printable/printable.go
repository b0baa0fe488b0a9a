// Package printable makes texts from outside fit for messages: names in files, and of files,
// may have escape sequences for a terminal, or megabytes.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// most is how many bytes of a name a message shows.
const most = 200

// Name returns s if it is printable and not long, and otherwise a Go literal of it, or of its
// first bytes and "…".
func Name(s string) string {
	switch {
	case len(s) > most:
		return strconv.Quote(s[:most]) + "…"
	case !utf8.ValidString(s) || strings.ContainsFunc(s, notPrintable):
		return strconv.Quote(s)
	}
	return s
}

// Line returns s with what is not printable, ends of lines too, escaped as in a Go literal.
func Line(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, notPrintable) {
		return s
	}
	quoted := strconv.Quote(s)
	return unescape.Replace(quoted[1 : len(quoted)-1])
}

// unescape takes back what strconv.Quote escapes of printable texts.
var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// Quote returns s as a Go literal, or its first n bytes and "…" if it is longer.
func Quote(s string, n int) string {
	if len(s) > n {
		return strconv.Quote(s[:n]) + "…"
	}
	return strconv.Quote(s)
}

// Text returns a message fit for a terminal: what is not printable is escaped as in a Go
// literal, but for the ends of lines, and what is beyond 900 bytes is cut.
func Text(s string) string {
	const most = 900
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = Line(line)
	}
	return strings.Join(lines, "\n")
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }
