package picture

import (
	"cmp"
	"fmt"
	"image"
)

// Transform is the usual path from a decoded picture to the input of a network: RGB, short
// side to Side, centre crop of Size×Size, Preset. A crop that is no square is cut from the
// smallest scaled picture that covers its shape with a short side of Side. Transform keeps
// scratch between calls, so that it allocates nothing for pictures not larger than those
// before (unsubsampled, upright ones). One goroutine at a time may use it. The zero value is
// not usable; set Side, Size, Filter and Preset.
type Transform struct {
	Side, Size int // 256 and 224 in most of the literature
	Width      int // of the crop, where Size is its height alone; 0: Size
	Filter     Filter
	Preset     Preset

	resizer   Resizer
	rgb, crop RGB
}

// Apply writes img to dst as planes [3][Size][Width]. It returns an error if dst has another
// length or the picture is empty.
func (t *Transform) Apply(dst []float32, img image.Image) error {
	width := cmp.Or(t.Width, t.Size)
	if t.Side <= 0 || t.Size <= 0 || width <= 0 || len(dst) != 3*t.Size*width {
		return fmt.Errorf("picture: %d elements for a crop of %d×%d from a short side of %d", len(dst), t.Size, width, t.Side)
	}
	b := img.Bounds()
	if b.Empty() {
		return fmt.Errorf("picture: %d×%d pixels: %w", b.Dx(), b.Dy(), ErrSize)
	}
	src, ok := img.(*RGB)
	if !ok {
		src = &t.rgb
		src.SetImage(img)
	}
	t.resizer.Filter = t.Filter
	if err := t.resizer.CoverCrop(&t.crop, src, t.Side, width, t.Size); err != nil {
		return err
	}
	t.Preset.Tensor(dst, &t.crop)
	return nil
}

// CoverCrop scales src so that it just covers a rectangle of the shape w×h with a short side
// of side, and sets dst to the w×h pixels in its middle. For a square it is ResizeShortCrop.
// It returns an error that wraps ErrSize if the rectangle is smaller than the crop, or the
// scaled picture larger than [DefaultMaxPixels]. It panics as ResizeShortCrop does.
func (z *Resizer) CoverCrop(dst, src *RGB, side, w, h int) error {
	if w == h {
		z.ResizeShortCrop(dst, src, side, w)
		return nil
	}
	if side <= 0 || w <= 0 || h <= 0 || src.W <= 0 || src.H <= 0 {
		panic("picture: resize to a size that is not positive")
	}
	short := min(w, h)
	cover := func(n int) int64 { return int64(n) * int64(side) / int64(short) }
	rw64, rh64 := coverSize(int64(src.W), int64(src.H), cover(w), cover(h))
	rw, rh := int(rw64), int(rh64)
	if rw64 < int64(w) || rh64 < int64(h) || rw64 > int64(DefaultMaxPixels)/rh64 {
		return fmt.Errorf("picture: %d×%d pixels scaled to %d×%d for a crop of %d×%d: %w", src.W, src.H, rw64, rh64, w, h, ErrSize)
	}
	z.ResizeCrop(dst, src, rw, rh, CenterOffset(rw, w), CenterOffset(rh, h), w, h)
	return nil
}

// coverSize returns the smallest size of a w×h picture, sides in proportion and rounded
// down, that covers cw×ch.
func coverSize(w, h, cw, ch int64) (rw, rh int64) {
	if cw*h >= ch*w {
		return cw, max(cw*h/w, ch)
	}
	return max(ch*w/h, cw), ch
}
