package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	Setup   bool
	Works   string
	Configs string
	Batches string
	Shapes  string
	Threads string
	CPUs    string
	Peers   string
	Rounds  int
	Turn    time.Duration
	Quick   bool
	JSON    string
	Add     string
	Out     string
	Plot    string
	Readme  string
	driverOptions
}

// driverOptions are those of a driver: this program started by itself.
type driverOptions struct {
	Driver, Config, Weights, Variant string
	Batch                            int
}

// The products that VGG and its Winograd form are made of, and a square one.
const defaultShapes = "1024x1024x1024,3136x256x256,196x512x512,49x512x512,196x256x256@36,49x512x512@36,32x4096x25088,1x4096x25088"

// vggShapes are the products of VGG at 224×224: im2col of each layer, the 36
// products of each layer's Winograd form, the fully connected layers at batch 1,
// 8 and 32, and the 1×1 layers of configuration C.
const vggShapes = "50176x64x27,50176x64x576,12544x128x576,12544x128x1152,3136x256x1152,3136x256x2304,784x512x2304,784x512x4608,196x512x4608," +
	"3136x64x64@36,784x128x64@36,784x128x128@36,196x256x128@36,196x256x256@36,49x512x256@36,49x512x512@36,16x512x512@36," +
	"1x4096x25088,8x4096x25088,32x4096x25088,1x4096x4096,8x4096x4096,32x4096x4096,1x1000x4096,8x1000x4096,32x1000x4096," +
	"3136x256x256,784x512x512,196x512x512"

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.BoolVar(&o.Setup, "setup", false, "install the peers (Debian, npm) and build their drivers, then end")
	f.StringVar(&o.Works, "works", "vgg", "what to compare: vgg, layers (weights cold), hot (one layer at a time), gemm, train")
	f.StringVar(&o.Configs, "configs", "D", "configurations: A, B, C, D, E, RepVGG-A0, RepVGG-B1")
	f.StringVar(&o.Batches, "batches", "1", "batch sizes of vgg; training steps take 8 pictures, layers 1")
	f.StringVar(&o.Shapes, "shapes", defaultShapes, "products MxNxK, or MxNxK@BATCH for equal products with operands of their own; vgg: all that VGG is made of")
	f.StringVar(&o.Threads, "threads", defaultThreads(), "thread counts")
	f.StringVar(&o.CPUs, "cpus", "", "CPUs to pin every subject to, as taskset -c reads them (default: the first, as many as threads)")
	f.StringVar(&o.Peers, "peers", "", "parts of the names of the peers to take, such as winograd,onnx (default: all)")
	f.IntVar(&o.Rounds, "rounds", 7, "rounds; every subject has one turn in each")
	f.DurationVar(&o.Turn, "turn", 400*time.Millisecond, "length of a turn")
	f.BoolVar(&o.Quick, "quick", false, "3 rounds of short turns")
	f.StringVar(&o.JSON, "json", "", "write the results here instead of <out>/<date>-<cpu>.json")
	f.StringVar(&o.Add, "add", "", "add the results to those in this JSON file, of the same commit on the same machine")
	f.StringVar(&o.Out, "out", filepath.Join("bench", "results"), "folder of the results; empty: print only")
	f.StringVar(&o.Plot, "plot", "", "draw the pictures of a JSON result beside it, then end")
	f.StringVar(&o.Readme, "readme", "", "write the table of a JSON result into README.md, then end")
	f.StringVar(&o.Driver, "driver", "", "for this program's own use: serve as a subject")
	f.StringVar(&o.Config, "config", "D", "of a driver")
	f.StringVar(&o.Weights, "weights", "", "of a driver")
	f.StringVar(&o.Variant, "variant", "", "of a driver: f2, f16, fixed or fixed-fc")
	f.IntVar(&o.Batch, "batch", 1, "of a driver")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.Quick {
		o.Rounds, o.Turn = 3, 100*time.Millisecond
	}
	if o.Rounds < 1 {
		return o, fmt.Errorf("%d rounds", o.Rounds)
	}
	return o, nil
}

// defaultThreads are one and all that Go takes.
func defaultThreads() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return "1," + itoa(n)
	}
	return "1"
}

func main() {
	o, err := parse(os.Args[1:])
	if err == flag.ErrHelp {
		return
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.Driver != "" {
		return runDriver(o)
	}
	if o.Plot != "" {
		return plotFile(o.Plot)
	}
	if o.Readme != "" {
		return writeReadme("README.md", o.Readme)
	}
	works, err := listWorks(o)
	if err != nil {
		return err
	}
	dir, err := cacheDir()
	if err != nil {
		return err
	}
	if o.Setup || !ready(dir) {
		if err := setup(dir); o.Setup || err != nil {
			return err
		}
	}
	r := runner{dir: dir, cpus: o.CPUs, rounds: o.Rounds, turn: o.Turn}
	if o.Peers != "" {
		r.only = strings.Split(o.Peers, ",")
	}
	rep := newReport()
	if o.Add != "" {
		if err := rep.load(o.Add); err != nil {
			return err
		}
		o.JSON = o.Add
	}
	for _, t := range threadsOf(works) {
		if err := rep.measurePeak(dir, o.CPUs, t); err != nil {
			return err
		}
	}
	fmt.Print(rep.head())
	for _, w := range works {
		results, err := r.run(w)
		if err != nil {
			return err
		}
		rep.replace(results)
		fmt.Print("\n" + table(results, rep.Peak))
	}
	for _, s := range strings.SplitAfter(rep.tables(), "\n") {
		if strings.HasPrefix(s, "nonet's speed") {
			fmt.Print("\n" + s)
		}
	}
	return rep.save(o)
}

// listWorks crosses the flags.
func listWorks(o options) (works []work, err error) {
	threads, err := numbers(o.Threads)
	if err != nil {
		return nil, err
	}
	batches, err := numbers(o.Batches)
	if err != nil {
		return nil, err
	}
	for _, kind := range strings.Split(o.Works, ",") {
		for _, t := range threads {
			switch kind {
			case "vgg":
				for _, c := range strings.Split(o.Configs, ",") {
					for _, b := range batches {
						works = append(works, work{kind: kind, config: c, batch: b, threads: t})
					}
				}
			case "layers", "hot", "train":
				batch := map[string]int{"train": 8}[kind]
				for _, c := range strings.Split(o.Configs, ",") {
					works = append(works, work{kind: kind, config: c, batch: max(batch, 1), threads: t})
				}
			case "gemm":
				for _, s := range strings.Split(strings.ReplaceAll(o.Shapes, "vgg", vggShapes), ",") {
					p, batch, err := parseProduct(s)
					if err != nil {
						return nil, err
					}
					works = append(works, work{kind: kind, product: p, batch: batch, threads: t})
				}
			default:
				return nil, fmt.Errorf("unknown work %q", kind)
			}
		}
	}
	return works, nil
}

func numbers(list string) (v []int, err error) {
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of positive numbers", list)
		}
		v = append(v, n)
	}
	return v, nil
}

func threadsOf(works []work) (threads []int) {
	for _, w := range works {
		if !slices.Contains(threads, w.threads) {
			threads = append(threads, w.threads)
		}
	}
	return threads
}

// output runs a command and returns what it prints, or nothing if it fails.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
