package evaluate

import (
	"context"
	"fmt"
	"math"

	"github.com/nonet-go/nonet/vgg"
)

// computer runs the jobs and reports the outcomes of pictures in order.
type computer struct {
	*evaluation
	sessions []sessions // of each member
	tally    *tally
	waiting  []*entry // in order
	logits   []float32
	p        []float64 // probabilities of one input
	checked  bool
}

// sessions are those of one member. The dense session takes pictures of one size after
// another.
type sessions struct {
	crops, dense *vgg.Session
	batch        int // of crops
}

func newComputer(e *evaluation) *computer {
	classes := e.members[0].Model.Config().Classes()
	return &computer{evaluation: e, sessions: make([]sessions, len(e.members)), tally: newTally(classes), p: make([]float64, classes)}
}

func (c *computer) run(ctx context.Context) error {
	for j := range c.jobs {
		c.waiting = append(c.waiting, j.opened...)
		if len(j.parts) > 0 {
			if err := c.job(ctx, j); err != nil {
				return err
			}
		}
		if err := c.finished(); err != nil {
			return err
		}
		if j.err != nil {
			return j.err
		}
		if len(j.parts) > 0 {
			c.free <- j // there is room for all that were taken
		}
	}
	return ctx.Err()
}

// job adds the probabilities of a job's inputs to the pictures' scores.
func (c *computer) job(ctx context.Context, j *job) error {
	m, n := c.members[j.member].Model, len(j.parts)
	c.check(m, j)
	s, err := c.session(m, j)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	shape := s.OutputShape()
	if need := n * shape.Len(); cap(c.logits) < need {
		c.logits = make([]float32, need)
	}
	logits := c.logits[:n*shape.Len()]
	if err := s.Run(ctx, logits, j.input); err != nil {
		return err
	}
	for i, part := range j.parts {
		average(c.p, logits[i*shape.Len():], shape.H*shape.W)
		vgg.Softmax(c.p, c.p)
		sum := &part.entry.scores[j.member].crops
		if j.dense {
			sum = &part.entry.scores[j.member].dense
		}
		*sum = add(*sum, part.weight, c.p)
		part.entry.pending--
	}
	return nil
}

// average sets each class's logit to the mean of its plane of a class map.
func average(dst []float64, classMap []float32, plane int) {
	for class := range dst {
		sum := 0.0
		for _, v := range classMap[class*plane:][:plane] {
			sum += float64(v)
		}
		dst[class] = sum / float64(plane)
	}
}

// check looks at the very first input.
func (c *computer) check(m *vgg.Model, j *job) {
	if c.checked || c.OnWarning == nil {
		return
	}
	c.checked = true
	if w := m.CheckInput(j.input, len(j.parts), j.h, j.w); w != nil {
		c.OnWarning(w)
	}
}

// session returns the session for a job's inputs.
func (c *computer) session(m *vgg.Model, j *job) (*vgg.Session, error) {
	s, n := &c.sessions[j.member], len(j.parts)
	var err error
	switch {
	case j.dense && s.dense == nil:
		s.dense, err = m.NewSession(vgg.Dense(), vgg.Batch(n), vgg.Workers(c.Workers), vgg.InputSize(j.h, j.w))
		return s.dense, err
	case j.dense:
		return s.dense, s.dense.Resize(j.h, j.w)
	case s.batch != n: // the first job, and the last
		s.batch, s.crops = n, nil // let go of one before the other is made
		s.crops, err = m.NewSession(vgg.Batch(n), vgg.Workers(c.Workers))
	}
	return s.crops, err
}

// finished reports the outcomes of complete pictures, up to the first that is not complete.
func (c *computer) finished() error {
	for len(c.waiting) > 0 && c.waiting[0].pending == 0 {
		x := c.waiting[0]
		c.waiting = c.waiting[1:]
		if x.done != nil {
			c.tally.add(*x.done)
			continue
		}
		o := c.outcome(x)
		c.tally.add(o)
		if c.OnPicture != nil {
			if err := c.OnPicture(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome computes the mean over the members.
func (c *computer) outcome(x *entry) Outcome {
	o := Outcome{Path: x.example.Path, Class: c.classes[x.example.Class], Label: c.data.Classes[x.example.Class]}
	if x.err != nil {
		o.Err = x.err.Error()
		return o
	}
	for _, s := range x.scores {
		switch {
		case s.crops == nil:
			o.Scores = add(o.Scores, 1, s.dense)
		case s.dense == nil:
			o.Scores = add(o.Scores, 1, s.crops)
		default:
			o.Scores = add(o.Scores, 0.5, add(s.dense, 1, s.crops))
		}
	}
	for class := range o.Scores {
		o.Scores[class] /= float64(len(x.scores))
	}
	if math.IsNaN(o.Scores[0]) { // then all are
		o.Scores, o.Err = nil, fmt.Sprintf("evaluate: %s: the network's result is not a number", o.Path)
		return o
	}
	o.Top = c.members[0].Model.Rank(o.Scores, 5)
	return o
}

// add returns sum + weight·p. The result is sum itself, or new if sum is nil.
func add(sum []float64, weight float64, p []float64) []float64 {
	if sum == nil {
		sum = make([]float64, len(p))
	}
	for i, v := range p {
		sum[i] += float64(weight * v) // not fused, on any machine
	}
	return sum
}
