package extract

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
)

// A batch is a number of pictures on their way through a run.
type batch struct {
	n       int // pictures
	items   []Item
	rows    []Row
	input   []float32
	decoded sync.WaitGroup
	err     error // ends the run after these pictures
}

func newBatch(n, size int) *batch {
	return &batch{items: make([]Item, n), rows: make([]Row, n), input: make([]float32, n*size)}
}

// A task is to decode picture i of a batch.
type task struct {
	b  *batch
	i  int
	in input
}

// pipeline decodes batches on all cores while the one before is computed.
type pipeline struct {
	tasks chan task
	ready chan *batch // in order
	free  chan *batch
}

// extend computes the pictures that the part does not have yet.
func (j Job) extend(ctx context.Context, c *Computer, d *Data, p *part) error {
	h, w := c.model.Config().Input()
	q := &pipeline{make(chan task, j.Batch), make(chan *batch, 1), make(chan *batch, 3)}
	for range cap(q.free) {
		q.free <- newBatch(j.Batch, 3*h*w)
	}
	var transforms []*picture.Transform
	for range j.Workers {
		t, err := Transform(c.model)
		if err != nil {
			return err
		}
		transforms = append(transforms, t)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, t := range transforms {
		wg.Go(func() {
			for x := range q.tasks {
				x.decode(t, 3*h*w)
			}
		})
	}
	wg.Go(func() { q.feed(ctx, d, j.Shard, p.count.pictures) })
	return j.consume(ctx, c, p, q)
}

// feed lists the pictures and makes batches of them.
func (q *pipeline) feed(ctx context.Context, d *Data, s shard.Shard, skip int) {
	defer close(q.ready)
	defer close(q.tasks)
	var b *batch
	send := func() bool {
		select {
		case q.ready <- b:
			b = nil
			return true
		case <-ctx.Done():
			return false
		}
	}
	for in, err := range d.each(s, skip) {
		if b == nil {
			select {
			case b = <-q.free:
				b.n, b.err = 0, nil
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			b.err = err
			break
		}
		b.decoded.Add(1)
		select {
		case q.tasks <- task{b, b.n, in}:
		case <-ctx.Done():
			return
		}
		if b.n++; b.n == len(b.items) && !send() {
			return
		}
	}
	if b != nil {
		send()
	}
}

// decode prepares the picture as the network wants it.
func (x task) decode(t *picture.Transform, size int) {
	defer x.b.decoded.Done()
	it, row := &x.b.items[x.i], &x.b.rows[x.i]
	*it = Item{Path: x.in.path, Size: -1}
	if n, err := x.in.size(); err == nil {
		it.Size = n
	}
	img, err := x.in.decode()
	if err == nil {
		if err = t.Apply(x.b.input[x.i*size:][:size], img); err != nil {
			err = fmt.Errorf("%s: %w", x.in.path, err)
		}
	}
	row.Err = err
}

// consume computes the batches and adds what comes of them to the part.
func (j Job) consume(ctx context.Context, c *Computer, p *part, q *pipeline) error {
	for b := range q.ready {
		b.decoded.Wait()
		if err := j.batch(ctx, c, p, b); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
		q.free <- b // there is room for all that were taken
	}
	return ctx.Err()
}

func (j Job) batch(ctx context.Context, c *Computer, p *part, b *batch) error {
	if b.n == 0 {
		return nil
	}
	rows := b.rows[:b.n]
	input := b.input[:len(b.input)/len(b.items)*b.n]
	if p.count.pictures == 0 && j.OnWarning != nil {
		height, width := c.model.Config().Input()
		if w := c.model.CheckInput(input, b.n, height, width); w != nil {
			j.OnWarning(w)
		}
	}
	if err := c.Compute(ctx, rows, input); err != nil {
		return err
	}
	for i := range rows {
		it := &b.items[i]
		it.Row = p.count.pictures - p.count.failed
		if err := rows[i].Err; err != nil {
			if errors.Is(err, vgg.ErrNotFinite) {
				err = fmt.Errorf("%s: %w", it.Path, err)
			}
			it.Row, it.Err, rows[i].Data = -1, err.Error(), rows[i].Data[:0]
		}
		if err := p.add(*it, rows[i].Data); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	for i := range rows {
		if err := j.tell(b.items[i], false); err != nil {
			return err
		}
	}
	return nil
}
