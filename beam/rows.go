package beam

import (
	"context"
	"reflect"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
)

func init() {
	// The generic registrations of package register take the compiler minutes and
	// gigabytes, and save a microsecond for each picture.
	beam.RegisterType(reflect.TypeFor[rowFn]())
	register.Emitter2[beam.EventTime, Row]()
	register.Emitter2[beam.EventTime, Failure]()
	beam.RegisterType(reflect.TypeFor[classesFn]())
	register.Emitter1[Classes]()
	beam.RegisterType(reflect.TypeFor[Row]())
	beam.RegisterType(reflect.TypeFor[Failure]())
	beam.RegisterType(reflect.TypeFor[Classes]())
}

// Row is what was computed of a picture: the columns of extract.Computer for the same
// Spec, which extract.Values takes apart.
type Row struct {
	Key  string
	Data []byte
}

// Classes are the most probable classes of a picture, best first.
type Classes struct {
	Key     string
	Classes []Class
}

// Class is one of them.
type Class struct {
	Class       int
	Label       string
	Probability float32
}

// DefaultBatch is the number of pictures that are computed at a time.
const DefaultBatch = 8

// Features computes the rows of pictures, KV<string, []byte>: a PCollection<Row>, and a
// PCollection<Failure> of the pictures that cannot be read or whose result is not
// finite. It panics if batch, which is DefaultBatch unless it is given, is not from 1
// to 4096. What the network does not have is an error of the pipeline.
func Features(s beam.Scope, n Network, spec extract.Spec, pictures beam.PCollection, batch ...int) (rows, failures beam.PCollection) {
	size := append(batch, DefaultBatch)[0]
	if err := checkBatch(size); err != nil {
		panic(err)
	}
	s = s.Scope("nonet.Features")
	return beam.ParDo2(s, &rowFn{Network: n, Spec: spec, Batch: size}, pictures)
}

// Classify computes the top most probable classes of pictures, KV<string, []byte>: a
// PCollection<Classes>, and a PCollection<Failure> as Features does.
func Classify(s beam.Scope, n Network, top int, pictures beam.PCollection, batch ...int) (classes, failures beam.PCollection) {
	s = s.Scope("nonet.Classify")
	spec := extract.Spec{Top: top}
	rows, failures := Features(s, n, spec, pictures, batch...)
	return beam.ParDo(s, &classesFn{Network: n, Spec: spec}, rows), failures
}

// rowFn computes rows. It gathers pictures of the global window in batches, and ends the
// last one with its bundle; those of other windows, which a bundle's end knows nothing
// of, are computed one by one.
type rowFn struct {
	Network Network
	Spec    extract.Spec
	Batch   int

	engine   *engine
	waiting  []waiting
	rows     []extract.Row
	input    []float32
	pictures beam.Counter
	failed   beam.Counter
	batches  beam.Distribution
}

// waiting is a picture of the batch that is being gathered.
type waiting struct {
	at   beam.EventTime
	key  string
	data []byte
}

// Setup opens the network, or takes what another bundle has opened.
func (f *rowFn) Setup() (err error) {
	if f.engine, err = newEngine(f.Network, f.Spec, f.Batch); err != nil {
		return err
	}
	f.rows, f.input = make([]extract.Row, f.Batch), make([]float32, f.Batch*f.engine.size)
	f.pictures, f.failed = beam.NewCounter("nonet", "pictures"), beam.NewCounter("nonet", "failed")
	f.batches = beam.NewDistribution("nonet", "batch")
	return nil
}

// StartBundle forgets what a bundle that failed has left.
func (f *rowFn) StartBundle(context.Context, func(beam.EventTime, Row), func(beam.EventTime, Failure)) {
	f.waiting = f.waiting[:0]
}

func (f *rowFn) ProcessElement(ctx context.Context, w beam.Window, at beam.EventTime, key string, data []byte, emit func(beam.EventTime, Row), fail func(beam.EventTime, Failure)) error {
	one := []waiting{{at, key, data}}
	if _, global := w.(window.GlobalWindow); !global {
		return f.compute(ctx, one, emit, fail)
	}
	if f.waiting = append(f.waiting, one...); len(f.waiting) < f.Batch {
		return nil
	}
	return f.flush(ctx, emit, fail)
}

// FinishBundle computes the last batch.
func (f *rowFn) FinishBundle(ctx context.Context, emit func(beam.EventTime, Row), fail func(beam.EventTime, Failure)) error {
	return f.flush(ctx, emit, fail)
}

func (f *rowFn) flush(ctx context.Context, emit func(beam.EventTime, Row), fail func(beam.EventTime, Failure)) error {
	batch := f.waiting
	f.waiting = f.waiting[:0]
	if len(batch) == 0 {
		return nil
	}
	return f.compute(ctx, batch, emit, fail)
}

func (f *rowFn) compute(ctx context.Context, batch []waiting, emit func(beam.EventTime, Row), fail func(beam.EventTime, Failure)) error {
	rows, size := f.rows[:len(batch)], f.engine.size
	var wg sync.WaitGroup
	for i, x := range batch {
		rows[i] = extract.Row{} // what was emitted is not ours any more
		wg.Go(func() { rows[i].Err = f.engine.decode(f.input[i*size:][:size], x.key, x.data) })
	}
	wg.Wait()
	if err := f.engine.compute(ctx, rows, f.input[:len(batch)*size]); err != nil {
		return err
	}
	f.batches.Update(ctx, int64(len(batch)))
	for i, x := range batch {
		if err := rows[i].Err; err != nil {
			f.failed.Inc(ctx, 1)
			fail(x.at, Failure{x.key, err.Error()})
			continue
		}
		f.pictures.Inc(ctx, 1)
		emit(x.at, Row{x.key, rows[i].Data})
	}
	return nil
}

// classesFn takes rows of classes apart.
type classesFn struct {
	Network Network
	Spec    extract.Spec

	columns []extract.Column
	model   *vgg.Model
}

// Setup takes the network of the rows, if it is in this process.
func (f *classesFn) Setup() (err error) {
	f.columns = extract.ClassColumns(f.Spec.Top)
	f.model, err = f.Network.Open()
	return err
}

func (f *classesFn) ProcessElement(r Row, emit func(Classes)) error {
	values, err := extract.Values(f.columns, r.Data)
	if err != nil {
		return err
	}
	c := Classes{Key: r.Key}
	probabilities := values[1].([]float32)
	for i, class := range values[0].([]int32) {
		c.Classes = append(c.Classes, Class{int(class), f.model.Label(int(class)), probabilities[i]})
	}
	emit(c)
	return nil
}
