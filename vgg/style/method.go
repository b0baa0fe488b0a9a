package style

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

// A loss evaluates a picture: it sets dx to the gradient.
type loss func(ctx context.Context, dx, x []float32) (Losses, error)

// ErrStuck is wrapped by the error of a step that finds no better picture.
var ErrStuck = errors.New("no better picture found")

// point is a picture that was evaluated.
type point struct{ x, dx []float32 }

func newPoint(n int) point { return point{make([]float32, n), make([]float32, n)} }

// A method changes a picture step by step. Its state is a list of points: what restore
// makes of it goes on with the same bits.
type method interface {
	// step replaces p, whose loss and gradient are known, by another. An error leaves it.
	step(ctx context.Context, p *point, l Losses, f loss) (Losses, error)
	state() []point
	restore(points []point, steps int)
}

// lbfgs is L-BFGS. It rounds each picture to float32, which is what the network takes.
type lbfgs struct {
	directions optimize.LBFGS
	history    []point // the last pictures in order, at most Store+1 of them; directions holds their differences
	at         optimize.Location
	dir        []float64
	size       float64 // of the first step along dir
	best, try  point   // of a line search
}

func newLBFGS(n, history int) *lbfgs {
	return &lbfgs{directions: optimize.LBFGS{Store: history}, dir: make([]float64, n), best: newPoint(n), try: newPoint(n),
		at: optimize.Location{X: make([]float64, n), Gradient: make([]float64, n)}}
}

// visit makes p the latest picture of the history and sets the direction from there.
func (b *lbfgs) visit(p point) {
	if len(b.history) > b.directions.Store {
		oldest := b.history[0]
		b.history = append(b.history[:0], b.history[1:]...)
		b.history = append(b.history, oldest)
	} else {
		b.history = append(b.history, newPoint(len(p.x)))
	}
	last := b.history[len(b.history)-1]
	copy(last.x, p.x)
	copy(last.dx, p.dx)
	for i := range p.x {
		b.at.X[i], b.at.Gradient[i] = float64(p.x[i]), float64(p.dx[i])
	}
	if len(b.history) == 1 {
		b.size = 0.1 * b.directions.InitDirection(&b.at, b.dir) * math.Sqrt(float64(len(p.x))) // a tenth of the range of a pixel
		return
	}
	b.size = b.directions.NextDirection(&b.at, b.dir)
}

// forget begins anew at p, downhill.
func (b *lbfgs) forget(p point) {
	b.history = b.history[:0]
	b.visit(p)
}

func (b *lbfgs) step(ctx context.Context, p *point, l Losses, f loss) (Losses, error) {
	if len(b.history) == 0 {
		b.visit(*p)
	}
	if slope := floats.Dot(b.at.Gradient, b.dir); !(slope < 0) {
		b.forget(*p)
	}
	next, found, err := b.search(ctx, p, l, f)
	if err == nil && !found && len(b.history) > 1 {
		b.forget(*p)
		next, found, err = b.search(ctx, p, l, f)
	}
	if err != nil {
		return l, err
	}
	if !found {
		return l, fmt.Errorf("style: %w", ErrStuck)
	}
	b.visit(*p)
	return next, nil
}

// searches bounds the pictures of a line search.
const searches = 20

// search moves p along the direction to a picture with a smaller loss.
func (b *lbfgs) search(ctx context.Context, p *point, l Losses, f loss) (best Losses, found bool, err error) {
	slope := floats.Dot(b.at.Gradient, b.dir)
	if !(slope < 0) {
		return l, false, nil
	}
	line := optimize.MoreThuente{DecreaseFactor: 1e-4, CurvatureFactor: 0.9}
	line.Init(l.Total(), slope, b.size)
	best = l
	size, ended := b.size, false
	for range searches {
		for i, d := range b.dir {
			b.try.x[i] = float32(b.at.X[i] + size*d)
		}
		got, err := f(ctx, b.try.dx, b.try.x)
		if err != nil {
			return l, false, err
		}
		size, ended = advance(&line, got.Total(), slopeOf(b.try.dx, b.dir), size)
		if got.Total() < best.Total() {
			b.best, b.try = b.try, b.best
			best, found = got, true
		}
		if ended {
			break
		}
	}
	if found {
		*p, b.best = b.best, *p
	}
	return best, found, nil
}

// advance tells the line search of a picture and returns the next size of the step, or
// that the search has ended.
func advance(line *optimize.MoreThuente, value, slope, size float64) (float64, bool) {
	if math.IsNaN(value) || math.IsInf(value, 0) || math.IsNaN(slope) {
		return size / 10, false
	}
	op, next, err := line.Iterate(value, slope)
	return next, err != nil || op == optimize.MajorIteration
}

func slopeOf(dx []float32, dir []float64) (sum float64) {
	for i, v := range dx {
		sum += float64(v) * dir[i]
	}
	return sum
}

func (b *lbfgs) state() []point { return b.history }

func (b *lbfgs) restore(points []point, _ int) {
	b.history = b.history[:0]
	for _, p := range points {
		b.visit(p)
	}
}

// adam is Adam, with β₁ = 0.9, β₂ = 0.999 and ε = 10⁻⁸.
type adam struct {
	rate  float64
	steps int
	mean  point // x: of the gradients, dx: of their squares
}

func newAdam(n int, rate float64) *adam { return &adam{rate: rate, mean: newPoint(n)} }

func (a *adam) step(ctx context.Context, p *point, _ Losses, f loss) (Losses, error) {
	const beta1, beta2, epsilon = 0.9, 0.999, 1e-8
	next := newPoint(len(p.x))
	mean := newPoint(len(p.x))
	t := float64(a.steps + 1)
	c1, c2 := 1-math.Pow(beta1, t), 1-math.Pow(beta2, t)
	for i, g := range p.dx {
		m := beta1*float64(a.mean.x[i]) + (1-beta1)*float64(g)
		v := beta2*float64(a.mean.dx[i]) + (1-beta2)*float64(g)*float64(g)
		mean.x[i], mean.dx[i] = float32(m), float32(v)
		next.x[i] = float32(float64(p.x[i]) - a.rate*(m/c1)/(math.Sqrt(v/c2)+epsilon))
	}
	l, err := f(ctx, next.dx, next.x)
	if err != nil {
		return l, err
	}
	a.mean, a.steps, *p = mean, a.steps+1, next
	return l, nil
}

func (a *adam) state() []point { return []point{a.mean} }

func (a *adam) restore(points []point, steps int) { a.mean, a.steps = points[0], steps }
