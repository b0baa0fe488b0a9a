package describe

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLines(t *testing.T) {
	var l Lines
	l.Add("kernel", "%d×%d", 6, 16)
	l.Add("", "more")
	require.Equal(t, "kernel     6×16\n           more\n", l.String())
}

func TestSymbol(t *testing.T) {
	require.Equal(t, "describe.TestSymbol", Symbol(TestSymbol))
	require.Equal(t, "describe.(*Lines).Add", Symbol((*Lines).Add))
}
