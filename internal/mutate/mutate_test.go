package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const example = `package example

func Max(a, b int) (int, error) {
	var err error
	n := 0
	if a > b && !(a == 7) {
		n += a
		return n, err
	}
	note()
	if a > 8 {
		return 9, err
	}
	return b, err
}

func note() {}
`

const exampleTest = `package example

import "testing"

func TestMax(t *testing.T) {
	for a := -2; a < 9; a++ {
		want := 3
		if a > 3 && a != 7 { want = a }
		if n, _ := Max(a, 3); n != want { t.Fatal(a) }
	}
}
`

// exampleModule writes a module with one package and returns it.
func exampleModule(t *testing.T) goPackage {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example\n\ngo 1.26\n", "max.go": example, "max_test.go": exampleTest} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	return goPackage{Dir: dir, ImportPath: "example", GoFiles: []string{"max.go"}}
}

// TestMutants lists the changes of a small function: each is Go, and no two have one id.
func TestMutants(t *testing.T) {
	mutants, err := mutantsOf(exampleModule(t), "max.go")
	require.NoError(t, err)
	var got []string
	for _, m := range mutants {
		got = append(got, m.was+" → "+m.is)
		_, err := parser.ParseFile(token.NewFileSet(), "", m.source, 0)
		assert.NoError(t, err, "%s", m)
	}
	assert.Equal(t, []string{
		"note() → ",
		"0 → 1",
		"a > b && !(a == 7) → a > b || !(a == 7)",
		"a > b → a >= b", "a > b → a <= b",
		"!(a == 7) → (a == 7)", "a == 7 → a != 7", "7 → 8",
		"n += a → ",
		"n += a → n -= a", "n += a → n = a",
		"return n, err → return n, nil",
		"a > 8 → a >= 8", "a > 8 → a <= 8", "8 → 9", "return 9, err → return 9, nil",
		"return b, err → return b, nil",
	}, got)
}

// TestOwnTests: those of max_test.go belong to max.go.
func TestOwnTests(t *testing.T) {
	p := exampleModule(t)
	m := mutant{path: filepath.Join(p.Dir, "max.go")}
	assert.Equal(t, "^(TestMax)$", m.ownTests())
	m.path = filepath.Join(p.Dir, "min.go")
	assert.Empty(t, m.ownTests())
	require.NoError(t, os.WriteFile(filepath.Join(p.Dir, "min_test.go"), []byte("package example\n\nfunc help() {}\n"), 0o666))
	assert.Empty(t, m.ownTests())
}

// TestOutcomes runs a killed mutant, one that lives, and one that does not compile.
func TestOutcomes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command")
	}
	p := exampleModule(t)
	t.Chdir(p.Dir)
	mutants, err := mutantsOf(p, "max.go")
	require.NoError(t, err)
	mutants = append(mutants, mutant{pkg: "example", path: filepath.Join(p.Dir, "max.go"), source: []byte("package example\nfunc Max() {}\n")})
	want := map[int]outcome{2: dies, 0: lives, len(mutants) - 1: doesNotCompile}
	for i, outcome := range want {
		got, err := mutants[i].test(time.Minute)
		require.NoError(t, err)
		assert.Equal(t, outcome, got, "%s", mutants[i])
	}
}

// TestJudged holds that each judged mutant still exists: the code has not changed since.
func TestJudged(t *testing.T) {
	judged, err := readJudged()
	require.NoError(t, err)
	packages, err := load([]string{"github.com/nonet-go/nonet/..."})
	require.NoError(t, err)
	for _, p := range packages {
		for _, file := range p.GoFiles {
			mutants, err := mutantsOf(p, file)
			require.NoError(t, err)
			for _, m := range mutants {
				delete(judged, m.id())
			}
		}
	}
	assert.Empty(t, judged, "these mutants are no longer there")
}

// TestFaultsFit: the text of each fault stands once in its file, and its test exists.
func TestFaultsFit(t *testing.T) {
	faults, err := readFaults(faultsText)
	require.NoError(t, err)
	require.Greater(t, len(faults), 50)
	names := map[string]bool{}
	for _, f := range faults {
		assert.False(t, names[f.name], "%s: twice", f.name)
		names[f.name] = true
		_, text, err := f.changed("../..")
		assert.NoError(t, err)
		if err == nil {
			_, err = parser.ParseFile(token.NewFileSet(), "", text, 0)
			assert.NoError(t, err, f.name)
		}
		assert.True(t, declaresTest(t, filepath.Join("../..", f.pkg), f.test), "%s: %s has no %s", f.name, f.pkg, f.test)
	}
}

// declaresTest reports whether a package's test files declare a function.
func declaresTest(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(string(b), "func "+name+"(") {
			return true
		}
	}
	return false
}

// TestReadFaults refuses what is no fault.
func TestReadFaults(t *testing.T) {
	good := "fault: a\nfile: b.go\n-x\n+y\n+z\ntest: ./p TestP\n"
	faults, err := readFaults("# comment\n\n" + good + "\n" + good)
	require.NoError(t, err)
	require.Equal(t, fault{name: "a", file: "b.go", was: "x", is: "y\nz", pkg: "./p", test: "TestP"}, faults[0])
	require.Len(t, faults, 2)
	for _, bad := range []string{"fault: a\n", "words\n", "fault: a\nfile: b\ntest: ./p T\n", "fault: a\n-x\ntest: ./p T\n"} {
		_, err := readFaults(bad)
		require.Error(t, err, bad)
	}
}

// TestFaultsInPage: docs/testing.md has a row for each fault, in their order.
func TestFaultsInPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing.md")
	require.NoError(t, err)
	faults, err := readFaults(faultsText)
	require.NoError(t, err)
	var want, got []string
	for _, f := range faults {
		want = append(want, fmt.Sprintf("| %s | `%s` in %s |", f.name, f.test, strings.TrimPrefix(f.pkg, "./")))
	}
	_, rows, found := strings.Cut(string(page), "<!-- faults -->")
	require.True(t, found)
	rows, _, found = strings.Cut(rows, "<!-- end -->")
	require.True(t, found)
	for line := range strings.Lines(rows) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") && strings.Contains(line, "`") {
			got = append(got, line)
		}
	}
	require.ElementsMatch(t, want, got)
}
