package evaluate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Options say how networks are evaluated.
type Options struct {
	Batch   int  // crops at a time, at most 65536; 32 if 0. Results do not depend on it
	Workers int  // at most 4096; GOMAXPROCS if 0
	ByIndex bool // classes are numbers of the network's, even if it has labels
	Part    bool // the data are a part of more, such as a shard: it is no error if none can be read
	// MaxPixels bounds the size of a scaled picture for Dense and MultiCrop, and so the
	// memory. 0 is 1<<22, enough for 16:1 at a side of 512. Longer and narrower pictures
	// count as unreadable.
	MaxPixels int
	// OnPicture is called for every picture, in the order of the data.
	OnPicture func(Outcome) error
	// OnWarning is called if the first input looks implausible: see
	// vgg.Model.CheckInput.
	OnWarning func(*picture.Warning)
	// Done gives the outcomes of the first pictures of the data, from an interrupted run:
	// see Log. They count, and are not computed again.
	Done iter.Seq2[Outcome, error]
}

// An entry is a picture in the stages of the evaluation.
type entry struct {
	example Example
	done    *Outcome      // from an earlier run: nothing is to be computed
	fatal   error         // ends the evaluation
	ready   chan struct{} // closed when images or err are there
	images  []*picture.RGB
	err     error
	pending int      // views whose probabilities are not yet in scores
	scores  []scores // of each member
}

// scores are the mean probabilities of a picture's views. Those of class maps and those of
// crops are summed apart, because the batch decides in which order they come.
type scores struct{ dense, crops []float64 }

// A need is a scaled picture that members use: its shorter side, and the side of the square
// in its middle, or 0 for all of it.
type need struct{ side, crop int }

// evaluation is a running evaluation. Pictures go through four stages. Each works ahead of
// the next by a bounded number of pictures:
//
//	feed → decode, on all cores → assemble: views to batches → compute, on all cores
type evaluation struct {
	Options
	data    *Data
	members []Member
	classes []int // of the data's classes in the models
	needs   []need

	queue chan *entry // in order
	work  chan *entry // to be decoded
	jobs  chan *job
	free  chan *job
}

// Run evaluates networks on labelled pictures. Each member sees each picture by its own
// protocol. The probability of a class is the mean over the members. A picture that cannot
// be read is counted and skipped.
//
// A class of the data is the class of the model with the same WordNet id or, without an id,
// the same name. Classes are matched by number only for a model without labels, or with
// ByIndex: by the number that the data give as a name, or by the position in the data's
// order if there are as many classes as the model has. All members must number the classes
// alike.
//
// An evaluation in which no picture could be read and computed has measured nothing. It ends
// with an error that names the first failure, unless the data are a part.
//
// Memory depends on the sizes of pictures and batches, and not on the number of pictures.
// Results depend neither on the batch nor on the workers, bit for bit. If ctx ends or
// OnPicture fails, Run returns the result so far with the error. Errors about data wrap
// ErrData.
func Run(ctx context.Context, data *Data, members []Member, o Options) (Result, error) {
	e, err := newEvaluation(data, members, o)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { e.feed(ctx) })
	for range e.Workers {
		wg.Go(e.decode)
	}
	wg.Go(func() { newAssembler(e).run(ctx) })
	c := newComputer(e)
	err = c.run(ctx)
	r := c.tally.result(members[0].Model.Label)
	if err == nil && r.N == 0 && !o.Part {
		err = c.tally.nothing(data.Name)
	}
	if row, ok := FindPaper(members); ok {
		r.Paper = &row
	}
	return r, err
}

// The largest values of options: the pictures that are read ahead take memory for each.
const mostBatch, mostWorkers = 1 << 16, 1 << 12

func newEvaluation(data *Data, members []Member, o Options) (*evaluation, error) {
	if len(members) == 0 {
		return nil, errors.New("evaluate: no network")
	}
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = 1 << 22
	}
	if o.Batch < 1 || o.Batch > mostBatch || o.Workers < 1 || o.Workers > mostWorkers {
		return nil, fmt.Errorf("evaluate: batch of %d on %d workers, want 1 to %d on 1 to %d: %w", o.Batch, o.Workers, mostBatch, mostWorkers, vgg.ErrShape)
	}
	e := &evaluation{Options: o, data: data, members: members}
	views := 0
	for i, m := range members {
		if err := m.check(); err != nil {
			return nil, err
		}
		classes, err := match(m.Model, data.Classes, o.ByIndex)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", data.Name, err)
		}
		if i == 0 {
			e.classes = classes
		}
		if !slices.Equal(classes, e.classes) || m.Model.Config().Classes() != members[0].Model.Config().Classes() {
			return nil, fmt.Errorf("evaluate: %s: the networks number its classes differently: %w", data.Name, ErrData)
		}
		views += m.views()
		for _, n := range m.needs() {
			if !slices.Contains(e.needs, n) {
				e.needs = append(e.needs, n)
			}
		}
	}
	// While a batch is computed, the pictures of the next one are decoded.
	ahead := o.Workers + (o.Batch+views-1)/views
	e.queue, e.work = make(chan *entry, ahead), make(chan *entry, ahead)
	e.jobs, e.free = make(chan *job, 1), make(chan *job, len(members)+2)
	for range cap(e.free) {
		e.free <- new(job)
	}
	return e, nil
}

// needs lists the scaled pictures that the views are cut from.
func (m Member) needs() []need {
	var list []need
	for _, side := range m.Protocol.Scales {
		if m.Protocol.Views&Center != 0 {
			list = append(list, need{side, m.Model.Config().Size})
		}
		if m.Protocol.Views&(Dense|MultiCrop) != 0 {
			list = append(list, need{side, 0})
		}
	}
	return list
}

// feed lists the pictures.
func (e *evaluation) feed(ctx context.Context) {
	defer close(e.queue)
	defer close(e.work)
	next, stop := iter.Pull2(e.done())
	defer stop()
	send := func(to chan *entry, x *entry) bool {
		select {
		case to <- x:
			return true
		case <-ctx.Done():
			return false
		}
	}
	resumed := true
	for example, err := range e.data.Each {
		x := &entry{example: example, fatal: err}
		if resumed && err == nil {
			x.done, resumed, x.fatal = e.resume(next, example)
		}
		if x.done == nil && x.fatal == nil {
			x.ready = make(chan struct{})
			if !send(e.work, x) {
				return
			}
		}
		if !send(e.queue, x) || x.fatal != nil {
			return
		}
	}
	if o, err, more := next(); resumed && more {
		if err == nil {
			err = fmt.Errorf("evaluate: %s: an earlier run had the picture %s behind the last one: %w", e.data.Name, o.Path, ErrData)
		}
		send(e.queue, &entry{fatal: err})
	}
}

func (e *evaluation) done() iter.Seq2[Outcome, error] {
	if e.Done == nil {
		return func(func(Outcome, error) bool) {}
	}
	return e.Done
}

// resume returns the outcome of an earlier run for a picture, if there is one.
func (e *evaluation) resume(next func() (Outcome, error, bool), x Example) (*Outcome, bool, error) {
	o, err, ok := next()
	if !ok || err != nil {
		return nil, false, err
	}
	classes := e.members[0].Model.Config().Classes()
	switch {
	case o.Path != x.Path:
		err = fmt.Errorf("evaluate: %s: an earlier run had %s where %s is now: %w", e.data.Name, o.Path, x.Path, ErrData)
	case o.Class != e.classes[x.Class]:
		err = fmt.Errorf("evaluate: %s: an earlier run had class %d for %s, which is of class %d now: %w", e.data.Name, o.Class, x.Path, e.classes[x.Class], ErrData)
	case !o.of(classes):
		err = fmt.Errorf("evaluate: %s: an earlier run had no classes of this network for %s: %w", e.data.Name, x.Path, ErrData)
	}
	return &o, true, err
}

// decode reads pictures and scales them.
func (e *evaluation) decode() {
	resizers := make([]picture.Resizer, len(e.needs)) // each keeps its weights for a size
	var rgb picture.RGB
	for x := range e.work {
		x.images, x.err = e.prepare(x.example, resizers, &rgb)
		close(x.ready)
	}
}

func (e *evaluation) prepare(x Example, resizers []picture.Resizer, rgb *picture.RGB) ([]*picture.RGB, error) {
	img, err := x.Picture()
	if err != nil {
		return nil, err
	}
	if b := img.Bounds(); b.Empty() {
		return nil, fmt.Errorf("evaluate: %s: %d×%d pixels: %w", x.Path, b.Dx(), b.Dy(), picture.ErrSize)
	}
	rgb.SetImage(img)
	var list []*picture.RGB
	for i, n := range e.needs {
		dst := new(picture.RGB)
		if n.crop > 0 {
			resizers[i].ResizeShortCrop(dst, rgb, n.side, n.crop)
		} else {
			w, h := picture.ShortSize(rgb.W, rgb.H, n.side)
			if w > e.MaxPixels/h {
				return nil, fmt.Errorf("evaluate: %s: %d×%d pixels scaled to %d×%d are more than %d: %w", x.Path, rgb.W, rgb.H, w, h, e.MaxPixels, picture.ErrSize)
			}
			resizers[i].Resize(dst, rgb, w, h)
		}
		list = append(list, dst)
	}
	return list, nil
}
