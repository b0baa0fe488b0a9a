package picture

import (
	"cmp"
	"fmt"
	"image"
)

// Transform is the usual path from a decoded picture to the input of a network:
// RGB, short side to Side, centre crop of Size×Size, Preset. A crop that is no square
// is cut from the smallest scaled picture that covers its shape with a short side of
// Side. It keeps scratch
// between calls, so that it allocates nothing for pictures not larger than
// those before (unsubsampled, upright ones); it is for one goroutine at a time.
// The zero value is not usable; set Side, Size, Filter and Preset.
type Transform struct {
	Side, Size int // 256 and 224 in most of the literature
	Width      int // of the crop, where Size is its height alone; 0: Size
	Filter     Filter
	Preset     Preset

	resizer   Resizer
	rgb, crop RGB
}

// Apply writes img to dst as planes [3][Size][Width]. It returns an error if dst
// does not have so many elements or the picture is empty.
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
	if width == t.Size {
		t.resizer.ResizeShortCrop(&t.crop, src, t.Side, t.Size)
	} else {
		w, h := coverSize(src.W, src.H, width*t.Side/min(width, t.Size), t.Size*t.Side/min(width, t.Size))
		if w > DefaultMaxPixels/h || w < width || h < t.Size {
			return fmt.Errorf("picture: %d×%d pixels scaled to %d×%d for a crop of %d×%d: %w", src.W, src.H, w, h, width, t.Size, ErrSize)
		}
		t.resizer.ResizeCrop(&t.crop, src, w, h, CenterOffset(w, width), CenterOffset(h, t.Size), width, t.Size)
	}
	t.Preset.Tensor(dst, &t.crop)
	return nil
}

// coverSize returns the smallest size of a w×h picture, sides in proportion and rounded
// down, that covers cw×ch.
func coverSize(w, h, cw, ch int) (rw, rh int) {
	if cw*h >= ch*w {
		return cw, max(cw*h/w, ch)
	}
	return max(ch*w/h, cw), ch
}
