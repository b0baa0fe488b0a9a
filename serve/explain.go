package serve

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/png"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/explain"
	"github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/similar"
)

// apart holds what computes beside the executor: explanations, distances and neighbours, one at a time
// in the whole server and with one worker, so that those who wait for the queue lose at
// most a part of one processor to them. Its memory is kept for the next request of the
// same kind to the same network.
type apart struct {
	slot      chan struct{} // holds an element while one computes
	of        *loaded
	method    explain.Method
	explainer *explain.Explainer
	metric    string
	session   *perceptual.Session // of the metric
	searcher  *similar.Searcher
}

func newApart() *apart { return &apart{slot: make(chan struct{}, 1)} }

// begin waits for its turn, and forgets what belongs to another network.
func (a *apart) begin(ctx context.Context, l *loaded) (end func(), err error) {
	select {
	case a.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.of != l {
		a.of, a.explainer, a.session, a.searcher = l, nil, nil, nil
	}
	return sync.OnceFunc(func() { <-a.slot }), nil
}

// patches is how many squares Occlusion moves along a side here: 13 of a seventh, so that
// it takes some seconds for the paper's networks.
const patches = 13

// explainerOf returns the explainer of a method; begin has been called.
func (a *apart) explainerOf(l *loaded, method explain.Method) (*explain.Explainer, error) {
	if a.explainer != nil && a.method == method {
		return a.explainer, nil
	}
	h, w := l.model.Config().Input()
	side := max(min(h, w)/7, 1)
	stride := max((min(h, w)-side)/(patches-1), 1)
	e, err := explain.New(l.model, method, explain.Workers(1), explain.Batch(4), explain.Patch(side, stride))
	if err != nil {
		return nil, err
	}
	a.explainer, a.method = e, method
	return e, nil
}

// sessionOf returns the session of a metric; begin has been called.
func (a *apart) sessionOf(l *loaded, metric string) (*perceptual.Session, error) {
	if a.session != nil && a.metric == metric {
		return a.session, nil
	}
	h, w := l.model.Config().Input()
	s, err := l.metrics[metric].NewSession(h, w, vgg.Workers(1))
	if err != nil {
		return nil, err
	}
	a.session, a.metric = s, metric
	return s, nil
}

// explain answers POST /v1/explain.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	q := r.URL.Query()
	if err := known(q, "model", "version", "method", "class", "format"); err != nil {
		return err
	}
	v, err := s.chosen(q)
	if err != nil {
		return err
	}
	method, err := explain.ParseMethod(cmp.Or(q.Get("method"), string(explain.GradCAM)))
	if err != nil {
		return err
	}
	class, err := v.class(q.Get("class"))
	if err != nil {
		return err
	}
	format := cmp.Or(q.Get("format"), "png")
	if format != "png" && format != "json" {
		return faultf(http.StatusBadRequest, "format=%s, want png or json", shorten(format))
	}
	files, err := readPictures(r, "image")
	if err != nil {
		return err
	}
	t := spent{body: time.Since(begin), pictures: 1}
	var heat *explain.Map
	var frame *picture.RGB
	err = s.beside(r, v, &t, func(ctx context.Context) error {
		heat, frame, err = s.explained(ctx, v, method, class, files[0], &t)
		return err
	})
	if err != nil {
		return err
	}
	if format == "json" {
		writeJSON(w, http.StatusOK, explanationOf(v, heat, t))
		return nil
	}
	return writeExplanation(w, v, heat, frame)
}

// class returns the number of the class that a request names by its number or label, or
// −1 for the most probable one.
func (v view) class(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < v.classes() {
		return n, nil
	}
	for i := range v.model.Labels() {
		if v.model.Label(i) == name {
			return i, nil
		}
	}
	return 0, faultf(http.StatusBadRequest, "%s has no class %s", v.loaded.name, shorten(name))
}

// beside runs what is computed beside the executor for a request: with a place in the
// queue, in its time, and counted.
func (s *Server) beside(r *http.Request, v view, t *spent, run func(ctx context.Context) error) (err error) {
	begin := time.Now()
	defer func() {
		s.finished(r.Context(), v, s.statistics(v.name(), v.version), *t, time.Since(begin)+t.body, err)
	}()
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.timeout)
	defer cancel()
	p, err := s.queue.Reserve(t.pictures)
	if err != nil {
		return err
	}
	defer p.Release()
	return run(ctx)
}

// explained computes a map, and the frame that it lies over.
func (s *Server) explained(ctx context.Context, v view, method explain.Method, class int, file []byte, t *spent) (*explain.Map, *picture.RGB, error) {
	input, frame := make([]float32, v.inputLen()), (*picture.RGB)(nil)
	start := time.Now()
	_, err := s.decode(ctx, "the picture", file, s.opts.maxPixels, func(img image.Image) (err error) {
		if err = v.model.Prepare(input, img); err == nil {
			frame, err = explain.Frame(v.model, img)
		}
		return err
	})
	t.decode = time.Since(start)
	if err != nil {
		return nil, nil, err
	}
	start = time.Now()
	end, err := s.apart.begin(ctx, v.loaded)
	t.queue = time.Since(start)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	e, err := s.apart.explainerOf(v.loaded, method)
	if err != nil {
		return nil, nil, err
	}
	start = time.Now()
	heat, err := e.Explain(ctx, input, class)
	t.compute = time.Since(start)
	return heat, frame, err
}

// writeExplanation writes the map over its frame.
func writeExplanation(w http.ResponseWriter, v view, m *explain.Map, frame *picture.RGB) error {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m.Draw(frame, v.model.Picture().Preset)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Nonet-Class", strconv.Itoa(m.Class))
	w.Header().Set("Nonet-Probability", strconv.FormatFloat(m.Probability, 'g', -1, 64))
	_, _ = w.Write(b.Bytes()) // else the client has gone
	return nil
}

// explanation is a map as JSON has it.
type explanation struct {
	Model       string    `json:"model"`
	Version     string    `json:"version"`
	Method      string    `json:"method"`
	Class       int       `json:"class"`
	Label       string    `json:"label"`
	Probability float64   `json:"probability"`
	Height      int       `json:"height"`
	Width       int       `json:"width"`
	Map         []float32 `json:"map"` // [height][width], from 0 to 1, its largest value
	Millis      phases    `json:"millis"`
}

func explanationOf(v view, m *explain.Map, t spent) explanation {
	most := float32(0)
	for _, x := range m.Heat {
		most = max(most, x)
	}
	heat := make([]float32, len(m.Heat))
	for i, x := range m.Heat {
		if x > 0 {
			heat[i] = x / most
		}
	}
	return explanation{v.loaded.name, v.version, string(m.Method), m.Class, v.model.Label(m.Class), m.Probability, m.H, m.W, heat, t.phases()}
}

// cosine is the distance of pictures that every network has.
const cosine = "cosine"

// metric returns the distance that a request asks for.
func (v view) metric(q url.Values) (string, error) {
	metric := cmp.Or(q.Get("metric"), cosine)
	switch {
	case metric == cosine:
	case v.metrics[metric] == nil:
		return "", faultf(http.StatusBadRequest, "metric=%s, and %s has %s", shorten(metric), v.loaded.name, strings.Join(v.metricNames(), ", "))
	case q.Get("layer") != "":
		return "", faultf(http.StatusBadRequest, "the layers of %s are fixed", metric)
	}
	return metric, nil
}

// distance answers POST /v1/distance.
func (s *Server) distance(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	q := r.URL.Query()
	if err := known(q, "model", "version", "metric", "layer"); err != nil {
		return err
	}
	v, err := s.chosen(q)
	if err != nil {
		return err
	}
	metric, err := v.metric(q)
	if err != nil {
		return err
	}
	layer, err := v.layerOf(cmp.Or(q.Get("layer"), "embedding"))
	if err != nil {
		return err
	}
	files, err := readPictures(r, "a", "b")
	if err != nil {
		return err
	}
	t := spent{body: time.Since(begin), pictures: 2}
	var d float64
	if metric == cosine {
		d, err = s.cosineDistance(r, v, layer, files, &t)
	} else {
		err = s.beside(r, v, &t, func(ctx context.Context) error {
			d, err = s.perceptualDistance(ctx, v, metric, files, &t)
			return err
		})
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"model": v.loaded.name, "version": v.version, "metric": metric, "distance": d, "millis": t.phases()})
	return nil
}

// cosineDistance returns 1 − cos of the activations of a layer.
func (s *Server) cosineDistance(r *http.Request, v view, layer string, files [][]byte, t *spent) (float64, error) {
	res, err := s.computePictures(r, v, files, []string{layer}, t)
	if err != nil {
		return 0, err
	}
	n := len(res.data[layer]) / 2
	var ab, aa, bb float64
	for i, x := range res.data[layer][:n] {
		a, b := float64(x), float64(res.data[layer][n+i])
		ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
	}
	d := 1 - ab/math.Sqrt(aa*bb)
	if math.IsNaN(d) {
		return 0, faultf(http.StatusUnprocessableEntity, "the activation of %s is zero for one of the pictures, which has no angle", layer)
	}
	return max(d, 0), nil
}

// perceptualDistance returns a metric of the two pictures as the network sees them:
// resized and cut to its input.
func (s *Server) perceptualDistance(ctx context.Context, v view, metric string, files [][]byte, t *spent) (float64, error) {
	cfg := v.model.Config()
	h, w := cfg.Input()
	var inputs [2][]float32
	start, left := time.Now(), s.opts.maxPixels
	for i, name := range []string{"picture a", "picture b"} {
		inputs[i] = make([]float32, 3*h*w)
		pixels, err := s.decode(ctx, name, files[i], left, func(img image.Image) error {
			tr := picture.Transform{Side: v.model.Picture().Side, Size: h, Width: w, Preset: picture.Unit}
			return tr.Apply(inputs[i], img)
		})
		if err != nil {
			return 0, err
		}
		left = max(left-pixels, 1)
	}
	t.decode = time.Since(start)
	start = time.Now()
	end, err := s.apart.begin(ctx, v.loaded)
	t.queue = time.Since(start)
	if err != nil {
		return 0, err
	}
	defer end()
	session, err := s.apart.sessionOf(v.loaded, metric)
	if err != nil {
		return 0, err
	}
	start = time.Now()
	d, err := session.Distance(ctx, inputs[0], inputs[1])
	t.compute = time.Since(start)
	return d, err
}
