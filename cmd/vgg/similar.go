package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/similar"
)

type similarCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	Data       string   `arg:"" help:"Directory with pictures in it and below, a tar file, or a list of paths."`
	Photos     []string `arg:"" optional:"" help:"Pictures to find neighbours of. Without one, the pairs of pictures that are nearly the same are found."`
	Index      string   `placeholder:"FILE" help:"File with the embeddings of all pictures, which is made if it is not there; the data's path with .index if not given. After a kill the same command goes on."`
	Rebuild    bool     `help:"Replace an index of other pictures, or by another network."`
	Layer      string   `placeholder:"LAYER" help:"Layer whose activation is the embedding; the one before the last if not given."`
	Half       bool     `help:"Keep embeddings in half precision: half the memory."`
	Top        int      `short:"n" default:"10" min:"1" max:"10000" help:"Neighbours of each photograph."`
	Threshold  float64  `default:"0.98" min:"-1" max:"1" help:"Least cosine of a pair that is nearly the same."`
	Most       int      `default:"1000" min:"1" max:"1000000" help:"Most pairs to list; the closest."`
	SameClass  bool     `help:"Print how many pictures have their nearest neighbour in a folder of the same name."`
	HTML       string   `name:"html" placeholder:"FILE" help:"Write a page with small pictures, complete in one file."`
	Thumbnails int      `placeholder:"PIXELS" min:"0" max:"1024" help:"Longer side of the small pictures; 128 in a page, and none in JSON if not given."`
	Batch      int      `default:"8" min:"1" help:"Pictures at a time. Results do not depend on it."`
	Threads    int      `min:"0" max:"4096" help:"Threads; all cores if 0 or not given."`
	JSON       bool     `help:"Print a JSON object for each photograph, or for each pair."`
}

// match is a picture of the index and its cosine with another.
type match struct {
	Path      string  `json:"path"`
	Cosine    float32 `json:"cosine"`
	Thumbnail string  `json:"thumbnail,omitempty"` // a data URI
}

// matches are those of one picture: neighbours of a photograph, or the other one of a pair.
type matches struct {
	Picture   string  `json:"picture"`
	Thumbnail string  `json:"thumbnail,omitempty"`
	Similar   []match `json:"similar"`
}

func (c *similarCmd) Run(ctx context.Context, s streams) error {
	if c.Index == "" {
		c.Index = filepath.Clean(c.Data) + ".index"
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if err := checkOutputs(append(c.Photos[:len(c.Photos):len(c.Photos)], c.Weights, c.Labels, c.Data), output{"--index", c.Index}, output{"--html", c.HTML}); err != nil {
		return err
	}
	m, err := c.open(s)
	if err != nil {
		return err
	}
	x, err := c.index(ctx, s, m)
	if err != nil {
		return err
	}
	defer x.Close()
	list, err := c.search(ctx, s, m, x)
	if err != nil {
		return err
	}
	return c.report(s, list)
}

// index opens the index, and builds it before if it is not there.
func (c *similarCmd) index(ctx context.Context, s streams, m *vgg.Model) (*similar.Index, error) {
	network, err := c.hash(m)
	if err != nil {
		return nil, err
	}
	d, err := extract.Open(c.Data, c.pictureOptions()...)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	p := newProgress(s.err, d.N)
	o := similar.Options{Network: network, Layer: c.Layer, Half: c.Half, Batch: c.Batch, Workers: c.Threads,
		OnWarning: func(w *picture.Warning) { fmt.Fprintf(s.err, "vgg: %s: %v\n", c.Data, w) },
		OnPicture: p.onPicture(s)}
	x, err := similar.Open(c.Index, c.Threads)
	if err == nil {
		err = x.Check(d, o, m)
		if err == nil {
			return x, nil
		}
		err = errors.Join(err, x.Close())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case !c.Rebuild && errors.Is(err, similar.ErrOther):
		return nil, fmt.Errorf("%w; --rebuild replaces it, --index names another file", err)
	case !c.Rebuild || !errors.Is(err, similar.ErrOther):
		return nil, err
	}
	sayHowToGoOn(ctx, commandLine(ctx))
	r, err := similar.Build(ctx, c.Index, m, d, o)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(s.err, "%s: %d pictures (%d failed), %.3g/s\n", printable.Line(c.Index), r.Pictures, r.Failed, p.rate())
	return similar.Open(c.Index, c.Threads)
}

// search finds the neighbours of the photographs, or pairs.
func (c *similarCmd) search(ctx context.Context, s streams, m *vgg.Model, x *similar.Index) ([]matches, error) {
	if c.SameClass {
		hits, err := x.Neighbours(ctx, c.Threads)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(s.err, "%.2f %% of %d pictures have their nearest neighbour in a folder of the same name\n", 100*x.SameClass(hits), x.Len())
	}
	if len(c.Photos) == 0 {
		return c.pairs(ctx, s, x)
	}
	searcher, err := x.NewSearcher(1, c.Threads)
	if err != nil {
		return nil, err
	}
	var list []matches
	for path, err := range photos(c.Photos) {
		if err != nil {
			return nil, err
		}
		img, err := c.read(ctx, path)
		if err != nil {
			return nil, err
		}
		f, err := m.Features(ctx, img, cmp.Or(c.Layer, "embedding"))
		if err != nil {
			return nil, err
		}
		similar.Normalize(f.Data)
		hits, err := searcher.Nearest(ctx, f.Data, c.Top)
		if err != nil {
			return nil, err
		}
		one := matches{Picture: path}
		if side := c.side(); side > 0 {
			b, err := similar.Thumbnail(picture.FromImage(img), side)
			if err != nil {
				return nil, err
			}
			one.Thumbnail = dataURI(b)
		}
		for _, h := range hits {
			one.Similar = append(one.Similar, match{Path: x.Paths[h.Picture], Cosine: h.Cosine})
		}
		list = append(list, one)
	}
	return list, c.thumbnails(list, false)
}

// pairs finds those that are nearly the same.
func (c *similarCmd) pairs(ctx context.Context, s streams, x *similar.Index) ([]matches, error) {
	pairs, n, err := x.Pairs(ctx, float32(c.Threshold), c.Most, c.Threads)
	if err != nil {
		return nil, err
	}
	if n > len(pairs) {
		fmt.Fprintf(s.err, "vgg: the closest %d of %d pairs; --most lists more\n", len(pairs), n)
	}
	var list []matches
	for _, p := range pairs {
		list = append(list, matches{Picture: x.Paths[p.A], Similar: []match{{Path: x.Paths[p.B], Cosine: p.Cosine}}})
	}
	return list, c.thumbnails(list, true)
}

// side is that of the small pictures, or 0 for none.
func (c *similarCmd) side() int {
	if c.Thumbnails == 0 && c.HTML != "" {
		return 128
	}
	return c.Thumbnails
}

// thumbnails adds small pictures of those of the index: of the similar ones and, if own,
// of those that they are similar to.
func (c *similarCmd) thumbnails(list []matches, own bool) error {
	if c.side() == 0 {
		return nil
	}
	var paths []string
	for _, one := range list {
		if own {
			paths = append(paths, one.Picture)
		}
		for _, m := range one.Similar {
			paths = append(paths, m.Path)
		}
	}
	small, err := similar.Thumbnails(c.Data, paths, c.side(), c.pictureOptions()...)
	if err != nil {
		return err
	}
	for i := range list {
		if own {
			list[i].Thumbnail = dataURI(small[list[i].Picture])
		}
		for k := range list[i].Similar {
			m := &list[i].Similar[k]
			m.Thumbnail = dataURI(small[m.Path])
		}
	}
	return nil
}

func dataURI(jpeg []byte) string {
	if jpeg == nil {
		return ""
	}
	return "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpeg)
}

// report prints the matches, and writes the page.
func (c *similarCmd) report(s streams, list []matches) error {
	if c.HTML != "" {
		if err := writePage(c.HTML, list); err != nil {
			return err
		}
	}
	for _, one := range list {
		if c.JSON {
			if c.Thumbnails == 0 {
				one.Thumbnail = ""
				for k := range one.Similar {
					one.Similar[k].Thumbnail = ""
				}
			}
			if err := s.printJSON(one); err != nil {
				return err
			}
			continue
		}
		if len(c.Photos) == 0 {
			fmt.Fprintf(s.out, "%.4f  %s  %s\n", one.Similar[0].Cosine, printable.Line(one.Picture), printable.Line(one.Similar[0].Path))
			continue
		}
		fmt.Fprintln(s.out, printable.Line(one.Picture))
		for _, m := range one.Similar {
			fmt.Fprintf(s.out, "  %.4f  %s\n", m.Cosine, printable.Line(m.Path))
		}
	}
	return nil
}

// similarPage is a row for each picture: itself, and what is similar.
var similarPage = template.Must(template.New("").Funcs(template.FuncMap{"uri": func(s string) template.URL { return template.URL(s) }}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Similar pictures</title><style>
body { font: 13px system-ui, sans-serif; margin: 16px; color: #222; background: #fff }
.row { display: flex; flex-wrap: wrap; gap: 8px; padding: 8px 0; border-bottom: 1px solid #ddd }
figure { margin: 0; width: 132px; overflow-wrap: anywhere }
figure:first-child { border-right: 2px solid #888; padding-right: 8px }
img { max-width: 128px; min-width: 64px; display: block; margin-bottom: 2px }
</style></head><body>
{{range .}}<div class="row">
<figure>{{if .Thumbnail}}<img alt="" src="{{uri .Thumbnail}}">{{end}}<figcaption>{{.Picture}}</figcaption></figure>
{{range .Similar}}<figure>{{if .Thumbnail}}<img alt="" src="{{uri .Thumbnail}}">{{end}}<figcaption>{{printf "%.4f" .Cosine}}<br>{{.Path}}</figcaption></figure>
{{end}}</div>
{{else}}<p>None.</p>
{{end}}</body></html>
`))

func writePage(path string, list []matches) error {
	var b bytes.Buffer
	if err := similarPage.Execute(&b, list); err != nil {
		return err
	}
	return outfile.Write(path, func(w io.Writer) error {
		_, err := b.WriteTo(w)
		return err
	})
}
