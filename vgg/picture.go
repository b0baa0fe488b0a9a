package vgg

import "github.com/nonet-go/nonet/vgg/picture"

// Picture says how a network wants its pictures: the shorter side resized to
// Side with an antialiased bilinear filter, the configuration's input cut from the
// centre, and the Preset's colours. Where the input is no square, Side is the shorter
// side of the smallest rectangle of its shape that the resized picture covers.
type Picture struct {
	Side   int
	Preset picture.Preset
}

// DefaultPicture is what most published networks of that input size take: a side
// of 8/7 of it (256 for 224), and the preset Torch.
func DefaultPicture(size int) Picture { return Picture{Side: size * 8 / 7, Preset: picture.Torch} }

// DefaultPicture is DefaultPicture of the shorter side of the input.
func (c Config) DefaultPicture() Picture {
	h, w := c.Input()
	return DefaultPicture(min(h, w))
}

// CheckInput looks whether src, n pictures as [n][3][h][w], can be pictures that
// were prepared as the model wants them, and returns nil or what is implausible
// about them: see [picture.CheckInput] for the mistakes that it finds. Whoever
// prepares the input of Session.Run by other means than Prepare calls it once for
// the first batch: the commonest fault of all, the wrong preparation, gives no
// error anywhere. The Warning is no reason to stop, and an error value as well.
// Networks of other than three channels are not checked. It panics if src does not
// have n·3·h·w elements, and does not allocate unless it warns.
func (m *Model) CheckInput(src []float32, n, h, w int) *picture.Warning {
	if m.cfg.Channels != 3 {
		return nil
	}
	return picture.CheckInput(src, n, h, w, m.opts.picture.Preset)
}
