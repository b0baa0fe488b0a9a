package serve

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// recorder remembers what was answered, and bounds how long the client may take to read.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	until   time.Time // of the deadline of writing
	code    int       // 0 until the header is written
	bytes   int64
	err     error // that was answered
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush implements http.Flusher.
func (r *recorder) Flush() { _ = r.control.Flush() }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	r.extend()
	if r.code == 0 && code >= 200 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (n int, err error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	for len(b) > 0 && err == nil {
		r.extend()
		part := b[:min(len(b), 1<<16)]
		var k int
		k, err = r.ResponseWriter.Write(part)
		n, b = n+k, b[k:]
	}
	r.bytes += int64(n)
	return n, err
}

// extend gives the client its time again.
func (r *recorder) extend() {
	now := time.Now()
	if r.until.Sub(now) < r.timeout/2 {
		r.until = now.Add(r.timeout)
		_ = r.control.SetWriteDeadline(r.until) // a writer that has none is a test's
	}
}

// logLine is what a request adds to its line of the log.
type logLine struct {
	mu    sync.Mutex
	model string
	spent spent
	err   error // of a call whose HTTP status does not tell it
}

type lineKey struct{}

func (l *logLine) set(model string, t spent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.model, l.spent = model, t
}

// fail keeps the error of a call over gRPC.
func (l *logLine) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// attrs are the attributes of the line.
func (l *logLine) attrs() []slog.Attr {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []slog.Attr
	if l.err != nil {
		code, _ := status(l.err)
		list = append(list, slog.Int("status_of_call", code), slog.String("error", l.err.Error()))
	}
	if l.model == "" {
		return list
	}
	t := l.spent
	return append(list, slog.String("model", l.model), slog.Int("pictures", t.pictures), slog.Duration("body", t.body), slog.Duration("decode", t.decode),
		slog.Duration("queue", t.queue), slog.Duration("compute", t.compute), slog.Duration("output", t.output))
}

// traceparent is the header of W3C's Trace Context, version 00 and those that extend it.
var traceparent = regexp.MustCompile(`^([0-9a-e][0-9a-f]|f[0-9a-e])-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)

// trace returns the trace and span of a request, or nothing.
func trace(h http.Header) []slog.Attr {
	m := traceparent.FindStringSubmatch(h.Get("Traceparent"))
	if m == nil || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" || m[1] == "00" && m[4] != "" {
		return nil
	}
	return []slog.Attr{slog.String("trace_id", m[2]), slog.String("span_id", m[3])}
}

// guarded is the outermost handler: it logs, counts, and survives panics.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec := &recorder{ResponseWriter: w, control: http.NewResponseController(w), timeout: s.opts.bodyTimeout}
		line, keep := &logLine{}, &holder{}
		r = r.WithContext(context.WithValue(context.WithValue(r.Context(), lineKey{}, line), memoryKey{}, keep))
		defer keep.release()
		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				s.panicked(rec, r, v)
			}
			s.log(r, rec, line, time.Since(begin))
			if v != nil && rec.code != http.StatusInternalServerError {
				panic(http.ErrAbortHandler) // the answer was begun, and cannot be finished
			}
		}()
		if s.draining.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		s.limitBody(rec, r, keep)
		next.ServeHTTP(rec, r)
	})
}

// panicked answers a request whose handler has panicked.
func (s *Server) panicked(w *recorder, r *http.Request, v any) {
	s.opts.log.Error("panic", "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.code == 0 {
		writeError(w, fmt.Errorf("panic: %v", v))
	}
}

// log writes the line of a request.
func (s *Server) log(r *http.Request, w *recorder, line *logLine, took time.Duration) {
	code := w.code
	if code == 0 {
		code = http.StatusOK
	}
	s.metrics.request(r.Method, r.Pattern, code)
	level := slog.LevelInfo
	switch {
	case code >= 500:
		level = slog.LevelError
	case isHealth(r.URL.Path) || r.URL.Path == "/metrics":
		level = slog.LevelDebug
	}
	if !s.opts.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", code),
		slog.Int64("bytes", w.bytes), slog.Duration("took", took), slog.String("remote", r.RemoteAddr)}
	attrs = append(attrs, line.attrs()...)
	attrs = append(attrs, trace(r.Header)...)
	if w.err != nil {
		attrs = append(attrs, slog.String("error", w.err.Error()))
	}
	s.opts.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// limitBody bounds the body: how long it takes, how long it is, and the memory of all.
func (s *Server) limitBody(w *recorder, r *http.Request, keep *holder) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if isStream(r.URL.Path) { // it has no end; messages have bounds of their own
		r.Body = &countedBody{ReadCloser: r.Body, memory: &s.memory, holder: keep}
		return
	}
	_ = w.control.SetReadDeadline(time.Now().Add(s.opts.bodyTimeout))
	timed := &timedBody{ReadCloser: r.Body, over: func() { _ = w.control.SetReadDeadline(time.Time{}) }}
	r.Body = &countedBody{ReadCloser: http.MaxBytesReader(w, timed, s.opts.maxBody), memory: &s.memory, holder: keep}
	if kind := r.Header.Get("Content-Encoding"); kind != "" && kind != "identity" && !isRPC(r.URL.Path) {
		r.Body = &compressed{body: r.Body, kind: kind, w: w, most: s.opts.maxBody, memory: &s.memory, holder: keep}
		r.Header.Del("Content-Encoding")
		r.ContentLength = -1
	}
}

// timedBody ends the deadline of reading with the body: what comes after it is the next
// request, or the end of the connection, which is to be noticed.
type timedBody struct {
	io.ReadCloser
	over func()
}

func (t *timedBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		t.over()
	}
	return n, err
}

// compressed is a body that is compressed. It is opened by the first read.
type compressed struct {
	body   io.ReadCloser
	kind   string
	w      http.ResponseWriter
	most   int64
	memory *memory
	holder *holder
	plain  io.Reader
}

func (c *compressed) Read(p []byte) (int, error) {
	if c.plain == nil {
		var r io.ReadCloser
		var err error
		switch c.kind {
		case "gzip", "x-gzip":
			r, err = gzip.NewReader(c.body)
		case "deflate":
			r, err = zlib.NewReader(c.body)
		default:
			err = faultf(http.StatusUnsupportedMediaType, "Content-Encoding %s, want gzip or deflate", shorten(c.kind))
		}
		if err != nil {
			return 0, asBodyError(err)
		}
		c.plain = &countedBody{ReadCloser: http.MaxBytesReader(c.w, r, c.most), memory: c.memory, holder: c.holder}
	}
	n, err := c.plain.Read(p)
	return n, asBodyError(err)
}

func (c *compressed) Close() error { return c.body.Close() }

// asBodyError makes what a decompressor finds wrong an error of the client's.
func asBodyError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if code, _ := status(err); code != http.StatusInternalServerError {
		return err
	}
	if strings.HasPrefix(err.Error(), "gzip: ") || strings.HasPrefix(err.Error(), "zlib: ") || strings.HasPrefix(err.Error(), "flate: ") {
		return faultf(http.StatusBadRequest, "the body is not what its Content-Encoding says: %v", err)
	}
	return err
}

// isHealth says whether a path tells of the server's health: it is for everyone.
func isHealth(path string) bool {
	return path == "/healthz" || strings.HasPrefix(path, "/v2/health/") ||
		strings.HasSuffix(path, "/ServerLive") || strings.HasSuffix(path, "/ServerReady")
}

// keySet holds the hashes of keys.
type keySet struct{ hashes [][sha256.Size]byte }

// SetKeys sets the keys of which requests need one, as "Authorization: Bearer KEY" or
// "X-API-Key: KEY". Without any, which is so before the first call, none is needed. Those
// that ask for health, and for the page, need none.
func (s *Server) SetKeys(keys []string) {
	set := &keySet{}
	for _, k := range keys {
		set.hashes = append(set.hashes, sha256.Sum256([]byte(k)))
	}
	s.keys.Store(set)
}

// allowed says whether a request has a key, in a time that does not depend on it.
func (s *Server) allowed(r *http.Request) bool {
	set := s.keys.Load()
	if set == nil || len(set.hashes) == 0 {
		return true
	}
	key := r.Header.Get("X-API-Key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(token)
	}
	hash, found := sha256.Sum256([]byte(key)), 0
	for _, h := range set.hashes {
		found |= subtle.ConstantTimeCompare(hash[:], h[:])
	}
	return found == 1
}

// authorized refuses requests without a key.
func (s *Server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isHealth(r.URL.Path) && !s.isPage(r) && !s.allowed(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, faultf(http.StatusUnauthorized, "a key is needed, as Authorization: Bearer KEY"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// crossOrigin lets pages of the origins of CORS use the server, and keeps those of others
// from changing anything in it.
func (s *Server) crossOrigin(next http.Handler) (http.Handler, error) {
	all := slices.Contains(s.opts.origins, "*")
	protect := http.NewCrossOriginProtection()
	for _, o := range s.opts.origins {
		if o != "*" {
			if err := protect.AddTrustedOrigin(o); err != nil {
				return nil, fmt.Errorf("serve: CORS: %w", err)
			}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		trusted := origin != "" && (all || slices.Contains(s.opts.origins, origin))
		if trusted {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Inference-Header-Content-Length, Retry-After, Grpc-Status, Grpc-Message")
		}
		if trusted && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Inference-Header-Content-Length, Traceparent, X-API-Key, Connect-Protocol-Version, Connect-Timeout-Ms, X-Grpc-Web, X-User-Agent, Grpc-Timeout")
			h.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := protect.Check(r); err != nil && !trusted {
			writeError(w, faultf(http.StatusForbidden, "a request of a page of another origin, %s", shorten(origin)))
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
