package evaluate

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/vgg/picture"
)

// A job is a batch of inputs of one size for one member.
type job struct {
	member int
	dense  bool
	h, w   int
	input  []float32 // [len(parts)][3][h][w]
	parts  []part
	opened []*entry // in order: those that no job before has mentioned
	err    error    // ends the evaluation
}

// A part is one input of a job.
type part struct {
	entry  *entry
	weight float64 // of its probabilities in the mean
}

// assembler cuts views out of scaled pictures and fills jobs with them. A job of crops may
// hold those of several pictures, and several jobs may share a picture's.
type assembler struct {
	*evaluation
	open   []*job // of crops: one for each member, or nil
	opened []*entry
	views  []picture.View
	crop   picture.RGB
}

func newAssembler(e *evaluation) *assembler {
	return &assembler{evaluation: e, open: make([]*job, len(e.members))}
}

// run makes jobs of all pictures, in order, until ctx ends.
func (a *assembler) run(ctx context.Context) {
	defer close(a.jobs)
	for x := range a.queue {
		if x.fatal != nil {
			a.flush(ctx)
			a.send(ctx, &job{err: x.fatal})
			return
		}
		if !a.picture(ctx, x) {
			return
		}
	}
	a.flush(ctx)
}

// picture makes the jobs of one picture.
func (a *assembler) picture(ctx context.Context, x *entry) bool {
	a.opened = append(a.opened, x)
	if x.done == nil {
		select {
		case <-x.ready:
		case <-ctx.Done():
			return false
		}
	}
	if x.done != nil || x.err != nil {
		if len(a.opened) < 256 {
			return true
		}
		return a.send(ctx, &job{}) // many that need no computing must not pile up
	}
	x.scores = make([]scores, len(a.members))
	for _, m := range a.members {
		x.pending += m.views()
	}
	for i, m := range a.members {
		n := len(m.Protocol.Scales)
		for _, side := range m.Protocol.Scales {
			if whole := a.image(x, need{side, 0}); whole != nil {
				if m.Protocol.Views&Dense != 0 && !a.dense(ctx, i, part{x, 1 / float64(2*n)}, whole) {
					return false
				}
				if m.Protocol.Views&MultiCrop != 0 {
					a.views = picture.Grid(a.views[:0], whole.W, whole.H, m.Model.Config().Size, gridSide)
					if !a.crops(ctx, i, part{x, 1 / float64(len(a.views)*n)}, whole) {
						return false
					}
				}
			}
			if m.Protocol.Views&Center != 0 {
				middle := a.image(x, need{side, m.Model.Config().Size})
				a.views = append(a.views[:0], picture.View{RW: middle.W, RH: middle.H, W: middle.W, H: middle.H})
				if !a.crops(ctx, i, part{x, 1 / float64(n)}, middle) {
					return false
				}
			}
		}
	}
	x.images = nil
	return true
}

// image returns the picture scaled as n says, or nil if no member needs it.
func (a *assembler) image(x *entry, n need) *picture.RGB {
	if i := slices.Index(a.needs, n); i >= 0 {
		return x.images[i]
	}
	return nil
}

// dense makes a job of a whole picture and its mirror image.
func (a *assembler) dense(ctx context.Context, member int, p part, whole *picture.RGB) bool {
	j := a.take(ctx)
	if j == nil {
		return false
	}
	j.member, j.dense, j.h, j.w = member, true, whole.H, whole.W
	for _, flip := range []bool{false, true} {
		a.view(j, p, whole, picture.View{W: whole.W, H: whole.H, Flip: flip})
	}
	return a.send(ctx, j)
}

// crops adds a.views of a scaled picture to the member's open job, and sends the job
// whenever it is full.
func (a *assembler) crops(ctx context.Context, member int, p part, scaled *picture.RGB) bool {
	for _, v := range a.views {
		j := a.open[member]
		if j == nil {
			if j = a.take(ctx); j == nil {
				return false
			}
			j.member, j.dense, j.h, j.w = member, false, v.H, v.W
			a.open[member] = j
		}
		a.view(j, p, scaled, v)
		if len(j.parts) == a.Batch {
			a.open[member] = nil
			if !a.send(ctx, j) {
				return false
			}
		}
	}
	return true
}

// view adds one input to a job.
func (a *assembler) view(j *job, p part, scaled *picture.RGB, v picture.View) {
	n, size := len(j.parts), 3*j.h*j.w
	j.input = slices.Grow(j.input[:n*size], size)[:(n+1)*size]
	picture.CropInto(&a.crop, scaled, v.X, v.Y, v.W, v.H, v.Flip)
	a.members[j.member].Model.Picture().Preset.Tensor(j.input[n*size:], &a.crop)
	j.parts = append(j.parts, p)
}

// take returns an empty job, or nil if ctx ends.
func (a *assembler) take(ctx context.Context) *job {
	select {
	case j := <-a.free:
		*j = job{input: j.input[:0], parts: j.parts[:0]}
		return j
	case <-ctx.Done():
		return nil
	}
}

func (a *assembler) send(ctx context.Context, j *job) bool {
	j.opened, a.opened = a.opened, nil
	select {
	case a.jobs <- j:
		return true
	case <-ctx.Done():
		return false
	}
}

// flush sends the jobs that are not full.
func (a *assembler) flush(ctx context.Context) {
	for _, j := range a.open {
		if j != nil && !a.send(ctx, j) {
			return
		}
	}
	a.send(ctx, &job{})
}
