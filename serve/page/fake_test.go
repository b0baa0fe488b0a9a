package page_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// picture writes a PNG of a disc on a ground and returns its path.
func picture(t *testing.T, name string, w, h int, ground, disc color.RGBA) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			dx, dy := 2*x-w, 2*y-h
			if c := disc; dx*dx+dy*dy < min(w, h)*min(w, h)/2 {
				img.SetRGBA(x, y, c)
			} else {
				img.SetRGBA(x, y, ground)
			}
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o666))
	return path
}

// fake is an API with known answers.
func fake(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"models": []any{
			map[string]any{"name": "fake", "input": []int{3, 32, 32}, "classes": 7, "similar": true},
			map[string]any{"name": "broken", "input": []int{3, 32, 32}, "classes": 7},
		}})
	})
	mux.HandleFunc("GET /v1/models/{name}/layers", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"layers": []any{
			map[string]any{"name": "relu1_1", "kind": "convolution", "shape": []int{5, 32, 32}, "parameters": 140, "millis": 0.25},
			map[string]any{"name": "fc8", "kind": "fully connected", "shape": []int{7, 1, 1}, "parameters": 35847, "millis": 12.5},
		}})
	})
	mux.HandleFunc("POST /v1/classify", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("model") == "broken" {
			w.WriteHeader(http.StatusTooManyRequests)
			reply(w, map[string]any{"error": map[string]any{"message": "the queue is full"}})
			return
		}
		var predictions []any
		for i, label := range []string{"<b>cat</b>", "dog & fox", "", "ship", "a very long name of a class that needs more than one line on a phone, and then some more"} {
			predictions = append(predictions, map[string]any{"class": i, "label": label, "probability": 0.5 / float64(int(1)<<i)})
		}
		reply(w, map[string]any{"predictions": predictions, "millis": map[string]any{"compute": 1.7, "decode": 3}})
	})
	mux.HandleFunc("POST /v1/features", func(w http.ResponseWriter, r *http.Request) {
		n, shapes := 5*32*32, "relu1_1=5,32,32"
		if r.URL.Query().Get("layer") == "fc8" {
			n, shapes = 7, "fc8=7"
		}
		w.Header().Set("Nonet-Shapes", shapes)
		data := make([]byte, 4*n)
		for i := range n {
			data[4*i+3], data[4*i+2] = 0x3f, byte(i%32*4) // between 0.5 and 1
		}
		_, _ = w.Write(data)
	})
	mux.HandleFunc("POST /v1/explain", func(w http.ResponseWriter, r *http.Request) {
		img := image.NewGray(image.Rect(0, 0, 32, 32))
		img.Pix[0] = 255
		w.Header().Set("Content-Type", "image/png")
		_ = png.Encode(w, img)
	})
	mux.HandleFunc("POST /v1/distance", func(w http.ResponseWriter, r *http.Request) {
		_, a, err := r.FormFile("a")
		require.NoError(t, err)
		_, b, err := r.FormFile("b")
		require.NoError(t, err)
		reply(w, map[string]any{"metric": "cosine", "distance": float64(b.Size-a.Size) / 1e6})
	})
	mux.HandleFunc("POST /v1/similar", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"neighbours": []any{map[string]any{
			"name": "other.png", "similarity": 0.875,
			"thumbnail": "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
		}}})
	})
	return mux
}
