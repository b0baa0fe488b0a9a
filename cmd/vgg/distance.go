package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

type distanceCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	A          string    `arg:"" help:"Picture; - is the standard input."`
	B          string    `arg:"" help:"Picture to compare it with."`
	Metric     string    `default:"lpips" enum:"lpips,dists,cosine" help:"${enum}. LPIPS and DISTS take the weights of VGG-16 for ImageNet, and their authors' file. cosine is that of two activations, of any network."`
	Linear     string    `placeholder:"FILE" help:"The authors' file: lpips_vgg.pth of LPIPS, dists_weights.pt of DISTS."`
	Resize     inputSize `placeholder:"PIXELS" help:"Resize both pictures first, to a square or to height and width: 96x64. Without it LPIPS and DISTS want pictures of one size."`
	Layer      string    `default:"" help:"Layer of the cosine; the one before the classes if not given."`
	JSON       bool      `help:"Print a JSON object."`
}

// distance is what the command prints.
type distance struct {
	A        string    `json:"a"`
	B        string    `json:"b"`
	Metric   string    `json:"metric"`
	Distance float64   `json:"distance"`
	Parts    []float64 `json:"parts,omitempty"` // that it is the sum of: of relu1_2 … relu5_3, and for DISTS of the pictures before
}

func (c *distanceCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	measure := c.cosine
	if c.Metric != "cosine" {
		metric, err := c.metric(s)
		if err != nil {
			return err
		}
		measure = func(ctx context.Context, _ streams, a, b image.Image) (float64, []float64, error) {
			return compare(ctx, metric, a, b)
		}
	}
	a, err := c.picture(ctx, c.A)
	if err != nil {
		return err
	}
	b, err := c.picture(ctx, c.B)
	if err != nil {
		return err
	}
	r := distance{A: c.A, B: c.B, Metric: c.Metric}
	if r.Distance, r.Parts, err = measure(ctx, s, a, b); err != nil {
		if errors.Is(err, perceptual.ErrShape) && a.Bounds().Size() != b.Bounds().Size() {
			err = fmt.Errorf("%w; --resize makes them one", err)
		}
		return err
	}
	if c.JSON {
		return s.printJSON(r)
	}
	_, err = fmt.Fprintf(s.out, "%.6f\n", r.Distance)
	return err
}

// check returns an error for flags that exclude each other.
func (c *distanceCmd) check() error {
	names := map[string]string{"lpips": "lpips_vgg.pth", "dists": "dists_weights.pt"}
	file, perceptual := names[c.Metric]
	switch {
	case c.A == "-" && c.B == "-":
		return errors.New("both pictures are the standard input")
	case perceptual && c.Layer != "":
		return fmt.Errorf("--layer goes with --metric cosine: the layers of %s are fixed", c.Metric)
	case !perceptual && c.Linear != "":
		return errors.New("--linear goes with --metric lpips or dists")
	case perceptual && (c.Linear == "" || c.Weights == "" && !c.given()):
		return fmt.Errorf("--metric %s takes --weights, those of VGG-16 for ImageNet, and --linear, its authors' file %s; --metric cosine takes any network", c.Metric, file)
	}
	return nil
}

// openDISTS makes DISTS of the network and the authors' file.
func (f modelFlags) openDISTS(s streams, path string) (m *perceptual.Metric, err error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	err = f.describe(s, func(n *vgg.Network, opts []vgg.Option) error {
		m, err = perceptual.NewDISTS(n, file, opts...)
		return err
	})
	return m, err
}

// metric opens LPIPS or DISTS.
func (c *distanceCmd) metric(s streams) (m *perceptual.Metric, err error) {
	if c.Metric == "dists" {
		return c.openDISTS(s, c.Linear)
	}
	file, err := weights.Open(c.Linear)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	err = c.describe(s, func(n *vgg.Network, opts []vgg.Option) error {
		if cfg, err := n.Config.Until("conv5_3"); err == nil {
			n.Config, n.Labels = cfg, nil // the rest is not needed; NewLPIPS refuses others
		}
		model, err := n.Model(opts...)
		if err == nil {
			m, err = perceptual.NewLPIPS(model, file)
		}
		return err
	})
	return m, err
}

// compare returns a distance and its parts.
func compare(ctx context.Context, metric *perceptual.Metric, a, b image.Image) (float64, []float64, error) {
	x, y := picture.FromImage(a), picture.FromImage(b)
	if x.W != y.W || x.H != y.H {
		d, err := metric.Distance(ctx, x, y) // says so
		return d, nil, err
	}
	s, err := metric.NewSession(x.H, x.W)
	if err != nil {
		return 0, nil, err
	}
	p, q := make([]float32, len(x.Pix)), make([]float32, len(y.Pix))
	picture.Unit.Tensor(p, x)
	picture.Unit.Tensor(q, y)
	parts := make([]float64, s.Stages())
	if err := s.Parts(ctx, parts, p, q); err != nil {
		return 0, nil, err
	}
	total := 0.0
	for _, v := range parts {
		total += v
	}
	return total, parts, nil
}

// cosine returns 1 − cos of the pictures' activations.
func (c *distanceCmd) cosine(ctx context.Context, s streams, a, b image.Image) (float64, []float64, error) {
	m, err := c.open(s)
	if err != nil {
		return 0, nil, err
	}
	layer := c.Layer
	if layer == "" {
		layer = "embedding"
	}
	f, err := m.Features(ctx, a, layer)
	if err != nil {
		return 0, nil, err
	}
	g, err := m.Features(ctx, b, layer)
	if err != nil {
		return 0, nil, err
	}
	var fg, ff, gg float64
	for i, v := range f.Data {
		x, y := float64(v), float64(g.Data[i])
		fg, ff, gg = fg+x*y, ff+x*x, gg+y*y
	}
	d := 1 - fg/math.Sqrt(ff*gg)
	if math.IsNaN(d) {
		return 0, nil, fmt.Errorf("the activations of %s have no angle: one of them is zero, NaN or infinite: %w", layer, vgg.ErrNotFinite)
	}
	return max(0, d), nil, nil
}

// picture reads one, and resizes it if that is wanted.
func (c *distanceCmd) picture(ctx context.Context, path string) (image.Image, error) {
	img, err := c.read(ctx, path)
	if err != nil || c.Resize.h == 0 {
		return img, err
	}
	return picture.Resize(picture.FromImage(img), c.Resize.w, c.Resize.h), nil
}
