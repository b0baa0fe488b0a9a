package explain

import (
	"image"
	"math"
	"slices"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Frame returns the part of a photograph that the network sees, in the photograph's own
// resolution as far as its shorter side is from 224 to 1024 pixels: a whole multiple of
// the network's input.
func Frame(m *vgg.Model, img image.Image) (*picture.RGB, error) {
	src := picture.FromImage(img)
	h, w := m.Config().Input()
	short := min(h, w)
	side := m.Picture().Side
	own := float64(min(src.W, src.H)) / float64(max(side, 1)) // multiples that the photograph has
	least, most := (224+short-1)/short, max(1024/short, 1)
	n := min(max(int(math.Round(own)), least, 1), most)
	dst := new(picture.RGB)
	if src.W == 0 || src.H == 0 {
		return nil, picture.ErrSize
	}
	err := new(picture.Resizer).CoverCrop(dst, src, n*side, n*w, n*h)
	return dst, err
}

// Draw returns a picture of the map on the frame that the network has seen, of any size:
//
//	GradCAM, Occlusion   the heat in colours from blue to red, half transparent, over the frame
//	Saliency             the heat alone, from black to white
//	Guided               the gradient alone, around grey
//
// Colours are relative to the largest heat, or to the 99.5th percentile of the gradient;
// negative heat is as none.
func (m *Map) Draw(frame *picture.RGB, preset picture.Preset) *picture.RGB {
	switch m.Method {
	case Saliency:
		return grey(resize(m.Heat, m.H, m.W, frame.H, frame.W), m.Heat, frame)
	case Guided:
		return m.relief(frame, preset.BGR)
	}
	dst := picture.NewRGB(frame.W, frame.H)
	heat := resize(m.Heat, m.H, m.W, frame.H, frame.W)
	most := max(slices.Max(m.Heat), math.SmallestNonzeroFloat32)
	for i, v := range heat {
		c := jet(float64(max(v, 0) / most))
		for k := range c {
			dst.Pix[3*i+k] = uint8((int(frame.Pix[3*i+k]) + int(c[k]) + 1) / 2)
		}
	}
	return dst
}

// jet is the colour map of that name: dark blue, blue, cyan, yellow, red, dark red.
func jet(v float64) [3]uint8 {
	ramp := func(centre float64) uint8 {
		return uint8(math.Round(255 * min(max(1.5-math.Abs(4*v-centre), 0), 1)))
	}
	return [3]uint8{ramp(3), ramp(2), ramp(1)}
}

// percentile returns the 99.5th of the magnitudes, and 1 if that is 0.
func percentile(x []float32) float32 {
	list := make([]float32, len(x))
	for i, v := range x {
		list[i] = max(v, -v)
	}
	slices.Sort(list)
	if v := list[len(list)*995/1000]; v > 0 {
		return v
	}
	return 1
}

func grey(heat, scale []float32, frame *picture.RGB) *picture.RGB {
	dst := picture.NewRGB(frame.W, frame.H)
	most := percentile(scale)
	for i, v := range heat {
		level := uint8(math.Round(255 * float64(min(max(v/most, 0), 1))))
		dst.Pix[3*i], dst.Pix[3*i+1], dst.Pix[3*i+2] = level, level, level
	}
	return dst
}

// relief draws the gradient as a picture around grey.
func (m *Map) relief(frame *picture.RGB, bgr bool) *picture.RGB {
	dst := picture.NewRGB(frame.W, frame.H)
	most := percentile(m.Gradient)
	plane := m.H * m.W
	for c := range 3 {
		k := c
		if bgr {
			k = 2 - c
		}
		for i, v := range resize(m.Gradient[k*plane:][:plane], m.H, m.W, frame.H, frame.W) {
			dst.Pix[3*i+c] = uint8(math.Round(127.5 * (1 + float64(min(max(v/most, -1), 1)))))
		}
	}
	return dst
}
