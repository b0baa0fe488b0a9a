package vgg

import "github.com/nonet-go/nonet/vgg/picture"

// Picture says how a network wants its pictures: the shorter side resized to
// Side with an antialiased bilinear filter, a square of the configuration's Size
// cut from the centre, and the Preset's colours.
type Picture struct {
	Side   int
	Preset picture.Preset
}

// DefaultPicture is what most published networks of that input size take: a side
// of 8/7 of it (256 for 224), and the preset Torch.
func DefaultPicture(size int) Picture { return Picture{Side: size * 8 / 7, Preset: picture.Torch} }
