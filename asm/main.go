// Command asm prints every assembly file of the module and its Go stubs.
//
//	go run ./asm            # from the root of the module: write all files
//	go run ./asm DIR        # write them below another folder
//	go run ./asm DIR PKG    # write those of one package, such as internal/pack
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
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/nonet-go/nonet/asm/neon"
)

// A target is one generated pair: dir/base.s and its stubs dir/base.go.
type target struct {
	dir, base string
	pkg       string
	emit      func(c *build.Context)
}

// amd64Targets lists the generated files for amd64, one line each.
var amd64Targets = []target{
	{"internal/ukernel", "indirect_gen_amd64", "ukernel", indirectKernels},
	{"internal/ukernel", "blocked_gen_amd64", "ukernel", blockedKernels},
	{"internal/ukernel", "blockedint8_gen_amd64", "ukernel", blockedInt8Kernels},
	{"internal/quantise", "quantise_gen_amd64", "quantise", quantiseKernels},
	{"internal/ukernel", "blockedint16_gen_amd64", "ukernel", blockedInt16Kernels},
	{"internal/pack", "pack_gen_amd64", "pack", packKernels},
	{"internal/level1f", "level1f_gen_amd64", "level1f", level1fKernels},
	{"internal/optimiser", "optimiser_gen_amd64", "optimiser", optimiserKernels},
	{"internal/activation", "activation_gen_amd64", "activation", activationKernels},
	{"internal/transpose", "transpose_gen_amd64", "transpose", transposeKernels},
	{"internal/peak", "peak_gen_amd64", "peak", peakKernels},
	{"pool", "pool_gen_amd64", "pool", poolKernels},
	{"winograd", "transform_gen_amd64", "winograd", winogradTransforms},
	{"winograd", "fixed_gen_amd64", "winograd", winogradFixed},
}

// A targetARM64 is a target of the other architecture.
type targetARM64 struct {
	dir, base string
	pkg       string
	emit      func(c *neon.Context)
}

// arm64Targets lists the generated files for arm64, one line each.
var arm64Targets = []targetARM64{
	{"internal/ukernel", "indirect_gen_arm64", "ukernel", indirectNEON},
	{"internal/ukernel", "blocked_gen_arm64", "ukernel", blockedNEON},
	{"internal/ukernel", "blockedint8_gen_arm64", "ukernel", blockedInt8NEON},
	{"internal/quantise", "quantise_gen_arm64", "quantise", quantiseNEON},
	{"internal/ukernel", "blockedint16_gen_arm64", "ukernel", blockedInt16NEON},
	{"internal/pack", "pack_gen_arm64", "pack", packNEON},
	{"internal/level1f", "level1f_gen_arm64", "level1f", level1fNEON},
	{"internal/optimiser", "optimiser_gen_arm64", "optimiser", optimiserNEON},
	{"internal/activation", "activation_gen_arm64", "activation", activationNEON},
	{"internal/transpose", "transpose_gen_arm64", "transpose", transposeNEON},
	{"internal/peak", "peak_gen_arm64", "peak", peakNEON},
	{"pool", "pool_gen_arm64", "pool", poolNEON},
	{"winograd", "transform_gen_arm64", "winograd", winogradNEON},
	{"winograd", "fixed_gen_arm64", "winograd", winogradFixedNEON},
}

// output is a generated file: its path from the root of the module, and its text.
type output struct {
	path string
	text []byte
}

// root returns the root of the module: the generators run there, their tests one below.
func root() string {
	if _, err := os.Stat("go.mod"); err == nil {
		return "."
	}
	return ".."
}

// outputs prints every target to memory, or those of one package.
func outputs(only string) ([]output, error) {
	var out []output
	for _, t := range amd64Targets {
		if only != "" && t.dir != only {
			continue
		}
		o, err := printAMD64(t)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", t.dir, t.base, err)
		}
		out = append(out, o...)
	}
	for _, t := range arm64Targets {
		if only != "" && t.dir != only {
			continue
		}
		c := neon.NewContext()
		t.emit(c)
		o, err := printFile(c.Result(), t.dir, t.base, t.pkg)
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
	return printFile(f, t.dir, t.base, t.pkg)
}

// printFile prints the assembly of f and its Go stubs.
func printFile(f *ir.File, dir, base, pkg string) ([]output, error) {
	cfg := printer.Config{Name: "avo", Argv: []string{"go", "run", "./asm"}, Pkg: pkg}
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
		out = append(out, output{filepath.Join(dir, base+p.ext), text})
	}
	return out, nil
}

func main() {
	dir, only := ".", ""
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if len(os.Args) > 2 {
		only = os.Args[2]
	}
	if err := write(dir, only); err != nil {
		fmt.Fprintln(os.Stderr, "asm:", err)
		os.Exit(1)
	}
}

// write writes all files below dir, or those of one package.
func write(dir, only string) error {
	out, err := outputs(only)
	if err != nil {
		return err
	}
	for _, o := range out {
		path := filepath.Join(dir, o.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, o.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
