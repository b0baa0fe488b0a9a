package serve

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nonet-go/nonet/serve/oip"
)

// serverName is the server's in the protocol.
const serverName = "nonet"

// extensions are those of the protocol that the server has.
var extensions = []string{"classification", "model_configuration", "model_repository", "model_repository(unload_dependents)", "statistics", "binary_tensor_data", "parameters"}

// failing is a handler that may return an error.
type failing func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (f failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		writeError(w, err)
	}
}

// routesV2 are those of the protocol over REST.
func (s *Server) routesV2() []route {
	list := []route{
		{"GET /v2", failing(s.serverMetadata)},
		{"GET /v2/health/live", failing(s.serverLive)},
		{"GET /v2/health/ready", failing(s.serverReady)},
		{"GET /v2/models/stats", failing(s.allStatistics)},
		{"POST /v2/repository/index", failing(s.repositoryIndex)},
		{"POST /v2/repository/models/{name}/load", failing(s.repositoryLoad)},
		{"POST /v2/repository/models/{name}/unload", failing(s.repositoryUnload)},
	}
	for _, path := range []string{"/v2/models/{name}", "/v2/models/{name}/versions/{version}"} {
		list = append(list,
			route{"GET " + path, failing(s.modelMetadata)},
			route{"GET " + path + "/ready", failing(s.modelReady)},
			route{"GET " + path + "/config", failing(s.modelConfig)},
			route{"GET " + path + "/stats", failing(s.modelStatistics)},
			route{"POST " + path + "/infer", failing(s.inferREST)})
	}
	return list
}

func (s *Server) serverMetadata(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{"name": serverName, "version": version(), "extensions": extensions})
	return nil
}

func (s *Server) serverLive(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	return nil
}

func (s *Server) serverReady(w http.ResponseWriter, _ *http.Request) error {
	if !s.Ready() {
		return faultf(http.StatusServiceUnavailable, "a network is not loaded, or the server is ending")
	}
	writeJSON(w, http.StatusOK, map[string]bool{"ready": true})
	return nil
}

// view returns the network that a path names.
func (s *Server) view(r *http.Request) (view, error) {
	return s.repository.lookup(r.PathValue("name"), r.PathValue("version"))
}

func (s *Server) modelReady(w http.ResponseWriter, r *http.Request) error {
	v, err := s.view(r)
	if err == nil {
		writeJSON(w, http.StatusOK, map[string]any{"name": v.name(), "ready": true})
	}
	return err
}

// tensorMetadata describes an input or output.
type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// inputs describes the view's input.
func (v view) inputs() []tensorMetadata {
	if v.image {
		return []tensorMetadata{{imageTensor, oip.BYTES, []int64{-1}}}
	}
	return []tensorMetadata{{inputTensor, oip.FP32, append([]int64{-1}, v.inputShape()...)}}
}

// outputs describes the outputs that a request gets that names none.
func (v view) outputs() (list []tensorMetadata) {
	for _, name := range v.outputNames() {
		layer, err := v.layerOf(name)
		if err != nil {
			panic(err) // the network's own
		}
		list = append(list, tensorMetadata{name, oip.FP32, batched(-1, v.shapes[layer])})
	}
	return list
}

// platform is what metadata call the kind of the network.
const platform = "nonet_vgg"

func (s *Server) modelMetadata(w http.ResponseWriter, r *http.Request) error {
	v, err := s.view(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"name": v.name(), "versions": s.versionsOf(v), "platform": platform, "inputs": v.inputs(), "outputs": v.outputs()})
	return nil
}

// versionsOf lists the versions of a network that are ready.
func (s *Server) versionsOf(v view) []string {
	var list []string
	for _, m := range s.repository.all() {
		if m.name == v.loaded.name {
			list = append(list, m.version)
		}
	}
	return list
}

// configTensor describes an input or output of a model configuration, whose dims are
// without the batch.
type configTensor struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Format   string  `json:"format,omitempty"`
	Dims     []int64 `json:"dims"`
}

// config describes a tensor as a model configuration does.
func (t tensorMetadata) config(format string) configTensor {
	c := configTensor{t.Name, "TYPE_FP32", format, t.Shape[1:]}
	if t.Datatype == oip.BYTES {
		c.DataType, c.Format = "TYPE_STRING", "FORMAT_NONE"
	}
	if len(c.Dims) == 0 {
		c.Dims = t.Shape // without batch dimension
	}
	return c
}

// maxBatchSize is that of the model configuration: 0 where the batch is a dimension like
// others.
func (s *Server) maxBatchSize(v view) int {
	if v.image {
		return 0
	}
	return s.opts.maxPictures
}

// modelConfiguration is what the protocol's extension of that name tells.
type modelConfiguration struct {
	Name            string         `json:"name"`
	Platform        string         `json:"platform"`
	Backend         string         `json:"backend"`
	MaxBatchSize    int            `json:"max_batch_size"`
	Input           []configTensor `json:"input"`
	Output          []configTensor `json:"output"`
	DynamicBatching map[string]any `json:"dynamic_batching"`
}

// config returns a network's configuration.
func (s *Server) config(v view) modelConfiguration {
	var outputs []configTensor
	for _, t := range v.outputs() {
		c := t.config("")
		if v.image {
			c.Dims = t.Shape
		}
		outputs = append(outputs, c)
	}
	return modelConfiguration{
		Name: v.name(), Platform: platform, Backend: serverName, MaxBatchSize: s.maxBatchSize(v),
		Input: []configTensor{v.inputs()[0].config("FORMAT_NCHW")}, Output: outputs,
		DynamicBatching: map[string]any{"preferred_batch_size": []int{s.opts.maxBatch}, "max_queue_delay_microseconds": s.opts.maxDelay.Microseconds()},
	}
}

func (s *Server) modelConfig(w http.ResponseWriter, r *http.Request) error {
	v, err := s.view(r)
	if err == nil {
		writeJSON(w, http.StatusOK, s.config(v))
	}
	return err
}

func (s *Server) modelStatistics(w http.ResponseWriter, r *http.Request) error {
	v, err := s.view(r)
	if err == nil {
		writeJSON(w, http.StatusOK, map[string]any{"model_stats": []statisticsJSON{s.statistics(v.name(), v.version).tell(v.name(), v.version, v.loaded)}})
	}
	return err
}

func (s *Server) allStatistics(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{"model_stats": s.tellAll()})
	return nil
}

// tellAll returns the statistics of all networks, under each of their names.
func (s *Server) tellAll() []statisticsJSON {
	list := []statisticsJSON{}
	for _, m := range s.repository.all() {
		for _, v := range []view{{m, false}, {m, true}} {
			list = append(list, s.statistics(v.name(), v.version).tell(v.name(), v.version, m))
		}
	}
	return list
}

// inferREST answers an inference request.
func (s *Server) inferREST(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	v, err := s.view(r)
	if err != nil {
		return err
	}
	header := int64(-1)
	if text := r.Header.Get(oip.HeaderLength); text != "" {
		if header, err = strconv.ParseInt(text, 10, 64); err != nil || header < 0 {
			return faultf(http.StatusBadRequest, "%s: %s, want a number from 0", oip.HeaderLength, shorten(text))
		}
	}
	req, err := oip.Decode(r.Body, header, v.limits(&s.opts))
	if err != nil {
		return err
	}
	if err := drained(r.Body); err != nil {
		return err
	}
	resp, err := s.infer(r.Context(), v, req, time.Since(begin))
	if err != nil {
		return err // what is being computed may yet read the request
	}
	req.Release()
	return writeResponse(w, r, resp)
}

// drained reads the body's end, so that the server notices if the client goes. There is
// nothing but the end to read, else the reader of the body would have said so.
func drained(body io.Reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, 1))
	return err
}

// writeResponse writes the answer to an inference request.
func writeResponse(w http.ResponseWriter, r *http.Request, resp *oip.Response) error {
	out, finish := compressing(w, r)
	if !resp.IsBinary() {
		w.Header().Set("Content-Type", "application/json")
		_ = resp.WriteJSON(out) // the client has gone
		finish()
		return nil
	}
	head, err := resp.Head()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(oip.HeaderLength, strconv.Itoa(len(head)))
	if w.Header().Get("Content-Encoding") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(head)+resp.BinarySize()))
	}
	if _, err := out.Write(head); err == nil {
		_ = resp.WriteBinary(out)
	}
	finish()
	return nil
}

// compressor is a gzip.Writer or a zlib.Writer, each of which takes a megabyte.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// compressors keeps those of each Content-Encoding that have done.
var compressors = map[string]*sync.Pool{
	"gzip": {New: func() any {
		c, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		return c
	}},
	"deflate": {New: func() any {
		c, _ := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed)
		return c
	}},
}

// compressing returns a writer that compresses as the client asks for first of all.
func compressing(w http.ResponseWriter, r *http.Request) (out io.Writer, finish func()) {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Encoding"), ",")
	first = strings.TrimSpace(first)
	pool := compressors[first]
	if pool == nil {
		return w, func() {}
	}
	c := pool.Get().(compressor)
	c.Reset(w)
	w.Header().Set("Content-Encoding", first)
	w.Header().Add("Vary", "Accept-Encoding")
	return c, func() {
		_ = c.Close()
		c.Reset(io.Discard)
		pool.Put(c)
	}
}

// repositoryRequest is the body of requests to the repository.
type repositoryRequest struct {
	Ready      bool           `json:"ready"`
	Parameters map[string]any `json:"parameters"`
}

// readRepositoryRequest reads it; an empty body is one as well.
func readRepositoryRequest(w http.ResponseWriter, r *http.Request) (req repositoryRequest, err error) {
	err = readJSON(http.MaxBytesReader(w, r.Body, 1<<20), &req)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return req, err
}

func (s *Server) repositoryIndex(w http.ResponseWriter, r *http.Request) error {
	req, err := readRepositoryRequest(w, r)
	if err == nil {
		writeJSON(w, http.StatusOK, s.repository.index(req.Ready))
	}
	return err
}

func (s *Server) repositoryLoad(w http.ResponseWriter, r *http.Request) error {
	req, err := readRepositoryRequest(w, r)
	if err != nil {
		return err
	}
	if err := s.loadFromOutside(r.Context(), r.PathValue("name"), len(req.Parameters) > 0); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{})
	return nil
}

func (s *Server) repositoryUnload(w http.ResponseWriter, r *http.Request) error {
	if _, err := readRepositoryRequest(w, r); err != nil {
		return err
	}
	if err := s.unloadFromOutside(r.PathValue("name")); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{})
	return nil
}
