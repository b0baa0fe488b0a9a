package serve

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what GET /metrics tells.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec   // method, path, code
	inferences *prometheus.CounterVec   // model, result
	pictures   *prometheus.CounterVec   // model
	phases     *prometheus.HistogramVec // model, phase
	batches    *prometheus.HistogramVec // model
	executor   *prometheus.CounterVec   // model
}

// seconds are the bounds of the times: a millisecond to half a minute.
var seconds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}

func newMetrics(s *Server) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "nonet", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "nonet", Name: name, Help: help, Buckets: bounds}, labels)
	}
	var sizes []float64
	for n := 1; n < s.opts.maxBatch; n *= 2 {
		sizes = append(sizes, float64(n))
	}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		requests:   counter("requests_total", "Requests, by method, path and status.", "method", "path", "code"),
		inferences: counter("inferences_total", "Requests for inference, by their status: 200, or that of the error.", "model", "code"),
		pictures:   counter("pictures_total", "Pictures whose results were returned.", "model"),
		phases:     histogram("phase_seconds", "Time of a request in each phase: body, decode, queue, compute, output.", seconds, "model", "phase"),
		batches:    histogram("batch_pictures", "Pictures of a batch.", append(sizes, float64(s.opts.maxBatch)), "model"),
		executor:   counter("executor_seconds_total", "Time in which batches were computed.", "model"),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "nonet", Name: name, Help: help}, value)
	}
	m.registry.MustRegister(m.requests, m.inferences, m.pictures, m.phases, m.batches, m.executor,
		gauge("pictures_in_flight", "Pictures that have a place in the queue: they are being decoded, wait, or are being computed.", func() float64 { return float64(s.queue.Len()) }),
		gauge("queue_capacity_pictures", "Places in the queue.", func() float64 { return float64(s.opts.queue) }),
		gauge("request_bytes", "Memory of bodies and results.", func() float64 { return float64(s.memory.now()) }),
		gauge("request_bytes_limit", "Its bound.", func() float64 { return float64(s.opts.memory) }),
		gauge("ready", "Whether the server is ready.", func() float64 {
			if s.Ready() {
				return 1
			}
			return 0
		}),
		&modelCollector{s, prometheus.NewDesc("nonet_model_bytes", "Memory of the weights of a network.", []string{"model", "version"}, nil)},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// modelCollector tells of the networks that are loaded when it is asked.
type modelCollector struct {
	s     *Server
	bytes *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *modelCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.bytes }

// Collect implements prometheus.Collector.
func (c *modelCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.s.repository.all() {
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(m.bytes()), m.name, m.version)
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// request counts a request by the pattern of its path: paths themselves are without end.
func (m *metrics) request(method, pattern string, code int) {
	_, path, _ := strings.Cut(pattern, " ")
	if path == "" {
		path = "other"
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, path, strconv.Itoa(code)).Inc()
}

// inference counts a request for inference.
func (m *metrics) inference(model string, t spent, err error) {
	code := http.StatusOK
	if err != nil {
		code, _ = status(err)
	}
	m.inferences.WithLabelValues(model, strconv.Itoa(code)).Inc()
	if err != nil {
		return
	}
	m.pictures.WithLabelValues(model).Add(float64(t.pictures))
	for _, p := range []struct {
		name string
		took time.Duration
	}{{"body", t.body}, {"decode", t.decode}, {"queue", t.queue}, {"compute", t.compute}, {"output", t.output}} {
		m.phases.WithLabelValues(model, p.name).Observe(p.took.Seconds())
	}
}

// batch counts a batch.
func (m *metrics) batch(model string, n int, took time.Duration) {
	m.batches.WithLabelValues(model).Observe(float64(n))
	m.executor.WithLabelValues(model).Add(took.Seconds())
}

// marshal returns v as JSON, which it always is.
func marshal(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
