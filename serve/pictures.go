package serve

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nonet-go/nonet/serve/oip"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// routesV1 are those of pictures.
func (s *Server) routesV1() []route {
	return []route{
		{"GET /v1/models", failing(s.listModels)},
		{"GET /v1/models/{name}/layers", failing(s.listLayers)},
		{"POST /v1/classify", failing(s.classify)},
		{"POST /v1/features", failing(s.features)},
		{"POST /v1/explain", failing(s.explain)},
		{"POST /v1/distance", failing(s.distance)},
		{"POST /v1/similar", failing(s.similar)},
	}
}

// millis is a time as JSON has it here: milliseconds.
type millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1e3, 'f', -1, 64), nil
}

// phases are the times of a request as JSON has them.
type phases struct {
	Body    millis `json:"body"`
	Decode  millis `json:"decode"`
	Queue   millis `json:"queue"`
	Compute millis `json:"compute"`
}

func (t spent) phases() phases {
	return phases{millis(t.body), millis(t.decode), millis(t.queue), millis(t.compute)}
}

// chosen returns the network that ?model= and ?version= name.
func (s *Server) chosen(q url.Values) (view, error) {
	name := q.Get("model")
	if name == "" {
		var err error
		if name, err = s.repository.first(); err != nil {
			return view{}, err
		}
	}
	v, err := s.repository.lookup(name, q.Get("version"))
	v.image = true
	return v, err
}

// known refuses parameters of a query that are misspelled.
func known(q url.Values, names ...string) error {
	for name := range q {
		if !slices.Contains(names, name) {
			return faultf(http.StatusBadRequest, "there is no parameter %s, want one of %s", shorten(name), strings.Join(names, ", "))
		}
	}
	return nil
}

// readPictures reads pictures: the body itself, or the fields of those names of a form.
func readPictures(r *http.Request, fields ...string) ([][]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		if len(fields) > 1 {
			return nil, faultf(http.StatusBadRequest, "want a form of type multipart/form-data with the pictures %s", strings.Join(fields, " and "))
		}
		b, err := io.ReadAll(r.Body)
		if err == nil && len(b) == 0 {
			err = faultf(http.StatusBadRequest, "the body is empty, want a picture")
		}
		return [][]byte{b}, err
	}
	return readForm(multipart.NewReader(r.Body, params["boundary"]), fields)
}

// readForm reads the fields of a form, each of which is to be there once.
func readForm(form *multipart.Reader, fields []string) ([][]byte, error) {
	list := make([][]byte, len(fields))
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, asFormError(err)
		}
		i := slices.Index(fields, part.FormName())
		if i < 0 || list[i] != nil {
			return nil, faultf(http.StatusBadRequest, "the form's field %s, want %s, each once", shorten(part.FormName()), strings.Join(fields, " and "))
		}
		if list[i], err = io.ReadAll(part); err != nil {
			return nil, asFormError(err)
		}
	}
	for i, b := range list {
		if len(b) == 0 {
			return nil, faultf(http.StatusBadRequest, "the form has no picture %s", fields[i])
		}
	}
	return list, nil
}

// asFormError makes what is wrong with a form an error of the client's.
func asFormError(err error) error {
	if code, _ := status(err); code == http.StatusInternalServerError && strings.HasPrefix(err.Error(), "multipart: ") {
		return faultf(http.StatusBadRequest, "the form is damaged: %v", err)
	}
	return err
}

// computePictures computes layers of one or several pictures for a request of /v1.
func (s *Server) computePictures(r *http.Request, v view, files [][]byte, layers []string, t *spent) (res *results, err error) {
	begin := time.Now()
	stats := s.statistics(v.name(), v.version)
	defer func() { s.finished(r.Context(), v, stats, *t, time.Since(begin)+t.body, err) }()
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.timeout)
	defer cancel()
	t.pictures = len(files)
	return s.compute(ctx, v.loaded, stats, layers, t, func(ctx context.Context) ([][]float32, error) {
		return s.prepare(ctx, v.loaded, files)
	})
}

// classify answers POST /v1/classify.
func (s *Server) classify(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	q := r.URL.Query()
	if err := known(q, "model", "version", "top"); err != nil {
		return err
	}
	v, err := s.chosen(q)
	if err != nil {
		return err
	}
	top, err := topOf(q, math.MaxInt)
	if err != nil {
		return err
	}
	if v.classes() == 0 {
		return faultf(http.StatusBadRequest, "%s has no classes", v.loaded.name)
	}
	files, err := readPictures(r, "image")
	if err != nil {
		return err
	}
	t := spent{body: time.Since(begin)}
	res, err := s.computePictures(r, v, files, []string{v.last()}, &t)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Model       string           `json:"model"`
		Version     string           `json:"version"`
		Predictions []vgg.Prediction `json:"predictions"`
		Millis      phases           `json:"millis"`
	}{v.loaded.name, v.version, v.model.Top(res.data[v.last()], top), t.phases()})
	return nil
}

// features answers POST /v1/features.
func (s *Server) features(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	q := r.URL.Query()
	if err := known(q, "model", "version", "layer", "format"); err != nil {
		return err
	}
	format := cmp.Or(q.Get("format"), "json")
	if !slices.Contains([]string{"json", "binary", "safetensors"}, format) {
		return faultf(http.StatusBadRequest, "format=%s, want json, binary or safetensors", shorten(format))
	}
	v, err := s.chosen(q)
	if err != nil {
		return err
	}
	names := strings.Split(cmp.Or(q.Get("layer"), v.last()), ",")
	var outputs []oip.Output
	for _, name := range names {
		outputs = append(outputs, oip.Output{Name: name})
	}
	layers, err := v.layersOf(outputs)
	if err != nil {
		return err
	}
	files, err := readPictures(r, "image")
	if err != nil {
		return err
	}
	t := spent{body: time.Since(begin)}
	res, err := s.computePictures(r, v, files, layers, &t)
	if err != nil {
		return err
	}
	list := v.activations(names, res)
	switch format {
	case "binary":
		writeRaw(w, list)
	case "safetensors":
		_ = weights.Write(w, asTensors(w, list), map[string]string{"model": v.loaded.name, "version": v.version}) // else the client has gone
	default:
		writeFeatures(w, v, list, t)
	}
	return nil
}

// activation is that of a layer for one picture.
type activation struct {
	layer string // as it was asked for
	shape vgg.Shape
	data  []float32
}

// activations are those of layers, by the names that the client has for them.
func (v view) activations(names []string, res *results) (list []activation) {
	for _, name := range names {
		layer, err := v.layerOf(name)
		if err != nil {
			panic(err) // it was computed
		}
		list = append(list, activation{name, res.shapes[layer], res.data[layer]})
	}
	return list
}

// dims returns the shape of an activation as JSON has it.
func dims(s vgg.Shape) []int { return []int{s.C, s.H, s.W} }

// shapesHeader says which layers follow each other in an answer with binary data, and
// their shapes: conv1_1=64,32,32;fc8=10,1,1.
const shapesHeader = "Nonet-Shapes"

// writeRaw writes activations one behind the other, as little-endian float32.
func writeRaw(w http.ResponseWriter, list []activation) {
	resp := &oip.Response{}
	var shapes []string
	for _, a := range list {
		resp.Outputs, resp.Binary = append(resp.Outputs, oip.Tensor{Floats: a.data}), append(resp.Binary, true)
		shapes = append(shapes, fmt.Sprintf("%s=%d,%d,%d", a.layer, a.shape.C, a.shape.H, a.shape.W))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(shapesHeader, strings.Join(shapes, ";"))
	_ = resp.WriteBinary(w) // else the client has gone
}

// asTensors makes activations the tensors [1][C][H][W] of a safetensors file.
func asTensors(w http.ResponseWriter, list []activation) (tensors []weights.Out) {
	for _, a := range list {
		tensors = append(tensors, weights.Out{Name: a.layer, DType: weights.F32, Shape: append([]int{1}, dims(a.shape)...), Floats: a.data})
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	return tensors
}

// writeFeatures writes activations as JSON, piece by piece.
func writeFeatures(w http.ResponseWriter, v view, list []activation, t spent) {
	w.Header().Set("Content-Type", "application/json")
	var err error
	write := func(text string) {
		if err == nil {
			_, err = io.WriteString(w, text)
		}
	}
	write(`{"model":` + marshal(v.loaded.name) + `,"version":` + marshal(v.version) + `,"millis":` + marshal(t.phases()) + `,"features":[`)
	for i, a := range list {
		if i > 0 {
			write(",")
		}
		write(`{"layer":` + marshal(a.layer) + `,"shape":` + marshal(dims(a.shape)) + `,"data":`)
		oip.WriteFloats(w, a.data, &err)
		write("}")
	}
	write("]}\n")
}

// modelJSON describes a network.
type modelJSON struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Ready   bool     `json:"ready"` // true: only those are listed
	Input   []int64  `json:"input"` // channels, height, width
	Classes int      `json:"classes"`
	Labels  []string `json:"labels,omitempty"`
	Layers  int      `json:"layers"`
	Params  int64    `json:"params"`
	MACs    int64    `json:"macs"`
	Bytes   int64    `json:"bytes"`   // of the weights in memory
	Metrics []string `json:"metrics"` // of POST /v1/distance
	Similar bool     `json:"similar"` // POST /v1/similar finds neighbours
	Opened  string   `json:"opened"`
}

// listModels answers GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	list := []modelJSON{}
	total := int64(0)
	for _, m := range s.repository.all() {
		sum := m.model.Summary()
		list = append(list, modelJSON{m.name, m.version, true, m.inputShape(), m.classes(), m.model.Labels(), len(sum.Layers),
			sum.Params, sum.MACs, m.bytes(), m.metricNames(), m.collection != nil, m.opened.UTC().Format(time.RFC3339)})
		total += m.bytes()
	}
	writeJSON(w, http.StatusOK, map[string]any{"models": list, "bytes": total})
	return nil
}

// layerJSON describes a layer of a network.
type layerJSON struct {
	Name       string  `json:"name"`
	Kind       string  `json:"kind"`
	Algorithm  string  `json:"algorithm,omitempty"`
	Shape      []int   `json:"shape"` // channels, height, width
	Parameters int64   `json:"parameters"`
	MACs       int64   `json:"macs"`
	Bytes      int64   `json:"activation_bytes"`
	Millis     *millis `json:"millis"` // of one picture when the network was loaded; null for a pool that the convolution before it computes
}

// listLayers answers GET /v1/models/{name}/layers.
func (s *Server) listLayers(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := known(q, "version"); err != nil {
		return err
	}
	v, err := s.repository.lookup(r.PathValue("name"), q.Get("version"))
	if err != nil {
		return err
	}
	var list []layerJSON
	for _, l := range v.model.Summary().Layers {
		line := layerJSON{Name: l.Name, Kind: l.Kind, Algorithm: l.Algorithm, Shape: dims(l.Output), Parameters: l.Params, MACs: l.MACs, Bytes: l.Bytes}
		for _, t := range v.times {
			if t.Layer == l.Name {
				ms := millis(t.Time)
				line.Millis = &ms
			}
		}
		list = append(list, line)
	}
	writeJSON(w, http.StatusOK, map[string]any{"name": v.loaded.name, "version": v.version, "layers": list})
	return nil
}
