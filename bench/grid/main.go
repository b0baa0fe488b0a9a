// Command grid times 3×3 convolutions of many sizes, and prints for each how much longer an
// operation takes than at its nearest regular neighbour. A regular size has a map of 1, 2 or
// a multiple of 4 pixels a side, a power of two of channels, and a power of two of pictures.
//
//	go run ./bench/grid                                  a sample of all sizes
//	go run ./bench/grid -maps 1-32 -channels 16,17,64,65,512 -batches 1,4,64
//
// The channels are those of the input and of the output. The operations are those of the
// definition, without the taps that meet padding alone. Filters stay in the caches where they
// fit. The two thread counts take turns: a round times every size once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// size is a convolution of n pictures of c×side×side to c channels, padding 1.
type size struct{ side, c, n int }

// flop counts two operations for each tap that meets a pixel.
func (s size) flop() float64 {
	taps := float64(3*s.side - 2) // of a row or a column
	return 2 * float64(s.n) * float64(s.c) * float64(s.c) * taps * taps
}

// regular returns the nearest regular size.
func (s size) regular() size {
	side := (s.side + 2) / 4 * 4
	if s.side < 4 {
		side = nearestPower(s.side)
	}
	return size{side, nearestPower(s.c), nearestPower(s.n)}
}

// nearestPower returns the power of two nearest to n; the larger of two.
func nearestPower(n int) int {
	low := 1 << (bits.Len(uint(n)) - 1)
	if n-low < 2*low-n {
		return low
	}
	return 2 * low
}

// A point is a size with its times on one and on several threads.
type point struct {
	size
	algorithm string
	runs      [2]func() error
	ms        [2][]float64
}

// A gridder makes points. Those of as many channels and one algorithm share their filters.
type gridder struct {
	teams   [2]*parallel.Team
	filters map[string]*conv3x3.Filter
}

func (g *gridder) filter(s size) (*conv3x3.Filter, error) {
	opt := conv3x3.Map(s.side, s.side)
	key := fmt.Sprint(s.c, conv3x3.Algorithm(s.c, s.c, opt))
	if f := g.filters[key]; f != nil {
		return f, nil
	}
	weights := make([]float32, s.c*s.c*9)
	seeded.Fill(weights, 1, 0, 1)
	f, err := conv3x3.NewFilter(s.c, s.c, weights, nil, g.teams[1], opt)
	g.filters[key] = f
	return f, err
}

// point binds a convolution to the two teams.
func (g *gridder) point(s size) (*point, error) {
	f, err := g.filter(s)
	if err != nil {
		return nil, err
	}
	p := &point{size: s, algorithm: f.Algorithm()}
	src := layout.Alloc(s.n * layout.Len(s.c, s.side, s.side))
	seeded.Fill(src, 1, 1, 1)
	dst := layout.Alloc(len(src))
	spec := conv3x3.Spec{N: s.n, H: s.side, W: s.side, Pad: 1, Epilogue: fuse.Epilogue{ReLU: true}}
	for i, team := range g.teams {
		n, err := f.ScratchLen(spec, team.Workers())
		if err != nil {
			return nil, err
		}
		e, err := f.NewExec(spec, layout.Alloc(n), team)
		if err != nil {
			return nil, err
		}
		p.runs[i] = func() error { return e.Run(context.Background(), dst, src) }
	}
	return p, nil
}

const (
	turn = 2 * time.Millisecond  // how long a size is repeated in a round
	warm = 60 * time.Millisecond // a system may leave threads that were asleep on one processor for so long
)

// time repeats a size on one or on several threads, for a turn at least, and returns the mean.
func (p *point) time(i int, turn time.Duration) (ms float64, err error) {
	if err := p.runs[i](); err != nil { // fills the caches
		return 0, err
	}
	n, start := 0, time.Now()
	for n == 0 || time.Since(start) < turn {
		if err := p.runs[i](); err != nil {
			return 0, err
		}
		n++
	}
	return time.Since(start).Seconds() * 1e3 / float64(n), nil
}

// round times all sizes once on a team.
func (g *gridder) round(i int, points []*point) error {
	g.teams[i].Begin()
	defer g.teams[i].End()
	if _, err := points[len(points)-1].time(i, warm); err != nil {
		return err
	}
	for _, p := range points {
		ms, err := p.time(i, turn)
		if err != nil {
			return err
		}
		p.ms[i] = append(p.ms[i], ms)
	}
	return nil
}

// best returns the shortest time: a foreign load only makes times longer.
func (p *point) best(i int) float64 { return slices.Min(p.ms[i]) }

// measure times sizes and their regular neighbours, in rounds.
func measure(sizes []size, threads, rounds int) (map[size]*point, error) {
	g := &gridder{[2]*parallel.Team{parallel.NewTeam(1), parallel.NewTeam(threads)}, map[string]*conv3x3.Filter{}}
	points := map[size]*point{}
	var order []*point
	for _, s := range sizes {
		for _, s := range []size{s, s.regular()} {
			if points[s] == nil {
				p, err := g.point(s)
				if err != nil {
					return nil, fmt.Errorf("%+v: %w", s, err)
				}
				points[s], order = p, append(order, p)
			}
		}
	}
	for round := range 2 * rounds {
		if err := g.round(round%2, order); err != nil {
			return nil, err
		}
	}
	return points, nil
}

// print writes a line for each size, and what is beyond the limits last.
func print(out io.Writer, sizes []size, points map[size]*point, threads int) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "map\tchannels\tbatch\talgorithm\t1 thread, ms\t%d threads, ms\tgain\tGFLOP/s\tregular\tratio\t\n", threads)
	over, slow := 0, 0
	worst := 0.0
	for _, s := range sizes {
		p, r := points[s], points[s.regular()]
		one, all := p.best(0), p.best(1)
		ratio := all / s.flop() / (r.best(1) / r.flop())
		worst = math.Max(worst, ratio)
		mark := ""
		if ratio > 1.3 {
			over, mark = over+1, "*"
		}
		if one >= 0.1 && one/all < 0.8*float64(threads) {
			slow, mark = slow+1, mark+"-"
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%.4f\t%.4f\t%.2f\t%.1f\t%d,%d,%d\t%.2f\t%s\n",
			s.side, s.c, s.n, p.algorithm, one, all, one/all, s.flop()/all/1e6, r.side, r.c, r.n, ratio, mark)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d of %d sizes take more than 1.3 times as long as their regular neighbour (*), at most %.2f times; %d of 100 µs and more gain less than %.1f times (-)\n",
		over, len(sizes), worst, slow, 0.8*float64(threads))
	return err
}

// cross lists the sizes of all combinations that a round can hold.
func cross(sides, channels, batches []int) (sizes []size) {
	for _, c := range channels {
		for _, n := range batches {
			for _, side := range sides {
				sizes = append(sizes, size{side, c, n})
			}
		}
	}
	return sizes
}

// numbers reads a list of numbers and ranges: 1-8,16. None is above most.
func numbers(list string, most int) (v []int, err error) {
	for _, part := range strings.Split(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 1 || b < a || b > most {
			return nil, fmt.Errorf("%q: want numbers from 1 to %d, as in 1-8,16", part, most)
		}
		for ; a <= b; a++ {
			v = append(v, a)
		}
	}
	return v, nil
}

func run(args []string, out io.Writer) error {
	f := flag.NewFlagSet("grid", flag.ContinueOnError)
	maps := f.String("maps", "1-16,20,24,28,31,32", "pixels of a side, up to 256")
	channels := f.String("channels", "16,17,64,100,256,512", "channels of the input and the output, up to 1024")
	batches := f.String("batches", "1,8", "pictures, up to 64")
	threads := f.Int("threads", runtime.GOMAXPROCS(0), "threads beside one")
	rounds := f.Int("rounds", 5, "rounds; the best counts")
	if err := f.Parse(args); err != nil {
		return err
	}
	sides, err := numbers(*maps, 256)
	c, errC := numbers(*channels, 1024)
	n, errN := numbers(*batches, 64)
	if err := errors.Join(err, errC, errN); err != nil {
		return err
	}
	if *threads < 1 || *threads > parallel.MaxWorkers || *rounds < 1 {
		return fmt.Errorf("-threads %d and -rounds %d: want 1 and more", *threads, *rounds)
	}
	sizes := cross(sides, c, n)
	points, err := measure(sizes, *threads, *rounds)
	if err != nil {
		return err
	}
	return print(out, sizes, points, *threads)
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "grid:", err)
		os.Exit(1)
	}
}
