// Package check compares nonet's networks with references: with package internal/ref, which
// computes the same in float64 by plain loops, and with files of another framework's
// results.
package check

import (
	"context"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/vgg"
)

// Row is one comparison. Errors are relative to the root mean square of the
// reference, or to its largest magnitude where What says so.
type Row struct {
	Config   string  `json:"config"`
	Variant  string  `json:"variant"` // the algorithm, or the file
	What     string  `json:"what"`    // a layer's name, "logits", …
	Max      float64 `json:"max"`
	RMS      float64 `json:"rms"`
	MaxBound float64 `json:"max_bound"`
	RMSBound float64 `json:"rms_bound"`
	OK       bool    `json:"ok"`
}

// Bounds of a network's activations, relative to their root mean square. A convolution in
// float32 without Winograd, one chain of sums, has errors of 1.7e-5 at most and 2.1e-6 in
// the mean at the end of VGG-16.
const (
	maxBound    = 3e-5
	rmsBound    = 5e-6
	logitsBound = 1e-4 // of the largest logit

	// A gradient of weights is a sum of products of activations and their gradients. It has
	// the errors of both, and its own.
	gradientBound = 3 * maxBound
)

func newRow(config, variant, what string, got []float32, want []float64) Row {
	r := Row{Config: config, Variant: variant, What: what, MaxBound: maxBound, RMSBound: rmsBound}
	r.Max, r.RMS = relErrors(got, want)
	r.OK = r.Max <= r.MaxBound && r.RMS <= r.RMSBound
	return r
}

// gradientRow compares a gradient. Many of its sums cancel, so only the largest error is
// bounded. slack, if not nil, is the part of each element's error that does not count.
func gradientRow(config, variant, what string, got []float32, want, slack []float64) Row {
	if slack != nil && len(slack) == len(want) && len(got) == len(want) {
		got = append([]float32(nil), got...)
		for i, v := range want {
			if e := float64(got[i]) - v; math.Abs(e) <= slack[i] {
				got[i] = float32(v)
			} else {
				got[i] = float32(v + e - math.Copysign(slack[i], e))
			}
		}
	}
	r := newRow(config, variant, what, got, want)
	r.MaxBound, r.RMSBound = gradientBound, maxBound
	r.OK = r.Max <= r.MaxBound && r.RMS <= r.RMSBound
	return r
}

// logitsRow compares relative to the largest logit.
func logitsRow(config, variant, what string, got []float32, want []float64) Row {
	r := Row{Config: config, Variant: variant, What: what, MaxBound: logitsBound, RMSBound: logitsBound}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	r.Max, r.RMS = errorsOf(got, want, largest)
	r.OK = r.Max <= r.MaxBound && r.RMS <= r.RMSBound
	return r
}

func relErrors(got []float32, want []float64) (largest, rms float64) {
	squares := 0.0
	for _, v := range want {
		squares += v * v
	}
	return errorsOf(got, want, math.Sqrt(squares/float64(len(want))))
}

// errorsOf returns the largest and the root mean square error in units of scale.
// A NaN, a missing element and a scale of zero are infinite errors.
func errorsOf(got []float32, want []float64, scale float64) (largest, rms float64) {
	if len(got) != len(want) || len(want) == 0 {
		return math.Inf(1), math.Inf(1)
	}
	squares := 0.0
	for i, v := range want {
		e := math.Abs(float64(got[i]) - v)
		largest = max(largest, e) // a NaN stays
		squares += e * e
	}
	if largest == 0 {
		return 0, 0
	}
	largest, rms = largest/scale, math.Sqrt(squares/float64(len(want)))/scale
	if math.IsNaN(largest) || math.IsNaN(rms) {
		return math.Inf(1), math.Inf(1)
	}
	return largest, rms
}

// Small is a configuration of the paper at a size that plain loops compute quickly: a
// sixteenth of the channels, 32×32, 10 classes.
func Small(name string) (vgg.Config, error) {
	cfg, err := vgg.Lookup(name)
	return cfg.Divide(16).WithClasses(10).WithSize(32), err
}

// Networks compares every layer of a configuration of the paper with the reference, with
// random weights and input, by each algorithm. It takes the small form or, if full, the
// paper's own size, for which the reference needs some ten seconds a network.
func Networks(ctx context.Context, name string, full bool) ([]Row, error) {
	if full {
		cfg, err := vgg.Lookup(name)
		if err != nil {
			return nil, err
		}
		return network(ctx, cfg, 1)
	}
	cfg, err := Small(name)
	if err != nil {
		return nil, err
	}
	return network(ctx, cfg, 3)
}

// network compares every layer of a network on some pictures.
func network(ctx context.Context, cfg vgg.Config, pictures int) ([]Row, error) {
	const seed = 1
	name := cfg.Name
	variants := []struct {
		name  string
		opts  []vgg.Option
		loose float64 // how many times the bounds are those of float32
	}{{"default", nil, 1}, {"F(2×2,3×3)", []vgg.Option{vgg.Winograd(2)}, 1}, {"direct", []vgg.Option{vgg.Direct()}, 1}, {"fixed", []vgg.Option{vgg.Fixed()}, fixedLoose}}
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		return nil, err
	}
	input := pictureInput(cfg, pictures, seed)
	net, err := reference(cfg, src)
	if err != nil {
		return nil, err
	}
	want := net.Forward(pictures, input)
	var rows []Row
	for _, v := range variants {
		m, err := vgg.New(cfg, src, v.opts...)
		if err != nil {
			return nil, err
		}
		for _, l := range cfg.Layers {
			got, err := run(ctx, m, l.Name, pictures, input)
			if err != nil {
				return nil, err
			}
			rows = append(rows, newRow(name, v.name, l.Name, got, want.Act[l.Name]).times(v.loose))
		}
		got, err := run(ctx, m, "", pictures, input)
		if err != nil {
			return nil, err
		}
		rows = append(rows, logitsRow(name, v.name, "logits", got, want.Output()).times(v.loose))
	}
	return rows, nil
}

// fixedLoose is how many times larger the errors of fixed point may be: 3e-2 at most and
// 5e-3 in the mean, and 5e-3 of the largest logit.
const fixedLoose = 1000

// times returns the row with bounds that many times as large.
func (r Row) times(loose float64) Row {
	r.MaxBound *= loose
	r.RMSBound *= loose
	r.OK = r.Max <= r.MaxBound && r.RMS <= r.RMSBound
	return r
}

// SeededLogits returns the logits, [pictures][classes], that plain loops in float64 compute for
// the pictures and weights of a seed, see vgg.Seeded. For the paper's networks at 224×224 a
// picture takes some ten seconds.
func SeededLogits(cfg vgg.Config, seed uint64, pictures int) ([]float64, error) {
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		return nil, err
	}
	net, err := reference(cfg, src)
	if err != nil {
		return nil, err
	}
	return net.Forward(pictures, pictureInput(cfg, pictures, seed)).Output(), nil
}

// pictureInput returns random pictures.
func pictureInput(cfg vgg.Config, pictures int, seed uint64) []float32 {
	h, w := cfg.Input()
	input := make([]float32, pictures*cfg.Channels*h*w)
	seeded.Fill(input, seed, inputTensor, 1)
	return input
}

// inputTensor is the number of the tensor of a seed's stream that holds the pictures.
const inputTensor = 1000

// run computes a layer for a batch.
func run(ctx context.Context, m *vgg.Model, layer string, pictures int, input []float32) ([]float32, error) {
	s, err := m.NewSession(vgg.Batch(pictures), vgg.Output(layer))
	if err != nil {
		return nil, err
	}
	out := make([]float32, pictures*s.OutputShape().Len())
	return out, s.Run(ctx, out, input)
}

// reference builds the same network from plain loops.
func reference(cfg vgg.Config, src vgg.Source) (*ref.Net[float32], error) {
	params, err := cfg.Params()
	if err != nil {
		return nil, err
	}
	net := &ref.Net[float32]{C: cfg.Channels}
	net.H, net.W = cfg.Input()
	first := true
	for _, l := range cfg.Layers {
		r := ref.Layer[float32]{Name: l.Name, Out: l.Out, ReLU: l.ReLU}
		switch l.Kind {
		case vgg.Pool:
			r.Kind = ref.KindMaxPool
		case vgg.LRN:
			r.Kind, r.LRN = ref.KindLRN, ref.VGGLRN
		case vgg.FC:
			r.Kind, r.HWC = ref.KindLinear, cfg.HWC && first
			first = false
		case vgg.AvgPool:
			r.Kind = ref.KindAvgPool
		case vgg.GlobalPool:
			r.Kind = ref.KindGlobalPool
		case vgg.Scale:
			r.Kind = ref.KindScale
		case vgg.Conv:
			r.Kind, r.Kernel, r.Stride = ref.KindConv, l.Kernel, l.Stride
			if l.Kernel == 3 {
				r.Pad = cfg.Pad
			}
		}
		if l.Kind == vgg.FC || l.Kind == vgg.Conv || l.Kind == vgg.Scale {
			if r.Weight, err = src.Tensor(params[0].Name, params[0].Shape); err == nil {
				r.Bias, err = src.Tensor(params[1].Name, params[1].Shape)
			}
			if err != nil {
				return nil, err
			}
			params = params[2:]
		}
		net.Layers = append(net.Layers, r)
	}
	return net, nil
}

// Passed reports whether all rows are within their bounds.
func Passed(rows []Row) bool {
	for _, r := range rows {
		if !r.OK {
			return false
		}
	}
	return len(rows) > 0
}

// WriteTable writes rows as a table.
func WriteTable(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "config\tvariant\twhat\tmax error\tbound\trms error\tbound\t")
	for _, r := range rows {
		verdict := "ok"
		if !r.OK {
			verdict = "FAILED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2g\t%.2g\t%.2g\t%.2g\t%s\n", r.Config, r.Variant, r.What, r.Max, r.MaxBound, r.RMS, r.RMSBound, verdict)
	}
	return t.Flush()
}
