package beam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"path"
	"reflect"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/picture"
)

func init() {
	beam.RegisterType(reflect.TypeFor[evaluateFn]())
	register.Emitter1[Outcome]()
	beam.RegisterType(reflect.TypeFor[cellFn]())
	beam.RegisterType(reflect.TypeFor[resultFn]())
	beam.RegisterFunction(toCell)
	beam.RegisterType(reflect.TypeFor[failedFn]())
	beam.RegisterType(reflect.TypeFor[writeResultFn]())
	register.Iter1[Cell]()
	register.Emitter1[Result]()
	for _, t := range []reflect.Type{reflect.TypeFor[Outcome](), reflect.TypeFor[Cell](), reflect.TypeFor[Result]()} {
		beam.RegisterType(t)
	}
}

// Protocol says how pictures are evaluated: see evaluate.NewProtocol.
type Protocol struct {
	Name     string   // center if empty
	Min, Max int      // sides that the pictures of training had; zero for the network's
	Classes  []string // of the data, in order; for networks without labels
}

// Outcome is what one picture came to. It is an evaluate.Outcome.
type Outcome struct {
	Key   string
	Class int     // of the network; −1 if it has no such class
	Label string  // the class's name in the data
	Top   []Class // the five most probable classes
	Error string
}

// Result is what all pictures came to. It is an evaluate.Result without the
// confusion table and the classes.
type Result struct {
	N          int     `json:"n"`
	Unreadable int     `json:"unreadable"`
	Unknown    int     `json:"unknown_class"`
	Top1Error  float64 `json:"top1_error"`
	Top1Low    float64 `json:"top1_low"` // with 95 % confidence
	Top1High   float64 `json:"top1_high"`
	Top5Error  float64 `json:"top5_error"`
	Top5Low    float64 `json:"top5_low"`
	Top5High   float64 `json:"top5_high"`
}

// chunk is how many pictures are evaluated at a time.
const chunk = 256

// Evaluate measures the errors of a network on pictures, KV<string, []byte>, whose class
// is the name of the folder in their key. It gives a PCollection<Outcome>, among them
// the pictures that failed, and a PCollection<Result> of one element: the numbers of
// package evaluate for all pictures at once.
func Evaluate(s beam.Scope, n Network, p Protocol, pictures beam.PCollection) (outcomes, result beam.PCollection) {
	s = s.Scope("nonet.Evaluate")
	outcomes = beam.ParDo(s, &evaluateFn{Network: n, Protocol: p}, pictures)
	counted := stats.Count(s, beam.ParDo(s, &cellFn{}, outcomes))
	cells := beam.ParDo(s, toCell, counted)
	return outcomes, beam.ParDo(s, &resultFn{n}, beam.GroupByKey(s, beam.AddFixedKey(s, cells)))
}

// evaluateFn evaluates the pictures of a bundle in chunks.
type evaluateFn struct {
	Network  Network
	Protocol Protocol

	member  evaluate.Member
	waiting []waiting
	count   beam.Counter
	failed  beam.Counter
}

func (f *evaluateFn) Setup() error {
	m, err := f.Network.Open()
	if err != nil {
		return err
	}
	if m.Labels() == nil && len(f.Protocol.Classes) == 0 {
		return errors.New("beam: the network has no labels: Protocol.Classes must list those of the data")
	}
	name := f.Protocol.Name
	if name == "" {
		name = "center"
	}
	f.member, err = evaluate.NewMember(m, name, evaluate.Training{Min: f.Protocol.Min, Max: f.Protocol.Max})
	f.count, f.failed = beam.NewCounter("nonet", "pictures"), beam.NewCounter("nonet", "failed")
	return err
}

// StartBundle forgets what a bundle that failed has left.
func (f *evaluateFn) StartBundle(context.Context, func(Outcome)) { f.waiting = f.waiting[:0] }

func (f *evaluateFn) ProcessElement(ctx context.Context, w beam.Window, key string, data []byte, emit func(Outcome)) error {
	if _, global := w.(window.GlobalWindow); !global {
		return fmt.Errorf("beam: Evaluate counts the pictures of the global window, and %s is of %v", key, w)
	}
	if f.waiting = append(f.waiting, waiting{key: key, data: data}); len(f.waiting) < chunk {
		return nil
	}
	return f.FinishBundle(ctx, emit)
}

// FinishBundle evaluates the last chunk.
func (f *evaluateFn) FinishBundle(ctx context.Context, emit func(Outcome)) error {
	list := f.waiting
	if f.waiting = f.waiting[:0]; len(list) == 0 {
		return nil
	}
	_, err := evaluate.Run(ctx, f.data(list), []evaluate.Member{f.member}, evaluate.Options{Batch: 32, Part: true, OnPicture: func(o evaluate.Outcome) error {
		out := Outcome{Key: o.Path, Class: o.Class, Label: o.Label, Error: o.Err}
		for _, p := range o.Top {
			out.Top = append(out.Top, Class{p.Class, p.Label, float32(p.Probability)})
		}
		if o.Err != "" {
			f.failed.Inc(ctx, 1)
		} else {
			f.count.Inc(ctx, 1)
		}
		emit(out)
		return nil
	}})
	return err
}

// data makes a data set of pictures in memory.
func (f *evaluateFn) data(list []waiting) *evaluate.Data {
	d := &evaluate.Data{Name: "bundle", Classes: f.Protocol.Classes, N: len(list)}
	if d.Classes == nil {
		for _, x := range list {
			d.Classes = append(d.Classes, classOf(x.key))
		}
		slices.Sort(d.Classes)
		d.Classes = slices.Compact(d.Classes)
	}
	d.Each = func(yield func(evaluate.Example, error) bool) {
		for _, x := range list {
			class := slices.Index(d.Classes, classOf(x.key))
			var err error
			if class < 0 {
				err = fmt.Errorf("beam: %s: the data have no class %s: %w", x.key, classOf(x.key), evaluate.ErrData)
			}
			open := func() (image.Image, error) { return picture.Decode(x.key, bytes.NewReader(x.data)) }
			if !yield(evaluate.Example{Path: x.key, Class: class, Picture: open}, err) {
				return
			}
		}
	}
	return d
}

// classOf returns the folder that a picture lies in.
func classOf(key string) string { return path.Base(path.Dir(key)) }

// cellFn names what of an Outcome is counted.
type cellFn struct{}

func (*cellFn) ProcessElement(o Outcome, emit func(string)) { emit(cellOf(o)) }

func cellOf(o Outcome) string {
	if o.Error != "" {
		return "failed"
	}
	in5 := slices.ContainsFunc(o.Top, func(c Class) bool { return c.Class == o.Class })
	return fmt.Sprintf("%d %d %t", o.Class, o.Top[0].Class, in5)
}

// Cell is the number of pictures of one class with one result.
type Cell struct {
	Failed             bool
	Class, First, Five int // of the data; the most probable; the data's again if it is among five
	N                  int
}

func toCell(name string, n int) Cell {
	c := Cell{N: n, Five: -1}
	if name == "failed" {
		c.Failed = true
		return c
	}
	var in5 bool
	_, _ = fmt.Sscan(name, &c.Class, &c.First, &in5) // cellOf wrote it
	if in5 {
		c.Five = c.Class
	}
	return c
}

// resultFn makes the Result of all cells.
type resultFn struct{ Network Network }

func (f *resultFn) ProcessElement(_ int, next func(*Cell) bool, emit func(Result)) error {
	m, err := f.Network.Open()
	if err != nil {
		return err
	}
	labels := make([]string, m.Config().Classes())
	r, err := evaluate.Summarize(func(yield func(evaluate.Outcome, error) bool) {
		for c := (Cell{}); next(&c); c = (Cell{}) {
			for range c.N {
				if !yield(c.outcome(), nil) {
					return
				}
			}
		}
	}, labels)
	if err != nil {
		return err
	}
	emit(Result{r.N, r.Unreadable, r.Unknown, r.Top1Error, r.Top1Interval[0], r.Top1Interval[1], r.Top5Error, r.Top5Interval[0], r.Top5Interval[1]})
	return nil
}

// outcome is one that counts as the pictures of the cell do.
func (c Cell) outcome() evaluate.Outcome {
	if c.Failed {
		return evaluate.Outcome{Err: "failed"}
	}
	o := evaluate.Outcome{Class: c.Class, Top: []vgg.Prediction{{Class: c.First}}}
	if c.Five >= 0 {
		o.Top = append(o.Top, vgg.Prediction{Class: c.Five})
	}
	return o
}

// Failed returns the outcomes of the pictures that failed as a PCollection<Failure>.
func Failed(s beam.Scope, outcomes beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("nonet.Failed"), &failedFn{}, outcomes)
}

type failedFn struct{}

func (*failedFn) ProcessElement(o Outcome, emit func(Failure)) {
	if o.Error != "" {
		emit(Failure{o.Key, o.Error})
	}
}

// WriteResult writes the Result of Evaluate as a line of JSON.
func WriteResult(s beam.Scope, name string, result beam.PCollection) {
	beam.ParDo0(s.Scope("nonet.WriteResult"), &writeResultFn{name}, result)
}

type writeResultFn struct{ Name string }

func (f *writeResultFn) ProcessElement(ctx context.Context, r Result) error {
	return writeFile(ctx, f.Name, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) })
}
