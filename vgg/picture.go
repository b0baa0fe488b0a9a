package vgg

import "github.com/nonet-go/nonet/vgg/picture"

// Picture says how a picture is prepared: the shorter side is resized to Side with an
// antialiased bilinear filter, the configuration's input is cut from the centre, and the
// Preset's colours are applied. Where the input is no square, Side is the shorter side of
// the smallest rectangle of its shape that the resized picture covers.
type Picture struct {
	Side   int
	Preset picture.Preset
}

// DefaultPicture is the preparation for most published networks of that input size: a side
// of 8/7 of it (256 for 224), and the preset Torch.
func DefaultPicture(size int) Picture { return Picture{Side: size * 8 / 7, Preset: picture.Torch} }

// DefaultPicture is the DefaultPicture of the shorter side of the input.
func (c Config) DefaultPicture() Picture {
	h, w := c.Input()
	return DefaultPicture(min(h, w))
}

// CheckInput checks whether src, n pictures as [n][3][h][w], can be pictures that were
// prepared for the model. It returns nil or a Warning that says what is implausible, see
// [picture.CheckInput] for the mistakes that it finds. Call it for the first batch if the
// input of Session.Run does not come from Prepare: a wrong preparation is the commonest
// fault, and gives no error anywhere else. The Warning is an error value, but no reason to
// stop. Networks with other than three channels are not checked. CheckInput panics if src
// does not have n·3·h·w elements. It allocates only a Warning.
func (m *Model) CheckInput(src []float32, n, h, w int) *picture.Warning {
	if m.cfg.Channels != 3 {
		return nil
	}
	return picture.CheckInput(src, n, h, w, m.opts.picture.Preset)
}
