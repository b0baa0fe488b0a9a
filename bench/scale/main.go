// Command scale simulates many machines that compute features of pictures, event by
// event, and prints pictures per second, hours and cost for 1 to 10,000 cores. Every
// assumption is a flag; docs/scale.md says where the defaults come from.
//
//	go run ./bench/scale
//	go run ./bench/scale -rate 7.4 -start 60s -bandwidth 2.5e9 -price 0.04
package main

import (
	"container/heap"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

// world is what is assumed.
type world struct {
	pictures  float64       // in all
	size      float64       // bytes of a picture's file
	rate      float64       // pictures per second of one core
	cores     int           // of one machine
	start     time.Duration // until a machine's first picture: boot, image, network
	spread    float64       // relative deviation of a machine's speed
	bandwidth float64       // bytes per second of the storage, for all machines together
	link      float64       // bytes per second of one machine
	shards    int           // for each machine
	failures  float64       // of a machine in an hour; its shard goes on elsewhere
	price     float64       // of a core for an hour
	seed      uint64
}

func (w world) check() error {
	for name, v := range map[string]float64{"pictures": w.pictures, "size": w.size, "rate": w.rate, "bandwidth": w.bandwidth, "link": w.link} {
		if !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("-%s %v: want more than 0", name, v)
		}
	}
	if w.cores < 1 || w.shards < 1 || w.start < 0 || w.spread < 0 || w.spread > 0.5 || w.failures < 0 || w.failures > 10 || w.price < 0 {
		return errors.New("want -cores and -shards of 1 and more, -spread from 0 to 0.5, -failures from 0 to 10, and the others not negative")
	}
	return nil
}

// outcome is what a simulation comes to.
type outcome struct {
	machines int
	seconds  float64 // until the last picture
	busy     float64 // part of the machines' time in which they compute
	bound    string  // what limits the rate: cores, link or storage
	cost     float64
}

// event is the end of a machine's work on a shard, or its failure.
type event struct {
	at      float64
	machine int
	left    float64 // pictures of the shard that are not done, if it fails
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// machineRate returns the pictures per second of a machine that computes, of so many,
// and what bounds it. Storage is shared evenly.
func (w world) machineRate(machines int) (float64, string) {
	best, bound := w.rate*float64(w.cores), "cores"
	if r := w.link / w.size; r < best {
		best, bound = r, "link"
	}
	if r := w.bandwidth / w.size / float64(machines); r < best {
		best, bound = r, "storage"
	}
	return best, bound
}

// run simulates a number of machines. Each takes the next shard when it has done one; a
// shard whose machine fails is put back with what is left of it, and the machine starts
// anew.
func (w world) run(machines int) outcome {
	rng := rand.New(rand.NewPCG(w.seed, uint64(machines)))
	o := outcome{machines: machines}
	rate, bound := w.machineRate(machines)
	o.bound = bound
	speed := make([]float64, machines)
	for i := range speed {
		speed[i] = rate
		if bound == "cores" {
			speed[i] *= max(0.1, 1+w.spread*rng.NormFloat64())
		}
	}
	count := machines * w.shards
	var shards []float64
	for range count {
		shards = append(shards, w.pictures/float64(count))
	}
	var q queue
	computed := 0.0
	begin := func(machine int, at float64) {
		if len(shards) == 0 {
			return
		}
		n := shards[len(shards)-1]
		shards = shards[:len(shards)-1]
		takes := n / speed[machine]
		e := event{at + takes, machine, 0}
		if w.failures > 0 {
			if f := rng.ExpFloat64() * 3600 / w.failures; f < takes {
				e.at, e.left = at+f, n*(1-f/takes)
			}
		}
		computed += e.at - at
		heap.Push(&q, e)
	}
	for machine := range machines {
		begin(machine, w.start.Seconds())
	}
	for len(q) > 0 {
		e := heap.Pop(&q).(event)
		o.seconds = e.at
		if e.left > 0 {
			shards = append(shards, e.left)
			e.at += w.start.Seconds()
		}
		begin(e.machine, e.at)
	}
	hours := o.seconds / 3600
	o.busy = computed / (o.seconds * float64(machines))
	o.cost = hours * float64(machines*w.cores) * w.price
	return o
}

func (w world) print(out io.Writer, most int) {
	fmt.Fprintf(out, "%.3g pictures of %.3g kB; %.3g pictures/s a core, %d cores a machine; start %v; storage %.3g GB/s, link %.3g GB/s; %d shards a machine\n",
		w.pictures, w.size/1e3, w.rate, w.cores, w.start, w.bandwidth/1e9, w.link/1e9, w.shards)
	fmt.Fprintf(out, "%8s %9s %12s %10s %6s %10s  %s\n", "cores", "machines", "pictures/s", "hours", "busy", "cost", "bound by")
	for cores := 1; cores <= most; cores *= 10 {
		x := w
		x.cores = min(w.cores, cores)
		o := x.run((cores + x.cores - 1) / x.cores)
		fmt.Fprintf(out, "%8d %9d %12.4g %10.4g %5.0f%% %10.2f  %s\n", o.machines*x.cores, o.machines, w.pictures/o.seconds, o.seconds/3600, 100*o.busy, o.cost, o.bound)
	}
}

func main() {
	var w world
	flag.Float64Var(&w.pictures, "pictures", 1e7, "pictures in all")
	flag.Float64Var(&w.size, "size", 110e3, "bytes of a picture's file")
	flag.Float64Var(&w.rate, "rate", 7.4, "pictures per second of one core")
	flag.IntVar(&w.cores, "cores", 8, "cores of a machine")
	flag.DurationVar(&w.start, "start", 60*time.Second, "time until a machine's first picture")
	flag.Float64Var(&w.spread, "spread", 0.05, "relative deviation of the machines' speeds")
	flag.Float64Var(&w.bandwidth, "bandwidth", 5e9, "bytes per second of the storage, for all machines")
	flag.Float64Var(&w.link, "link", 1.25e9, "bytes per second of a machine's network")
	flag.IntVar(&w.shards, "shards", 8, "shards for each machine")
	flag.Float64Var(&w.failures, "failures", 0.01, "failures of a machine in an hour")
	flag.Float64Var(&w.price, "price", 0.04, "price of a core for an hour")
	flag.Uint64Var(&w.seed, "seed", 1, "seed of the random numbers")
	most := flag.Int("most", 10000, "largest number of cores")
	flag.Parse()
	if err := w.check(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	w.print(os.Stdout, *most)
}
