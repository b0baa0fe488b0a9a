//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

// served is `vgg serve` as a process of its own.
type served struct {
	*command
	t   testing.TB
	url string
}

// serveProcess starts the command on a free port and waits until it is ready.
func serveProcess(t testing.TB, args ...string) *served {
	t.Helper()
	c := prepare(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%s", c.err.String())
	s := &served{c, t, strings.TrimSuffix(strings.TrimSpace(line), "/")}
	if strings.HasPrefix(s.url, "https") {
		return s
	}
	testutil.Wait(t, "a ready server", func() bool { return s.status("/v2/health/ready") == 200 })
	return s
}

// status returns the status of a GET, or 0.
func (s *served) status(path string) int {
	resp, err := http.Get(s.url + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// classify sends a picture and returns the status and the most probable class's probability.
func classifyAt(url string, header ...string) (status int, p float64, err error) {
	var b bytes.Buffer
	img := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := range img.Pix {
		img.Pix[i] = uint8(i * 7)
	}
	if err := png.Encode(&b, img); err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequest("POST", url+"/v1/classify?top=1", &b)
	if err != nil {
		return 0, 0, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var a struct {
		Predictions []vgg.Prediction `json:"predictions"`
	}
	err = json.NewDecoder(resp.Body).Decode(&a)
	if err == nil && len(a.Predictions) > 0 {
		p = a.Predictions[0].Probability
	}
	return resp.StatusCode, p, err
}

// saveSmall writes a small network to a file.
func saveSmall(t testing.TB, path string, seed uint64) {
	t.Helper()
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	cfg = cfg.Divide(32).WithSize(32).WithClasses(10)
	src, err := vgg.Seeded(cfg, seed)
	require.NoError(t, err)
	require.NoError(t, vgg.Save(path, cfg, src, false))
}

// TestServe: the embedded network, and the end by SIGTERM with status 0.
func TestServe(t *testing.T) {
	s := serveProcess(t)
	code, p, err := classifyAt(s.url)
	require.NoError(t, err)
	require.Equal(t, 200, code)
	require.Greater(t, p, 0.1)
	require.Zero(t, s.stop(t, syscall.SIGTERM), "%s", &s.err)
	require.Contains(t, s.err.String(), "msg=ended")
}

// TestServeDrain: requests that are there when SIGTERM comes are answered, none is lost,
// and for the time of notice the server says that it is not ready and takes requests. On a
// machine that stands still for that long nobody sees it, and the next time is longer.
func TestServeDrain(t *testing.T) {
	for notice := time.Second; !testDrain(t, notice); notice *= 4 {
		require.Less(t, notice, testutil.Patience)
	}
}

// testDrain reports whether the server was seen in its time of notice.
func testDrain(t *testing.T, notice time.Duration) (seen bool) {
	s := serveProcess(t, "--notice", notice.String(), "--log", "json")
	var wg sync.WaitGroup
	var answered, lost atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				begin := time.Now()
				if s.status("/v2/health/ready") != 200 { // as a load balancer does
					return
				}
				if code, _, err := classifyAt(s.url); err == nil && code == 200 {
					answered.Add(1)
				} else if time.Since(begin) < notice { // later it need not be there
					lost.Add(1)
				}
			}
		})
	}
	testutil.Wait(t, "answers", func() bool { return answered.Load() > 8 })
	require.NoError(t, s.Process.Signal(syscall.SIGTERM))
	ready := 200
	testutil.Wait(t, "the notice", func() bool { ready = s.status("/v2/health/ready"); return ready != 200 })
	alive := s.status("/healthz")
	wg.Wait()
	require.NoError(t, s.Wait(), "status 0")
	require.Zero(t, lost.Load())
	return ready == 503 && alive == 200
}

// TestServeReload: SIGHUP and a file that changes load a network again; a bad one keeps
// the one before.
func TestServeReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.safetensors")
	saveSmall(t, path, 1)
	s := serveProcess(t, "--weights", path, "--reload")
	probability := func() float64 {
		code, p, err := classifyAt(s.url)
		require.NoError(t, err)
		require.Equal(t, 200, code)
		return p
	}
	changes := func(from float64) (p float64) {
		testutil.Wait(t, "another network", func() bool { p = probability(); return p != from })
		return p
	}
	first := probability()
	saveSmall(t, path, 2)
	require.NoError(t, s.Process.Signal(syscall.SIGHUP))
	second := changes(first)
	require.NoError(t, os.WriteFile(path, []byte("no weights"), 0o600))
	require.NoError(t, s.Process.Signal(syscall.SIGHUP))
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, second, probability())
	saveSmall(t, path, 1)
	require.Equal(t, first, changes(second), "without a signal")
	require.Zero(t, s.stop(t, syscall.SIGINT))
}

// TestServeKeys: keys, and other names and versions of networks.
func TestServeKeys(t *testing.T) {
	dir := t.TempDir()
	keys, net1 := filepath.Join(dir, "keys"), filepath.Join(dir, "net 1.safetensors")
	require.NoError(t, os.WriteFile(keys, []byte("\nalpha\n beta \n"), 0o600))
	saveSmall(t, net1, 1)
	s := serveProcess(t, "--api-key-file", keys, "--model", "a="+net1, "--model", "a@2="+net1, "-w", net1)
	require.Equal(t, 401, s.status("/v1/models"))
	req, err := http.NewRequest("GET", s.url+"/v1/models", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer beta")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `"name":"net-1"`)
	require.Contains(t, string(text), `"name":"a","version":"2"`)
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
}

// TestServeTLS: HTTP/2 and a certificate that is read again when it changes.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key, 1)
	s := serveProcess(t, "--tls-cert", cert, "--tls-key", key)
	serial := func() (int64, string) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(s.url + "/healthz")
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.Proto
	}
	n, proto := serial()
	require.Equal(t, int64(1), n)
	require.Equal(t, "HTTP/2.0", proto)
	certificate(t, cert, key, 2)
	n, _ = serial()
	require.Equal(t, int64(2), n)
	require.NoError(t, os.WriteFile(cert, []byte("damaged"), 0o600))
	n, _ = serial()
	require.Equal(t, int64(2), n, "a damaged one leaves the one before")
}

// TestServeSlowHeader: a header that does not arrive is given up.
func TestServeSlowHeader(t *testing.T) {
	s := serveProcess(t, "--header-timeout", "200ms")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("POST /v1/classify HTTP/1.1\r\nHost: a\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(testutil.Patience)))
	text, err := io.ReadAll(conn)
	require.NoError(t, err, "the server has closed the connection")
	require.True(t, len(text) == 0 || bytes.HasPrefix(text, []byte("HTTP/1.1 408")), "%s", text)
}

// TestServeMisused: what cannot be is told before anything is served.
func TestServeMisused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"--tls-cert"}, []string{"--tls-cert", empty}},
		{[]string{"--tls-cert", empty}, []string{"--tls-cert", empty, "--tls-key", empty}},
		{[]string{"no keys"}, []string{"--api-key-file", empty}},
		{[]string{"NAME=FILE"}, []string{"--model", "a"}},
		{[]string{"no name"}, []string{"--model", "a b=" + empty}},
		{[]string{"absent"}, []string{"--model", "a=" + filepath.Join(dir, "absent"), "--listen", "127.0.0.1:0"}},
		{[]string{"address already in use"}, []string{"--listen", l.Addr().String()}},
		{[]string{"--timeout"}, []string{"--timeout", "0s"}},
		{[]string{"--lpips"}, []string{"--lpips", empty}},
		{[]string{"--dists"}, []string{"--dists", empty}},
		{[]string{"CORS"}, []string{"--cors", "nonsense"}},
		{[]string{"at least a batch"}, []string{"--queue", "4"}},
	} {
		requireFails(t, c.words, append([]string{"serve", "--log", "none"}, c.args...)...)
	}
	requireMisused(t, []string{"no number of bytes"}, "serve", "--max-body", "much")
	requireMisused(t, []string{"want at least 1"}, "serve", "--max-batch", "0")
	for text, want := range map[string]byteSize{"64M": 64 << 20, "1GiB": 1 << 30, "500": 500, "2kb": 2048} {
		var b byteSize
		require.NoError(t, b.UnmarshalText([]byte(text)))
		require.Equal(t, want, b, text)
	}
}

// TestServeStopEarly: SIGTERM while networks are loaded ends the command as it does others.
func TestServeStopEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errOut bytes.Buffer
	require.Equal(t, 1, run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--log", "none"}, streams{&out, &errOut}))
	require.Contains(t, errOut.String(), fmt.Sprint(context.Canceled))
}
