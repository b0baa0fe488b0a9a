package picture

import (
	"image"
	"image/color"
)

// RGB is an 8-bit picture, three bytes a pixel: pixel (x, y) is
// Pix[3*(y*W+x):][:3] in the order red, green, blue, without padding.
//
// It implements [image.Image], so that png.Encode and others take it.
type RGB struct {
	Pix  []uint8
	W, H int
}

// NewRGB returns a black picture of w×h pixels. It panics if a size is negative.
func NewRGB(w, h int) *RGB {
	p := new(RGB)
	p.Reset(w, h)
	return p
}

// Reset gives p the size w×h. It keeps the memory of Pix if that suffices; Pix then holds
// old pixels, which the caller overwrites. It panics if a size is negative.
func (p *RGB) Reset(w, h int) {
	if w < 0 || h < 0 {
		panic("picture: negative size")
	}
	n := 3 * w * h
	if cap(p.Pix) < n {
		p.Pix = make([]uint8, n)
	}
	p.Pix, p.W, p.H = p.Pix[:n], w, h
}

// Row returns the 3·W bytes of row y.
func (p *RGB) Row(y int) []uint8 { return p.Pix[3*p.W*y:][: 3*p.W : 3*p.W] }

// ColorModel is part of [image.Image].
func (p *RGB) ColorModel() color.Model { return color.RGBAModel }

// Bounds is part of [image.Image].
func (p *RGB) Bounds() image.Rectangle { return image.Rect(0, 0, p.W, p.H) }

// At is part of [image.Image].
func (p *RGB) At(x, y int) color.Color { return p.RGBAAt(x, y) }

// RGBAAt returns pixel (x, y), opaque, or the zero colour outside the picture.
func (p *RGB) RGBAAt(x, y int) color.RGBA {
	if uint(x) >= uint(p.W) || uint(y) >= uint(p.H) {
		return color.RGBA{}
	}
	i := 3 * (y*p.W + x)
	return color.RGBA{p.Pix[i], p.Pix[i+1], p.Pix[i+2], 255}
}

// Opaque reports true: an RGB has no alpha.
func (p *RGB) Opaque() bool { return true }

// check panics if the length of Pix does not fit the sizes.
func (p *RGB) check() {
	if p.W < 0 || p.H < 0 || len(p.Pix) != 3*p.W*p.H {
		panic("picture: length of Pix is not 3·W·H")
	}
}

// FromImage converts img to 8-bit RGB in a new picture; see [RGB.SetImage].
func FromImage(img image.Image) *RGB {
	p := new(RGB)
	p.SetImage(img)
	return p
}

// SetImage makes p the 8-bit RGB form of img, whose upper left corner becomes (0, 0). It
// reuses the memory of p.Pix, which must not belong to img, and allocates nothing else for
// the types of package image.
//
// Alpha is dropped, not blended, as by Pillow's convert("RGB"): the result is the stored
// colour, whatever its opacity (premultiplied colours are divided by their alpha first).
// 16-bit samples keep their high byte. CMYK becomes R = (1−C)·(1−K), rounded, and so on.
// YCbCr is converted with the rounding of libjpeg. Its subsampled chroma is interpolated as
// in libjpeg for 4:2:0, 4:2:2 and 4:4:0, and repeated otherwise.
func (p *RGB) SetImage(img image.Image) {
	if o, ok := img.(*oriented); ok {
		var up RGB
		up.SetImage(o.Image)
		orient(p, &up, o.orientation)
		return
	}
	b := img.Bounds()
	p.Reset(b.Dx(), b.Dy())
	if b.Empty() {
		p.Reset(0, 0)
		return
	}
	switch m := img.(type) {
	case *RGB:
		copy(p.Pix, m.Pix)
	case *image.YCbCr:
		p.setYCbCr(m)
	case *image.NYCbCrA:
		p.setYCbCr(&m.YCbCr)
	case *image.RGBA:
		p.setRGBA(m)
	case *image.NRGBA:
		for y := range p.H {
			dropEvery4th(p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.Gray:
		for y := range p.H {
			spreadGray(p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 1)
		}
	case *image.Gray16: // big endian: the first byte is the high one
		for y := range p.H {
			spreadGray(p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 2)
		}
	case *image.Paletted:
		p.setPaletted(m)
	case *image.NRGBA64:
		for y := range p.H {
			dst, src := p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range p.W {
				d, s := dst[3*x:3*x+3], src[8*x:8*x+8]
				d[0], d[1], d[2] = s[0], s[2], s[4]
			}
		}
	case *image.CMYK:
		p.setCMYK(m)
	default:
		p.setAny(img)
	}
}

func dropEvery4th(dst, src []uint8) {
	for len(dst) >= 3 && len(src) >= 4 {
		dst[0], dst[1], dst[2] = src[0], src[1], src[2]
		dst, src = dst[3:], src[4:]
	}
}

func spreadGray(dst, src []uint8, step int) {
	for x := range len(dst) / 3 {
		v := src[x*step]
		d := dst[3*x : 3*x+3]
		d[0], d[1], d[2] = v, v, v
	}
}

func (p *RGB) setRGBA(m *image.RGBA) {
	b := m.Bounds()
	for y := range p.H {
		dst, src := p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range p.W {
			d, s := dst[3*x:3*x+3], src[4*x:4*x+4]
			d[0], d[1], d[2] = s[0], s[1], s[2]
			if s[3] != 255 {
				d[0], d[1], d[2] = straight(color.RGBA{s[0], s[1], s[2], s[3]})
			}
		}
	}
}

// straight returns the colour of c without its alpha, not premultiplied.
func straight(c color.Color) (r, g, b uint8) {
	switch c := c.(type) { // these two keep a colour even where alpha is 0
	case color.NRGBA:
		return c.R, c.G, c.B
	case color.NRGBA64:
		return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return uint8(n.R >> 8), uint8(n.G >> 8), uint8(n.B >> 8)
}

func (p *RGB) setPaletted(m *image.Paletted) {
	var table [256][3]uint8 // indices past the palette become black
	for i, c := range m.Palette {
		if i == len(table) {
			break
		}
		r, g, b := straight(c)
		table[i] = [3]uint8{r, g, b}
	}
	b := m.Bounds()
	for y := range p.H {
		dst, src := p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range p.W {
			*(*[3]uint8)(dst[3*x:]) = table[src[x]]
		}
	}
}

func (p *RGB) setCMYK(m *image.CMYK) {
	b := m.Bounds()
	for y := range p.H {
		dst, src := p.Row(y), m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
		for x := range p.W {
			d, s := dst[3*x:3*x+3], src[4*x:4*x+4]
			white := 255 - uint32(s[3])
			for i := range d {
				d[i] = uint8(white - divide255(uint32(s[i])*white))
			}
		}
	}
}

// divide255 returns x/255, rounded to nearest, for x up to 255².
func divide255(x uint32) uint32 { x += 128; return (x + x>>8) >> 8 }

func (p *RGB) setAny(img image.Image) {
	b := img.Bounds()
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			p.Pix[i], p.Pix[i+1], p.Pix[i+2] = straight(img.At(x, y))
			i += 3
		}
	}
}
