package printable

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"a b/ü 猫.jpg":            "a b/ü 猫.jpg",
		"\x1b[31mred":            `"\x1b[31mred"`,
		"two\nlines":             `"two\nlines"`,
		"\xff":                   `"\xff"`,
		"a\u202eb":               `"a\u202eb"`, // turns the direction of what follows
		strings.Repeat("x", 200): strings.Repeat("x", 200),
		strings.Repeat("x", 201): `"` + strings.Repeat("x", 200) + `"…`,
	} {
		require.Equal(t, want, Name(in))
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a \"b\"\nc ü":              "a \"b\"\nc ü",
		"a \"b\"\n\x1b[31m\x07\xff": "a \"b\"\n\\x1b[31m\\a\\xff",
		strings.Repeat("é", 600):    strings.Repeat("é", 450) + "…",
	} {
		require.Equal(t, want, Text(in))
	}
}

func TestLine(t *testing.T) {
	require.Equal(t, `a "b" c\ ü`, Line(`a "b" c\ ü`))
	require.Equal(t, `a\nb\x1b[2J"c"`, Line("a\nb\x1b[2J\"c\""))
}

func TestQuote(t *testing.T) {
	require.Equal(t, `"ab"`, Quote("ab", 2))
	require.Equal(t, `"ab"…`, Quote("abc", 2))
	require.Equal(t, `"\x1b"`, Quote("\x1b", 2))
}
