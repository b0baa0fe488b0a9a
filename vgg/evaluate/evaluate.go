// Package evaluate measures the errors of a network on labelled pictures.
package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/train"
)

// Options say how a network is evaluated.
type Options struct {
	Batch   int // pictures at a time; 32 if 0
	Workers int // GOMAXPROCS if 0
	// OnPicture is called for every picture, in the order of the data.
	OnPicture func(Outcome) error
}

// Outcome is what one picture came to.
type Outcome struct {
	Path  string           `json:"path"`
	Class int              `json:"class"` // of the model; −1 if it has no such class
	Top   []vgg.Prediction `json:"top,omitempty"`
	Err   string           `json:"error,omitempty"` // why it could not be read
}

// Result is what all pictures came to. Errors are fractions of the pictures that
// could be read.
type Result struct {
	N          int     `json:"n"`
	Unreadable int     `json:"unreadable"`
	Top1Error  float64 `json:"top1_error"`
	Top5Error  float64 `json:"top5_error"`
	// Interval is half of the 95 % confidence interval of Top1Error.
	Interval float64 `json:"top1_interval"`
	// Confusion counts pictures by [class][prediction].
	Confusion [][]int `json:"confusion,omitempty"`
}

// evaluation is one under way.
type evaluation struct {
	Options
	m       *vgg.Model
	d       *train.Dataset
	classes []int // of the data's classes in the model
	input   []float32
	logits  []float32
	size    int
	result  Result
	hits1   int
	hits5   int
}

// Single evaluates a network by one view of each picture, the one that the
// network's preparation gives: the test of the paper's section 3.2 at one scale,
// with a centre crop. A picture that cannot be read is counted and passed over.
//
// The classes of the data are those of the model with the same labels or, if the
// model has none, with the same numbers.
func Single(ctx context.Context, m *vgg.Model, d *train.Dataset, o Options) (Result, error) {
	if o.Batch == 0 {
		o.Batch = 32
	}
	cfg := m.Config()
	e := &evaluation{Options: o, m: m, d: d, size: cfg.Channels * cfg.Size * cfg.Size}
	var err error
	if e.classes, err = match(m, d.Classes); err != nil {
		return Result{}, fmt.Errorf("evaluate: %s: %w", d.Name, err)
	}
	e.input = make([]float32, o.Batch*e.size)
	e.logits = make([]float32, o.Batch*cfg.Classes())
	for range cfg.Classes() {
		e.result.Confusion = append(e.result.Confusion, make([]int, cfg.Classes()))
	}
	sopts := []vgg.SessionOption{vgg.Batch(o.Batch)}
	if o.Workers > 0 {
		sopts = append(sopts, vgg.Workers(o.Workers))
	}
	s, err := m.NewSession(sopts...)
	if err != nil {
		return Result{}, err
	}
	for at := 0; at < len(d.Examples); at += o.Batch {
		if err := e.batch(ctx, s, at, min(o.Batch, len(d.Examples)-at)); err != nil {
			return e.finish(), err
		}
	}
	return e.finish(), nil
}

// match finds the model's class for each of the data's.
func match(m *vgg.Model, names []string) ([]int, error) {
	classes := make([]int, len(names))
	labels := m.Labels()
	for i, name := range names {
		classes[i] = i
		if labels != nil {
			classes[i] = slices.IndexFunc(labels, func(l string) bool { return strings.EqualFold(l, name) })
		}
	}
	known := slices.ContainsFunc(classes, func(c int) bool { return c >= 0 })
	if labels == nil && len(names) > m.Config().Classes() || !known {
		return nil, fmt.Errorf("its classes (%s, …) are not those of the network (%s, …): %w", names[0], m.Label(0), train.ErrData)
	}
	return classes, nil
}

// batch reads, prepares and classifies n pictures.
func (e *evaluation) batch(ctx context.Context, s *vgg.Session, at, n int) error {
	failed := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range max(1, min(n, s.Workers())) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				x := e.input[i*e.size:][:e.size]
				img, err := e.d.Picture(at + i)
				if err == nil {
					err = e.m.Prepare(x, img)
				}
				if err != nil {
					clear(x)
				}
				failed[i] = err
			}
		})
	}
	wg.Wait()
	if err := s.Run(ctx, e.logits, e.input); err != nil {
		return err
	}
	classes := e.m.Config().Classes()
	for i, err := range failed {
		o := Outcome{Path: e.d.Examples[at+i].Path, Class: e.classes[e.d.Examples[at+i].Class]}
		if err != nil {
			o.Err = err.Error()
			e.result.Unreadable++
		} else {
			o.Top = e.m.Top(e.logits[i*classes:][:classes], 5)
			e.count(o)
		}
		if e.OnPicture != nil {
			if err := e.OnPicture(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *evaluation) count(o Outcome) {
	e.result.N++
	if o.Class >= 0 {
		e.result.Confusion[o.Class][o.Top[0].Class]++
	}
	if o.Top[0].Class == o.Class {
		e.hits1++
	}
	if slices.ContainsFunc(o.Top, func(p vgg.Prediction) bool { return p.Class == o.Class }) {
		e.hits5++
	}
}

func (e *evaluation) finish() Result {
	r := e.result
	if r.N > 0 {
		n := float64(r.N)
		r.Top1Error, r.Top5Error = 1-float64(e.hits1)/n, 1-float64(e.hits5)/n
		r.Interval = 1.96 * math.Sqrt(r.Top1Error*(1-r.Top1Error)/n)
	}
	return r
}
