package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is the whole of a run.
type report struct {
	Date    string   `json:"date"`
	Command string   `json:"command"`
	Commit  string   `json:"commit"`
	Machine machine  `json:"machine"`
	Peak    []peak   `json:"peak"`
	Debian  []string `json:"debian_packages"`
	Results []result `json:"results"`
}

type machine struct {
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	L2       string `json:"l2_cache"`
	L3       string `json:"l3_cache"`
	Memory   string `json:"memory"`
	Kernel   string `json:"kernel"`
	HugePage string `json:"transparent_hugepage"`
	Load     string `json:"load_at_start"`
	Go       string `json:"go"`
	Node     string `json:"node"`
	Python   string `json:"python"`
	GCC      string `json:"gcc"`
}

// A peak is what a loop of nothing but fused multiply-adds reaches, or one of
// nothing but loads.
type peak struct {
	ISA     string  `json:"isa"`
	Threads int     `json:"threads"`
	GFLOPS  float64 `json:"gflops,omitempty"`
	GBytes  float64 `json:"gbytes,omitempty"` // of ISA "read": memory read once, GB/s
	NS      float64 `json:"ns,omitempty"`     // of "line": a cache line from core to core
}

func newReport() *report {
	cpuinfo := read("/proc/cpuinfo")
	model := field(cpuinfo, "model name") + " (family " + field(cpuinfo, "cpu family") + ", model " + field(cpuinfo, "model") + ")"
	commit := output("git", "rev-parse", "--short=12", "HEAD")
	if output("git", "status", "--porcelain", "-uno") != "" {
		commit += " with changes"
	}
	rep := &report{
		Date: time.Now().UTC().Format(time.RFC3339), Commit: commit,
		Command: "go run ./bench/compare " + strings.Join(os.Args[1:], " "),
		Machine: machine{
			CPU: model, CPUs: runtime.NumCPU(), Memory: field(read("/proc/meminfo"), "MemTotal"),
			L2:     read("/sys/devices/system/cpu/cpu0/cache/index2/size"),
			L3:     read("/sys/devices/system/cpu/cpu0/cache/index3/size"),
			Kernel: regexp.MustCompile(`^\d+\.\d+`).FindString(read("/proc/sys/kernel/osrelease")), HugePage: read("/sys/kernel/mm/transparent_hugepage/enabled"),
			Load: read("/proc/loadavg"), Go: runtime.Version(), Node: output("node", "--version"),
			Python: output("/usr/bin/python3", "--version"), GCC: output("gcc", "-dumpfullversion"),
		},
	}
	packages := output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", "libdnnl2", "libopenblas0-pthread", "libblis4-pthread", "python3-torch", "libtcmalloc-minimal4")
	rep.Debian = strings.Split(packages, "\n")
	return rep
}

// load puts the results of an earlier run in front of rep's. A file that does not
// exist is an empty one.
func (rep *report) load(path string) error {
	old, err := readReport(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if old.Commit != rep.Commit || old.Machine.CPU != rep.Machine.CPU {
		return fmt.Errorf("%s is of commit %s on %s, this is %s on %s: results do not mix", path, old.Commit, old.Machine.CPU, rep.Commit, rep.Machine.CPU)
	}
	rep.Command = old.Command + "\n" + rep.Command
	rep.Peak = append(old.Peak, rep.Peak...)
	rep.Results = append(old.Results, rep.Results...)
	return nil
}

func readReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rep := &report{}
	if err := json.Unmarshal(b, rep); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rep, nil
}

// replace adds the results of a work and drops earlier ones of the same.
func (rep *report) replace(results []result) {
	if len(results) == 0 {
		return
	}
	w := results[0]
	rep.Results = slices.DeleteFunc(rep.Results, func(r result) bool { return r.Work == w.Work && r.Threads == w.Threads })
	rep.Results = append(rep.Results, results...)
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// field finds the value of "name : value" in a file of /proc.
func field(text, name string) string {
	m := regexp.MustCompile(`(?m)^` + name + `\s*:\s*(.*)$`).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

// measurePeak runs the loop for each instruction set on the CPUs in use.
func (rep *report) measurePeak(dir, cpus string, threads int) error {
	if cpus == "" {
		cpus = "0-" + itoa(threads-1)
	}
	for _, isa := range []string{"avx512", "avx2", "read"} {
		p, err := measure(dir, cpus, isa, threads)
		if err != nil {
			return err
		}
		rep.addPeak(p)
	}
	return nil
}

// measure asks the driver of that name for one figure.
func measure(dir, cpus, isa string, threads int) (peak, error) {
	p := peak{ISA: isa, Threads: threads}
	out, err := exec.Command("taskset", "-c", cpus, filepath.Join(dir, "peak"), isa, itoa(threads)).Output()
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	if err != nil {
		return p, fmt.Errorf("peak %s: %w", isa, err)
	}
	return p, nil
}

// addPeak keeps the higher of two measurements: the machine was busy at the other.
func (rep *report) addPeak(p peak) {
	for i := range rep.Peak {
		if q := &rep.Peak[i]; q.ISA == p.ISA && q.Threads == p.Threads {
			q.GFLOPS, q.GBytes = max(q.GFLOPS, p.GFLOPS), max(q.GBytes, p.GBytes)
			return
		}
	}
	rep.Peak = append(rep.Peak, p)
}

// best is the highest peak of a thread count.
func best(peaks []peak, threads int) (gflops float64) {
	for _, p := range peaks {
		if p.Threads == threads {
			gflops = max(gflops, p.GFLOPS)
		}
	}
	return gflops
}

func (rep *report) head() string {
	var b strings.Builder
	m := rep.Machine
	fmt.Fprintf(&b, "%s\n%s, commit %s\n", rep.Command, rep.Date, rep.Commit)
	fmt.Fprintf(&b, "%s, %d CPUs, L2 %s, L3 %s, memory %s, Linux %s, huge pages %s, load %s\n", m.CPU, m.CPUs, m.L2, m.L3, m.Memory, m.Kernel, m.HugePage, m.Load)
	fmt.Fprintf(&b, "%s, node %s, %s, gcc %s, %s\n", m.Go, m.Node, m.Python, m.GCC, strings.Join(rep.Debian, ", "))
	for _, p := range rep.Peak {
		if p.ISA == "read" {
			fmt.Fprintf(&b, "reading 512 MiB of memory, %d threads: %.1f GB/s\n", p.Threads, p.GBytes)
			continue
		}
		fmt.Fprintf(&b, "peak of fused multiply-add, %s, %d threads: %.0f GFLOP/s\n", p.ISA, p.Threads, p.GFLOPS)
	}
	return b.String()
}

// table prints the results of one work. Ratios are nonet's time over the
// peer's: below 1 nonet is the faster one.
func table(results []result, peaks []peak) string {
	if len(results) == 0 {
		return ""
	}
	if len(results[0].Layers) > 0 {
		return layerTable(results)
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	rate := results[0].GFLOPS > 0
	fmt.Fprintf(&b, "%s, %d threads", results[0].Work, results[0].Threads)
	if line := results[0].Line; len(line) > 0 {
		fmt.Fprintf(&b, "; a cache line went from core to core in %.0f–%.0f ns", slices.Min(line), slices.Max(line))
	}
	if load := results[0].Load; len(load) > 0 {
		fmt.Fprintf(&b, "; other programs took up to %.0f %% of the CPUs", 100*slices.Max(load))
		if n := results[0].Repeats; n > 0 {
			fmt.Fprintf(&b, ", %s repeated for that", plural(n, "round"))
		}
	}
	fmt.Fprint(&b, "\n")
	fmt.Fprint(t, "subject\tmedian ms\tbest ms\t")
	if rate {
		fmt.Fprint(t, "GFLOP/s\tof peak\t")
	}
	fmt.Fprint(t, "nonet/peer\tspread\terror\tpeak RSS MiB\t\n")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.4g\t%.4g\t", r.Subject, r.Median, r.Best)
		if rate {
			fmt.Fprintf(t, "%.0f\t%.0f %%\t", r.GFLOPS, 100*r.GFLOPS/best(peaks, r.Threads))
		}
		fmt.Fprintf(t, "%s\t%.1e\t%.0f\t\n", ratio(r), r.Error, r.Memory)
	}
	t.Flush()
	return b.String()
}

// gemmTable has a row a product and a column a subject: GFLOP/s, and the
// median over the rounds of nonet's time over the peer's.
func gemmTable(works [][]result, peaks []peak) string {
	var b strings.Builder
	threads := works[0][0].Threads
	fmt.Fprintf(&b, "SGEMM, %d threads: GFLOP/s (nonet's time over the peer's); peak %.0f GFLOP/s\n", threads, best(peaks, threads))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "product\t")
	for _, r := range works[0] {
		fmt.Fprintf(t, "%s\t", r.Subject)
	}
	for _, w := range works {
		fmt.Fprintf(t, "\n%s\t", strings.TrimPrefix(w[0].Work, "sgemm_"))
		for _, r := range w {
			fmt.Fprintf(t, "%.0f", r.GFLOPS)
			if r.Spread != nil {
				fmt.Fprintf(t, " (%.2f)", r.Ratio)
			}
			fmt.Fprint(t, "\t")
		}
	}
	fmt.Fprintln(t)
	t.Flush()
	b.WriteString(gemmMean(works))
	return b.String()
}

// gemmMean compares with the best peer of each product: how many times its
// speed nonet has, over all products and for the worst one.
func gemmMean(works [][]result) string {
	sum, worst, name := 0.0, math.Inf(1), ""
	for _, w := range works {
		slowest := 0.0
		for _, r := range w[1:] {
			slowest = max(slowest, r.Ratio)
		}
		if slowest == 0 {
			return "" // no peers
		}
		sum += math.Log(slowest)
		if 1/slowest < worst {
			worst, name = 1/slowest, strings.TrimPrefix(w[0].Work, "sgemm_")
		}
	}
	return fmt.Sprintf("nonet's speed over that of the best peer of each product, %d threads: geometric mean %.3f over %d products, least %.3f (%s)\n",
		works[0][0].Threads, math.Exp(-sum/float64(len(works))), len(works), worst, name)
}

func ratio(r result) string {
	if r.Spread == nil {
		return "\t"
	}
	return fmt.Sprintf("%.3f\t%.2f–%.2f", r.Ratio, r.Spread[0], r.Spread[1])
}

// layerTable has a row a layer and a column a subject.
func layerTable(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d threads, median ms of each layer with its pool, for the layers that all have timed\n", results[0].Work, results[0].Threads)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "layer\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t", r.Subject)
	}
	fmt.Fprintln(t)
	for _, name := range commonLayers(results) {
		fmt.Fprintf(t, "%s\t", name)
		for _, r := range results {
			fmt.Fprintf(t, "%.3f\t", r.layer(name))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "all\t")
	for _, r := range results {
		fmt.Fprintf(t, "%.2f\t", r.Median)
	}
	fmt.Fprint(t, "\nnonet/peer\t")
	for _, r := range results {
		if r.Spread != nil {
			fmt.Fprintf(t, "%.3f", r.Ratio)
		}
		fmt.Fprint(t, "\t")
	}
	fmt.Fprintln(t)
	t.Flush()
	return b.String()
}

func layerNames(r result) (names []string) {
	for _, l := range r.Layers[0] {
		names = append(names, l.Name)
	}
	return names
}

// layer is the median time of a layer over all samples but the first of each
// round.
func (r result) layer(name string) float64 {
	var all []float64
	for _, round := range r.Layers {
		for _, l := range round {
			if l.Name == name {
				all = append(all, l.MS[1:]...)
			}
		}
	}
	return median(all)
}

// save writes the JSON, the text and the pictures of a report.
func (rep *report) save(o options) error {
	path := o.JSON
	if path == "" {
		if o.Out == "" {
			return nil
		}
		slug := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(field(read("/proc/cpuinfo"), "model name")), "-")
		name := fmt.Sprintf("%s-%s-%s", rep.Date[:10], strings.Trim(slug, "-"), strings.ReplaceAll(o.Works, ",", "-"))
		path = filepath.Join(o.Out, name+".json")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(rep, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(compact(b), '\n'), 0o644); err != nil {
		return err
	}
	text := strings.TrimSuffix(path, ".json") + ".txt"
	if err := os.WriteFile(text, []byte(rep.text()), 0o644); err != nil {
		return err
	}
	return plotFile(path)
}

// compact puts lists of numbers on one line.
func compact(b []byte) []byte {
	lists := regexp.MustCompile(`\[\n[-+0-9.eE,\s]+\]`)
	return lists.ReplaceAllFunc(b, func(l []byte) []byte { return regexp.MustCompile(`\s+`).ReplaceAll(l, nil) })
}

func (rep *report) text() string {
	return rep.head() + rep.tables()
}

// works groups the results by work, in order.
func (rep *report) works() (works [][]result) {
	for i, r := range rep.Results {
		if i == 0 || r.Work != rep.Results[i-1].Work || r.Threads != rep.Results[i-1].Threads {
			works = append(works, nil)
		}
		last := len(works) - 1
		works[last] = append(works[last], r)
	}
	return works
}

// tables prints all works; products in one table for each thread count.
func (rep *report) tables() string {
	var b strings.Builder
	var gemm [][]result
	works := rep.works()
	for i, w := range works {
		if w[0].GFLOPS == 0 {
			b.WriteString("\n" + table(w, rep.Peak))
			continue
		}
		gemm = append(gemm, w)
		if next := i + 1; next == len(works) || works[next][0].GFLOPS == 0 || works[next][0].Threads != w[0].Threads {
			b.WriteString("\n" + gemmTable(gemm, rep.Peak))
			gemm = nil
		}
	}
	return b.String()
}
