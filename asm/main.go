// Command asm prints every assembly file of the module and its Go stubs.
//
//	go run ./asm            # from the root of the module: write all files
//
// Each file is described by one function that fills an avo context (amd64) or
// a neon one (arm64). TestFresh compares what they print with what is stored.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// A target is one generated pair: dir/base.s and its stubs dir/base.go.
type target struct {
	dir, base string
	pkg       string
	emit      func(c *build.Context)
}

// amd64Targets lists the generated files for amd64, one line each.
var amd64Targets = []target{}

// output is a generated file: its path from the root of the module, and its text.
type output struct {
	path string
	text []byte
}

// outputs prints every target to memory.
func outputs() ([]output, error) {
	var out []output
	for _, t := range amd64Targets {
		o, err := printAMD64(t)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", t.dir, t.base, err)
		}
		out = append(out, o...)
	}
	return out, nil
}

func printAMD64(t target) ([]output, error) {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	t.emit(c)
	f, err := c.Result()
	if err != nil {
		return nil, err
	}
	if err := pass.Compile.Execute(f); err != nil {
		return nil, err
	}
	cfg := printer.Config{Name: "avo", Argv: []string{"go", "run", "./asm"}, Pkg: t.pkg}
	var out []output
	for _, p := range []struct {
		ext string
		pr  printer.Printer
	}{{".s", printer.NewGoAsm(cfg)}, {".go", printer.NewStubs(cfg)}} {
		text, err := p.pr.Print(f)
		if err != nil {
			return nil, err
		}
		// avo ends some files with blank lines that gofmt would remove.
		text = append(bytes.TrimRight(text, "\n"), '\n')
		out = append(out, output{filepath.Join(t.dir, t.base+p.ext), text})
	}
	return out, nil
}

func main() {
	out, err := outputs()
	for _, o := range out {
		if err == nil {
			err = os.WriteFile(o.path, o.text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "asm:", err)
		os.Exit(1)
	}
}
