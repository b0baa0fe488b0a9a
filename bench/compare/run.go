package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/internal/cpu"
)

func hasAVX512() bool { return cpu.Has(cpu.AVX512) }

// A result is what one subject did in one work.
type result struct {
	Work    string        `json:"work"`
	Threads int           `json:"threads"`
	Subject string        `json:"subject"`
	Note    string        `json:"note,omitempty"`
	Version string        `json:"version"`
	Kernel  string        `json:"kernel,omitempty"`
	Error   float64       `json:"error"` // how far its numbers lie from the reference, see errorOf
	Rounds  [][]float64   `json:"ms"`    // every timed sample, round by round
	Layers  [][]layerTime `json:"layers,omitempty"`
	Median  float64       `json:"median_ms"`
	Best    float64       `json:"best_ms"`
	GFLOPS  float64       `json:"gflops,omitempty"` // of the median
	Memory  float64       `json:"peak_rss_mib"`
	// Ratio is the median over the rounds of nonet's time over this
	// subject's, Spread its smallest and largest value.
	Ratio  float64     `json:"nonet_ratio,omitempty"`
	Spread *[2]float64 `json:"nonet_ratio_spread,omitempty"`
	// Line is how long a cache line took between two cores, before each round, in
	// the results of the first subject: where a virtual machine's processors share
	// a last-level cache at one time and not at another, rounds differ.
	Line []float64 `json:"line_ns,omitempty"`
	// Load is the part of the CPUs' time that other programs took in each round, of the
	// turn with the most, in the results of the first subject; Repeats how many rounds were
	// thrown away because it was above the limit.
	Load    []float64 `json:"foreign_load,omitempty"`
	Repeats int       `json:"repeated_rounds,omitempty"`
}

// A runner holds what is the same for all works.
type runner struct {
	dir     string
	cpus    string // as taskset -c reads it; empty: the first ones
	rounds  int
	turn    time.Duration // how long a turn of one subject should last
	only    []string      // part of the names of the peers to take; empty: all
	prepare bool          // files only, no run
}

func (r runner) takes(s subject) bool {
	return strings.HasPrefix(s.name, "nonet") || len(r.only) == 0 || slices.ContainsFunc(r.only, func(part string) bool {
		return strings.Contains(strings.ToLower(s.name), strings.ToLower(part))
	})
}

// run compares the subjects of a work.
func (r runner) run(w work) (results []result, err error) {
	list, err := subjects(r.dir, w)
	if err != nil || r.prepare {
		return nil, err
	}
	cpus := r.cpus
	if cpus == "" {
		cpus = "0-" + itoa(w.threads-1)
	}
	var running []*process
	defer func() {
		for _, p := range running {
			if e := p.stop(); err == nil && e != nil {
				err = fmt.Errorf("%s: %w", p.name, e)
			}
		}
	}()
	for _, s := range list {
		if !r.takes(s) {
			continue
		}
		p, err := s.start(cpus)
		if err != nil {
			return nil, err
		}
		running = append(running, p)
		results = append(results, result{Work: w.name(), Threads: w.threads, Subject: s.name, Note: s.note})
	}
	if err := r.check(w, running, results); err != nil {
		return nil, err
	}
	if err := r.time(w, cpus, running, results); err != nil {
		return nil, err
	}
	for i, p := range running {
		if results[i].Memory, err = p.peakMiB(); err != nil {
			return nil, err
		}
	}
	summarise(w, results)
	return results, nil
}

// rest lets the waiting threads of a library, which spin for a while, go to
// sleep before another one is timed.
const rest = 40 * time.Millisecond

// time lets the subjects take turns.
func (r runner) time(w work, cpus string, running []*process, results []result) error {
	samples := make([]int, len(running))
	for i, p := range running {
		t := time.Now()
		if _, err := p.ask("%s", w.command(2)); err != nil {
			return err
		}
		samples[i] = min(max(int(2*r.turn/time.Since(t)), 1), 20)
		time.Sleep(rest)
	}
	meter, err := newLoadMeter(cpus)
	if err != nil {
		return err
	}
	for round := range r.rounds {
		if w.threads > 1 {
			p, err := measure(r.dir, cpus, "line", 2)
			if err != nil {
				return err
			}
			results[0].Line = append(results[0].Line, p.NS)
		}
		answers, load, err := r.quietRound(w, round, samples, running, meter, &results[0].Repeats)
		if err != nil {
			return err
		}
		results[0].Load = append(results[0].Load, load)
		for i, a := range answers {
			if a.Layers != nil {
				results[i].Layers = append(results[i].Layers, a.Layers)
			}
			results[i].Rounds = append(results[i].Rounds, a.MS[1:])
			results[i].Kernel = a.Kernel
		}
	}
	return nil
}

// quietRound repeats a round while other programs take much of the CPUs' time. The last try
// counts in any case.
func (r runner) quietRound(w work, round int, samples []int, running []*process, meter *loadMeter, repeats *int) (answers []answer, load float64, err error) {
	for try := 0; ; try++ {
		answers, load, err = r.round(w, round, samples, running, meter)
		if err != nil || load <= loadLimit || try == mostRepeats {
			return answers, load, err
		}
		*repeats++
	}
}

// round gives every subject a turn. load is that of the turn with the most foreign load.
func (r runner) round(w work, round int, samples []int, running []*process, meter *loadMeter) (answers []answer, load float64, err error) {
	answers = make([]answer, len(running))
	for i := range running {
		j := (i + round) % len(running)
		p := running[j]
		if err := meter.begin(p.cmd.Process.Pid); err != nil {
			return nil, 0, err
		}
		a, err := p.ask("%s", w.command(samples[j]+1))
		if err != nil {
			return nil, 0, err
		}
		foreign, err := meter.end(p.cmd.Process.Pid)
		if err != nil {
			return nil, 0, err
		}
		load = max(load, foreign)
		if w.kind == "layers" || w.kind == "hot" {
			a.MS = sumLayers(a.Layers, nil)
		}
		if len(a.MS) != samples[j]+1 {
			return nil, 0, fmt.Errorf("%s: %d samples for %d", p.name, len(a.MS), samples[j]+1)
		}
		answers[j] = a
		time.Sleep(rest)
	}
	return answers, load, nil
}

// sumLayers adds the times of the layers with the given names, or of all,
// sample by sample.
func sumLayers(layers []layerTime, names []string) []float64 {
	var sum []float64
	for _, l := range layers {
		if names != nil && !slices.Contains(names, l.Name) {
			continue
		}
		if sum == nil {
			sum = make([]float64, len(l.MS))
		}
		for i := range min(len(sum), len(l.MS)) {
			sum[i] += l.MS[i]
		}
	}
	return sum
}

// commonLayers lists the layers that every subject has timed, in the first
// one's order. Sums are taken over these alone.
func commonLayers(results []result) (names []string) {
	for _, name := range layerNames(results[0]) {
		if !slices.ContainsFunc(results, func(r result) bool { return !slices.Contains(layerNames(r), name) }) {
			names = append(names, name)
		}
	}
	return names
}

// The largest error that a subject may show, see errorOf. Winograd's and the
// direct algorithm stay below 2e-5 of the logits' root mean square; a product
// of single precision stays far below 1e-6 of |A|·|B|.
const (
	logitLimit = 1e-4
	lossLimit  = 1e-4
	halfLimit  = 5e-3 // weights of 11 bits
	fixedLimit = 5e-2 // fully connected layers of 8 bits
	int8Limit  = 0.5  // weights and activations of 7 or 8 bits: how far they are is for the table to say
	gemmLimit  = 1e-6
)

// limits are those of subjects with fewer bits.
var limits = map[string]float64{
	"nonet f16 FC": halfLimit, "nonet fixed FC": fixedLimit, "nonet fixed": fixedLimit, "oneDNN int8": int8Limit, "ONNX Runtime int8": int8Limit,
}

// check asks every subject for its numbers and fails if one differs.
func (r runner) check(w work, running []*process, results []result) error {
	command, limit := "check 97 65 300", gemmLimit
	if w.kind != "gemm" {
		file, err := pictureFile(r.dir)
		if err != nil {
			return err
		}
		command, limit = fmt.Sprintf("check %s %d", file, pictures), logitLimit
	}
	reference, err := r.reference(w)
	if err != nil {
		return err
	}
	for i, p := range running {
		v, err := p.ask("version")
		if err != nil {
			return err
		}
		results[i].Version = v.Version
		a, err := p.ask("%s", command)
		if err != nil {
			return err
		}
		switch {
		case w.kind == "gemm":
			results[i].Error = a.Error
		case w.kind == "train":
			limit = lossLimit
			if reference == nil {
				reference = a.Losses
			}
			results[i].Error, err = errorOf(a.Losses, reference)
		default:
			if reference == nil {
				reference = a.Logits
			}
			results[i].Error, err = errorOf(a.Logits, reference)
		}
		most := limit
		if own, ok := limits[p.name]; ok {
			most = own
		}
		if err == nil && !(results[i].Error <= most) {
			err = fmt.Errorf("results lie %.3g from the reference, allowed is %.3g", results[i].Error, most)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", w.name(), p.name, err)
		}
	}
	return nil
}

// errorOf is the largest difference over the root mean square of want.
func errorOf(got, want []float64) (float64, error) {
	if len(got) != len(want) || len(want) == 0 {
		return 0, fmt.Errorf("%d numbers, the reference has %d", len(got), len(want))
	}
	var worst, square float64
	for i := range want {
		if math.IsNaN(got[i]) {
			return math.NaN(), nil
		}
		worst = max(worst, math.Abs(got[i]-want[i]))
		square += want[i] * want[i]
	}
	return worst / math.Sqrt(square/float64(len(want))), nil
}

// summarise fills in the figures that are computed from the samples.
func summarise(w work, results []result) {
	if w.kind == "layers" || w.kind == "hot" {
		names := commonLayers(results)
		for _, r := range results {
			for round := range r.Layers {
				r.Rounds[round] = sumLayers(r.Layers[round], names)[1:]
			}
		}
	}
	for i := range results {
		res := &results[i]
		all := slices.Concat(res.Rounds...)
		res.Median, res.Best = median(all), slices.Min(all)
		res.GFLOPS = w.flop() / res.Median * 1e-6
		if i == 0 || results[0].Subject != "nonet" {
			continue
		}
		var ratios []float64
		for r := range res.Rounds {
			ratios = append(ratios, median(results[0].Rounds[r])/median(res.Rounds[r]))
		}
		res.Ratio = median(ratios)
		res.Spread = &[2]float64{slices.Min(ratios), slices.Max(ratios)}
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
