// Command mca estimates the NEON kernels' inner loops without Arm hardware: it
// cross-compiles the kernel packages, disassembles the innermost loops of every
// function whose name ends in NEON, and runs llvm-mca on each; a function without
// a loop is taken whole, as if it were called again and again. What it prints
// is a bound by llvm-mca's model of a core, which has perfect caches and
// branches; it is not a measurement.
//
//	go run ./bench/mca [-llvm %s-19] [-cpu neoverse-n1,neoverse-v1] [packages]
//
// It needs LLVM's llvm-objdump and llvm-mca. The column FMA counts FMLA, FMLS
// and FMUL instructions of one turn of the loop; "of peak" is the share of the
// core's vector FMA rate that the loop can reach, and "bound by" lists
// the resources that are busy for more than nine tenths of the time.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// fmaPipes is the number of 128-bit FMA instructions that a core starts per
// cycle, from Arm's software optimisation guides.
var fmaPipes = map[string]int{
	"cortex-a76":  2,
	"neoverse-n1": 2,
	"neoverse-n2": 2,
	"neoverse-v1": 4,
	"neoverse-v2": 4,
}

func main() {
	llvm := flag.String("llvm", "%s-19", "pattern of the LLVM tools' names")
	cpus := flag.String("cpu", "neoverse-n1,neoverse-v1", "cores to model")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	if err := run(os.Stdout, *llvm, strings.Split(*cpus, ","), packages); err != nil {
		fmt.Fprintln(os.Stderr, "mca:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, llvm string, cpus, packages []string) error {
	for _, cpu := range cpus {
		if fmaPipes[cpu] == 0 {
			return fmt.Errorf("no FMA rate is known for %q", cpu)
		}
	}
	loops, err := findLoops(llvm, packages)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "function\tloop\tinstructions\tFMA\tcore\tcycles\tof peak\tbound by\t")
	for _, l := range loops {
		for _, cpu := range cpus {
			r, err := analyse(llvm, cpu, l.body)
			if err != nil {
				return fmt.Errorf("%s: %w", l.function, err)
			}
			peak := "-"
			if n := l.fmas(); n > 0 {
				peak = fmt.Sprintf("%.1f %%", 100*float64(n)/(r.cycles*float64(fmaPipes[cpu])))
			}
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t%.1f\t%s\t%s\t\n",
				l.function, l.index, len(l.body), l.fmas(), cpu, r.cycles, peak, strings.Join(r.busy, " "))
		}
	}
	return tw.Flush()
}

// A loop is an innermost loop of a function.
type loop struct {
	function string
	index    int // among the loops of the function, from 0
	body     []string
}

var fma = regexp.MustCompile(`^(fmla|fmls|fmul)\s`)

func (l loop) fmas() (n int) {
	for _, s := range l.body {
		if fma.MatchString(s) {
			n++
		}
	}
	return n
}

// findLoops builds the packages' test binaries, which hold every kernel.
func findLoops(llvm string, packages []string) ([]loop, error) {
	dir, err := os.MkdirTemp("", "mca")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", append([]string{"test", "-c", "-o", dir + "/"}, packages...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	binaries, err := filepath.Glob(filepath.Join(dir, "*.test"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var loops []loop
	for _, b := range binaries {
		functions, err := kernels(llvm, b)
		if err != nil {
			return nil, err
		}
		for _, f := range functions {
			if !seen[f.name] {
				loops = append(loops, f.loops()...)
			}
			seen[f.name] = true
		}
	}
	if len(loops) == 0 {
		return nil, fmt.Errorf("no function of %v ends in NEON", packages)
	}
	slices.SortStableFunc(loops, func(a, b loop) int { return strings.Compare(a.function, b.function) })
	return loops, nil
}

// A function is a disassembled kernel.
type function struct {
	name    string
	address []uint64
	text    []string // as llvm-mca reads it
	target  []uint64 // of a branch, else 0
}

var (
	header      = regexp.MustCompile(`^[0-9a-f]+ <(.*)>:$`)
	instruction = regexp.MustCompile(`^\s*([0-9a-f]+):\s+(.*?)\s*$`)
	branch      = regexp.MustCompile(`^((?:b|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, #\w+,)\s+)0x([0-9a-f]+) <.*>$`)
)

// kernels disassembles the functions of this module whose name ends in NEON.
func kernels(llvm, binary string) ([]function, error) {
	out, err := exec.Command(fmt.Sprintf(llvm, "llvm-objdump"), "-d", "--no-show-raw-insn", binary).Output()
	if err != nil {
		return nil, fmt.Errorf("llvm-objdump: %w", err)
	}
	var list []function
	in := false
	for line := range strings.SplitSeq(string(out), "\n") {
		if m := header.FindStringSubmatch(line); m != nil {
			name := strings.TrimSuffix(m[1], ".abi0")
			if in = strings.HasSuffix(name, "NEON") && strings.Contains(name, "nonet-go/nonet/"); in {
				list = append(list, function{name: name[strings.LastIndex(name, "/")+1:]})
			}
			continue
		}
		m := instruction.FindStringSubmatch(line)
		if !in || m == nil {
			continue
		}
		f := &list[len(list)-1]
		address, err := strconv.ParseUint(m[1], 16, 64)
		if err != nil {
			return nil, err
		}
		text, target := m[2], uint64(0)
		if b := branch.FindStringSubmatch(text); b != nil {
			if target, err = strconv.ParseUint(b[2], 16, 64); err != nil {
				return nil, err
			}
			text = b[1] + "0"
		}
		f.address = append(f.address, address)
		f.text = append(f.text, strings.Join(strings.Fields(text), " "))
		f.target = append(f.target, target)
	}
	return list, nil
}

// loops returns the bodies between a branch backwards and its target that hold
// no other such branch; without one, the function up to its return.
func (f function) loops() []loop {
	var list []loop
	for i, t := range f.target {
		if t == 0 || t > f.address[i] {
			continue
		}
		first := slices.Index(f.address, t)
		inner := first >= 0
		for j := max(first, 0); j < i; j++ {
			inner = inner && !(f.target[j] != 0 && f.target[j] <= f.address[j])
		}
		if inner {
			list = append(list, loop{f.name, len(list), f.text[first : i+1]})
		}
	}
	// Behind the return comes only padding, which llvm-mca does not know.
	if end := slices.Index(f.text, "ret"); len(list) == 0 && end > 0 {
		list = append(list, loop{f.name, 0, f.text[:end]})
	}
	return list
}

// A result is what llvm-mca says about a loop.
type result struct {
	cycles float64  // per turn
	busy   []string // resources and the share of the time that they are busy
}

const turns = 1000

var (
	total    = regexp.MustCompile(`Total Cycles:\s+(\d+)`)
	resource = regexp.MustCompile(`(?m)^\[([\d.]+)\]\s+- (\S+)$`)
)

func analyse(llvm, cpu string, body []string) (result, error) {
	cmd := exec.Command(fmt.Sprintf(llvm, "llvm-mca"), "-mtriple=aarch64", "-mcpu="+cpu, "-iterations="+strconv.Itoa(turns), "-instruction-info=false")
	cmd.Stdin = strings.NewReader(strings.Join(body, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("llvm-mca: %w\n%s", err, stderr.String())
	}
	return parse(string(out))
}

// parse reads llvm-mca's report: the cycles, and the pressure per resource,
// whose columns follow the list of resources.
func parse(report string) (result, error) {
	m := total.FindStringSubmatch(report)
	if m == nil {
		return result{}, fmt.Errorf("llvm-mca printed no cycles:\n%s", report)
	}
	cycles, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return result{}, err
	}
	r := result{cycles: cycles / turns}
	_, pressure, ok := strings.Cut(report, "Resource pressure per iteration:\n")
	if !ok {
		return r, fmt.Errorf("llvm-mca printed no pressure:\n%s", report)
	}
	lines := strings.SplitN(pressure, "\n", 3)
	names := resource.FindAllStringSubmatch(report, -1)
	values := strings.Fields(lines[1])
	if len(values) != len(names) {
		return r, fmt.Errorf("llvm-mca lists %d resources and %d pressures", len(names), len(values))
	}
	for i, v := range values {
		p, err := strconv.ParseFloat(v, 64)
		if err == nil && p > .9*r.cycles {
			r.busy = append(r.busy, fmt.Sprintf("%s %.0f %%", names[i][2], 100*p/r.cycles))
		}
	}
	if len(r.busy) == 0 {
		r.busy = []string{"latency"}
	}
	return r, nil
}
