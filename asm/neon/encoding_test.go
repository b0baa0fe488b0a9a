package neon

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/arm64/arm64asm"
)

// disassemble returns the Plan 9 text of a word. The disassembler leaves the
// V away where the mnemonic also exists for scalars.
func disassemble(w uint32) (string, error) {
	inst, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, w))
	if err != nil {
		return "", err
	}
	s := arm64asm.GoSyntax(inst, 0, nil, nil)
	if !strings.HasPrefix(s, "V") {
		s = "V" + s
	}
	return s, nil
}

// checkEncoding disassembles e over operands which differ from each other in
// every bit of a field at least once, and compares with the comment that
// stands beside the word in the generated file.
func checkEncoding(e encoding) error {
	operands := []V{0, 1, 2, 4, 8, 16, 31, 30, 29, 27, 23, 15}
	lanes, registers := e.shape.limits()
	for i, d := range operands {
		n, m := operands[(i+1)%len(operands)], operands[(i+4)%len(operands)]%registers
		for lane := range lanes {
			w, want := e.word(m, lane, n, d), e.text(m, lane, n, d)
			got, err := disassemble(w)
			if err != nil {
				return fmt.Errorf("%08x, want %s: %w", w, want, err)
			}
			if got != want {
				return fmt.Errorf("%08x is %s, want %s", w, got, want)
			}
		}
	}
	return nil
}

func TestEncodings(t *testing.T) {
	for _, e := range encodings {
		require.NoError(t, checkEncoding(e))
	}
}

// TestEncodingsMutated proves that checkEncoding sees mistakes: any single
// wrong bit of any word, a swap of any two names, and a wrong shape.
func TestEncodingsMutated(t *testing.T) {
	for i, e := range encodings {
		for bit := range 32 {
			bad := e
			bad.base ^= 1 << bit
			require.Error(t, checkEncoding(bad), "%s %08x with bit %d flipped", e.name, e.base, bit)
		}
		for j, other := range encodings {
			if bad := (encoding{e.name, other.base, e.shape}); i != j {
				require.Error(t, checkEncoding(bad), "%s with the word of %s", e.name, other.name)
			}
		}
		for s := three; s <= narrowD2; s++ {
			if bad := (encoding{e.name, e.base, s}); s != e.shape {
				require.Error(t, checkEncoding(bad), "%s with shape %d", e.name, s)
			}
		}
	}
}

// TestSwappedRegisters proves that the comparison sees operands in the wrong order.
func TestSwappedRegisters(t *testing.T) {
	for _, e := range encodings {
		got, err := disassemble(e.word(3, 0, 5, 7))
		require.NoError(t, err)
		require.Equal(t, e.text(3, 0, 5, 7), got)
		require.NotEqual(t, e.text(3, 0, 7, 5), got, "n and d swapped")
		require.NotEqual(t, e.text(3, 0, 5, 6), got, "another d")
		if e.shape <= element {
			require.NotEqual(t, e.text(5, 0, 3, 7), got, "m and n swapped")
		}
	}
}

// checkWords disassembles the words of an assembly file, and compares each with
// the comment beside it.
func checkWords(text string) (words int, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "WORD ")
		if !ok {
			continue
		}
		words++
		number, want, _ := strings.Cut(strings.TrimSpace(rest), " // ")
		w, err := strconv.ParseUint(strings.TrimPrefix(number, "$"), 0, 32)
		if err != nil {
			return words, err
		}
		if got, err := disassemble(uint32(w)); err != nil || got != want {
			return words, fmt.Errorf("%08x is %s (%v), the comment says %s", w, got, err, want)
		}
	}
	return words, nil
}

// TestGeneratedWords checks every word of the kernels as they are printed, and that no
// mutation of one passes: a wrong bit of the opcode, or another register, be it
// in the word or in the comment.
func TestGeneratedWords(t *testing.T) {
	files, err := filepath.Glob("../../*/*_gen_arm64.s")
	require.NoError(t, err)
	inner, err := filepath.Glob("../../internal/*/*_gen_arm64.s")
	require.NoError(t, err)
	register := regexp.MustCompile(`V[0-9]+\.`)
	total := 0
	for _, path := range append(files, inner...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		n, err := checkWords(string(text))
		require.NoError(t, err, path)
		total += n
		seen := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			at := strings.Index(line, "WORD ")
			if at < 0 {
				continue
			}
			form, _, _ := strings.Cut(line[strings.Index(line, "// "):], " V")
			if seen[form] { // one of each instruction in each file
				continue
			}
			seen[form] = true
			var w uint32
			_, err := fmt.Sscanf(line[at:], "WORD $0x%x", &w)
			require.NoError(t, err)
			for bit := range 32 {
				bad := strings.Replace(line, fmt.Sprintf("%08x", w), fmt.Sprintf("%08x", w^1<<bit), 1)
				_, err := checkWords(bad)
				require.Error(t, err, "bit %d of %s", bit, line)
			}
			for _, r := range register.FindAllStringIndex(line, -1) {
				bad := line[:r[0]] + "V31." + line[r[1]:]
				if line[r[0]:r[1]] == "V31." {
					bad = line[:r[0]] + "V0." + line[r[1]:]
				}
				_, err := checkWords(bad)
				require.Error(t, err, bad)
			}
		}
	}
	require.Greater(t, total, 1000)
}
