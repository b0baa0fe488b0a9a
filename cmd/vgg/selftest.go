package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/peak"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/check"
)

// Run prints what a report of a fault should begin with.
func (c *selftestCmd) Run(ctx context.Context, s streams) error {
	report := map[string]any{
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "gomaxprocs": runtime.GOMAXPROCS(0),
		"isa": isaName(), "peak_gflops_1_thread": peak.GFLOPS(1),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		report["version"] = info.Main.Version
	}
	var has []string
	for _, isa := range []cpu.ISA{cpu.Generic, cpu.AVX2, cpu.AVX512, cpu.NEON} {
		if cpu.Has(isa) {
			has = append(has, isa.String())
		}
	}
	report["available"] = has
	var rows []check.Row
	for _, name := range vgg.Names() {
		r, err := check.Networks(ctx, name, false)
		if err != nil {
			return err
		}
		rows = append(rows, r...)
	}
	passed := check.Passed(rows)
	report["passed"] = passed
	if c.JSON {
		if err := s.printJSON(report); err != nil {
			return err
		}
	} else {
		for _, key := range []string{"version", "go", "os", "arch", "cpus", "gomaxprocs", "available", "isa", "peak_gflops_1_thread"} {
			fmt.Fprintf(s.out, "%-22s%v\n", key, report[key])
		}
		fmt.Fprintf(s.out, "%-22s%d comparisons of layers with the reference, all within bounds: %v\n", "networks", len(rows), passed)
	}
	if !passed {
		return fmt.Errorf("this machine computes wrong results; `vgg check` shows where")
	}
	return nil
}
