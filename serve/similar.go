package serve

import (
	"cmp"
	"context"
	"encoding/base64"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/similar"
)

// Collection is pictures among which POST /v1/similar finds the nearest.
type Collection struct {
	Index *similar.Index // of embeddings by the network; it is not closed by the server
	Name  string         // of the pictures' directory, tar file or list, for small pictures in the answer
}

// fits returns nil if the index has embeddings as long as the network's layer gives them.
func (c *Collection) fits(l *loaded) error {
	layer, err := l.layerOf(c.Index.Layer)
	if err != nil {
		return err
	}
	if n := l.shapes[layer].Len(); n != c.Index.Dim {
		return shape.Errorf("the index has embeddings of %d values, %s of %s has %d", c.Index.Dim, layer, l.name, n)
	}
	return nil
}

const (
	mostNeighbours = 100
	thumbnailSide  = 128
)

// neighbour is a picture of a collection as JSON has it.
type neighbour struct {
	Name       string  `json:"name"`
	Similarity float32 `json:"similarity"`          // cosine of the embeddings
	Thumbnail  string  `json:"thumbnail,omitempty"` // data URI; absent if the picture cannot be read any more
}

// similar answers POST /v1/similar.
func (s *Server) similar(w http.ResponseWriter, r *http.Request) error {
	begin := time.Now()
	q := r.URL.Query()
	if err := known(q, "model", "version", "top"); err != nil {
		return err
	}
	v, err := s.chosen(q)
	if err != nil {
		return err
	}
	if v.collection == nil {
		return faultf(http.StatusNotFound, "%s has no index of pictures", v.loaded.name)
	}
	top, err := topOf(q, mostNeighbours)
	if err != nil {
		return err
	}
	files, err := readPictures(r, "image")
	if err != nil {
		return err
	}
	t := spent{body: time.Since(begin)}
	layer, err := v.layerOf(v.collection.Index.Layer)
	if err != nil {
		return err
	}
	res, err := s.computePictures(r, v, files, []string{layer}, &t)
	if err != nil {
		return err
	}
	list, err := s.neighbours(r.Context(), v, res.data[layer], top)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"model": v.loaded.name, "version": v.version, "neighbours": list, "millis": t.phases()})
	return nil
}

// topOf returns how many results a request asks for: 5 if it does not say.
func topOf(q url.Values, most int) (int, error) {
	top, err := strconv.Atoi(cmp.Or(q.Get("top"), "5"))
	if err != nil || top < 1 || top > most {
		want := "a number from 1"
		if most < math.MaxInt {
			want += " to " + strconv.Itoa(most)
		}
		return 0, faultf(http.StatusBadRequest, "top=%s, want %s", shorten(q.Get("top")), want)
	}
	return top, nil
}

// neighbours searches beside the executor, one request at a time, for the pictures that
// are most like an embedding.
func (s *Server) neighbours(ctx context.Context, v view, embedding []float32, top int) ([]neighbour, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.timeout)
	defer cancel()
	end, err := s.apart.begin(ctx, v.loaded)
	if err != nil {
		return nil, err
	}
	defer end()
	c := v.collection
	if s.apart.searcher == nil {
		if s.apart.searcher, err = c.Index.NewSearcher(1, 1); err != nil {
			return nil, err
		}
	}
	similar.Normalize(embedding)
	hits, err := s.apart.searcher.Nearest(ctx, embedding, min(top, c.Index.Len()))
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(hits))
	for i, hit := range hits {
		paths[i] = c.Index.Paths[hit.Picture]
	}
	small, err := similar.Thumbnails(c.Name, paths, thumbnailSide, picture.MaxPixels(s.opts.maxPixels), picture.Context(ctx))
	if err != nil {
		return nil, err
	}
	list := make([]neighbour, len(hits))
	for i, hit := range hits {
		list[i] = neighbour{Name: paths[i], Similarity: hit.Cosine}
		if jpeg := small[paths[i]]; jpeg != nil {
			list[i].Thumbnail = "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpeg)
		}
	}
	return list, nil
}
