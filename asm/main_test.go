package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFresh fails when a stored generated file differs from what its generator
// prints, or when a file that no generator prints carries a generated name.
func TestFresh(t *testing.T) {
	out, err := outputs("")
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
// the instruction set which a function's name ends with, and those that every
// processor of amd64 has. internal/cpu's own test switches each of the former off.
var allowed = map[string]string{
	"AVX2":   "AVX AVX2 FMA3 F16C SSE SSE2 MMX+ CMOV",
	"AVX512": "AVX AVX2 FMA3 F16C SSE SSE2 MMX+ CMOV AVX512F AVX512VL AVX512BW AVX512DQ",
	"VNNI":   "AVX AVX2 FMA3 F16C SSE SSE2 MMX+ CMOV AVX512F AVX512VL AVX512BW AVX512DQ AVX512VNNI",
	"NEON":   "", // avo knows no extensions of arm64, and every such processor has it
}

// function is what a generated file says of one function.
type function struct {
	name     string
	requires []string // extensions
	body     string
}

// functions splits a file of assembly.
func functions(text string) (list []function) {
	var requires []string
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "// Requires: "); ok {
			requires = strings.Split(rest, ", ")
		}
		if rest, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			name, _, _ := strings.Cut(rest, "(")
			list = append(list, function{name: name, requires: requires})
			requires = nil
		} else if n := len(list); n > 0 {
			list[n-1].body += line + "\n"
		}
	}
	return list
}

// eachFunction calls f for every function of every generated file.
func eachFunction(t *testing.T, f func(path string, fn function, isa string)) {
	out, err := outputs("")
	require.NoError(t, err)
	for _, o := range out {
		if filepath.Ext(o.path) != ".s" {
			continue
		}
		list := functions(string(o.text))
		require.NotEmpty(t, list, "%s has no functions", o.path)
		for _, fn := range list {
			isa := ""
			for suffix := range allowed {
				if strings.HasSuffix(fn.name, suffix) {
					isa = suffix
				}
			}
			f(o.path, fn, isa)
		}
	}
}

// TestRequires fails when a function uses an instruction set extension that
// internal/cpu does not check before the function may be called, and when a
// function's name does not say what it is for.
func TestRequires(t *testing.T) {
	seen := map[string]int{}
	eachFunction(t, func(path string, fn function, isa string) {
		seen[isa]++
		if isa == "" {
			t.Errorf("%s: the name %s ends with no instruction set", path, fn.name)
		}
		if strings.Contains(path, "arm64") != (isa == "NEON") {
			t.Errorf("%s: %s stands in a file of the other architecture", path, fn.name)
		}
		for _, ext := range fn.requires {
			if !slices.Contains(strings.Fields(allowed[isa]), ext) {
				t.Errorf("%s: %s uses %s, which internal/cpu does not check for %s", path, fn.name, ext, isa)
			}
		}
	})
	for isa := range allowed {
		least := 20
		if isa == "VNNI" {
			least = 5 // products of integers alone
		}
		require.Greater(t, seen[isa], least, "functions for %s", isa)
	}
}

// TestZeroUpper fails when a function of amd64 leaves the upper halves of the
// vector registers in use: SSE code after it would pay for that.
func TestZeroUpper(t *testing.T) {
	wide := regexp.MustCompile(`\b[YZ][0-9]+\b`)
	eachFunction(t, func(path string, fn function, isa string) {
		if isa == "NEON" || !wide.MatchString(fn.body) {
			return
		}
		for before := range strings.SplitAfterSeq(fn.body, "RET\n") {
			code, ok := strings.CutSuffix(before, "\tRET\n")
			if ok && !strings.HasSuffix(code, "\tVZEROUPPER\n") {
				t.Errorf("%s: %s returns without VZEROUPPER", path, fn.name)
			}
		}
	})
}

// tile finds what differs in the names of one kernel on two instruction sets.
var tile = regexp.MustCompile(`^(indirect|blocked|blockedRow)[0-9]+x[0-9]+`)

// TestSameKernels fails when an instruction set lacks a kernel that another has. Kernels for
// VNNI are additions to those for AVX512.
// Register tiles differ: indirect7x64AVX512 and indirect6x16NEON are one kernel.
func TestSameKernels(t *testing.T) {
	have := map[string]map[string]bool{} // kernel → instruction sets
	eachFunction(t, func(path string, fn function, isa string) {
		kernel := filepath.Dir(path) + "." + tile.ReplaceAllString(strings.TrimSuffix(fn.name, isa), "$1")
		if have[kernel] == nil {
			have[kernel] = map[string]bool{}
		}
		have[kernel][isa] = true
	})
	for kernel, isas := range have {
		for isa := range allowed {
			if !isas[isa] && isa != "VNNI" {
				t.Errorf("%s: not for %s", kernel, isa)
			}
		}
	}
}

// TestSameStubs fails when a kernel's signature or doc differs between instruction
// sets, other than by the numbers in it.
func TestSameStubs(t *testing.T) {
	stub := regexp.MustCompile(`(?m)^// (\w+?)(AVX2|AVX512|VNNI|NEON) ((?:.*\n)+?)func \w+(\(.*)$`)
	number := regexp.MustCompile(`[0-9]+`)
	out, err := outputs("")
	require.NoError(t, err)
	first := map[string]string{} // kernel → what its stub says
	seen := 0
	for _, o := range out {
		if filepath.Ext(o.path) != ".go" {
			continue
		}
		for _, m := range stub.FindAllStringSubmatch(string(o.text), -1) {
			kernel := filepath.Dir(o.path) + "." + tile.ReplaceAllString(m[1], "$1")
			says := number.ReplaceAllString(m[3], "n") + m[4]
			if first[kernel] == "" {
				first[kernel] = says
			}
			require.Equal(t, first[kernel], says, "%s%s", m[1], m[2])
			seen++
		}
	}
	require.Greater(t, seen, 100)
}

// TestTables fails when a generated function stands in no table of kernels: a
// program would use a slower one, and no test would see it.
func TestTables(t *testing.T) {
	tables := map[string]string{}
	eachFunction(t, func(path string, fn function, isa string) {
		arch := "amd64"
		if isa == "NEON" {
			arch = "arm64"
		}
		file := filepath.Join("..", filepath.Dir(path), "kernel_"+arch+".go")
		if tables[file] == "" {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tables[file] = string(text)
		}
		if !regexp.MustCompile(`\b` + fn.name + `\b`).MatchString(tables[file]) {
			t.Errorf("%s does not name %s", file, fn.name)
		}
	})
}
