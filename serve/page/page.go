// Package page is the web page of vgg serve: it classifies a picture, lays heat maps of
// classes over it, draws the maps of each layer, and compares pictures.
//
// The page is plain HTML, CSS and JavaScript without a build. It asks the API below v1/
// of the address that it came from. As static files it asks the same handler, compiled
// to WebAssembly, in a Web Worker: see Static and the command in wasm.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// policy lets the page load nothing from elsewhere. Overlays and thumbnails are blob: and data:.
const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; " +
	"style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

// file is one file of the page.
type file struct {
	data []byte
	etag string
}

// Handler serves the page at "/" and its files beside it. It answers GET and HEAD, with
// an ETag for each file, and 404 for all other paths. The page may load nothing from
// other hosts (Content-Security-Policy).
func Handler() http.Handler {
	files := map[string]file{}
	for name, data := range Static() {
		if name == "worker.js" {
			continue // of the static page alone
		}
		sum := sha256.Sum256(data)
		files["/"+name] = file{data: data, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	files["/index.html"] = file{data: withEngine(files["/index.html"].data, "server"), etag: `"s` + files["/index.html"].etag[1:]}
	files["/"] = files["/index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType(r.URL.Path))
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", f.etag)
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(f.data))
	})
}

// Static returns the files of the page that runs without a server, by name. What is
// missing is vgg.wasm, the command in wasm, and wasm_exec.js of the Go that compiled it.
func Static() map[string][]byte {
	files := map[string][]byte{}
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := static.ReadFile(name)
		files[path.Base(name)] = data
		return err
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	files["index.html"] = withEngine(files["index.html"], "worker")
	return files
}

// withEngine returns the page that asks the engine of that name. See engine.js.
func withEngine(html []byte, engine string) []byte {
	const form = `<meta name="engine" content="%s">`
	for _, old := range []string{"server", "worker"} {
		html = bytes.Replace(html, fmt.Appendf(nil, form, old), fmt.Appendf(nil, form, engine), 1)
	}
	return html
}

// contentType returns the type of a file by its name: what the system's table of types
// says of .js differs between machines.
func contentType(name string) string {
	switch path.Ext(name) {
	case "", ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
