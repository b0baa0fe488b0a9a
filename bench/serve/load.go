package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// point is what came of one measurement.
type point struct {
	Clients   int            `json:"clients,omitempty"`
	Rate      float64        `json:"offered_per_second,omitempty"` // of the open loop
	PerSecond float64        `json:"answered_per_second"`          // with 200
	P50       float64        `json:"p50_ms"`                       // of those
	P90       float64        `json:"p90_ms"`
	P99       float64        `json:"p99_ms"`
	Max       float64        `json:"max_ms"`
	Statuses  map[string]int `json:"statuses"` // "lost": no answer
}

func (p point) String() string {
	return fmt.Sprintf("%.1f/s, p50 %.0f ms, p99 %.0f ms, %v", p.PerSecond, p.P50, p.P99, p.Statuses)
}

// load sends requests.
type load struct {
	client *http.Client
	url    string
	body   []byte
	header string
}

// newLoad makes the request: a picture as binary data.
func newLoad(url string, size int) (*load, error) {
	x := make([]float32, 3*size*size)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	head := fmt.Sprintf(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,%d,%d],"parameters":{"binary_data_size":%d}}],"outputs":[{"name":"logits","parameters":{"binary_data":true}}]}`, size, size, 4*len(x))
	b := bytes.NewBufferString(head)
	if err := binary.Write(b, binary.LittleEndian, x); err != nil {
		return nil, err
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 1024}
	return &load{&http.Client{Transport: tr}, url, b.Bytes(), strconv.Itoa(len(head))}, nil
}

// samples collects the outcomes of requests.
type samples struct {
	mu       sync.Mutex
	millis   []float64 // of those with 200
	statuses map[string]int
	took     time.Duration
	turns    uint64
}

// send sends a request that was due at some time and counts it.
func (l *load) send(ctx context.Context, due time.Time, s *samples) {
	status := "lost"
	req, err := http.NewRequestWithContext(ctx, "POST", l.url+"/v2/models/bench/infer", bytes.NewReader(l.body))
	if err == nil {
		req.Header.Set("Inference-Header-Content-Length", l.header)
		var resp *http.Response
		if resp, err = l.client.Do(req); err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err == nil {
				status = strconv.Itoa(resp.StatusCode)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.statuses == nil {
		s.statuses = map[string]int{}
	}
	s.statuses[status]++
	if status == "200" {
		s.millis = append(s.millis, time.Since(due).Seconds()*1e3)
	}
}

// computed returns how many seconds a server of package serve has computed.
func (l *load) computed(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", l.url+"/v2/models/bench/stats", nil)
	if err != nil {
		return 0, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var all struct {
		Models []struct {
			Stats struct {
				Infer struct{ Ns float64 } `json:"compute_infer"`
			} `json:"inference_stats"`
		} `json:"model_stats"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return 0, err
	}
	if len(all.Models) != 1 {
		return 0, fmt.Errorf("statistics of %d networks, want one", len(all.Models))
	}
	return all.Models[0].Stats.Infer.Ns * 1e-9, nil
}

// closed lets n clients send requests for some seconds.
func (l *load) closed(ctx context.Context, n int, seconds float64, s *samples) {
	begin := time.Now()
	until := begin.Add(time.Duration(seconds * 1e9))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				l.send(ctx, time.Now(), s)
			}
		})
	}
	wg.Wait()
	s.took += time.Since(begin)
}

// open sends requests at random times, rate of them a second on average. A request's time
// counts from when it was due.
func (l *load) open(ctx context.Context, rate, seconds float64, s *samples) {
	rng := rand.New(rand.NewPCG(2, s.turns)) // the same for each server
	s.turns++
	begin := time.Now()
	var wg sync.WaitGroup
	for at := 0.0; at < seconds && ctx.Err() == nil; at += rng.ExpFloat64() / rate {
		due := begin.Add(time.Duration(at * 1e9))
		time.Sleep(time.Until(due))
		wg.Go(func() { l.send(ctx, due, s) })
	}
	wg.Wait()
	s.took += time.Since(begin)
}

// point summarises the samples of all rounds.
func (s *samples) point() point {
	return point{PerSecond: float64(len(s.millis)) / s.took.Seconds(), Statuses: s.statuses,
		P50: quantile(s.millis, 0.5), P90: quantile(s.millis, 0.9), P99: quantile(s.millis, 0.99), Max: quantile(s.millis, 1)}
}

// quantile returns the smallest sample that a part of them does not exceed, or 0.
func quantile(x []float64, part float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[min(int(part*float64(len(x))), len(x)-1)]
}
