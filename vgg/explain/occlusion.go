package explain

import (
	"context"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/vgg"
)

// occluder slides a square over pictures.
type occluder struct {
	e       *Explainer
	session *vgg.Session
	side    int
	batch   int
	ys, xs  []int     // of the squares' first pixels
	input   []float32 // a batch
	logits  []float32
}

// planOcclusion plans Occlusion.
func (e *Explainer) planOcclusion(o options) error {
	short := min(e.h, e.w)
	if o.patch == 0 && o.stride == 0 {
		o.patch, o.stride = max(1, short/7), max(1, short/28)
	}
	if o.patch < 1 || o.patch > short || o.stride < 1 || o.stride > o.patch {
		return shape.Errorf("explain: a square of %d pixels every %d, want 1 to %d pixels, and not more from one to the next than its side", o.patch, o.stride, short)
	}
	s, err := e.model.NewSession(append(o.workers, vgg.Batch(o.batch))...)
	if err != nil {
		return err
	}
	one := len(e.logits)
	c := &occluder{e: e, session: s, side: o.patch, batch: o.batch, ys: places(e.h, o.patch, o.stride), xs: places(e.w, o.patch, o.stride),
		input: layout.Alloc(o.batch * e.model.Config().Channels * e.h * e.w), logits: make([]float32, o.batch*one)}
	e.run = func(ctx context.Context, input []float32) error { return s.RunN(ctx, 1, e.logits, input) }
	e.explain = c.explain
	return nil
}

// places returns where squares of a side begin, so that they cover n pixels.
func places(n, side, stride int) (list []int) {
	for at := 0; at < n-side; at += stride {
		list = append(list, at)
	}
	return append(list, n-side)
}

// explain computes the probability behind each square. A pixel's heat is the mean over the
// squares that cover it.
func (c *occluder) explain(ctx context.Context, m *Map, input []float32) error {
	plane := m.H * m.W
	sums, counts := make([]float64, plane), make([]float64, plane)
	colour := means(input, plane)
	n := len(c.ys) * len(c.xs)
	p := make([]float64, c.e.classes)
	for first := 0; first < n; first += c.batch {
		count := min(c.batch, n-first)
		for i := range count {
			c.cover(c.input[i*len(input):][:len(input)], input, colour, first+i)
		}
		logits := c.logits[:count*len(p)]
		if err := c.session.RunN(ctx, count, logits, c.input[:count*len(input)]); err != nil {
			return err
		}
		for i := range count {
			vgg.Softmax(p, logits[i*len(p):][:len(p)])
			c.count(sums, counts, first+i, m.Probability-p[m.Class])
		}
	}
	m.Heat = make([]float32, plane)
	for i, v := range sums {
		m.Heat[i] = float32(v / counts[i])
	}
	return nil
}

// means returns that of each channel.
func means(input []float32, plane int) []float32 {
	list := make([]float32, len(input)/plane)
	for c := range list {
		sum := 0.0
		for _, v := range input[c*plane:][:plane] {
			sum += float64(v)
		}
		list[c] = float32(sum / float64(plane))
	}
	return list
}

// cover sets dst to the picture behind square i.
func (c *occluder) cover(dst, input, colour []float32, i int) {
	copy(dst, input)
	top, left := c.ys[i/len(c.xs)], c.xs[i%len(c.xs)]
	for k, v := range colour {
		for y := top; y < top+c.side; y++ {
			row := dst[(k*c.e.h+y)*c.e.w+left:][:c.side]
			for x := range row {
				row[x] = v
			}
		}
	}
}

// count adds what square i makes of the probability to its pixels.
func (c *occluder) count(sums, counts []float64, i int, less float64) {
	top, left := c.ys[i/len(c.xs)], c.xs[i%len(c.xs)]
	for y := top; y < top+c.side; y++ {
		for x := left; x < left+c.side; x++ {
			sums[y*c.e.w+x] += less
			counts[y*c.e.w+x]++
		}
	}
}
