package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestSelftestDocument: docs/dispatch.md shows what the command prints with AVX2.
func TestSelftestDocument(t *testing.T) {
	if cpu.Best() != cpu.AVX2 {
		t.Skip("the document shows AVX2; NONET_ISA=avx2 chooses it")
	}
	_, _, blocks := testutil.Documents(t)
	n := 0
	for i, b := range blocks[:len(blocks)-1] {
		if b.Lang != "sh" || !strings.Contains(b.Text, "selftest --threads 1 --explain") {
			continue
		}
		words := b.Commands()[0]
		require.Equal(t, blocks[i+1].Text, requireOK(t, words[1:]...), "%s:%d", b.File, b.Line)
		n++
	}
	require.Equal(t, 1, n)
}

func TestSelftestExplain(t *testing.T) {
	var plans []choice
	text := requireOK(t, "selftest", "--json", "--explain", "conv1_1,conv5_1,fc6,1x1000x600,3x4x4")
	require.NoError(t, json.Unmarshal([]byte(text), &plans))
	require.Len(t, plans, 5)
	for i, word := range []string{"direct", "F(4×4,3×3)", "1×4096×25088", "gemv", "small"} {
		if cpu.Best() != cpu.Generic || word != "gemv" {
			require.Contains(t, plans[i].Choice, word)
		}
	}
	require.Contains(t, requireOK(t, "selftest", "--explain", "conv3_3", "--config", "C"), "for each picture")
	require.Contains(t, requireOK(t, "selftest", "--explain", "fc6", "--fixed-fc"), "16 by 8 bits")
	require.Contains(t, requireOK(t, "selftest", "--explain", "fc6,conv5_1", "--fixed"), "Int16")
	require.NotEqual(t, requireOK(t, "selftest", "--explain", "fc6", "--half-fc"), requireOK(t, "selftest", "--explain", "fc6"))
	require.Contains(t, requireOK(t, "selftest", "--explain", "conv5_1", "--algorithm", "winograd2"), "F(2×2,3×3)")
	requireFails(t, []string{"--fixed", "--explain"}, "selftest", "--fixed")
	requireFails(t, []string{"fixed"}, "selftest", "--explain", "conv5_1", "--fixed", "--algorithm", "direct")
	for _, bad := range []string{"pool1", "conv9_9", "49x512", "axbxc", "0x1x1"} {
		requireFails(t, []string{"--explain", bad}, "selftest", "--explain", bad)
	}
}
