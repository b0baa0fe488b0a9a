package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

// smallModel is a network that takes no time: configuration D with 1/32 of the channels.
func smallModel(seed uint64) (*vgg.Model, error) {
	cfg, err := vgg.Lookup("D")
	if err != nil {
		return nil, err
	}
	cfg = cfg.Divide(32).WithSize(32).WithClasses(10)
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		return nil, err
	}
	labels := strings.Fields("zero one two three four five six seven eight nine")
	return vgg.New(cfg, src, vgg.Labels(labels))
}

func small(context.Context) (*vgg.Model, error) { return smallModel(1) }

// testServer is a server with its networks loaded, behind a real connection.
type testServer struct {
	*Server
	t   testing.TB
	url string
	log *testutil.Said
	m   *vgg.Model // of the network small
}

// serveTest starts a server of the network small, and of more.
func serveTest(t testing.TB, more []Source, opts ...Option) *testServer {
	t.Helper()
	log := &testutil.Said{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(append([]Source{{Name: "small", Open: small}}, more...), append([]Option{Log(logger), Workers(2)}, opts...)...)
	require.NoError(t, err)
	require.False(t, s.Ready())
	require.NoError(t, s.Load(t.Context()))
	h := httptest.NewUnstartedServer(s)
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetHTTP1(true)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	h.Start()
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
		defer cancel()
		require.NoError(t, s.Close(ctx))
		require.Zero(t, s.memory.now(), "memory of requests is left")
	})
	m, err := small(t.Context())
	require.NoError(t, err)
	return &testServer{s, t, h.URL, log, m}
}

// do sends a request and returns the status, header and body of the answer.
func (s *testServer) do(method, path string, body []byte, header ...string) (int, http.Header, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.(*http.Transport).RoundTrip(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	if resp.Close { // the transport has taken the header off
		resp.Header.Set("Connection", "close")
	}
	return resp.StatusCode, resp.Header, b
}

// json sends a request whose answer is JSON, as every error is.
func (s *testServer) json(code int, method, path string, body []byte, header ...string) map[string]any {
	s.t.Helper()
	got, h, b := s.do(method, path, body, header...)
	require.Equal(s.t, code, got, "%s %s: %s", method, path, b)
	require.Equal(s.t, "application/json", h.Get("Content-Type"), "%s", b)
	var v map[string]any
	require.NoError(s.t, json.Unmarshal(b, &v), "%s", b)
	if code >= 400 {
		require.NotEmpty(s.t, v["error"])
	}
	return v
}

// refused sends a request that is answered with an error that says something.
func (s *testServer) refused(code int, says, method, path string, body []byte, header ...string) {
	s.t.Helper()
	require.Contains(s.t, s.json(code, method, path, body, header...)["error"], says)
}

// tensorRequest is an inference request of n pictures as JSON.
func tensorRequest(x []float32, more string) []byte {
	n := len(x) / (3 * 32 * 32)
	data, _ := json.Marshal(x)
	return []byte(fmt.Sprintf(`{"id":"7","inputs":[{"name":"input","datatype":"FP32","shape":[%d,3,32,32],"data":%s}]%s}`, n, data, more))
}

// binaryRequest is the same with binary data; it returns the value of the header too.
func binaryRequest(x []float32, more string) (body []byte, header string) {
	n := len(x) / (3 * 32 * 32)
	head := fmt.Sprintf(`{"inputs":[{"name":"input","datatype":"FP32","shape":[%d,3,32,32],"parameters":{"binary_data_size":%d}}]%s}`, n, 4*len(x), more)
	b := bytes.NewBufferString(head)
	_ = binary.Write(b, binary.LittleEndian, x)
	return b.Bytes(), fmt.Sprint(len(head))
}

// answer is an inference response with its data.
type answer struct {
	ModelName    string `json:"model_name"`
	ModelVersion string `json:"model_version"`
	ID           string
	Outputs      []struct {
		Name, Datatype string
		Shape          []int
		Data           json.RawMessage
		Parameters     struct {
			Size *int `json:"binary_data_size"`
		}
		floats []float32
		raw    []byte
	}
}

func parseAnswer(t testing.TB, h http.Header, b []byte) (a answer) {
	t.Helper()
	head, tail := b, []byte(nil)
	if text := h.Get("Inference-Header-Content-Length"); text != "" {
		var n int
		_, err := fmt.Sscan(text, &n)
		require.NoError(t, err)
		head, tail = b[:n], b[n:]
	}
	require.NoError(t, json.Unmarshal(head, &a), "%s", head)
	for i := range a.Outputs {
		o := &a.Outputs[i]
		if o.Parameters.Size != nil {
			o.raw, tail = tail[:*o.Parameters.Size], tail[*o.Parameters.Size:]
			if o.Datatype == "FP32" {
				o.floats = make([]float32, len(o.raw)/4)
				require.NoError(t, binary.Read(bytes.NewReader(o.raw), binary.LittleEndian, o.floats))
			}
		} else if o.Datatype == "FP32" {
			require.NoError(t, json.Unmarshal(o.Data, &o.floats))
		}
	}
	require.Empty(t, tail)
	return a
}

func (s *testServer) infer(path string, body []byte, header ...string) answer {
	s.t.Helper()
	code, h, b := s.do("POST", path, body, header...)
	require.Equal(s.t, 200, code, "%s", b)
	return parseAnswer(s.t, h, b)
}

// logitsOf computes what the server is to answer, by a session for one picture.
func logitsOf(t testing.TB, m *vgg.Model, x []float32, layer string) (out []float32) {
	t.Helper()
	s, err := m.NewSession(vgg.Output(layer), vgg.Workers(1))
	require.NoError(t, err)
	size := 3 * 32 * 32
	for i := 0; i < len(x); i += size {
		y := make([]float32, s.OutputShape().Len())
		require.NoError(t, s.Run(t.Context(), y, x[i:i+size]))
		out = append(out, y...)
	}
	return out
}

// photo is a PNG picture.
func photo(seed, w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = uint8(i*seed>>3 ^ i/7)
	}
	for y := range h {
		for x := range w {
			img.Set(x, y, color.RGBA{uint8(x * seed), uint8(y * 3), uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

// prepared is the network's input of a photo.
func prepared(t testing.TB, m *vgg.Model, file []byte) []float32 {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(file))
	require.NoError(t, err)
	x := make([]float32, 3*32*32)
	require.NoError(t, m.Prepare(x, img))
	return x
}

// TestInfer: JSON and binary data in and out are the bits of a session.
func TestInfer(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(1, 3*3*32*32)
	want := logitsOf(t, s.m, x, "")
	binaryBody, header := binaryRequest(x, "")
	all, allHeader := binaryRequest(x, `,"parameters":{"binary_data_output":true}`)
	for _, path := range []string{"/v2/models/small/infer", "/v2/models/small/versions/1/infer"} {
		for _, a := range []answer{
			s.infer(path, tensorRequest(x, "")),
			s.infer(path, tensorRequest(x, `,"outputs":[{"name":"logits","parameters":{"binary_data":true}},{"name":"probabilities"}]`)),
			s.infer(path, binaryBody, "Inference-Header-Content-Length", header),
			s.infer(path, all, "Inference-Header-Content-Length", allHeader),
		} {
			require.Equal(t, "small", a.ModelName)
			require.Equal(t, "1", a.ModelVersion)
			require.Len(t, a.Outputs, 2)
			require.Equal(t, []int{3, 10}, a.Outputs[0].Shape)
			testutil.CheckBits(t, "logits", nil, a.Outputs[0].floats, want)
			p := make([]float64, 10)
			vgg.Softmax(p, want[10:20])
			require.Equal(t, float32(p[3]), a.Outputs[1].floats[13])
		}
	}
	require.Equal(t, "7", s.infer("/v2/models/small/infer", tensorRequest(x, "")).ID)
}

// TestLayers: any layer is an output by its name, several in one request.
func TestLayers(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(2, 2*3*32*32)
	a := s.infer("/v2/models/small/infer", tensorRequest(x, `,"outputs":[{"name":"fc7"},{"name":"relu2_1"},{"name":"logits"},{"name":"pool1"}]`))
	for i, layer := range []string{"fc7", "conv2_1", "fc8", "pool1"} {
		testutil.CheckBits(t, layer, nil, a.Outputs[i].floats, logitsOf(t, s.m, x, layer))
	}
	require.Equal(t, []int{2, 4, 16, 16}, a.Outputs[1].Shape)
	for i := range 6 { // more sets of layers than sessions are kept
		name := []string{"conv1_1", "conv1_2", "pool1", "pool2", "pool3", "conv1_1"}[i]
		a := s.infer("/v2/models/small/infer", tensorRequest(x, `,"outputs":[{"name":"`+name+`"}]`))
		testutil.CheckBits(t, name, nil, a.Outputs[0].floats, logitsOf(t, s.m, x, name))
	}
	require.LessOrEqual(t, len(s.repository.all()[0].sessions), keptSessions+1)
}

// TestImages: encoded pictures, binary or as base64.
func TestImages(t *testing.T) {
	s := serveTest(t, nil)
	a, b := photo(3, 40, 50), photo(5, 64, 33)
	want := append(logitsOf(t, s.m, prepared(t, s.m, a), ""), logitsOf(t, s.m, prepared(t, s.m, b), "")...)
	var tail bytes.Buffer
	for _, p := range [][]byte{a, b} {
		_ = binary.Write(&tail, binary.LittleEndian, uint32(len(p)))
		tail.Write(p)
	}
	head := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":%d}}],"outputs":[{"name":"logits"}]}`, tail.Len())
	got := s.infer("/v2/models/small-image/infer", append([]byte(head), tail.Bytes()...), "Inference-Header-Content-Length", fmt.Sprint(len(head)))
	require.Equal(t, "small-image", got.ModelName)
	testutil.CheckBits(t, "binary", nil, got.Outputs[0].floats, want)
	text := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[2,1],"parameters":{"content_type":"base64"},"data":[[%q],[%q]]}]}`,
		base64.StdEncoding.EncodeToString(a), base64.StdEncoding.EncodeToString(b))
	got = s.infer("/v2/models/small-image/versions/1/infer", []byte(text))
	testutil.CheckBits(t, "base64", nil, got.Outputs[0].floats, want)
}

// TestClassification: the extension of that name.
func TestClassification(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(3, 2*3*32*32)
	a := s.infer("/v2/models/small/infer", tensorRequest(x, `,"outputs":[{"name":"probabilities","parameters":{"classification":2}}]`))
	var texts []string
	require.NoError(t, json.Unmarshal(a.Outputs[0].Data, &texts))
	require.Equal(t, []int{2, 2}, a.Outputs[0].Shape)
	top := s.m.Top(logitsOf(t, s.m, x, "")[10:], 2)
	require.Equal(t, fmt.Sprintf("%f:%d:%s", float32(top[1].Probability), top[1].Class, top[1].Label), texts[3])
	s.refused(400, "no classes", "POST", "/v2/models/small/infer", tensorRequest(x, `,"outputs":[{"name":"pool1","parameters":{"classification":2}}]`))
}

// TestCompressed: bodies with gzip and deflate, and answers that are asked for so.
func TestCompressed(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(4, 3*32*32)
	want := logitsOf(t, s.m, x, "")
	body, header := binaryRequest(x, `,"outputs":[{"name":"logits","parameters":{"binary_data":true}}]`)
	for _, kind := range []string{"gzip", "deflate"} {
		var b bytes.Buffer
		var w io.WriteCloser = gzip.NewWriter(&b)
		if kind == "deflate" {
			w = zlib.NewWriter(&b)
		}
		_, _ = w.Write(body)
		require.NoError(t, w.Close())
		code, h, out := s.do("POST", "/v2/models/small/infer", b.Bytes(), "Content-Encoding", kind, "Inference-Header-Content-Length", header, "Accept-Encoding", kind)
		require.Equal(t, 200, code, "%s", out)
		require.Equal(t, kind, h.Get("Content-Encoding"))
		var r io.Reader
		var err error
		if kind == "gzip" {
			r, err = gzip.NewReader(bytes.NewReader(out))
		} else {
			r, err = zlib.NewReader(bytes.NewReader(out))
		}
		require.NoError(t, err)
		out, err = io.ReadAll(r)
		require.NoError(t, err)
		testutil.CheckBits(t, kind, nil, parseAnswer(t, h, out).Outputs[0].floats, want)
		s.refused(400, "Content-Encoding", "POST", "/v2/models/small/infer", body, "Content-Encoding", kind)
	}
	s.refused(415, "br", "POST", "/v2/models/small/infer", body, "Content-Encoding", "br")
}

// TestMetadata: what clients ask of a server and its networks.
func TestMetadata(t *testing.T) {
	s := serveTest(t, []Source{{Name: "small", Version: "3", Open: small}, {Name: "other", Open: small}})
	require.Equal(t, "nonet", s.json(200, "GET", "/v2", nil)["name"])
	require.Equal(t, true, s.json(200, "GET", "/v2/health/live", nil)["live"])
	require.Equal(t, true, s.json(200, "GET", "/v2/health/ready", nil)["ready"])
	require.Equal(t, "ok", s.json(200, "GET", "/healthz", nil)["status"])
	require.Equal(t, true, s.json(200, "GET", "/v2/models/small/versions/1/ready", nil)["ready"])
	s.refused(404, "no network", "GET", "/v2/models/large/ready", nil)
	s.refused(404, "no version", "GET", "/v2/models/small/versions/2/ready", nil)
	m := s.json(200, "GET", "/v2/models/small", nil)
	require.Equal(t, []any{"3", "1"}, m["versions"])
	require.Equal(t, []any{map[string]any{"name": "input", "datatype": "FP32", "shape": []any{-1.0, 3.0, 32.0, 32.0}}}, m["inputs"])
	require.Equal(t, map[string]any{"name": "probabilities", "datatype": "FP32", "shape": []any{-1.0, 10.0}}, m["outputs"].([]any)[1])
	m = s.json(200, "GET", "/v2/models/small-image/versions/1", nil)
	require.Equal(t, []any{map[string]any{"name": "image", "datatype": "BYTES", "shape": []any{-1.0}}}, m["inputs"])
	c := s.json(200, "GET", "/v2/models/small/config", nil)
	require.Equal(t, []any{3.0, 32.0, 32.0}, c["input"].([]any)[0].(map[string]any)["dims"])
	require.Equal(t, 32.0, c["max_batch_size"])
	c = s.json(200, "GET", "/v2/models/small-image/config", nil)
	require.Equal(t, []any{-1.0}, c["input"].([]any)[0].(map[string]any)["dims"])
	require.Equal(t, "3", s.infer("/v2/models/small/infer", tensorRequest(testutil.Normal(1, 3*32*32), "")).ModelVersion)

	list := s.json(200, "GET", "/v1/models", nil)["models"].([]any)
	require.Len(t, list, 3)
	require.Equal(t, "zero", list[1].(map[string]any)["labels"].([]any)[0])
	s.refused(400, "several networks", "POST", "/v1/classify", photo(1, 9, 9))
}

// TestStatistics: pictures, batches and times are counted, for each of the names.
func TestStatistics(t *testing.T) {
	s := serveTest(t, nil)
	s.infer("/v2/models/small/infer", tensorRequest(testutil.Normal(1, 3*3*32*32), ""))
	s.refused(400, "shape", "POST", "/v2/models/small/infer", []byte(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}`))
	for _, path := range []string{"/v2/models/small/stats", "/v2/models/small/versions/1/stats", "/v2/models/stats"} {
		st := s.json(200, "GET", path, nil)["model_stats"].([]any)[0].(map[string]any)
		require.Equal(t, 3.0, st["inference_count"])
		require.Equal(t, 1.0, st["execution_count"])
		in := st["inference_stats"].(map[string]any)
		require.Equal(t, 1.0, in["success"].(map[string]any)["count"])
		require.Equal(t, 1.0, in["fail"].(map[string]any)["count"])
		require.Greater(t, in["compute_infer"].(map[string]any)["ns"], 0.0)
		require.Equal(t, 3.0, st["batch_stats"].([]any)[0].(map[string]any)["batch_size"])
	}
	require.Equal(t, 0.0, s.json(200, "GET", "/v2/models/small-image/stats", nil)["model_stats"].([]any)[0].(map[string]any)["inference_count"])
	_, _, text := s.do("GET", "/metrics", nil)
	for _, line := range []string{`nonet_pictures_total{model="small"} 3`, `nonet_inferences_total{code="400",model="small"} 1`, `nonet_batch_pictures_bucket{model="small",le="4"} 1`,
		`nonet_phase_seconds_count{model="small",phase="queue"} 1`, `nonet_pictures_in_flight 0`, `nonet_model_bytes{model="small",version="1"}`, "nonet_ready 1",
		`nonet_requests_total{code="200",method="POST",path="/v2/models/{name}/infer"} 1`, "process_resident_memory_bytes", "go_goroutines"} {
		require.Contains(t, string(text), line)
	}
}

// TestRefusals: what is wrong with a request is told with its status.
func TestRefusals(t *testing.T) {
	s := serveTest(t, nil, MaxBody(1<<18), MaxPictures(4), MaxPixels(5000))
	const path = "/v2/models/small/infer"
	x := testutil.Normal(1, 3*32*32)
	nan := append([]float32(nil), x...)
	nan[77] = float32(math.NaN())
	nanBody, nanHeader := binaryRequest(nan, "")
	good, header := binaryRequest(x, "")
	replace := func(old, new string) []byte { return bytes.Replace(tensorRequest(x, ""), []byte(old), []byte(new), 1) }
	for _, c := range []struct {
		code   int
		says   string
		path   string
		body   []byte
		header []string
	}{
		{400, "ends too early", path, nil, nil},
		{400, "want '{'", path, []byte("[1]"), nil},
		{404, "no network", "/v2/models/none/infer", good, nil},
		{400, "want input", path, replace("input\"", "x\""), nil},
		{400, "want FP32", path, replace("FP32", "FP64"), nil},
		{400, "want [-1 3 32 32]", path, replace("[1,3,32,32]", "[1,32,32,3]"), nil},
		{400, "has 3072 elements", path, replace("[1,3,32,32]", "[2,3,32,32]"), nil},
		{400, "shape", path, replace("[1,3,32,32]", "[1099511627776,3,32,32]"), nil},
		{413, "more than 12288 numbers", path, []byte(`{"inputs":[{"data":[` + strings.Repeat("0,", 13000)), nil},
		{413, "more than 262144 bytes", path, append([]byte(`{"x":[`), bytes.Repeat([]byte("0,"), 1<<18)...), nil},
		{400, "no output", path, tensorRequest(x, `,"outputs":[{"name":"conv9_9"}]`), nil},
		{400, "NaN", path, nanBody, []string{"Inference-Header-Content-Length", nanHeader}},
		{400, "Inference-Header", path, good, nil},
		{400, "ends within", path, good[:len(good)-4], []string{"Inference-Header-Content-Length", header}},
		{400, "goes on", path, append(good[:len(good):len(good)], 0), []string{"Inference-Header-Content-Length", header}},
		{400, "want a number", path, good, []string{"Inference-Header-Content-Length", "-4"}},
		{400, "timeout", path, tensorRequest(x, `,"parameters":{"timeout":"soon"}`), nil},
		{400, "no sequence", path, tensorRequest(x, `,"parameters":{"sequence_id":5}`), nil},
		{400, "top", "/v1/classify?top=0", photo(1, 9, 9), nil},
		{400, "no parameter", "/v1/classify?topp=3", photo(1, 9, 9), nil},
		{400, "the picture: no picture in a known format", "/v1/classify", []byte("no picture at all"), nil},
		{400, "empty", "/v1/classify", nil, nil},
		{400, "the picture", "/v1/classify", photo(3, 60, 60)[:120], nil},
		{413, "pixels", "/v1/classify", photo(1, 100, 100), nil},
		{400, "damaged", "/v1/classify", []byte("xx"), []string{"Content-Type", "multipart/form-data; boundary=a"}},
		{400, "format", "/v1/features?format=xml", photo(1, 9, 9), nil},
		{400, "no output", "/v1/features?layer=nix", photo(1, 9, 9), nil},
	} {
		s.refused(c.code, c.says, "POST", c.path, c.body, c.header...)
	}
	s.refused(404, "nothing at", "GET", "/nix", nil)
	s.refused(404, "nothing at", "GET", "/", nil)
	s.refused(404, "nothing at", "GET", "/etc/passwd", nil)
	s.refused(405, "want POST", "GET", path, nil)
	s.refused(405, "want GET", "DELETE", "/v1/models", nil)
}

// TestClassify: a picture as it is, or in a form.
func TestClassify(t *testing.T) {
	s := serveTest(t, nil)
	file := photo(3, 40, 50)
	top := s.m.Top(logitsOf(t, s.m, prepared(t, s.m, file), ""), 3)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, _ := w.CreateFormFile("image", "p.png")
	_, _ = part.Write(file)
	require.NoError(t, w.Close())
	for _, a := range []map[string]any{
		s.json(200, "POST", "/v1/classify?top=3", file, "Content-Type", "image/png"),
		s.json(200, "POST", "/v1/classify?top=3&model=small&version=1", form.Bytes(), "Content-Type", w.FormDataContentType()),
	} {
		require.Equal(t, "small", a["model"])
		list := a["predictions"].([]any)
		require.Len(t, list, 3)
		for i, p := range list {
			require.Equal(t, map[string]any{"class": float64(top[i].Class), "label": top[i].Label, "probability": top[i].Probability}, p)
		}
		require.Contains(t, a["millis"], "compute")
	}
}

// TestFeatures: activations as JSON and as a file of tensors.
func TestFeatures(t *testing.T) {
	s := serveTest(t, nil)
	file := photo(7, 33, 64)
	x := prepared(t, s.m, file)
	a := s.json(200, "POST", "/v1/features?layer=relu2_1,fc7", file)
	for i, layer := range []string{"conv2_1", "fc7"} {
		f := a["features"].([]any)[i].(map[string]any)
		require.Equal(t, []string{"relu2_1", "fc7"}[i], f["layer"])
		want := logitsOf(t, s.m, x, layer)
		data := f["data"].([]any)
		require.Len(t, data, len(want))
		for k := range want {
			require.Equal(t, want[k], float32(data[k].(float64)))
		}
	}
	code, h, b := s.do("POST", "/v1/features?layer=fc7,conv2_1&format=binary", file)
	require.Equal(t, 200, code)
	require.Equal(t, "fc7=128,1,1;conv2_1=4,16,16", h.Get("Nonet-Shapes"))
	floats := make([]float32, len(b)/4)
	require.NoError(t, binary.Read(bytes.NewReader(b), binary.LittleEndian, floats))
	testutil.CheckBits(t, "both", nil, floats, append(logitsOf(t, s.m, x, "fc7"), logitsOf(t, s.m, x, "conv2_1")...))

	code, h, b = s.do("POST", "/v1/features?layer=fc7,conv2_1&format=safetensors", file)
	require.Equal(t, 200, code)
	require.Equal(t, "application/octet-stream", h.Get("Content-Type"))
	n := binary.LittleEndian.Uint64(b)
	var head map[string]struct {
		Dtype   string
		Shape   []int
		Offsets []int `json:"data_offsets"`
	}
	require.NoError(t, json.Unmarshal(bytes.Replace(b[8:8+n], []byte(`"__metadata__"`), []byte(`"x"`), 1), &head))
	require.Equal(t, []int{1, 4, 16, 16}, head["conv2_1"].Shape)
	raw := b[8+int(n)+head["conv2_1"].Offsets[0] : 8+int(n)+head["conv2_1"].Offsets[1]]
	got := make([]float32, len(raw)/4)
	require.NoError(t, binary.Read(bytes.NewReader(raw), binary.LittleEndian, got))
	testutil.CheckBits(t, "conv2_1", nil, got, logitsOf(t, s.m, x, "conv2_1"))

	layers := s.json(200, "GET", "/v1/models/small/layers", nil)["layers"].([]any)
	require.Equal(t, "conv1_1", layers[0].(map[string]any)["name"])
	require.Greater(t, layers[0].(map[string]any)["millis"], 0.0)
}

// TestSameBits: whatever the load, a picture's result is that of a session of its own.
func TestSameBits(t *testing.T) {
	s := serveTest(t, nil)
	const clients, rounds = 12, 8
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for r := range rounds {
				x := testutil.Normal(uint64(c*rounds+r), (1+(c+r)%5)*3*32*32)
				body, header := binaryRequest(x, `,"outputs":[{"name":"`+[]string{"logits", "fc7"}[(c+r)%2]+`","parameters":{"binary_data":true}}]`)
				a := s.infer("/v2/models/small/infer", body, "Inference-Header-Content-Length", header)
				testutil.CheckBits(t, "logits", []int{c, r}, a.Outputs[0].floats, logitsOf(t, s.m, x, []string{"fc8", "fc7"}[(c+r)%2]))
			}
		})
	}
	wg.Wait()
}

// slow is a server whose executor is held until release is called.
func slow(t *testing.T, opts ...Option) (s *testServer, release func()) {
	s = serveTest(t, nil, opts...)
	p, err := s.queue.Reserve(1)
	require.NoError(t, err)
	gate := make(chan struct{})
	m := *s.repository.all()[0] // one whose computation waits
	held := make(chan struct{})
	once := sync.OnceFunc(func() { close(held) })
	s.hold = func() { once(); <-gate }
	go func() {
		defer p.Release()
		_, _ = p.Do(context.Background(), batchKey{&m, m.last()}, []*job{{input: make([]float32, m.inputLen())}})
	}()
	<-held
	return s, sync.OnceFunc(func() { close(gate) })
}

// TestFull: beyond the queue there are 429 with Retry-After, and health is answered.
func TestFull(t *testing.T) {
	s, release := slow(t, QueueSize(8), MaxPictures(8))
	defer release()
	x := testutil.Normal(1, 3*32*32)
	codes := make(chan int, 40)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			code, h, _ := s.do("POST", "/v2/models/small/infer", tensorRequest(x, ""))
			if code == 429 {
				require.NotEmpty(t, h.Get("Retry-After"))
			}
			codes <- code
		})
	}
	for range 33 { // 7 wait beside the one that is held
		require.Equal(t, 429, <-codes)
	}
	s.json(200, "GET", "/healthz", nil)
	s.json(200, "GET", "/v2/health/ready", nil)
	release()
	wg.Wait()
	for range 7 {
		require.Equal(t, 200, <-codes)
	}
	s.refused(413, "numbers", "POST", "/v2/models/small/infer", tensorRequest(testutil.Normal(1, 9*3*32*32), ""))
}

// TestTimeout: a request whose time is over gets 504, and is never computed.
func TestTimeout(t *testing.T) {
	s, release := slow(t, Timeout(time.Hour))
	defer release()
	x := testutil.Normal(1, 3*32*32)
	s.refused(504, "time was over", "POST", "/v2/models/small/infer", tensorRequest(x, `,"parameters":{"timeout":20000}`))
	release()
	s.infer("/v2/models/small/infer", tensorRequest(x, ""))
	st := s.statistics("small", "1")
	st.mu.Lock()
	defer st.mu.Unlock()
	require.Equal(t, uint64(1), st.executions)
}

// TestGone: a client that goes while it waits is never computed.
func TestGone(t *testing.T) {
	s, release := slow(t)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	x := testutil.Normal(1, 3*32*32)
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/v2/models/small/infer", bytes.NewReader(tensorRequest(x, "")))
	require.NoError(t, err)
	done := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(req)
		done <- err
	}()
	testutil.Wait(t, "the request", func() bool { return s.queue.Len() == 2 })
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	testutil.Wait(t, "the end of the request", func() bool { return s.queue.Len() == 1 })
	release()
	s.infer("/v2/models/small/infer", tensorRequest(x, ""))
	st := s.statistics("small", "1")
	st.mu.Lock()
	defer st.mu.Unlock()
	require.Equal(t, uint64(1), st.executions)
	require.Equal(t, uint64(1), st.fail.Count)
}

// TestPanic: a panic answers 500, and the server lives.
func TestPanic(t *testing.T) {
	s := serveTest(t, nil)
	s.hold = func() { panic("a fault") }
	x := testutil.Normal(1, 3*32*32)
	s.refused(500, "inside of the server", "POST", "/v2/models/small/infer", tensorRequest(x, ""))
	s.hold = nil
	s.infer("/v2/models/small/infer", tensorRequest(x, ""))
	require.Contains(t, s.log.String(), "a fault")

	h := s.guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("another") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v2", nil))
	require.Equal(t, 500, w.Code)
	require.JSONEq(t, `{"error":"an error inside of the server, which its log tells"}`, w.Body.String())
}

// TestReload: a network is replaced while requests go on; one that cannot be opened leaves
// the one before.
func TestReload(t *testing.T) {
	seed, fault := uint64(2), error(nil)
	var mu sync.Mutex
	s := serveTest(t, []Source{{Name: "changing", Open: func(context.Context) (*vgg.Model, error) {
		mu.Lock()
		defer mu.Unlock()
		if fault != nil {
			return nil, fault
		}
		return smallModel(seed)
	}}})
	x := testutil.Normal(1, 3*32*32)
	path := "/v2/models/changing/infer"
	result := func() []float32 { return s.infer(path, tensorRequest(x, "")).Outputs[0].floats }
	want := func(seed uint64) []float32 {
		m, err := smallModel(seed)
		require.NoError(t, err)
		return logitsOf(t, m, x, "")
	}
	require.Equal(t, want(2), result())
	mu.Lock()
	seed = 3
	mu.Unlock()
	s.json(200, "POST", "/v2/repository/models/changing/load", []byte("{}"))
	require.Equal(t, want(3), result())
	mu.Lock()
	fault = errors.New("/secret/path: damaged")
	mu.Unlock()
	a := s.json(500, "POST", "/v2/repository/models/changing/load", nil)
	require.NotContains(t, a["error"], "secret")
	require.Equal(t, want(3), result())
	require.Error(t, s.Load(t.Context()))
	s.json(200, "GET", "/v2/health/ready", nil)
	_, _, index := s.do("POST", "/v2/repository/index", nil)
	require.Contains(t, string(index), "the last reload failed")

	s.json(200, "POST", "/v2/repository/models/changing/unload", []byte(`{"parameters":{"unload_dependents":false}}`))
	s.refused(503, "not loaded", "POST", path, tensorRequest(x, ""))
	s.json(200, "GET", "/v2/health/ready", nil)
	_, _, index = s.do("POST", "/v2/repository/index", []byte(`{"ready":true}`))
	require.NotContains(t, string(index), "changing")
	mu.Lock()
	fault = nil
	mu.Unlock()
	s.json(200, "POST", "/v2/repository/models/changing-image/load", nil)
	require.Equal(t, want(3), result())
	s.refused(404, "no network", "POST", "/v2/repository/models/nix/load", nil)
	s.refused(404, "no network", "POST", "/v2/repository/models/nix/unload", nil)
	s.refused(400, "as the server was started", "POST", "/v2/repository/models/changing/load", []byte(`{"parameters":{"config":"{}"}}`))
	s.refused(400, "not the JSON", "POST", "/v2/repository/models/changing/load", []byte(`{"parameters":[]}`))

	fixed := serveTest(t, nil, NoRepository())
	fixed.refused(403, "by request", "POST", "/v2/repository/models/small/load", nil)
	fixed.refused(403, "by request", "POST", "/v2/repository/models/small/unload", nil)
}

// TestReloadUnderLoad: 20 reloads while clients ask: none fails.
func TestReloadUnderLoad(t *testing.T) {
	s := serveTest(t, nil)
	x := testutil.Normal(1, 3*32*32)
	want := logitsOf(t, s.m, x, "")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				testutil.CheckBits(t, "logits", nil, s.infer("/v2/models/small/infer", tensorRequest(x, "")).Outputs[0].floats, want)
			}
		})
	}
	for range 20 {
		require.NoError(t, s.Load(t.Context()))
	}
	close(stop)
	wg.Wait()
}

// TestDrain: readiness falls first, what is there is answered, and connections are closed.
func TestDrain(t *testing.T) {
	s, release := slow(t)
	defer release()
	x := testutil.Normal(1, 3*32*32)
	done := make(chan int)
	go func() {
		code, _, _ := s.do("POST", "/v2/models/small/infer", tensorRequest(x, ""))
		done <- code
	}()
	testutil.Wait(t, "the request", func() bool { return s.queue.Len() == 2 })
	s.Drain()
	code, h, _ := s.do("GET", "/v2/health/ready", nil)
	require.Equal(t, 503, code)
	require.Equal(t, "close", h.Get("Connection"))
	s.json(200, "GET", "/v2/health/live", nil)
	closed := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
		defer cancel()
		closed <- s.Close(ctx)
	}()
	for {
		if p, err := s.queue.Reserve(1); err != nil {
			break
		} else {
			p.Release()
		}
	}
	s.refused(503, "ending", "POST", "/v2/models/small/infer", tensorRequest(x, ""))
	release()
	require.Equal(t, 200, <-done)
	require.NoError(t, <-closed)
}

// TestMemory: bodies and results share one bound.
func TestMemory(t *testing.T) {
	s := serveTest(t, nil, Memory(1<<19))
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v2/models/small/infer", pr)
	require.NoError(t, err)
	done := make(chan int)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			done <- 0
			return
		}
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	_, _ = pw.Write([]byte(`{"x":"`))
	testutil.Wait(t, "the body", func() bool { return s.memory.now() > 0 })
	pr2, pw2 := io.Pipe()
	req2, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/classify", pr2)
	require.NoError(t, err)
	go func() { _, _ = pw2.Write(make([]byte, 1<<20)); pw2.Close() }()
	resp, err := http.DefaultClient.Do(req2)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 429, resp.StatusCode)
	pw.CloseWithError(errors.New("gone"))
	<-done
}

// TestSlowBody: a body that does not arrive is given up.
func TestSlowBody(t *testing.T) {
	s := serveTest(t, nil, BodyTimeout(50*time.Millisecond))
	pr, pw := io.Pipe()
	defer pw.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v2/models/small/infer", pr)
	require.NoError(t, err)
	go func() { _, _ = pw.Write([]byte(`{"inputs":[`)) }()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 408, resp.StatusCode)
	// A long computation after a whole body is not cut. On a busy machine a body may be late.
	var computed atomic.Bool
	s.hold = func() { computed.Store(true); time.Sleep(200 * time.Millisecond) }
	code, body := 0, tensorRequest(testutil.Normal(1, 3*32*32), "")
	testutil.Wait(t, "a body in time", func() bool {
		resp, err := http.Post(s.url+"/v2/models/small/infer", "application/json", bytes.NewReader(body))
		if err == nil {
			resp.Body.Close()
			code = resp.StatusCode
		}
		return computed.Load()
	})
	require.Equal(t, 200, code)
}

// TestKeys: without a key there are health and the page.
func TestKeys(t *testing.T) {
	s := serveTest(t, nil, Page(http.FileServerFS(fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}})))
	s.SetKeys([]string{"alpha", "beta"})
	s.refused(401, "key", "GET", "/v1/models", nil)
	s.refused(401, "key", "GET", "/v1/models", nil, "Authorization", "Bearer gamma")
	s.refused(401, "key", "GET", "/metrics", nil)
	s.json(200, "GET", "/v1/models", nil, "Authorization", "Bearer beta")
	s.json(200, "GET", "/v1/models", nil, "X-API-Key", "alpha")
	s.json(200, "GET", "/healthz", nil)
	s.json(200, "GET", "/v2/health/ready", nil)
	code, _, b := s.do("GET", "/", nil)
	require.Equal(t, 200, code)
	require.Equal(t, "<!doctype html>", string(b))
	s.SetKeys(nil)
	s.json(200, "GET", "/v1/models", nil)
}

// TestOrigins: pages of other origins change nothing, unless they may.
func TestOrigins(t *testing.T) {
	s := serveTest(t, nil, CORS("https://example.org"))
	s.refused(403, "another origin", "POST", "/v2/repository/models/small/unload", nil, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	code, h, _ := s.do("POST", "/v1/classify", photo(1, 9, 9), "Origin", "https://example.org", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, 200, code)
	require.Equal(t, "https://example.org", h.Get("Access-Control-Allow-Origin"))
	code, h, _ = s.do("OPTIONS", "/v1/classify", nil, "Origin", "https://example.org", "Access-Control-Request-Method", "POST")
	require.Equal(t, 204, code)
	require.Contains(t, h.Get("Access-Control-Allow-Headers"), "Content-Type")
	code, h, _ = s.do("GET", "/v1/models", nil, "Origin", "https://evil.example")
	require.Equal(t, 200, code)
	require.Empty(t, h.Get("Access-Control-Allow-Origin"))
	_, err := New([]Source{{Name: "a", Open: small}}, CORS("no origin"))
	require.Error(t, err)
}

// TestLog: a line has the phases, and the trace that the client is in.
func TestLog(t *testing.T) {
	s := serveTest(t, nil)
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s.json(200, "POST", "/v1/classify", photo(1, 9, 9), "Traceparent", "00-"+id+"-"+span+"-01")
	s.json(200, "POST", "/v1/classify", photo(1, 9, 9), "Traceparent", "00-"+strings.Repeat("0", 32)+"-"+span+"-01")
	var lines []map[string]any
	for line := range strings.Lines(s.log.String()) {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l["msg"] == "request" {
			lines = append(lines, l)
		}
	}
	require.Len(t, lines, 2)
	require.Equal(t, id, lines[0]["trace_id"])
	require.Equal(t, span, lines[0]["span_id"])
	require.Equal(t, "small-image", lines[0]["model"])
	require.Greater(t, lines[0]["compute"], 0.0)
	require.NotContains(t, lines[1], "trace_id")
}

// TestGoroutines: nothing is left of a server that has ended.
func TestGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("server", func(t *testing.T) {
		s := serveTest(t, nil)
		s.infer("/v2/models/small/infer", tensorRequest(testutil.Normal(1, 3*32*32), ""))
	})
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	testutil.Wait(t, "the server's goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		says    string
		sources []Source
		opts    []Option
	}{
		{"no networks", nil, nil},
		{"no name", []Source{{Name: "a/b", Open: small}}, nil},
		{"no name", []Source{{Name: "stats", Open: small}}, nil},
		{"no name", []Source{{Name: "a-image", Open: small}}, nil},
		{"version", []Source{{Name: "a", Version: "v1", Open: small}}, nil},
		{"twice", []Source{{Name: "a", Open: small}, {Name: "a", Version: "1", Open: small}}, nil},
		{"cannot be opened", []Source{{Name: "a"}}, nil},
		{"MaxBatch(0)", []Source{{Name: "a", Open: small}}, []Option{MaxBatch(0)}},
		{"queue holds", []Source{{Name: "a", Open: small}}, []Option{QueueSize(8), MaxPictures(9)}},
		{"at least a batch", []Source{{Name: "a", Open: small}}, []Option{QueueSize(4), MaxPictures(1)}},
	} {
		s, err := New(c.sources, c.opts...)
		require.Nil(t, s)
		require.ErrorContains(t, err, c.says)
	}
}
