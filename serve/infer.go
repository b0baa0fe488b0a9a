package serve

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nonet-go/nonet/serve/oip"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// The names that tensors of the protocol have.
const (
	inputTensor   = "input"         // FP32 [-1,C,H,W]
	imageTensor   = "image"         // BYTES [-1]
	logits        = "logits"        // FP32 [-1,classes]
	probabilities = "probabilities" // FP32 [-1,classes]: softmax of the logits
)

// outputNames are the outputs of a network that a request gets that names none.
func (l *loaded) outputNames() []string {
	if l.classes() > 0 {
		return []string{logits, probabilities}
	}
	return []string{l.last()}
}

// layerOf returns the layer that an output comes from.
func (l *loaded) layerOf(output string) (string, error) {
	if l.classes() > 0 && (output == logits || output == probabilities) {
		return l.last(), nil
	}
	layer, ok := l.layer(output)
	if !ok {
		return "", faultf(http.StatusBadRequest, "%s has no output %s: want %v, or a layer that GET /v1/models/%s/layers lists", l.name, shorten(output), l.outputNames(), l.name)
	}
	return layer, nil
}

// layersOf returns the layers that outputs come from, each once.
func (l *loaded) layersOf(outputs []oip.Output) (layers []string, err error) {
	for _, o := range outputs {
		layer, err := l.layerOf(o.Name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(layers, layer) {
			layers = append(layers, layer)
		}
	}
	return layers, nil
}

// limits are those of a request to a network.
func (v view) limits(o *options) oip.Limits {
	if v.image {
		return oip.Limits{Strings: o.maxPictures, Bytes: int(min(o.maxBody, math.MaxInt32))}
	}
	return oip.Limits{Numbers: o.maxPictures * v.inputLen()}
}

// infer answers a request of the protocol, whose body took some time.
func (s *Server) infer(ctx context.Context, v view, req *oip.Request, body time.Duration) (*oip.Response, error) {
	begin := time.Now()
	t := spent{body: body}
	stats := s.statistics(v.name(), v.version)
	resp, err := s.inferTimed(ctx, v, req, stats, &t)
	s.finished(ctx, v, stats, t, time.Since(begin)+body, err)
	return resp, err
}

// inferTimed is infer, and says where the time went.
func (s *Server) inferTimed(ctx context.Context, v view, req *oip.Request, stats *statistics, t *spent) (*oip.Response, error) {
	ctx, cancel, err := s.deadline(ctx, req.Parameters)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if t.pictures, err = v.checkInput(req, s.opts.maxPictures); err != nil {
		return nil, err
	}
	outputs := req.Outputs
	if len(outputs) == 0 {
		for _, name := range v.outputNames() {
			outputs = append(outputs, oip.Output{Name: name})
		}
	}
	layers, err := v.layersOf(outputs)
	if err != nil {
		return nil, err
	}
	res, err := s.compute(ctx, v.loaded, stats, layers, t, func(ctx context.Context) ([][]float32, error) {
		if v.image {
			return s.prepare(ctx, v.loaded, req.Inputs[0].Strings)
		}
		return v.split(req.Inputs[0].Floats, t.pictures)
	})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	defer func() { t.output = time.Since(start) }()
	return v.respond(req, outputs, res)
}

// respond makes the answer of the results.
func (v view) respond(req *oip.Request, outputs []oip.Output, res *results) (*oip.Response, error) {
	all, err := req.Parameters.Bool("binary_data_output")
	if err != nil {
		return nil, err
	}
	resp := &oip.Response{ModelName: v.name(), ModelVersion: v.version, ID: req.ID}
	for _, o := range outputs {
		tensor, err := v.output(o, res)
		if err != nil {
			return nil, err
		}
		asBinary := all
		if _, ok := o.Parameters["binary_data"]; ok {
			if asBinary, err = o.Parameters.Bool("binary_data"); err != nil {
				return nil, err
			}
		}
		resp.Outputs, resp.Binary = append(resp.Outputs, tensor), append(resp.Binary, asBinary)
	}
	return resp, nil
}

// deadline bounds the time of a request: by the server's, and by the parameter timeout,
// in µs.
func (s *Server) deadline(ctx context.Context, p oip.Parameters) (context.Context, context.CancelFunc, error) {
	limit := s.opts.timeout
	us, ok, err := p.Int("timeout")
	if err != nil {
		return nil, nil, err
	}
	if ok && us > 0 && us < limit.Microseconds() {
		limit = time.Duration(us) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, cancel, nil
}

// checkInput returns the number of pictures of a request whose only input is the view's.
func (v view) checkInput(req *oip.Request, most int) (int, error) {
	name, datatype, shape := inputTensor, oip.FP32, v.inputShape()
	if v.image {
		name, datatype, shape = imageTensor, oip.BYTES, nil
	}
	if len(req.Inputs) != 1 {
		return 0, faultf(http.StatusBadRequest, "%d inputs, want one, %s", len(req.Inputs), name)
	}
	in := &req.Inputs[0]
	if v.image && len(in.Shape) == 2 && in.Shape[1] == 1 { // as batched models of others have it
		in.Shape = in.Shape[:1]
	}
	switch {
	case in.Name != name:
		return 0, faultf(http.StatusBadRequest, "input %s, want %s", shorten(in.Name), name)
	case in.Datatype != datatype:
		return 0, faultf(http.StatusBadRequest, "input %s has datatype %s, want %s", name, shorten(in.Datatype), datatype)
	case len(in.Shape) != 1+len(shape) || !slices.Equal(in.Shape[1:], shape) || in.Shape[0] < 1:
		return 0, faultf(http.StatusBadRequest, "input %s has shape %v, want %v, where -1 stands for any number from 1", name, in.Shape, append([]int64{-1}, shape...))
	case in.Shape[0] > int64(most):
		return 0, faultf(http.StatusRequestEntityTooLarge, "%d pictures in one request, the limit is %d", in.Shape[0], most)
	}
	for _, key := range []string{"sequence_id", "sequence_start", "sequence_end"} {
		if v, ok := req.Parameters[key]; ok && v != false && v != int64(0) && v != "" {
			return 0, faultf(http.StatusBadRequest, "parameter %s: pictures are no sequence", key)
		}
	}
	return int(in.Shape[0]), nil
}

// split returns the pictures of a tensor, all of whose elements are to be finite.
func (v view) split(x []float32, n int) (list [][]float32, err error) {
	size := v.inputLen()
	for i := range n {
		p := x[i*size:][:size]
		if weights.NotFinite(p) >= 0 {
			return nil, faultf(http.StatusBadRequest, "picture %d of input %s has a NaN or an infinity", i, inputTensor)
		}
		list = append(list, p)
	}
	return list, nil
}

// compute computes some layers for the pictures that t counts, and prepare gives once they
// have a place in the queue.
func (s *Server) compute(ctx context.Context, l *loaded, stats *statistics, layers []string, t *spent, prepare func(context.Context) ([][]float32, error)) (*results, error) {
	n := t.pictures
	p, err := s.queue.Reserve(n)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	free, err := s.memory.take(l.resultBytes(n, layers))
	if err != nil {
		return nil, err
	}
	if keep, ok := ctx.Value(memoryKey{}).(*holder); ok {
		keep.add(free)
	} else {
		defer free()
	}
	start := time.Now()
	inputs, err := prepare(ctx)
	t.decode = time.Since(start)
	if err != nil {
		return nil, err
	}
	jobs := make([]*job, n)
	for i := range jobs {
		jobs[i] = &job{input: inputs[i], stats: stats}
	}
	set := l.layerSet(layers)
	times, err := p.Do(ctx, batchKey{l, set}, jobs)
	t.queue, t.compute = times.Queue, times.Compute
	if err != nil {
		return nil, err
	}
	return collect(l, set, jobs)
}

// results are the activations of some layers for some pictures.
type results struct {
	n      int
	shapes map[string]vgg.Shape
	data   map[string][]float32 // [n][C][H][W]
}

// collect joins the results of jobs. Layers of which a value is not finite are an error.
func collect(l *loaded, set string, jobs []*job) (*results, error) {
	r := &results{n: len(jobs), shapes: l.shapes, data: map[string][]float32{}}
	for i, layer := range splitSet(set) {
		data := jobs[0].result[i]
		if len(jobs) > 1 {
			data = make([]float32, 0, len(jobs)*len(data))
			for _, j := range jobs {
				data = append(data, j.result[i]...)
			}
		}
		if weights.NotFinite(data) >= 0 {
			return nil, faultf(http.StatusUnprocessableEntity, "the activation of %s is NaN or infinite for these pictures", layer)
		}
		r.data[layer] = data
	}
	return r, nil
}

// output makes an output tensor of the results.
func (v view) output(o oip.Output, r *results) (oip.Tensor, error) {
	layer, err := v.layerOf(o.Name)
	if err != nil {
		return oip.Tensor{}, err
	}
	t := oip.Tensor{Name: o.Name, Datatype: oip.FP32, Shape: batched(r.n, r.shapes[layer]), Floats: r.data[layer]}
	if o.Name == probabilities && v.classes() > 0 {
		t.Floats = softmax(t.Floats, v.classes())
	}
	classes, ok, err := o.Parameters.Int("classification")
	if err != nil || !ok || classes == 0 {
		return t, err
	}
	return v.classification(t, int(min(classes, math.MaxInt32)))
}

// batched returns the shape of n activations: vectors have no height and width.
func batched(n int, s vgg.Shape) []int64 {
	if s.H == 1 && s.W == 1 {
		return []int64{int64(n), int64(s.C)}
	}
	return []int64{int64(n), int64(s.C), int64(s.H), int64(s.W)}
}

// softmax returns the probabilities of rows of logits.
func softmax(logits []float32, classes int) []float32 {
	p := make([]float32, 0, len(logits))
	row := make([]float64, classes)
	for ; len(logits) > 0; logits = logits[classes:] {
		vgg.Softmax(row, logits[:classes])
		for _, v := range row {
			p = append(p, float32(v))
		}
	}
	return p
}

// classification makes a tensor of texts "value:class:label" of one of the values of
// classes, as the protocol's classification extension has it: the best first.
func (v view) classification(t oip.Tensor, top int) (oip.Tensor, error) {
	n := v.classes()
	if n == 0 || len(t.Shape) != 2 || t.Shape[1] != int64(n) {
		return t, faultf(http.StatusBadRequest, "output %s has no classes", shorten(t.Name))
	}
	top = min(top, n)
	row := make([]float64, n)
	var texts [][]byte
	for x := t.Floats; len(x) > 0; x = x[n:] {
		for i, value := range x[:n] {
			row[i] = float64(value)
		}
		for _, p := range v.model.Rank(row, top) {
			text := fmt.Sprintf("%f:%d", p.Probability, p.Class)
			if len(v.model.Labels()) > 0 {
				text += ":" + p.Label
			}
			texts = append(texts, []byte(text))
		}
	}
	return oip.Tensor{Name: t.Name, Datatype: oip.BYTES, Shape: []int64{t.Shape[0], int64(top)}, Strings: texts}, nil
}

// prepare decodes pictures and makes network inputs of them.
func (s *Server) prepare(ctx context.Context, l *loaded, files [][]byte) (list [][]float32, err error) {
	left := s.opts.maxPixels
	for i, file := range files {
		name := "the picture"
		if len(files) > 1 {
			name = fmt.Sprint("picture ", i)
		}
		x, pixels, err := s.prepareOne(ctx, l, name, file, left)
		if err != nil {
			return nil, err
		}
		list, left = append(list, x), max(left-pixels, 1)
	}
	return list, nil
}

// prepareOne decodes a picture of at most so many pixels, when a decoder is free.
func (s *Server) prepareOne(ctx context.Context, l *loaded, name string, file []byte, most int) (x []float32, pixels int, err error) {
	x = make([]float32, l.inputLen())
	pixels, err = s.decode(ctx, name, file, most, func(img image.Image) error { return l.model.Prepare(x, img) })
	return x, pixels, err
}

// decode decodes a picture of at most so many pixels, when a decoder is free, which use has
// as long as it works.
func (s *Server) decode(ctx context.Context, name string, file []byte, most int, use func(image.Image) error) (pixels int, err error) {
	select {
	case s.decoders <- struct{}{}:
		defer func() { <-s.decoders }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	img, err := picture.Decode(name, bytes.NewReader(file), picture.MaxPixels(most), picture.Context(ctx))
	if err != nil {
		return 0, asPictureError(ctx, err)
	}
	b := img.Bounds()
	return b.Dx() * b.Dy(), use(img)
}

// asPictureError gives an error of decoding its status.
func asPictureError(ctx context.Context, err error) error {
	code, _ := status(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case code == http.StatusInternalServerError: // what is wrong with a file is its sender's
		return &fault{http.StatusBadRequest, strings.TrimPrefix(err.Error(), "picture: ")}
	}
	return err
}
