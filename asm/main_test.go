package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFresh fails when a stored generated file differs from what its generator
// prints, or when a file that no generator prints carries a generated name.
func TestFresh(t *testing.T) {
	out, err := outputs()
	require.NoError(t, err)
	printed := map[string]bool{}
	for _, o := range out {
		printed[filepath.ToSlash(o.path)] = true
		have, err := os.ReadFile(filepath.Join("..", o.path))
		require.NoError(t, err, "run: go run ./asm")
		if string(have) != string(o.text) {
			t.Errorf("%s is stale; run: go run ./asm", o.path)
		}
	}
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(d.Name(), "_gen_") {
			return err
		}
		if rel := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))); !printed[rel] {
			t.Errorf("%s: no generator prints it", rel)
		}
		return nil
	})
	require.NoError(t, err)
}

// allowed lists the extensions, in avo's names, that internal/cpu checks for
// the instruction set which a function's name ends with.
var allowed = map[string]string{
	"AVX2":   "AVX AVX2 FMA3 F16C SSE SSE2 MMX+",
	"AVX512": "AVX AVX2 FMA3 F16C SSE SSE2 MMX+ AVX512F AVX512VL AVX512BW AVX512DQ",
}

// TestRequires fails when a function uses an instruction set extension that
// internal/cpu does not check before the function may be called.
func TestRequires(t *testing.T) {
	out, err := outputs()
	require.NoError(t, err)
	for _, o := range out {
		requires := ""
		for line := range strings.SplitSeq(string(o.text), "\n") {
			if rest, ok := strings.CutPrefix(line, "// Requires: "); ok {
				requires = rest
			}
			if !strings.HasPrefix(line, "TEXT ·") {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "TEXT ·"), "(")
			for isa, list := range allowed {
				if !strings.HasSuffix(name, isa) {
					continue
				}
				for ext := range strings.SplitSeq(requires, ", ") {
					if ext != "" && !strings.Contains(" "+list+" ", " "+ext+" ") {
						t.Errorf("%s: %s uses %s, which internal/cpu does not check for %s", o.path, name, ext, isa)
					}
				}
			}
			requires = ""
		}
	}
}
