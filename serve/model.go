package serve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/perceptual"
)

// keptSessions is how many sessions a network keeps beside the one of its last layer: of
// the sets of layers that were asked for last.
const keptSessions = 2

// loaded is a network that computes. All but its sessions is immutable; those belong to
// the executor.
type loaded struct {
	model      *vgg.Model
	metrics    map[string]*perceptual.Metric // by the names in requests
	collection *Collection                   // nil if it was not asked for
	name       string
	version    string
	opened     time.Time
	shapes     map[string]vgg.Shape // of each layer
	times      []vgg.LayerTime      // of one picture, in the order of computation
	maxBatch   int
	workers    int
	sessions   []*session // in the order of their last use
}

// session is a session for some layers.
type session struct {
	*vgg.Session
	layers string
	input  []float32 // [maxBatch][C][H][W]
}

// job is a picture in the queue.
type job struct {
	input  []float32
	stats  *statistics
	result [][]float32 // of each layer, once it is computed
}

// batchKey is what pictures of one batch have in common.
type batchKey struct {
	m      *loaded
	layers string // as of layerSet
}

// newLoaded prepares a model for serving: it is run once, so that the first client finds
// it warm.
func newLoaded(ctx context.Context, name, version string, m *vgg.Model, o *options) (*loaded, error) {
	cfg := m.Config()
	shapes, err := cfg.Shapes(cfg.Input())
	if err != nil {
		return nil, err
	}
	l := &loaded{model: m, name: name, version: version, opened: time.Now(), shapes: map[string]vgg.Shape{}, metrics: map[string]*perceptual.Metric{}, maxBatch: o.maxBatch, workers: o.workers}
	for i, layer := range cfg.Layers {
		l.shapes[layer.Name] = shapes[i]
	}
	return l, l.warm(ctx)
}

// bytes returns the memory of the weights.
func (l *loaded) bytes() int64 {
	n := l.model.Bytes()
	for _, m := range l.metrics {
		n += m.Bytes()
	}
	return n
}

// metricNames lists the distances that the network measures.
func (l *loaded) metricNames() []string {
	return append([]string{cosine}, slices.Sorted(maps.Keys(l.metrics))...)
}

// warm runs the session of the last layer, and measures its layers.
func (l *loaded) warm(ctx context.Context) error {
	input := make([]float32, l.inputLen())
	for range 3 {
		if err := l.compute(ctx, l.last(), []*job{{input: input}}); err != nil {
			return err
		}
		times := l.sessions[0].LayerTimes()
		for i := range times {
			if l.times != nil {
				times[i].Time = min(times[i].Time, l.times[i].Time)
			}
		}
		l.times = times
	}
	batch := make([]*job, l.maxBatch)
	for i := range batch {
		batch[i] = &job{input: input}
	}
	return l.compute(ctx, l.last(), batch)
}

// inputLen returns the number of elements of a prepared picture.
func (l *loaded) inputLen() int {
	h, w := l.model.Config().Input()
	return l.model.Config().Channels * h * w
}

// inputShape returns the shape of a prepared picture.
func (l *loaded) inputShape() []int64 {
	h, w := l.model.Config().Input()
	return []int64{int64(l.model.Config().Channels), int64(h), int64(w)}
}

// last returns the name of the last layer.
func (l *loaded) last() string {
	layers := l.model.Config().Layers
	return layers[len(layers)-1].Name
}

// layer returns the configuration's name of a layer: conv3_2 for relu3_2.
func (l *loaded) layer(name string) (string, bool) {
	cfg, err := l.model.Config().Until(name)
	if err != nil {
		return "", false
	}
	return cfg.Layers[len(cfg.Layers)-1].Name, true
}

// layerSet returns the name that a set of layers has in batchKey.
func (l *loaded) layerSet(layers []string) string {
	var set []string
	for _, layer := range l.model.Config().Layers {
		if slices.Contains(layers, layer.Name) {
			set = append(set, layer.Name)
		}
	}
	return strings.Join(set, ",")
}

// session returns a session for a set of layers. That of the last layer stays; of others
// there are few.
func (l *loaded) session(set string) (*session, error) {
	if i := slices.IndexFunc(l.sessions, func(s *session) bool { return s.layers == set }); i >= 0 {
		s := l.sessions[i]
		l.sessions = append(slices.Delete(l.sessions, i, i+1), s)
		return s, nil
	}
	if len(l.sessions) > keptSessions {
		oldest := slices.IndexFunc(l.sessions, func(s *session) bool { return s.layers != l.last() })
		l.sessions = slices.Delete(l.sessions, oldest, oldest+1)
	}
	s, err := l.model.NewSession(vgg.Batch(l.maxBatch), vgg.Workers(l.workers), vgg.Outputs(splitSet(set)...))
	if err != nil {
		return nil, err
	}
	made := &session{s, set, make([]float32, l.maxBatch*l.inputLen())}
	l.sessions = append(l.sessions, made)
	return made, nil
}

// compute computes a batch. It is the executor's.
func (l *loaded) compute(ctx context.Context, set string, jobs []*job) error {
	s, err := l.session(set)
	if err != nil {
		return err
	}
	n, input := len(jobs), s.join(jobs)
	shapes := s.OutputShapes()
	results := make([][]float32, len(shapes))
	for i, shape := range shapes {
		results[i] = make([]float32, n*shape.Len())
	}
	if err := s.RunOutputs(ctx, results, input); err != nil {
		return err
	}
	for i, j := range jobs {
		j.result = make([][]float32, len(shapes))
		for k, shape := range shapes {
			j.result[k] = results[k][i*shape.Len():][:shape.Len():shape.Len()]
		}
	}
	return nil
}

// join returns the inputs of jobs in one piece.
func (s *session) join(jobs []*job) []float32 {
	if len(jobs) == 1 {
		return jobs[0].input
	}
	at := 0
	for _, j := range jobs {
		at += copy(s.input[at:], j.input)
	}
	return s.input[:at]
}

// resultBytes returns the memory of the results of n pictures for some layers.
func (l *loaded) resultBytes(n int, layers []string) (bytes int64) {
	for _, layer := range layers {
		bytes += 4 * int64(n) * int64(l.shapes[layer].Len())
	}
	return bytes
}

// classes returns the number of classes, or 0.
func (l *loaded) classes() int { return l.model.Config().Classes() }

func (l *loaded) String() string { return fmt.Sprintf("%s version %s", l.name, l.version) }

// splitSet returns the layers of a set.
func splitSet(set string) []string { return strings.Split(set, ",") }
