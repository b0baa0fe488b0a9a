package picture

// CenterOffset returns the beginning of a centre crop of size out of n: (n−size)/2, with
// halves to even, as torchvision's CenterCrop rounds.
func CenterOffset(n, size int) int {
	d := n - size
	if d < 0 {
		return -((-d) / 2)
	}
	o := d / 2
	if d%2 == 1 && o%2 == 1 {
		o++ // o+½ rounds to the even neighbour
	}
	return o
}

// Crop returns a copy of the w×h pixels at (x, y). It panics if they are not
// inside the picture.
func Crop(src *RGB, x, y, w, h int) *RGB {
	dst := new(RGB)
	CropInto(dst, src, x, y, w, h, false)
	return dst
}

// CropInto sets dst to the w×h pixels at (x, y) of src, mirrored left to right if flip is
// set. dst keeps its memory if that suffices, and must not be src. CropInto panics if the
// crop is not inside the picture.
func CropInto(dst, src *RGB, x, y, w, h int, flip bool) {
	src.check()
	if x < 0 || y < 0 || w < 0 || h < 0 || x > src.W-w || y > src.H-h {
		panic("picture: crop outside the picture")
	}
	if dst == src {
		panic("picture: crop onto itself")
	}
	dst.Reset(w, h)
	for i := range h {
		copy(dst.Row(i), src.Row(y + i)[3*x:])
	}
	if flip {
		FlipHorizontal(dst)
	}
}

// CenterCrop returns the w×h pixels in the middle of src; see [CenterOffset]. A smaller src
// is first padded with black on both sides, with the odd pixel right and below, as in
// torchvision.
func CenterCrop(src *RGB, w, h int) *RGB {
	if w <= src.W && h <= src.H {
		return Crop(src, CenterOffset(src.W, w), CenterOffset(src.H, h), w, h)
	}
	dst := NewRGB(w, h)
	cw, ch := min(w, src.W), min(h, src.H)
	in := Crop(src, max(CenterOffset(src.W, w), 0), max(CenterOffset(src.H, h), 0), cw, ch)
	dx, dy := (w-cw)/2, (h-ch)/2
	for y := range ch {
		copy(dst.Row(dy + y)[3*dx:], in.Row(y))
	}
	return dst
}

// FlipHorizontal mirrors p left to right in place. It does not allocate.
func FlipHorizontal(p *RGB) {
	p.check()
	for y := range p.H {
		row := p.Row(y)
		for i, j := 0, len(row)-3; i < j; i, j = i+3, j-3 {
			a, b := (*[3]uint8)(row[i:]), (*[3]uint8)(row[j:])
			*a, *b = *b, *a
		}
	}
}
