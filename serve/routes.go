package serve

import (
	"net/http"
	"strings"
)

// route is a pattern of http.ServeMux and what answers it.
type route struct {
	pattern string
	handler http.Handler
}

// routes are all of them, as openapi.json describes them.
func (s *Server) routes() []route {
	list := append(s.routesV1(), s.routesV2()...)
	return append(list,
		route{"GET /healthz", http.HandlerFunc(healthz)},
		route{"GET /metrics", s.metrics.handler()},
		route{"GET /openapi.json", http.HandlerFunc(openAPI)})
}

// healthz waits for nothing.
func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// newHandler makes the handler.
func (s *Server) newHandler() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, r.handler)
	}
	mux.Handle(s.routeRPC())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.other(mux, w, r) })
	h, err := s.crossOrigin(s.authorized(mux))
	if err != nil {
		return nil, err
	}
	return s.guarded(h), nil
}

// other answers what no pattern fits: with the page, or an error that is JSON.
func (s *Server) other(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	if s.isPage(r) {
		s.opts.page.ServeHTTP(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		try := r.Clone(r.Context())
		try.Method = method
		if _, pattern := mux.Handler(try); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeError(w, faultf(http.StatusMethodNotAllowed, "%s is not for this path, want %s", r.Method, strings.Join(allowed, " or ")))
		return
	}
	writeError(w, faultf(http.StatusNotFound, "there is nothing at %s; GET /openapi.json lists what there is", shorten(r.URL.Path)))
}

// isPage says whether a request is for the page: it reads, and is for none of the paths
// that routes have.
func (s *Server) isPage(r *http.Request) bool {
	if s.opts.page == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for _, p := range []string{"/v1/", "/v2/", "/v2", "/metrics", "/openapi.json"} {
		if r.URL.Path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(r.URL.Path, p) {
			return false
		}
	}
	return true
}
