package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/peak"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

func isaName() string { return cpu.Best().String() }

type benchCmd struct {
	modelFlags `embed:""`
	Batch      int    `default:"1" min:"1" help:"Pictures of a run, or equal products with --gemm."`
	Threads    int    `min:"0" help:"Threads; all cores if 0 or not given."`
	Rounds     int    `default:"20" min:"1" help:"Timed runs, after two that are not counted."`
	Layers     bool   `help:"Time each layer."`
	Train      bool   `help:"Time a step of training."`
	Gemm       string `placeholder:"MxNxK" help:"Time a matrix product instead of a network."`
	Packed     bool   `help:"With --gemm: pack the right operand once, outside of the time."`
	Shape      string `placeholder:"SHAPE" help:"Time one convolution instead of a network, as benchdnn describes it: ic256ih56oc256oh56kh3ph1."`
	Plot       string `placeholder:"FILE" help:"Draw the layers: FILE is an .svg, .png or .pdf. Implies --layers."`
	Scaling    string `placeholder:"FILE" help:"Time the network on 1, 2, 4 and so on up to --threads as well, in turns, and draw the pictures a second."`
	Trace      string `placeholder:"FILE" help:"Write what each worker did in one more run as a Chrome trace, which ui.perfetto.dev opens."`
	CPUProfile string `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile for go tool pprof of further runs, labelled by layer: pprof -tags FILE."`
	JSON       bool   `help:"Print one JSON object."`
}

// benchResult is the output of --json.
type benchResult struct {
	Work       string        `json:"work"`
	Threads    int           `json:"threads"`
	ISA        string        `json:"isa"`
	Kernel     string        `json:"kernel,omitempty"`
	MS         []float64     `json:"ms"`
	PeakGFLOPS float64       `json:"peak_gflops"`
	ReadGBytes float64       `json:"read_gbytes,omitempty"` // memory read once, 10⁹ bytes a second
	GFLOPS     float64       `json:"gflops"`                // of the direct algorithm, median
	OpenMS     float64       `json:"open_ms,omitempty"`     // with --weights: from opening the file to the first result
	PeakMiB    float64       `json:"peak_mib,omitempty"`    // largest resident set of this process, where /proc tells it
	Layers     []layerResult `json:"layers,omitempty"`
	Step       *stepResult   `json:"step,omitempty"`
	Scaling    []scalePoint  `json:"scaling,omitempty"`
}

type layerResult struct {
	Name      string      `json:"name"`
	Algorithm string      `json:"algorithm,omitempty"`
	MS        float64     `json:"ms"`             // median
	GFLOPS    float64     `json:"gflops"`         // of the direct algorithm: may exceed the peak
	Step      *stepResult `json:"step,omitempty"` // of training
	cost      cost
}

// stepResult splits a step of training, in ms.
type stepResult struct {
	Forward         float64 `json:"forward"`
	BackwardData    float64 `json:"backward_data"`
	BackwardWeights float64 `json:"backward_weights"`
	Update          float64 `json:"update"`
}

func (c *benchCmd) Run(ctx context.Context, s streams) error {
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if err := c.checkNumbers(); err != nil {
		return err
	}
	r := &benchResult{Threads: c.Threads, ISA: isaName(), PeakGFLOPS: peak.GFLOPS(c.Threads)}
	c.Layers = c.Layers || c.Plot != ""
	if err := c.checkFlags(); err != nil {
		return err
	}
	var err error
	switch {
	case c.Gemm != "":
		err = c.gemm(ctx, r)
	case c.Shape != "":
		err = c.convolution(ctx, r)
	case c.Train:
		err = c.train(ctx, r)
	default:
		err = c.forward(ctx, r)
	}
	if err != nil {
		return err
	}
	r.PeakMiB = peakMiB()
	// The machine may have been busy at one of the two times.
	r.PeakGFLOPS = max(r.PeakGFLOPS, peak.GFLOPS(c.Threads))
	if c.Plot != "" {
		if err := c.draw(r); err != nil {
			return err
		}
	}
	if c.JSON {
		return s.printJSON(r)
	}
	return c.print(s, r)
}

// checkNumbers returns an error for a flag that is no number of its kind.
func (c *benchCmd) checkNumbers() error {
	switch {
	case c.Threads < 1 || c.Threads > parallel.MaxWorkers:
		return fmt.Errorf("--threads %d, want 1 to %d", c.Threads, parallel.MaxWorkers)
	case c.Batch < 1:
		return fmt.Errorf("--batch %d, want at least 1", c.Batch)
	case c.Rounds < 1 || c.Rounds > mostRounds:
		return fmt.Errorf("--rounds %d, want 1 to %d", c.Rounds, mostRounds)
	}
	return nil
}

const (
	mostRounds = 1 << 20
	mostFLOP   = 1e14                             // of a run: minutes
	mostFloats = 1 << (26 + 5*(bits.UintSize/64)) // of an operand: 8 GiB, or 256 MiB where an int has 32 bits
)

// inputs returns the elements of a batch.
func (c *benchCmd) inputs(cfg vgg.Config) int {
	h, w := cfg.Input()
	return shape.Product(c.Batch, cfg.Channels, h, w)
}

// checkWork returns an error if flags make a run too large: by its operations, or by the
// elements of its largest operand.
func checkWork(flags string, flop float64, elements int) error {
	if flop > mostFLOP {
		return fmt.Errorf("%s: %.3g operations are too many, want at most %.0g", flags, flop, float64(mostFLOP))
	}
	if elements > mostFloats {
		return fmt.Errorf("%s: an operand has more than %d elements", flags, mostFloats)
	}
	return nil
}

// checkFlags returns an error for flags that exclude each other.
func (c *benchCmd) checkFlags() error {
	works := 0
	for _, given := range []bool{c.Gemm != "", c.Shape != "", c.Train} {
		if given {
			works++
		}
	}
	switch {
	case works > 1:
		return fmt.Errorf("--gemm, --shape and --train exclude each other")
	case works > 0 && (c.Plot != "" || c.Scaling != "" || !c.Train && (c.Trace != "" || c.CPUProfile != "")):
		return fmt.Errorf("--plot and --scaling are for the inference of networks, --trace and --cpuprofile for that and --train")
	}
	if err := errors.Join(checkPicture("--plot", c.Plot), checkPicture("--scaling", c.Scaling)); err != nil {
		return err
	}
	return checkOutputs(nil, output{"--plot", c.Plot}, output{"--scaling", c.Scaling}, output{"--trace", c.Trace}, output{"--cpuprofile", c.CPUProfile})
}

// config returns the network; configuration D by default.
func (c *benchCmd) config() (vgg.Config, error) {
	if !c.given() {
		c.Config = "D"
	}
	return c.network()
}

// time runs f twice, and then Rounds times with a clock.
func (c *benchCmd) time(f func() error) (ms []float64, err error) {
	for i := range c.Rounds + 2 {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		if i >= 2 {
			ms = append(ms, time.Since(start).Seconds()*1e3)
		}
	}
	return ms, nil
}

// peakMiB returns the largest resident set of this process so far, or 0 if the system has no
// /proc.
func peakMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(after, &kib)
	return kib / 1024
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

func (c *benchCmd) forward(ctx context.Context, r *benchResult) error {
	var m *vgg.Model
	opts, err := c.options()
	if err != nil {
		return err
	}
	begin := time.Now()
	if c.Weights != "" {
		m, err = vgg.Open(c.Weights, opts...)
	} else {
		var cfg vgg.Config
		var src vgg.Source
		if cfg, err = c.config(); err != nil {
			return err
		}
		if src, err = vgg.Seeded(cfg, 1); err != nil {
			return err
		}
		m, err = vgg.New(cfg, src, opts...)
	}
	if err != nil {
		return err
	}
	if err := checkWork(fmt.Sprintf("--batch %d", c.Batch), 2*float64(m.Summary().MACs)*float64(c.Batch), c.inputs(m.Config())); err != nil {
		return err
	}
	session, err := m.NewSession(vgg.Batch(c.Batch), vgg.Workers(c.Threads))
	if err != nil {
		return err
	}
	cfg := m.Config()
	input := make([]float32, c.inputs(cfg))
	seeded.Fill(input, 1, 1000, 1)
	out := make([]float32, c.Batch*session.OutputShape().Len())
	times := map[string][]float64{}
	r.Work = fmt.Sprintf("vgg%s_b%d", cfg.Name, c.Batch)
	r.MS, err = c.time(func() error {
		if err := session.Run(ctx, out, input); err != nil {
			return err
		}
		if c.Weights != "" && r.OpenMS == 0 {
			r.OpenMS = time.Since(begin).Seconds() * 1e3
		}
		for _, l := range session.LayerTimes() {
			times[l.Layer] = append(times[l.Layer], l.Time.Seconds()*1e3)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sum := m.Summary()
	r.GFLOPS = 2 * float64(sum.MACs) * float64(c.Batch) / median(r.MS) / 1e6
	if c.Layers {
		in := vgg.Shape{C: cfg.Channels}
		in.H, in.W = cfg.Input()
		for _, l := range sum.Layers {
			if ms := times[l.Name]; ms != nil {
				t := max(median(ms[2:]), 1e-6) // a clock may tell no less than a millisecond
				r.Layers = append(r.Layers, layerResult{Name: l.Name, Algorithm: l.Algorithm, MS: t,
					GFLOPS: 2 * float64(l.MACs) * float64(c.Batch) / t / 1e6, cost: costOf(l, in, c.Batch, c.weightBytes())})
			}
			in = l.Output
		}
	}
	if r.Scaling, err = c.scale(ctx, m, out, input); err != nil {
		return err
	}
	return c.profile(ctx, m, out, input)
}

func (c *benchCmd) train(ctx context.Context, r *benchResult) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	sum, err := cfg.Summary()
	if err != nil {
		return err
	}
	if err := checkWork(fmt.Sprintf("--batch %d", c.Batch), 6*float64(sum.MACs)*float64(c.Batch), c.inputs(cfg)); err != nil {
		return err
	}
	src, err := vgg.Initial(cfg, vgg.InitHe, 1)
	if err != nil {
		return err
	}
	opts := []vgg.TrainerOption{vgg.TrainWorkers(c.Threads), vgg.Dropout(0.5, 1)}
	if c.profiled() { // a second Trainer would need the memory again
		opts = append(opts, vgg.ProfiledSteps())
	}
	t, err := vgg.NewTrainer(cfg, src, c.Batch, opts...)
	if err != nil {
		return err
	}
	input := make([]float32, c.inputs(cfg))
	seeded.Fill(input, 1, 1000, 1)
	targets := make([]int, c.Batch)
	for i := range targets {
		targets[i] = i % cfg.Classes()
	}
	var steps []vgg.StepTimes
	layers := make([][]vgg.StepTimes, len(cfg.Layers))
	r.Work = fmt.Sprintf("train_vgg%s_b%d", cfg.Name, c.Batch)
	step := func() error {
		_, err := t.Gradients(ctx, input, targets)
		if err == nil {
			t.Update(vgg.SGD{Rate: 1e-5, Momentum: 0.9, Decay: 5e-4})
		}
		return err
	}
	r.MS, err = c.time(func() error {
		if err := step(); err != nil {
			return err
		}
		all, each := t.Times()
		steps = append(steps, all)
		for i, l := range each {
			layers[i] = append(layers[i], l.StepTimes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.GFLOPS = 6 * float64(sum.MACs) * float64(c.Batch) / median(r.MS) / 1e6
	r.Step = medianStep(steps[2:])
	if c.Layers {
		for i, l := range sum.Layers {
			part := medianStep(layers[i][2:])
			ms := part.Forward + part.BackwardData + part.BackwardWeights + part.Update
			r.Layers = append(r.Layers, layerResult{Name: l.Name, Algorithm: l.Algorithm, MS: ms, GFLOPS: 6 * float64(l.MACs) * float64(c.Batch) / ms / 1e6, Step: part})
		}
	}
	return c.writeProfiles(step, t.WriteTrace)
}

// medianStep returns the median of each part of some steps.
func medianStep(steps []vgg.StepTimes) *stepResult {
	part := func(f func(vgg.StepTimes) time.Duration) float64 {
		var ms []float64
		for _, s := range steps {
			ms = append(ms, f(s).Seconds()*1e3)
		}
		return median(ms)
	}
	return &stepResult{
		part(func(s vgg.StepTimes) time.Duration { return s.Forward }),
		part(func(s vgg.StepTimes) time.Duration { return s.BackwardData }),
		part(func(s vgg.StepTimes) time.Duration { return s.BackwardWeights }),
		part(func(s vgg.StepTimes) time.Duration { return s.Update }),
	}
}

// parseProduct reads the sizes of a product, MxNxK.
func parseProduct(s string) (m, n, k int, err error) {
	if _, err := fmt.Sscanf(s, "%dx%dx%d", &m, &n, &k); err != nil || min(m, n, k) < 1 || max(m, n, k) > 1<<20 {
		return 0, 0, 0, fmt.Errorf("%q: want MxNxK, such as 512x512x512", s)
	}
	return m, n, k, nil
}

func (c *benchCmd) gemm(ctx context.Context, r *benchResult) error {
	m, n, k, err := parseProduct(c.Gemm)
	if err != nil {
		return fmt.Errorf("--gemm %w", err)
	}
	flags := fmt.Sprintf("--gemm %s --batch %d", c.Gemm, c.Batch)
	most := max(shape.Product(m, k, c.Batch), shape.Product(k, n, c.Batch), shape.Product(m, n, c.Batch))
	if err := checkWork(flags, 2*float64(m)*float64(n)*float64(k)*float64(c.Batch), most); err != nil {
		return err
	}
	fill := func(n int, tensor uint64) []float32 {
		x := layout.Alloc(n)
		seeded.Fill(x, 1, tensor, 1)
		return x
	}
	a, b, out := fill(m*k*c.Batch, 0), fill(k*n*c.Batch, 1), layout.Alloc(m*n*c.Batch)
	team := parallel.NewTeam(c.Threads)
	team.Begin()
	defer team.End()
	g := gemm.NewMultiplier(team)
	r.Kernel = g.Kernel()
	r.Work = "sgemm_" + c.Gemm
	if c.Batch > 1 {
		r.Work += fmt.Sprintf("_x%d", c.Batch)
	}
	packed := make([]*gemm.Packed, c.Batch)
	if c.Packed {
		r.Work += "_packed"
		for i := range packed {
			packed[i] = g.Pack(false, n, k, b[i*k*n:], n)
		}
	}
	r.MS, err = c.time(func() error {
		if !c.Packed {
			return g.Batch(ctx, gemm.Batch{Count: c.Batch, StrideA: m * k, StrideB: k * n, StrideC: m * n}, false, false, m, n, k, 1, a, k, b, n, 0, out, n)
		}
		for i, p := range packed {
			if err := g.Packed(ctx, false, m, a[i*m*k:][:m*k], k, p, 0, out[i*m*n:][:m*n], n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.GFLOPS = 2 * float64(m) * float64(n) * float64(k) * float64(c.Batch) / median(r.MS) / 1e6
	return nil
}

func (c *benchCmd) print(s streams, r *benchResult) error {
	work := r.Work
	if r.Kernel != "" {
		work += " by " + r.Kernel
	}
	fmt.Fprintf(s.out, "%s on %s, %d threads: median %.3g ms, fastest %.3g ms; %.4g GFLOP/s of the direct algorithm; peak of the machine now %.4g GFLOP/s\n",
		work, r.ISA, r.Threads, median(r.MS), slices.Min(r.MS), r.GFLOPS, r.PeakGFLOPS)
	if r.OpenMS > 0 {
		fmt.Fprintf(s.out, "from opening the file to the first result %.4g ms\n", r.OpenMS)
	}
	if r.PeakMiB > 0 {
		fmt.Fprintf(s.out, "peak of resident memory %.4g MiB\n", r.PeakMiB)
	}
	for _, p := range r.Scaling {
		fmt.Fprintf(s.out, "%d threads: median %.3g ms, %.2f times the speed of one\n", p.Threads, median(p.MS), median(r.Scaling[0].MS)/median(p.MS))
	}
	if r.Step != nil {
		fmt.Fprintf(s.out, "forward %.4g ms, backward data %.4g ms, backward weights %.4g ms, update %.4g ms\n",
			r.Step.Forward, r.Step.BackwardData, r.Step.BackwardWeights, r.Step.Update)
	}
	if len(r.Layers) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "layer\talgorithm\tms\tGFLOP/s (direct)\t")
	if r.Step != nil {
		fmt.Fprint(t, "forward\tbackward data\tbackward weights\tpacking\t")
	}
	fmt.Fprintln(t)
	for _, l := range r.Layers {
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%.1f\t", l.Name, l.Algorithm, l.MS, l.GFLOPS)
		if l.Step != nil {
			fmt.Fprintf(t, "%.3f\t%.3f\t%.3f\t%.3f\t", l.Step.Forward, l.Step.BackwardData, l.Step.BackwardWeights, l.Step.Update)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

type selftestCmd struct {
	Explain []string `sep:"," placeholder:"WORK,..." help:"Print instead how a product (49x512x512) or a layer (conv2_2) finds its kernel, and its blocks."`
	Config  string   `default:"D" placeholder:"NAME" help:"Configuration of the paper that the layers of --explain belong to; D if not given."`
	Threads int      `min:"0" max:"65536" help:"Threads that --explain plans for; all cores if 0 or not given."`
	JSON    bool     `help:"Print a JSON object."`

	computeFlags `embed:""`
}
