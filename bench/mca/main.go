// Command mca estimates the NEON kernels without Arm hardware: it cross-compiles
// the tests of every package with assembly for arm64, disassembles the functions
// whose names end in NEON, and runs llvm-mca on the body of each innermost loop.
//
//	go run ./bench/mca [-check] [-llvm %s-19] [-cpu neoverse-n1,neoverse-v1,neoverse-v2] [packages]
//
// It needs LLVM's llvm-objdump and llvm-mca (Debian and Ubuntu: llvm-19).
//
// What it prints is a bound by llvm-mca's model of a core, not a measurement. The
// model has the core's instruction window, pipes and latencies; its caches and
// branches are perfect, and no load waits for a store. A body runs many times in a
// row, so that turns overlap as far as the window lets them. A function
// without a loop is taken whole, up to its return, as if it were called again and
// again: the transforms of filters, which a loop in Go calls for one filter
// after the other. Few instructions of that loop are left out.
//
// The column FMA counts FMLA, FMLS and FMUL instructions of a turn; "of peak" is
// the share of the core's vector FMA rate that they reach. "Bound by" lists the
// units that are busy for more than nine tenths of the time: V are the pipes of
// vectors, L those of loads and stores, S and M integers. "sums (c)" are c
// accumulators, each of which takes one instruction after the other, where
// nothing else bounds: their number is that of the results, because each
// result is one chain in the order of its terms, which keeps its bits independent
// of its neighbours. Llvm-mca 19 lets an accumulator of FMLA wait for 4 cycles;
// Arm's guides say that N1 and V1 forward it within 2, as does the model of
// neoverse-v2. "Latency" is any other waiting.
//
// With -check it fails if a loop is bound by latency, or if a blocked micro-kernel of
// two rows or more in float32 stays below 95 % of the FMA rate, or of what its
// accumulators allow if they are too few for the pipes.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
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

// A core is what the tool has to know beside llvm-mca's model.
type core struct {
	pipes int // 128-bit FMA instructions that it starts per cycle, from Arm's software optimisation guides
	fma   int // cycles from one FMLA, SMLAL or UADALP to the next into the same register, in the model
	add   int // likewise for FADD
}

var cores = map[string]core{
	"neoverse-n1": {2, 4, 2},
	"neoverse-n2": {2, 4, 2},
	"neoverse-v1": {4, 4, 2},
	"neoverse-v2": {4, 2, 2},
}

func main() {
	llvm := flag.String("llvm", "%s-19", "pattern of the LLVM tools' names")
	cpus := flag.String("cpu", "neoverse-n1,neoverse-v1,neoverse-v2", "cores to model")
	check := flag.Bool("check", false, "fail if a loop stays below what is promised of it")
	flag.Parse()
	if err := run(os.Stdout, *llvm, strings.Split(*cpus, ","), flag.Args(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "mca:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, llvm string, cpus, packages []string, check bool) error {
	for _, cpu := range cpus {
		if cores[cpu].pipes == 0 {
			return fmt.Errorf("no FMA rate is known for %q", cpu)
		}
	}
	loops, err := findLoops(llvm, packages)
	if err != nil {
		return err
	}
	version, err := exec.Command(fmt.Sprintf(llvm, "llvm-mca"), "--version").Output()
	if err != nil {
		return fmt.Errorf("llvm-mca: %w", err)
	}
	fmt.Fprintf(w, "Bounds by the models of %s, not measurements.\n\n", llvmVersion.Find(version))
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "function\tloop\tinstructions\tFMA\tcore\tcycles\tof peak\tbound by")
	var failed []error
	for _, l := range loops {
		for _, cpu := range cpus {
			r, err := analyse(llvm, cpu, l.body)
			if err != nil {
				return fmt.Errorf("%s: %w", l.function, err)
			}
			c := cores[cpu]
			peak, share := "-", l.share(c, r)
			if l.fmas() > 0 {
				peak = fmt.Sprintf("%.1f %%", 100*share)
			}
			fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t%.1f\t%s\t%s\n",
				l.function, l.index, len(l.body), l.fmas(), cpu, r.cycles, peak, l.boundBy(c, r))
			if err := l.check(c, r); err != nil {
				failed = append(failed, fmt.Errorf("%s on %s: %w", l.function, cpu, err))
			}
		}
	}
	if err := tw.Flush(); err != nil || !check {
		return err
	}
	return errors.Join(failed...)
}

var llvmVersion = regexp.MustCompile(`LLVM version \S+`)

// share returns the part of the core's FMA rate that the loop reaches.
func (l loop) share(c core, r result) float64 {
	return float64(l.fmas()) / (r.cycles * float64(c.pipes))
}

// boundBy says what keeps the loop from being faster.
func (l loop) boundBy(c core, r result) string {
	chains, wait := l.sums(c)
	switch {
	case len(r.busy) > 0:
		return strings.Join(r.busy, ", ")
	case float64(wait) > busy*r.cycles:
		return fmt.Sprintf("sums (%d)", chains)
	}
	return latency
}

const latency = "latency"

// blocked matches the blocked micro-kernels of two rows or more in float32, which shall
// run at the rate of multiply-adds.
var blocked = regexp.MustCompile(`^ukernel\.blocked([2-9])x\d+NEON$`)

// check returns an error if the loop is slower than it has to be.
func (l loop) check(c core, r result) error {
	if l.boundBy(c, r) == latency {
		return fmt.Errorf("%.1f cycles, in which no unit is busy for %.0f %% of the time", r.cycles, 100*busy)
	}
	chains, _ := l.sums(c)
	want := .95 * min(1, float64(chains)/float64(c.pipes*c.fma))
	if got := l.share(c, r); blocked.MatchString(l.function) && got < want {
		return fmt.Errorf("%.1f %% of the FMA rate, below %.1f %%", 100*got, 100*want)
	}
	return nil
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

var (
	sum      = regexp.MustCompile(`^(fml[as]|fadd|smlal2?|uadalp) v(\d+)\.\w+, (?:v(\d+)\.)?`)
	register = regexp.MustCompile(`\b[bhsdqv](\d+)\b`)
)

// sums returns the number of the loop's accumulators, which nothing but
// additions to them write, and the cycles of the longest chain of these in a turn.
func (l loop) sums(c core) (chains, wait int) {
	waits, others := map[string]int{}, map[string]bool{}
	for _, s := range l.body {
		if m := sum.FindStringSubmatch(s); m != nil && (m[1] != "fadd" || m[2] == m[3]) {
			waits[m[2]] += map[bool]int{true: c.add, false: c.fma}[m[1] == "fadd"]
			continue
		}
		if strings.HasPrefix(s, "st") { // writes no register of vectors
			continue
		}
		_, operands, _ := strings.Cut(s, " ")
		first, rest, _ := strings.Cut(operands, ",")
		if strings.HasPrefix(s, "ldp") {
			first += rest
		}
		for _, m := range register.FindAllStringSubmatch(first, -1) {
			others[m[1]] = true
		}
	}
	for r, w := range waits {
		if !others[r] {
			chains++
			wait = max(wait, w)
		}
	}
	return chains, wait
}

// crossCompile sets what a command needs to build for Linux on arm64.
func crossCompile(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	return cmd
}

// findLoops builds the packages' test binaries, which hold every kernel. Without
// packages it takes all that have assembly.
func findLoops(llvm string, packages []string) ([]loop, error) {
	if len(packages) == 0 {
		out, err := crossCompile(exec.Command("go", "list", "-f", "{{if .SFiles}}{{.ImportPath}}{{end}}", "github.com/nonet-go/nonet/...")).Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = strings.Fields(string(out))
	}
	dir, err := os.MkdirTemp("", "mca")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := crossCompile(exec.Command("go", append([]string{"test", "-c", "-o", dir + "/"}, packages...)...))
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
	busy   []string // units and the share of the time that they are busy
}

// busy is the share of the time from which on a unit counts as what bounds a loop.
const busy = .9

// instructions is about how many a simulation runs: enough for its begin and end
// not to count.
const instructions = 20000

func analyse(llvm, cpu string, body []string) (result, error) {
	turns := max(instructions/len(body), 20)
	cmd := exec.Command(fmt.Sprintf(llvm, "llvm-mca"), "-mtriple=aarch64", "-mcpu="+cpu, "-iterations="+strconv.Itoa(turns), "-instruction-info=false", "-json")
	cmd.Stdin = strings.NewReader(strings.Join(body, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("llvm-mca: %w\n%s", err, stderr.String())
	}
	return parse(out)
}

// A report is the part of llvm-mca's that is read.
type report struct {
	CodeRegions []struct {
		Instructions []string
		SummaryView  struct {
			Iterations, TotalCycles float64
		}
		ResourcePressureView struct {
			ResourcePressureInfo []struct {
				InstructionIndex, ResourceIndex int
				ResourceUsage                   float64
			}
		}
	}
	TargetInfo struct{ Resources []string }
}

// parse reads a report: the cycles, and the pressure on each resource, which stands
// as that of one instruction more than there are.
func parse(text []byte) (result, error) {
	var rep report
	if err := json.Unmarshal(text, &rep); err != nil {
		return result{}, fmt.Errorf("llvm-mca's report: %w", err)
	}
	if len(rep.CodeRegions) != 1 || rep.CodeRegions[0].SummaryView.TotalCycles == 0 {
		return result{}, fmt.Errorf("llvm-mca reported no cycles:\n%s", text)
	}
	region := rep.CodeRegions[0]
	r := result{cycles: region.SummaryView.TotalCycles / region.SummaryView.Iterations}
	for _, p := range region.ResourcePressureView.ResourcePressureInfo {
		if p.InstructionIndex != len(region.Instructions) || p.ResourceUsage <= busy*r.cycles {
			continue
		}
		name := unit(rep.TargetInfo.Resources[p.ResourceIndex])
		if s := fmt.Sprintf("%s %.0f %%", name, 100*p.ResourceUsage/r.cycles); !slices.Contains(r.busy, s) {
			r.busy = append(r.busy, s)
		}
	}
	return r, nil
}

// unit shortens a resource's name: "N1UnitL." and a byte that counts is one of
// N1's units L.
func unit(resource string) string {
	name, _, _ := strings.Cut(resource, ".")
	_, short, _ := strings.Cut(name, "Unit")
	return short
}
