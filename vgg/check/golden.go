package check

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// golden is a file of another framework's results: metadata that describe a
// seeded network, and tensors input, logits64, act.<layer> or probe.<layer>, …
type golden struct {
	file    *weights.File
	cfg     vgg.Config
	src     vgg.Source
	seed    uint64
	batch   int
	variant string
	rows    []Row
}

// Golden compares a network with a file of results of another framework. The
// notes say, in words for the user, what of the file was not compared.
//
// The metadata config, seed, size and, unless they are the paper's, div and
// classes describe a network with the weights of vgg.Seeded. input is
// [batch][3][size][size], or tensor 1000 of the seed if it is absent; logits64 [batch][classes]; act.<layer> the activation
// of the batch; probe.<layer> its mean, mean of squares and first values.
func Golden(ctx context.Context, path string) (rows []Row, notes []string, err error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	g := &golden{file: file, variant: filepath.Base(path)}
	if err := g.describe(); err != nil {
		return nil, nil, fmt.Errorf("check: %s: %w", path, err)
	}
	m, err := vgg.New(g.cfg, g.src)
	if err != nil {
		return nil, nil, err
	}
	input, err := g.input()
	if err != nil {
		return nil, nil, err
	}
	if err := g.forward(ctx, m, input); err != nil {
		return nil, nil, err
	}
	notes, err = g.training(ctx, input)
	return g.rows, notes, err
}

// input reads the pictures, or makes those of the seed.
func (g *golden) input() ([]float32, error) {
	if !slices.Contains(g.file.Names(), "input") {
		return pictureInput(g.cfg, g.batch, g.seed), nil
	}
	x, err := g.floats("input", g.batch, g.cfg.Channels, g.cfg.Size, g.cfg.Size)
	return weights32(x), err
}

// describe reads the metadata.
func (g *golden) describe() error {
	meta := g.file.Metadata()
	number := func(key string, missing int) (n int, err error) {
		if v, ok := meta[key]; ok {
			if n, err = strconv.Atoi(v); err != nil || n < 1 || n > 1<<20 {
				return 0, fmt.Errorf("metadata %s is %q, want a number: %w", key, v, weights.ErrFormat)
			}
			return n, nil
		}
		return missing, nil
	}
	cfg, err := vgg.Lookup(meta["config"])
	if err != nil {
		return err
	}
	var values [5]int
	for i, key := range []string{"div", "classes", "size", "seed", "batch"} {
		if values[i], err = number(key, []int{1, 1000, 224, 1, 1}[i]); err != nil {
			return err
		}
	}
	g.cfg = cfg.Divide(values[0]).WithClasses(values[1]).WithSize(values[2])
	g.batch, g.seed = values[4], uint64(values[3])
	if err := g.cfg.Validate(); err != nil {
		return err
	}
	g.src, err = vgg.Seeded(g.cfg, g.seed)
	return err
}

// floats reads a tensor of the given shape.
func (g *golden) floats(name string, shape ...int) ([]float64, error) {
	t, err := g.file.Tensor(name)
	if err != nil {
		return nil, err
	}
	if len(shape) > 0 {
		if err := t.CheckShape(shape...); err != nil {
			return nil, err
		}
	}
	x := make([]float64, t.Len())
	return x, t.Float64s(x)
}

func weights32(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// forward compares logits and activations.
func (g *golden) forward(ctx context.Context, m *vgg.Model, input []float32) error {
	logits, err := g.floats("logits64", g.batch, g.cfg.Classes())
	if err != nil {
		return err
	}
	got, err := run(ctx, m, "", g.batch, input)
	if err != nil {
		return err
	}
	g.rows = append(g.rows, logitsRow(g.cfg.Name, g.variant, "logits", got, logits))
	for _, name := range g.file.Names() {
		kind, layer, ok := strings.Cut(name, ".")
		if !ok || kind != "act" && kind != "probe" {
			continue
		}
		got, err := run(ctx, m, layer, g.batch, input)
		if err != nil {
			return err
		}
		want, err := g.floats(name)
		if err != nil {
			return err
		}
		if kind == "probe" {
			g.rows = append(g.rows, g.probeRow(name, got, want))
		} else {
			g.rows = append(g.rows, newRow(g.cfg.Name, g.variant, name, got, want))
		}
	}
	return nil
}

// probeRow compares the first values, relative to the root mean square in the probe, and the
// two means.
func (g *golden) probeRow(name string, got []float32, probe []float64) Row {
	r := Row{Config: g.cfg.Name, Variant: g.variant, What: name, MaxBound: maxBound, RMSBound: rmsBound}
	if len(probe) < 3 || len(got) < len(probe)-2 {
		r.Max, r.RMS = math.Inf(1), math.Inf(1)
		return r
	}
	mean, squares := 0.0, 0.0
	for _, v := range got {
		mean += float64(v)
		squares += float64(v) * float64(v)
	}
	mean, squares = mean/float64(len(got)), squares/float64(len(got))
	rms := math.Sqrt(probe[1])
	n := len(probe) - 2
	r.Max, r.RMS = errorsOf(got[:n], probe[2:], rms)
	// Means are sums of many elements: their errors average out, and stay below the bound of
	// one element.
	r.Max = max(r.Max, math.Abs(mean-probe[0])/rms, math.Abs(squares-probe[1])/probe[1])
	r.OK = r.Max <= r.MaxBound && r.RMS <= r.RMSBound
	return r
}

// training compares the loss, the gradients and two steps of gradient descent,
// if the file has them.
func (g *golden) training(ctx context.Context, input []float32) (notes []string, err error) {
	if !slices.ContainsFunc(g.file.Names(), func(n string) bool { return strings.HasPrefix(n, "grad64.") }) {
		return []string{g.variant + " holds no gradients: training was not compared"}, nil
	}
	targets, err := g.targets()
	if err != nil {
		return nil, err
	}
	var rule [3]float64
	for i, key := range []string{"lr", "momentum", "weight_decay"} {
		if rule[i], err = strconv.ParseFloat(g.file.Metadata()[key], 64); err != nil {
			return nil, fmt.Errorf("check: %s: metadata %s: %v: %w", g.file.Name(), key, err, weights.ErrFormat)
		}
	}
	t, err := vgg.NewTrainer(g.cfg, g.src, g.batch)
	if err != nil {
		return nil, err
	}
	for step := 1; step <= 2; step++ {
		r, err := t.Gradients(ctx, input, targets)
		if err != nil {
			return nil, err
		}
		if step == 1 {
			loss, err := g.floats("loss64", 1)
			if err != nil {
				return nil, err
			}
			g.rows = append(g.rows, newRow(g.cfg.Name, g.variant, "loss", []float32{float32(r.Loss)}, loss))
			if err := g.gradients(ctx, t.Params(), t.Grads(), input, targets); err != nil {
				return nil, err
			}
		}
		t.Update(vgg.SGD{Rate: rule[0], Momentum: rule[1], Decay: rule[2]})
		if err := g.tensors(fmt.Sprintf("step%d.", step), t.Params(), t.Weights()); err != nil {
			return nil, err
		}
	}
	return nil, g.finalWeights()
}

// targets reads the classes of the pictures.
func (g *golden) targets() ([]int, error) {
	t, err := g.file.Tensor("target")
	if err != nil {
		return nil, err
	}
	if err := t.CheckShape(g.batch); err != nil {
		return nil, err
	}
	if t.DType != weights.I64 {
		return nil, fmt.Errorf("check: %s: tensor target is %s, want I64: %w", g.file.Name(), t.DType, weights.ErrFormat)
	}
	targets := make([]int, g.batch)
	for i := range targets {
		targets[i] = int(int64(binary.LittleEndian.Uint64(t.Data[8*i:])))
	}
	return targets, nil
}

// tensors compares the tensors of a network with those of the file, which have the same
// names after a prefix. The file must have all of them.
func (g *golden) tensors(prefix string, params []vgg.Param, got [][]float32) error {
	for i, p := range params {
		want, err := g.floats(prefix+p.Name, p.Shape...)
		if err != nil {
			return err
		}
		g.rows = append(g.rows, newRow(g.cfg.Name, g.variant, prefix+p.Name, got[i], want))
	}
	return nil
}

// gradients compares gradients with those of the file, which has them in float64 and, with
// its own rounding, in float32. If a bound fails, it looks at the kinks of ReLUs and pools.
func (g *golden) gradients(ctx context.Context, params []vgg.Param, got [][]float32, input []float32, targets []int) error {
	rows, err := g.gradientRows(params, got, nil)
	if err == nil && slices.ContainsFunc(rows, func(r Row) bool { return !r.OK }) {
		var slack map[string][]float64
		if slack, err = kinks(ctx, g.cfg, g.src, input, targets); err == nil {
			rows, err = g.gradientRows(params, got, slack)
		}
	}
	g.rows = append(g.rows, rows...)
	return err
}

// mostOwn bounds the difference of the file's two forms of a gradient, relative to its root
// mean square. A larger difference is no rounding, but a changed file.
const mostOwn = 1e-2

func (g *golden) gradientRows(params []vgg.Param, got [][]float32, slack map[string][]float64) ([]Row, error) {
	var rows, narrow []Row
	for i, p := range params {
		wide, err := g.floats("grad64."+p.Name, p.Shape...)
		if err != nil {
			return nil, err
		}
		own, err := g.floats("grad."+p.Name, p.Shape...)
		if err != nil {
			return nil, err
		}
		explained := slack[p.Name]
		rows = append(rows, gradientRow(g.cfg.Name, g.variant, "grad64."+p.Name, got[i], wide, explained))
		narrow = append(narrow, gradientRow(g.cfg.Name, g.variant, "grad."+p.Name, got[i], own, withRounding(explained, wide, own)))
	}
	return append(rows, narrow...), nil
}

// withRounding adds the difference of two forms of a gradient to the explained part of its
// errors.
func withRounding(explained, wide, own []float64) []float64 {
	squares := 0.0
	for _, v := range wide {
		squares += v * v
	}
	most := mostOwn * math.Sqrt(squares/float64(len(wide)))
	sum := make([]float64, len(wide))
	copy(sum, explained)
	for i, v := range wide {
		if d := math.Abs(v - own[i]); d <= most {
			sum[i] += d
		}
	}
	return sum
}

// finalWeights compares the weights of the file, which are those after its two steps, with
// the last step's: they are the same bits.
func (g *golden) finalWeights() error {
	params, err := g.cfg.Params()
	if err != nil {
		return err
	}
	r := Row{Config: g.cfg.Name, Variant: g.variant, What: "weights = step2"}
	for _, p := range params {
		w, err := g.floats(p.Name, p.Shape...)
		if err != nil {
			return err
		}
		last, err := g.floats("step2."+p.Name, p.Shape...)
		if err != nil {
			return err
		}
		largest, rms := errorsOf(weights32(w), last, 1)
		r.Max, r.RMS = max(r.Max, largest), max(r.RMS, rms)
	}
	r.OK = r.Max == 0
	g.rows = append(g.rows, r)
	return nil
}
