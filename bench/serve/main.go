// Command serve measures a server of a network under load, from another process:
//
//	closed loop   so many clients, each of which sends its next request when it has its answer
//	open loop     requests come at random times, as those of many people do, whatever the answers
//
// It compares two servers: package serve, which computes what waits together, and one that
// gives each request a session of its own, which is what a program would do without a
// queue. Servers are processes of their own, whose peak of memory is told. They take turns,
// with Session.Run alone among them where there are one or eight clients, for one or eight
// pictures, so that a machine that others use as well is the same to each.
//
//	go run ./bench/serve -json result.json -svg result.svg
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
)

// kinds are the servers.
var kinds = []string{"batched", "separate"}

// settings are the flags.
type settings struct {
	config       string
	divide, size int
	clients      []int
	rates        []float64 // of the open loop, as parts of what the batched server answers
	seconds      float64
	rounds       int
	json, svg    string
}

func main() {
	var s settings
	server := flag.String("server", "", "be that server: batched or separate")
	flag.StringVar(&s.config, "config", "D", "configuration of the paper")
	flag.IntVar(&s.divide, "divide", 1, "take 1/N of the channels")
	flag.IntVar(&s.size, "size", 224, "side of the pictures")
	clients := flag.String("clients", "1,2,4,8,16,64", "clients of the closed loop")
	rates := flag.String("rates", "0.3,0.5,0.7,0.8,0.9,1.1", "rates of the open loop, as parts of what the batched server answers to 8 clients")
	flag.Float64Var(&s.seconds, "seconds", 20, "length of each measurement, of all its rounds")
	flag.IntVar(&s.rounds, "rounds", 4, "rounds of each measurement, in which the servers take turns")
	flag.StringVar(&s.json, "json", "", "file for the results")
	flag.StringVar(&s.svg, "svg", "", "file for the picture")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *server != "" {
		err = s.serve(ctx, *server)
	} else if s.rounds < 1 || !(s.seconds > 0) {
		err = fmt.Errorf("-rounds %d, -seconds %g: want more than 0", s.rounds, s.seconds)
	} else if err = s.lists(*clients, *rates); err == nil {
		err = s.measure(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// lists reads the lists of the flags.
func (s *settings) lists(clients, rates string) error {
	for _, word := range strings.Split(clients, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("-clients %s: want numbers from 1", clients)
		}
		s.clients = append(s.clients, n)
	}
	for _, word := range strings.Split(rates, ",") {
		r, err := strconv.ParseFloat(word, 64)
		if err != nil || !(r > 0) {
			return fmt.Errorf("-rates %s: want numbers greater than 0", rates)
		}
		s.rates = append(s.rates, r)
	}
	return nil
}

// network is the one that is served, with random weights.
func (s *settings) network() (*vgg.Model, error) {
	cfg, err := vgg.Lookup(s.config)
	if err != nil {
		return nil, err
	}
	cfg = cfg.Divide(s.divide).WithSize(s.size)
	src, err := vgg.Seeded(cfg, 1)
	if err != nil {
		return nil, err
	}
	return vgg.New(cfg, src)
}

// measure measures both servers and writes what came of it.
func (s *settings) measure(ctx context.Context) error {
	r := &report{Machine: machine(), Command: strings.Join(os.Args[1:], " "), Config: s.config, Size: s.size, Seconds: s.seconds, Servers: map[string]*serverResult{}}
	var servers []*server
	for _, kind := range kinds {
		sv, err := s.newServer(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		defer sv.process.stop()
		servers = append(servers, sv)
		r.Servers[kind] = &sv.result
	}
	if err := s.turns(ctx, r, servers); err != nil {
		return err
	}
	for _, sv := range servers {
		sv.result.PeakMB = sv.process.peakMB()
	}
	fmt.Print(r)
	return s.write(r)
}

// write writes the files that the flags name.
func (s *settings) write(r *report) error {
	if s.json != "" {
		text, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			return err
		}
		err = outfile.Write(s.json, func(w io.Writer) error {
			_, err := w.Write(append(text, '\n'))
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.svg != "" {
		return r.draw(s.svg)
	}
	return nil
}

// server is a server that is measured.
type server struct {
	process *process
	load    *load
	result  serverResult
}

func (s *settings) newServer(ctx context.Context, kind string) (*server, error) {
	p, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	l, err := newLoad(p.url, s.size)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &server{process: p, load: l}, nil
}

// turns measures the closed loop and then the open one, whose rates are parts of what the
// batched server answers to at most 8 clients.
func (s *settings) turns(ctx context.Context, r *report, servers []*server) error {
	m, err := s.network()
	if err != nil {
		return err
	}
	alone := map[int]*alone{}
	for _, n := range []int{1, 8} {
		if alone[n], err = s.alone(ctx, m, n); err != nil {
			return err
		}
	}
	if r.OverheadMillis, err = s.overhead(ctx, servers[0].load); err != nil {
		return err
	}
	capacity := 0.0
	for _, n := range s.clients {
		also := func() error { return nil }
		if a := alone[n]; a != nil {
			also = a.run
		}
		points, err := s.measureLoad(ctx, servers, also, func(l *load, of *samples) { l.closed(ctx, n, s.seconds/float64(s.rounds), of) })
		if err != nil {
			return err
		}
		for i, p := range points {
			p.Clients = n
			fmt.Printf("%s, %d clients: %v\n", kinds[i], n, p)
			servers[i].result.Closed = append(servers[i].result.Closed, p)
		}
		if n <= 8 {
			capacity = max(capacity, points[0].PerSecond)
		}
	}
	r.RunMillis, r.BatchMillis = quantile(alone[1].millis, 0.5), quantile(alone[8].millis, 0.5)
	for _, part := range s.rates {
		rate := part * capacity
		points, err := s.measureLoad(ctx, servers, func() error { return nil }, func(l *load, of *samples) { l.open(ctx, rate, s.seconds/float64(s.rounds), of) })
		if err != nil {
			return err
		}
		for i, p := range points {
			p.Rate = rate
			fmt.Printf("%s, %.1f requests/s offered: %v\n", kinds[i], rate, p)
			servers[i].result.Open = append(servers[i].result.Open, p)
		}
	}
	return nil
}

// overhead returns by how many milliseconds a request of a lone client takes longer than it is
// computed: the median of the differences, each of one request.
func (s *settings) overhead(ctx context.Context, l *load) (float64, error) {
	var of samples
	var beyond []float64
	for begin := time.Now(); time.Since(begin).Seconds() < s.seconds || len(beyond) == 0; {
		before, err := l.computed(ctx)
		if err != nil {
			return 0, err
		}
		l.send(ctx, time.Now(), &of)
		after, err := l.computed(ctx)
		if err != nil {
			return 0, err
		}
		if of.statuses["200"] != len(beyond)+1 {
			return 0, fmt.Errorf("answers to a lone client: %v", of.statuses)
		}
		beyond = append(beyond, of.millis[len(beyond)]-(after-before)*1e3)
	}
	return quantile(beyond, 0.5), nil
}

// measureLoad lets servers take turns under one load, also with something else.
func (s *settings) measureLoad(ctx context.Context, servers []*server, also func() error, turn func(*load, *samples)) ([]point, error) {
	all := make([]samples, len(servers))
	for range s.rounds {
		if err := also(); err != nil {
			return nil, err
		}
		for i, sv := range servers {
			turn(sv.load, &all[i])
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	var points []point
	for i := range all {
		points = append(points, all[i].point())
	}
	return points, nil
}

// alone runs a session for so many pictures at a time, without a server.
type alone struct {
	run    func() error
	millis []float64 // of each run
}

func (s *settings) alone(ctx context.Context, m *vgg.Model, pictures int) (*alone, error) {
	session, err := m.NewSession(vgg.Batch(pictures))
	if err != nil {
		return nil, err
	}
	in, out := make([]float32, pictures*3*s.size*s.size), make([]float32, pictures*session.OutputShape().Len())
	a := &alone{}
	a.run = func() error {
		for begin, n := time.Now(), 0; n < 3 || time.Since(begin).Seconds() < s.seconds/float64(s.rounds); n++ {
			start := time.Now()
			if err := session.Run(ctx, out, in); err != nil {
				return err
			}
			a.millis = append(a.millis, time.Since(start).Seconds()*1e3)
		}
		return nil
	}
	return a, nil
}
