package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/peak"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/check"
	"github.com/nonet-go/nonet/winograd"
)

// selftest is the beginning of a report of a fault.
type selftest struct {
	Version    string    `json:"version"` // of nonet
	Go         string    `json:"go"`
	OS         string    `json:"os"`
	Arch       string    `json:"arch"`
	Processor  string    `json:"processor,omitempty"`
	CPUs       int       `json:"cpus"`
	GOMAXPROCS int       `json:"gomaxprocs"`
	Features   []string  `json:"features"`
	Limit      string    `json:"nonet_isa,omitempty"`
	Debug      string    `json:"godebug,omitempty"`
	Available  []string  `json:"available"`
	ISA        string    `json:"isa"`
	Choices    []choice  `json:"choices"`
	Peak       float64   `json:"peak_gflops_1_thread"`
	Families   []verdict `json:"families"`
	Passed     bool      `json:"passed"`
}

// choice is the kernels of one package, or the blocks of one layer.
type choice struct {
	Of     string `json:"of"`
	Choice string `json:"choice"`
}

// verdict sums up the comparisons of a family of kernels.
type verdict struct {
	Family      string  `json:"family"`
	Comparisons int     `json:"comparisons"`
	Max         float64 `json:"max"` // largest error over the reference's root mean square
	OK          bool    `json:"ok"`
}

var errWrongResults = errors.New("this machine computes wrong results; `vgg check` shows where in a network")

func (c *selftestCmd) Run(ctx context.Context, s streams) error {
	if len(c.Explain) > 0 {
		return c.explain(s)
	}
	if f := c.computeFlags; f.Algorithm != "auto" || f.HalfFC || f.FixedFC || f.Fixed {
		return errors.New("--algorithm, --half-fc, --fixed-fc and --fixed go with --explain: without it, all that there is is checked")
	}
	r := describe()
	var err error
	if r.Choices, err = choices(); err != nil {
		return err
	}
	rows, err := check.Kernels(ctx)
	if err != nil {
		return err
	}
	for _, name := range append(vgg.Names(), "RepVGG-A0") {
		net, err := check.Networks(ctx, name, false)
		if err != nil {
			return err
		}
		for i := range net {
			net[i].Variant = "networks, " + net[i].Variant
		}
		rows = append(rows, net...)
	}
	r.judge(rows)
	if c.JSON {
		err = s.printJSON(r)
	} else {
		err = r.print(s.out)
	}
	if err == nil && !r.Passed {
		err = errWrongResults
	}
	return err
}

// describe fills in the machine and the program.
func describe() selftest {
	r := selftest{
		Version: "unknown", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Processor: processor(),
		CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Features: cpu.Features(), Limit: os.Getenv("NONET_ISA"), Debug: os.Getenv("GODEBUG"),
		ISA: isaName(), Peak: peak.GFLOPS(1),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Version = info.Main.Version
	}
	for _, isa := range []cpu.ISA{cpu.Generic, cpu.AVX2, cpu.AVX512, cpu.VNNI, cpu.NEON} {
		if cpu.Has(isa) {
			r.Available = append(r.Available, isa.String())
		}
	}
	return r
}

// processor returns the processor's name, which Linux gives.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // absent elsewhere
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t:\n")
		}
	}
	return ""
}

// choices returns the kernels of each package, and the blocks of some layers of VGG.
func choices() ([]choice, error) {
	p, d := ukernel.BestBlocked(), ukernel.BestIndirect()
	list := []choice{
		{"micro-kernel, indirect", fmt.Sprintf("%s: MR %d, NR %d", d.Name, d.MR, d.NR)},
		{"micro-kernel, blocked", fmt.Sprintf("%s: MR %d, NR %d; MR %d with B in half precision", p.Name, p.MR, p.NR, p.HalfMR())},
		{"gemm", gemm.NewMultiplier(nil).String()},
		{"transforms, layout, pool, vectors", isaName()},
	}
	for _, l := range []struct {
		name       string
		c, k, side int
	}{{"conv1_2", 64, 64, 224}, {"conv3_2", 256, 256, 56}, {"conv5_1", 512, 512, 14}} {
		f, err := winograd.NewFilter(4, l.c, l.k, make([]float32, l.c*l.k*9), nil)
		if err != nil {
			return nil, err
		}
		conv, err := f.NewConv(1, l.side, l.side, 1, nil, fuse.Epilogue{ReLU: true})
		if err != nil {
			return nil, err
		}
		list = append(list, choice{l.name, conv.Loops(runtime.GOMAXPROCS(0))})
	}
	return list, nil
}

// judge sums up the rows by family, in the order that they come in.
func (r *selftest) judge(rows []check.Row) {
	at := map[string]int{}
	for _, row := range rows {
		i, ok := at[row.Variant]
		if !ok {
			i = len(r.Families)
			at[row.Variant] = i
			r.Families = append(r.Families, verdict{Family: row.Variant, OK: true})
		}
		v := &r.Families[i]
		v.Comparisons++
		v.Max = max(v.Max, row.Max)
		v.OK = v.OK && row.OK
	}
	r.Passed = check.Passed(rows)
}

func (r *selftest) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	line("nonet", r.Version)
	line("Go", fmt.Sprintf("%s %s/%s", r.Go, r.OS, r.Arch))
	line("processor", r.Processor)
	line("features", strings.Join(r.Features, " "))
	line("processors", fmt.Sprintf("%d, GOMAXPROCS %d", r.CPUs, r.GOMAXPROCS))
	line("NONET_ISA", r.Limit)
	line("GODEBUG", r.Debug)
	line("instruction sets", strings.Join(r.Available, " ")+"; used: "+r.ISA)
	line("peak of 1 thread", fmt.Sprintf("%.0f GFLOP/s", r.Peak))
	for _, c := range r.Choices {
		line(c.Of, c.Choice)
	}
	for _, v := range r.Families {
		word := "ok"
		if !v.OK {
			word = "WRONG"
		}
		line(v.Family, fmt.Sprintf("%s: %d comparisons, largest error %.1g", word, v.Comparisons, v.Max))
	}
	return t.Flush()
}
