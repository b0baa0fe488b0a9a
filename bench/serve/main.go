// Command serve measures a server of a network under load, from another process:
//
//	closed loop   so many clients, each of which sends its next request when it has its answer
//	open loop     requests come at random times, as those of many people do, whatever the answers
//
// It compares two servers: package serve, which computes what waits together, and one that
// gives each request a session of its own, which is what a program would do without a
// queue. Servers are processes of their own, whose peak of memory is told.
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
	flag.Float64Var(&s.seconds, "seconds", 20, "length of each measurement")
	flag.StringVar(&s.json, "json", "", "file for the results")
	flag.StringVar(&s.svg, "svg", "", "file for the picture")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *server != "" {
		err = s.serve(ctx, *server)
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
	var err error
	if r.RunMillis, err = s.runAlone(ctx); err != nil {
		return err
	}
	fmt.Printf("Session.Run: %.1f ms\n", r.RunMillis)
	capacity := 0.0
	for _, kind := range kinds {
		res, err := s.measureServer(ctx, kind, &capacity)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		r.Servers[kind] = res
	}
	fmt.Print(r)
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

// runAlone returns the median time of Session.Run for one picture, without a server.
func (s *settings) runAlone(ctx context.Context) (float64, error) {
	m, err := s.network()
	if err != nil {
		return 0, err
	}
	session, err := m.NewSession()
	if err != nil {
		return 0, err
	}
	in, out := make([]float32, 3*s.size*s.size), make([]float32, session.OutputShape().Len())
	var times []float64
	for begin := time.Now(); len(times) < 10 || time.Since(begin).Seconds() < s.seconds/2; {
		start := time.Now()
		if err := session.Run(ctx, out, in); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds()*1e3)
	}
	return quantile(times, 0.5), nil
}

// measureServer measures one of the servers. The batched one sets the capacity, which the
// rates of the open loop are parts of.
func (s *settings) measureServer(ctx context.Context, kind string, capacity *float64) (*serverResult, error) {
	p, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	load, err := newLoad(p.url, s.size)
	if err != nil {
		return nil, err
	}
	res := &serverResult{}
	for _, n := range s.clients {
		point := load.closed(ctx, n, s.seconds)
		fmt.Printf("%s, %d clients: %v\n", kind, n, point)
		res.Closed = append(res.Closed, point)
		if kind == "batched" && n <= 8 {
			*capacity = max(*capacity, point.PerSecond)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for _, part := range s.rates {
		point := load.open(ctx, part**capacity, s.seconds)
		fmt.Printf("%s, %.1f requests/s offered: %v\n", kind, point.Rate, point)
		res.Open = append(res.Open, point)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	res.PeakMB = p.peakMB()
	return res, nil
}
