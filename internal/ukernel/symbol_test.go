package ukernel

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSymbol: a kernel's name and its symbols say the same tile and instruction set.
func TestSymbol(t *testing.T) {
	for i := range IndirectKernels {
		checkSymbol(t, IndirectKernels[i].Name, "ukernel.indirect", IndirectKernels[i].Symbol(IndirectKernels[i].MR, IndirectKernels[i].NR))
	}
	for i := range BlockedKernels {
		checkSymbol(t, BlockedKernels[i].Name, "ukernel.blocked", BlockedKernels[i].Symbol(BlockedKernels[i].MR, BlockedKernels[i].NR))
	}
}

func checkSymbol(t *testing.T, name, family, symbol string) {
	t.Helper()
	isa, tile, _ := strings.Cut(name, "_")
	if isa == "generic" {
		require.Contains(t, symbol, strings.TrimPrefix(family, "ukernel.")+"Generic")
		return
	}
	require.Equal(t, family+tile+strings.ToUpper(isa), symbol)
}
