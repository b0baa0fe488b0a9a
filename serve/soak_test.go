package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// soakTime is how long the hostile mixture lasts: some seconds, or what NONET_SOAK says.
func soakTime(t *testing.T) time.Duration {
	if text := os.Getenv("NONET_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		return d
	}
	if testing.Short() {
		return time.Second
	}
	return 5 * time.Second
}

// bomb is a PNG file of a few bytes whose header promises so many pixels.
func bomb(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		body := append([]byte(kind), data...)
		b = append(b, body...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	chunk("IHDR", append(head, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte{0x78, 0x9c, 0x63, 0, 0})
	return b
}

// gzipped is a body of so many zeros.
func gzipped(prefix string, zeros int) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, prefix)
	_, _ = io.CopyN(w, zeroReader{}, int64(zeros))
	_ = w.Close()
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// hostile is a request that is not meant well, and the statuses that may answer it, besides
// 429, which says that others are there.
type hostile struct {
	name, path string
	body       []byte
	header     []string
	want       []int
}

func hostileRequests() []hostile {
	const infer = "/v2/models/small/infer"
	huge := `{"inputs":[{"name":"input","datatype":"FP32","shape":[1099511627776,3,32,32],"parameters":{"binary_data_size":13510798882111488}}]}`
	x := testutil.Normal(5, 3*32*32)
	picture := photo(3, 60, 60)
	return []hostile{
		{"bomb", "/v1/classify", bomb(60000, 60000), nil, []int{413}},
		{"bomb within the limit", "/v1/classify", bomb(3000, 3000), nil, []int{400}},
		{"bomb for a map", "/v1/explain", bomb(1<<31-1, 1<<31-1), nil, []int{400, 413}},
		{"gzip bomb", infer, gzipped(`{"inputs":[`, 20<<20), []string{"Content-Encoding", "gzip"}, []int{413}},
		{"gzip bomb of a picture", "/v1/classify", gzipped("", 20<<20), []string{"Content-Encoding", "gzip"}, []int{413}},
		{"wrong shape", infer, bytes.Replace(tensorRequest(x, ""), []byte("[1,3,32,32]"), []byte("[3,32,32]"), 1), nil, []int{400}},
		{"2^40", infer, []byte(huge), []string{"Inference-Header-Content-Length", fmt.Sprint(len(huge))}, []int{400}},
		{"NaN", infer, []byte(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[NaN]}]}`), nil, []int{400}},
		{"truncated", "/v1/classify", picture[:len(picture)/2], nil, []int{400}},
		{"truncated JSON", infer, tensorRequest(x, "")[:500], nil, []int{400}},
		{"deep", infer, []byte(`{"a":` + strings.Repeat("[", 1<<20)), nil, []int{413}},
		{"many inputs", infer, []byte(`{"inputs":[` + strings.Repeat(`{},`, 1<<18)), nil, []int{413}},
		{"long name", infer, []byte(`{"id":"` + strings.Repeat("a", 1<<20)), nil, []int{413}},
		{"no form", "/v1/distance", []byte("--x"), []string{"Content-Type", "multipart/form-data; boundary=x"}, []int{400}},
		{"no network", "/v2/models/" + strings.Repeat("x", 3000) + "/infer", nil, nil, []int{404}},
		{"no time", infer, tensorRequest(x, `,"parameters":{"timeout":1}`), nil, []int{504, 200}},
		{"no RPC", "/inference.GRPCInferenceService/ModelInfer", []byte("\x00\xff\xff\xff\xff"), []string{"Content-Type", "application/grpc"}, []int{200, 505}},
	}
}

// TestHostile: under a mixture of good and hostile requests, good ones get their bits or
// 429, hostile ones their error, and in the end memory and goroutines are as before.
func TestHostile(t *testing.T) {
	d := soakTime(t)
	s := serveTest(t, nil, MaxPixels(1<<24), BodyTimeout(testutil.Patience), MaxBody(16<<20), Memory(128<<20))
	list := hostileRequests()
	load := func(d time.Duration) {
		stop := time.Now().Add(d)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { s.good(stop, i) })
		}
		for i := range 3 {
			wg.Go(func() { s.bad(stop, i, list) })
		}
		wg.Go(func() { s.slowClients(stop) })
		wg.Go(func() { s.goneClients(stop) })
		wg.Wait()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	load(d / 5)
	heap, goroutines := settled(s)
	load(d)
	testutil.Wait(t, "the goroutines of requests", func() bool { return runtime.NumGoroutine() <= goroutines && s.queue.Len() == 0 })
	heapAfter, goroutinesAfter := settled(s)
	t.Logf("heap %d → %d KB, goroutines %d → %d", heap>>10, heapAfter>>10, goroutines, goroutinesAfter)
	require.Less(t, heapAfter, heap+8<<20)
	require.Zero(t, s.memory.now())
}

// settled waits until nothing is under way, and measures.
func settled(s *testServer) (heap uint64, goroutines int) {
	last := -1
	testutil.Wait(s.t, "the end of requests", func() bool {
		before := last
		last = runtime.NumGoroutine()
		time.Sleep(time.Second)
		return last == before && s.queue.Len() == 0
	})
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// good sends requests that are right and holds their results against those of a session.
func (s *testServer) good(stop time.Time, client int) {
	x := testutil.Normal(uint64(client), (1+client%3)*3*32*32)
	want := logitsOf(s.t, s.m, x, "")
	body, header := binaryRequest(x, `,"outputs":[{"name":"logits","parameters":{"binary_data":true}}]`)
	for n := 0; time.Now().Before(stop); n++ {
		code, h, b := s.do("POST", "/v2/models/small/infer", body, "Inference-Header-Content-Length", header)
		if code == 429 {
			continue
		}
		if code != 200 {
			s.t.Errorf("a good request: %d %s", code, b)
			return
		}
		testutil.CheckBits(s.t, "logits", []int{client, n}, parseAnswer(s.t, h, b).Outputs[0].floats, want)
	}
}

// bad sends hostile requests.
func (s *testServer) bad(stop time.Time, client int, list []hostile) {
	for i := client; i < client+len(list) || time.Now().Before(stop); i++ {
		q := list[i%len(list)]
		req, err := http.NewRequest("POST", s.url+q.path, bytes.NewReader(q.body))
		if err != nil {
			s.t.Error(err)
			return
		}
		for k := 0; k < len(q.header); k += 2 {
			req.Header.Set(q.header[k], q.header[k+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			continue // it was refused while the body was sent
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusTooManyRequests && !slices.Contains(q.want, resp.StatusCode) {
			s.t.Errorf("%s: %d %s, want %v", q.name, resp.StatusCode, b, q.want)
		}
		if resp.StatusCode >= 400 && resp.StatusCode != 505 && !json.Valid(b) {
			s.t.Errorf("%s: %d and no JSON: %s", q.name, resp.StatusCode, b)
		}
	}
}

// slowClients send a body byte by byte, and read nothing.
func (s *testServer) slowClients(stop time.Time) {
	addr := strings.TrimPrefix(s.url, "http://")
	for time.Now().Before(stop) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		fmt.Fprintf(conn, "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
		for range 20 {
			if _, err := conn.Write([]byte{'x'}); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		conn.Close()
	}
}

// goneClients go before their answer is there.
func (s *testServer) goneClients(stop time.Time) {
	body := tensorRequest(testutil.Normal(9, 8*3*32*32), `,"outputs":[{"name":"conv1_1"}]`)
	for i := 0; time.Now().Before(stop); i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%20)*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/v2/models/small/infer", bytes.NewReader(body))
		if err == nil {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		cancel()
	}
}
