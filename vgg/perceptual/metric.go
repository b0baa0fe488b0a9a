package perceptual

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// ErrShape is wrapped by errors about pictures and tensors of the wrong size. It is the
// ErrShape of every package of this module.
var ErrShape = shape.Err

// stages are the last convolutions of configuration D's blocks.
var stages = []string{"conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"}

// Metric is a distance of pictures: LPIPS or DISTS. It is immutable: any number of
// goroutines, sessions and gradients may share it.
type Metric struct {
	name string
	net  network
	head head
}

// NewLPIPS returns LPIPS with the weights of a network, which m shares, and those of the
// authors' file lpips_vgg.pth. m begins with the convolutions of configuration D and takes
// pictures prepared by picture.Torch, else the error wraps vgg.ErrConfig. What m has behind
// conv5_3 is not used. The file is not needed afterwards.
func NewLPIPS(m *vgg.Model, file weights.Source) (*Metric, error) {
	if err := checkNetwork("LPIPS", m.Config(), m.Picture().Preset); err != nil {
		return nil, err
	}
	h := &lpipsHead{}
	for i, name := range stages {
		l, err := layerOf(m.Config(), name)
		if err != nil {
			return nil, err
		}
		w, err := readFloats(file, fmt.Sprintf("lin%d.model.1.weight", i), 1, l.Out, 1, 1)
		if err != nil {
			return nil, err
		}
		h.weights = append(h.weights, w)
	}
	return &Metric{"LPIPS", &tapped{m}, h}, nil
}

// NewDISTS returns DISTS with the convolutions of a network, as vgg.Describe gives it, and
// the authors' file dists_weights.pt. The network begins with the convolutions of
// configuration D and takes pictures prepared by picture.Torch, else the error wraps
// vgg.ErrConfig. The options are those of vgg.New. Neither file is needed afterwards.
//
// DISTS takes differences of similarities close to 1 and so magnifies rounding errors:
// without other options its convolutions are computed by F(2×2,3×3).
func NewDISTS(n *vgg.Network, file weights.Source, opts ...vgg.Option) (*Metric, error) {
	if err := checkNetwork("DISTS", n.Config, n.Picture.Preset); err != nil {
		return nil, err
	}
	net, err := newStaged(n, append([]vgg.Option{vgg.Winograd(2)}, opts...))
	if err != nil {
		return nil, err
	}
	h, err := newDISTSHead(file, net.channels())
	if err != nil {
		return nil, err
	}
	return &Metric{"DISTS", net, h}, nil
}

// checkNetwork refuses a network that the metric was not made for.
func checkNetwork(metric string, cfg vgg.Config, preset picture.Preset) error {
	want, err := vgg.Lookup("D")
	if err != nil {
		return err
	}
	if want, err = want.Until("conv5_3"); err != nil {
		return err
	}
	n := len(want.Layers)
	if cfg.Channels != 3 || cfg.Pad != 1 || len(cfg.Layers) < n || !slices.Equal(cfg.Layers[:n], want.Layers) {
		return fmt.Errorf("perceptual: %s takes the convolutions of configuration D, VGG-16, the network is %s: %w", metric, cfg.LayerString(), vgg.ErrConfig)
	}
	if !samePreparation(preset, picture.Torch) {
		return fmt.Errorf("perceptual: %s takes weights for pictures prepared by the preset %v, the network's is %v: %w", metric, picture.Torch, preset, vgg.ErrConfig)
	}
	return nil
}

// samePreparation compares presets but for their names.
func samePreparation(a, b picture.Preset) bool {
	a.Name, b.Name = "", ""
	return a == b
}

func layerOf(cfg vgg.Config, name string) (vgg.Layer, error) {
	i := slices.IndexFunc(cfg.Layers, func(l vgg.Layer) bool { return l.Name == name })
	if i < 0 {
		return vgg.Layer{}, fmt.Errorf("perceptual: the network has no layer %s: %w", name, vgg.ErrConfig)
	}
	return cfg.Layers[i], nil
}

// readFloats reads a tensor of a file, whose shape must be want and whose elements are
// finite.
func readFloats(file weights.Source, name string, want ...int) ([]float64, error) {
	t, err := file.Tensor(name)
	if err != nil {
		return nil, err
	}
	if err := t.CheckShape(want...); err != nil {
		return nil, err
	}
	x := make([]float64, t.Len())
	if err := t.Float64s(x); err != nil {
		return nil, err
	}
	for i, v := range x {
		if math.IsNaN(v - v) {
			return nil, fmt.Errorf("perceptual: %s: element %d of %s is %v: %w", file.Name(), i, name, v, vgg.ErrNotFinite)
		}
	}
	return x, nil
}

// String returns LPIPS or DISTS.
func (m *Metric) String() string { return m.name }

// Bytes returns the memory that the metric's weights take beside those of a network that it
// shares: nothing for LPIPS, the convolutions for DISTS.
func (m *Metric) Bytes() int64 { return m.net.bytes() }

// Distance returns the distance of two pictures, which have one size, else the error
// wraps ErrShape. Many pictures of one size are faster by a Session.
func (m *Metric) Distance(ctx context.Context, a, b image.Image) (float64, error) {
	x, y := picture.FromImage(a), picture.FromImage(b)
	if x.W != y.W || x.H != y.H {
		return 0, shape.Errorf("perceptual: %s of pictures of %d×%d and %d×%d pixels, want one size", m.name, x.W, x.H, y.W, y.H)
	}
	s, err := m.NewSession(x.H, x.W)
	if err != nil {
		return 0, err
	}
	p, q := make([]float32, len(x.Pix)), make([]float32, len(y.Pix))
	picture.Unit.Tensor(p, x)
	picture.Unit.Tensor(q, y)
	return s.Distance(ctx, p, q)
}

// normalise sets dst to what the network takes for the picture src.
func normalise(dst, src []float32) {
	plane := len(src) / 3
	for c := range 3 {
		mean, std := picture.Torch.Mean[c], picture.Torch.Std[c]
		for i, v := range src[c*plane:][:plane] {
			dst[c*plane+i] = (v - mean) / std
		}
	}
}

// normaliseGrad sets dst to the gradient with respect to the picture, where dx is that with
// respect to what the network takes.
func normaliseGrad(dst, dx []float32) {
	plane := len(dx) / 3
	for i, v := range dx {
		dst[i] = v / picture.Torch.Std[i/plane]
	}
}
