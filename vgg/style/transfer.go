package style

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Transfer is a picture that is being made. It is for one goroutine at a time.
type Transfer struct {
	recipe    Recipe
	preset    picture.Preset
	objective *objective
	method    method
	at        point
	losses    Losses
	steps     int
	identity  string
}

// Progress is where a Transfer stands.
type Progress struct {
	Iteration int     `json:"iteration"`
	Loss      float64 `json:"loss"` // the sum of the others
	Losses
}

// New plans a transfer. The result has the size of content or, if that is nil and no layer
// has content, of style, which may be nil if no layer has style. The layers of the recipe
// stand before all fully connected ones. Of the options vgg.Workers counts. Errors wrap
// vgg.ErrConfig or vgg.ErrShape, vgg.ErrNotFinite if a wanted activation is 0 everywhere,
// or are ctx's.
//
// It takes memory for the activations of all layers, for VGG-19 some three kilobytes a
// pixel, and for L-BFGS 72·History bytes a pixel more.
func New(ctx context.Context, m *vgg.Model, r Recipe, content, style *picture.RGB, opts ...vgg.SessionOption) (*Transfer, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	start, err := r.start(content, style)
	if err != nil {
		return nil, err
	}
	if m.Config().Channels != 3 {
		return nil, shape.Errorf("style: the network takes %d channels, a picture has 3", m.Config().Channels)
	}
	o, err := newObjective(m, r, start.H, start.W, opts)
	if err != nil {
		return nil, err
	}
	t := &Transfer{recipe: r, preset: m.Picture().Preset, objective: o, at: newPoint(len(start.Pix))}
	if len(r.Content) > 0 {
		if err := o.setContent(ctx, t.pixels(content)); err != nil {
			return nil, err
		}
	}
	if len(r.Style) > 0 {
		if err := o.setStyle(ctx, m, r, t.pixels(style), style.H, style.W, opts); err != nil {
			return nil, err
		}
	}
	copy(t.at.x, t.pixels(start))
	if t.losses, err = o.evaluate(ctx, t.at.dx, t.at.x); err != nil {
		return nil, err
	}
	t.method = newAdam(len(t.at.x), r.Rate)
	if r.Method == LBFGS {
		t.method = newLBFGS(len(t.at.x), r.History)
	}
	t.identity = o.identity()
	return t, nil
}

// start returns the picture to begin with.
func (r Recipe) start(content, style *picture.RGB) (*picture.RGB, error) {
	switch {
	case len(r.Content) > 0 && content == nil:
		return nil, fmt.Errorf("style: layers with content, and no content picture: %w", vgg.ErrConfig)
	case len(r.Style) > 0 && style == nil:
		return nil, fmt.Errorf("style: layers with style, and no style picture: %w", vgg.ErrConfig)
	}
	frame := content
	if frame == nil {
		frame = style
	}
	switch r.Start {
	case FromNoise:
		stream := seeded.NewStream(r.Seed, 0)
		rng := rand.New(&stream)
		p := picture.NewRGB(frame.W, frame.H)
		for i := range p.Pix {
			p.Pix[i] = uint8(rng.UintN(256))
		}
		return p, nil
	case FromStyle:
		if style == nil {
			return nil, fmt.Errorf("style: it cannot start from the style picture, which there is none of: %w", vgg.ErrConfig)
		}
		if style.W == frame.W && style.H == frame.H {
			return style, nil
		}
		return picture.Resize(style, frame.W, frame.H), nil
	}
	if content == nil {
		return nil, fmt.Errorf("style: it cannot start from the content picture, which there is none of: %w", vgg.ErrConfig)
	}
	return content, nil
}

// pixels returns a picture as objective wants it.
func (t *Transfer) pixels(p *picture.RGB) []float32 {
	x := make([]float32, len(p.Pix))
	t.preset.Tensor(x, p)
	plane := len(x) / 3
	for i := range x {
		x[i] /= t.objective.units[i/plane]
	}
	return x
}

// Step does one iteration: of L-BFGS with all pictures that its line search tries. If ctx
// ends it returns ctx's error, and if no picture with a smaller loss is found an error
// that wraps ErrStuck; the Transfer is then as before.
func (t *Transfer) Step(ctx context.Context) (Progress, error) {
	l, err := t.method.step(ctx, &t.at, t.losses, t.objective.evaluate)
	if err != nil {
		return t.Progress(), err
	}
	if total := l.Total(); math.IsNaN(total - total) {
		return t.Progress(), fmt.Errorf("style: iteration %d: the loss is %v: %w", t.steps+1, total, vgg.ErrNotFinite)
	}
	t.losses = l
	t.steps++
	return t.Progress(), nil
}

// Progress returns where the transfer stands.
func (t *Transfer) Progress() Progress { return Progress{t.steps, t.losses.Total(), t.losses} }

// Picture returns the picture so far, with colours clipped to what a picture can have.
func (t *Transfer) Picture() *picture.RGB {
	p := picture.NewRGB(t.objective.w, t.objective.h)
	x := make([]float32, len(t.at.x))
	t.objective.toNetwork(x, t.at.x)
	t.preset.Picture(p, x)
	return p
}

// identity is a hash of all that is wanted, which the pictures, the network and the
// instruction set decide.
func (o *objective) identity() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", o.h, o.w)
	var b []byte
	for i := range o.layers {
		t := &o.layers[i]
		for _, x := range [][]float32{t.wanted, t.gram} {
			b = b[:0]
			for _, v := range x {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
			fmt.Fprintf(h, "%v %d\n", t.shape, len(b))
			h.Write(b)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
