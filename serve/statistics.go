package serve

import (
	"slices"
	"sync"
	"time"
)

// statistics counts what a network has done under one of its names, as the protocol's
// statistics tell it. It outlives reloads.
type statistics struct {
	mu         sync.Mutex
	last       time.Time // of the last request
	pictures   uint64
	executions uint64
	success    duration
	fail       duration
	queue      duration
	input      duration // decoding
	infer      duration
	output     duration
	batches    map[int]*duration // of each size
}

// duration is a count and a sum of times.
type duration struct {
	Count uint64 `json:"count"`
	Ns    uint64 `json:"ns"`
}

func (d *duration) add(t time.Duration) {
	d.Count++
	d.Ns += uint64(max(t, 0))
}

// spent says where the time of a request went.
type spent struct {
	body, decode, queue, compute, output time.Duration
	pictures                             int
}

// done counts a request.
func (s *statistics) done(t spent, all time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fail.add(all)
		return
	}
	s.last = time.Now()
	s.pictures += uint64(t.pictures)
	s.success.add(all)
	s.queue.add(t.queue)
	s.input.add(t.decode)
	s.infer.add(t.compute)
	s.output.add(t.output)
}

// batch counts a batch of n pictures, of which the network had some.
func (s *statistics) batch(n int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executions++
	if s.batches == nil {
		s.batches = map[int]*duration{}
	}
	if s.batches[n] == nil {
		s.batches[n] = &duration{}
	}
	s.batches[n].add(took)
}

// statisticsJSON is an element of the statistics of the protocol.
type statisticsJSON struct {
	Name           string              `json:"name"`
	Version        string              `json:"version"`
	LastInference  int64               `json:"last_inference"` // ms since 1970
	InferenceCount uint64              `json:"inference_count"`
	ExecutionCount uint64              `json:"execution_count"`
	InferenceStats map[string]duration `json:"inference_stats"`
	BatchStats     []batchStatistics   `json:"batch_stats"`
	MemoryUsage    []memoryUsage       `json:"memory_usage"`
}

type batchStatistics struct {
	BatchSize    int      `json:"batch_size"`
	ComputeInput duration `json:"compute_input"`
	ComputeInfer duration `json:"compute_infer"`
	ComputeOut   duration `json:"compute_output"`
}

type memoryUsage struct {
	Type     string `json:"type"`
	ID       int64  `json:"id"`
	ByteSize uint64 `json:"byte_size"`
}

// tell returns what the protocol's statistics say of a network.
func (s *statistics) tell(name, version string, m *loaded) statisticsJSON {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := statisticsJSON{
		Name: name, Version: version, InferenceCount: s.pictures, ExecutionCount: s.executions,
		InferenceStats: map[string]duration{"success": s.success, "fail": s.fail, "queue": s.queue,
			"compute_input": s.input, "compute_infer": s.infer, "compute_output": s.output, "cache_hit": {}, "cache_miss": {}},
		BatchStats: []batchStatistics{}, MemoryUsage: []memoryUsage{},
	}
	if !s.last.IsZero() {
		t.LastInference = s.last.UnixMilli()
	}
	for n, d := range s.batches {
		t.BatchStats = append(t.BatchStats, batchStatistics{BatchSize: n, ComputeInfer: *d})
	}
	slices.SortFunc(t.BatchStats, func(a, b batchStatistics) int { return a.BatchSize - b.BatchSize })
	if m != nil {
		t.MemoryUsage = append(t.MemoryUsage, memoryUsage{"CPU", 0, uint64(m.bytes())})
	}
	return t
}
