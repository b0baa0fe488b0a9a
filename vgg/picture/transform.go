package picture

import (
	"fmt"
	"image"
)

// Transform is the usual path from a decoded picture to the input of a network:
// RGB, short side to Side, centre crop of Size×Size, Preset. It keeps scratch
// between calls, so that it allocates nothing for pictures not larger than
// those before (unsubsampled, upright ones); it is for one goroutine at a time.
// The zero value is not usable; set all four fields.
type Transform struct {
	Side, Size int // 256 and 224 in most of the literature
	Filter     Filter
	Preset     Preset

	resizer   Resizer
	rgb, crop RGB
}

// Apply writes img to dst as planes [3][Size][Size]. It returns an error if dst
// does not have 3·Size² elements or the picture is empty.
func (t *Transform) Apply(dst []float32, img image.Image) error {
	if t.Side <= 0 || t.Size <= 0 || len(dst) != 3*t.Size*t.Size {
		return fmt.Errorf("picture: %d elements for a crop of %d×%d from a short side of %d", len(dst), t.Size, t.Size, t.Side)
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
	t.resizer.ResizeShortCrop(&t.crop, src, t.Side, t.Size)
	t.Preset.Tensor(dst, &t.crop)
	return nil
}
