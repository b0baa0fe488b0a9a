package picture

import "image"

// The matrix of JFIF in 16-bit fixed point, each constant rounded to nearest.
const (
	crToR = 91881  // 1.40200
	cbToG = 22554  // 0.34414
	crToG = 46802  // 0.71414
	cbToB = 116130 // 1.77200
	half  = 1 << 15
)

// ycc converts one row of full-resolution Y, Cb, Cr to interleaved RGB. Each
// chroma term is rounded before Y is added, as in libjpeg; package image/color
// rounds the sum and differs by one in places.
func ycc(dst, y, cb, cr []uint8) {
	n := len(y)
	cb, cr, dst = cb[:n], cr[:n], dst[:3*n]
	for i, v := range y {
		l, b, r := int32(v), int32(cb[i])-128, int32(cr[i])-128
		d := dst[3*i : 3*i+3]
		d[0] = clip(l + (crToR*r+half)>>16)
		d[1] = clip(l + (half-cbToG*b-crToG*r)>>16)
		d[2] = clip(l + (cbToB*b+half)>>16)
	}
}

func clip(v int32) uint8 {
	if uint32(v) < 256 {
		return uint8(v)
	}
	return uint8(^(v >> 31)) // 0 below, 255 above
}

// setYCbCr fills p, already of m's size.
func (p *RGB) setYCbCr(m *image.YCbCr) {
	b := m.Bounds()
	cb, cr := newUpsampler(chroma(m, m.Cb), p.W), newUpsampler(chroma(m, m.Cr), p.W)
	for y := range p.H {
		luma := m.Y[m.YOffset(b.Min.X, b.Min.Y+y):][:p.W]
		ycc(p.Row(y), luma, cb.row(y), cr.row(y))
	}
}

// plane holds w×h samples of one component, row y at pix[y*stride:]. Each stands for
// sx×sy pixels. The picture begins x0 pixels to the right of the left edge of
// the first sample, and y0 below the upper.
type plane struct {
	pix    []uint8
	stride int
	w, h   int
	sx, sy int
	x0, y0 int
}

// chroma returns the plane pix, Cb or Cr, of m.
func chroma(m *image.YCbCr, pix []uint8) plane {
	p := plane{pix: pix, stride: m.CStride}
	p.sx, p.sy = subsampling(m.SubsampleRatio)
	b := m.Rect
	cx, cy := floorDiv(b.Min.X, p.sx), floorDiv(b.Min.Y, p.sy)
	p.w, p.h = floorDiv(b.Max.X-1, p.sx)-cx+1, floorDiv(b.Max.Y-1, p.sy)-cy+1
	p.x0, p.y0 = b.Min.X-cx*p.sx, b.Min.Y-cy*p.sy
	return p
}

// upsampler brings the rows of a plane to full resolution.
//
// For factors of two it weighs the nearest sample 3/4 and the next 1/4 in each
// subsampled direction ("fancy upsampling" in libjpeg, triangle filter), with
// libjpeg's alternating rounding: chroma samples lie halfway between luma samples.
// Other factors repeat samples.
type upsampler struct {
	plane
	width  int // in pixels
	smooth bool
	dst    []uint8  // one row at full resolution
	sum    []uint16 // 3·near + far of one row
}

func newUpsampler(p plane, width int) *upsampler {
	u := &upsampler{plane: p, width: width}
	if u.sx == 1 && u.sy == 1 {
		return u
	}
	// A crop that starts inside a chroma sample is possible only by SubImage.
	u.smooth = u.x0 == 0 && u.y0 == 0 && u.sx <= 2 && u.sy <= 2 && (u.sx == 1 || u.w > 2)
	u.dst = make([]uint8, 2*u.w+width)
	u.sum = make([]uint16, u.w)
	return u
}

func subsampling(r image.YCbCrSubsampleRatio) (sx, sy int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// row returns row y of the picture. The slice is valid until the next call.
func (u *upsampler) row(y int) []uint8 {
	near := u.samples((u.y0 + y) / u.sy)
	if u.sx == 1 && u.sy == 1 {
		return near[:u.width]
	}
	dst := u.dst[:u.width]
	if !u.smooth {
		for x := range dst {
			dst[x] = near[(x+u.x0)/u.sx]
		}
		return dst
	}
	if u.sy == 1 {
		smoothH2V1(u.dst, near)
		return dst
	}
	far := u.samples(y/2 - 1 + y%2*2)
	if u.sx == 1 {
		bias := uint16(1 + y%2) // 1 for the upper of two rows, 2 for the lower
		for x, v := range near {
			dst[x] = uint8((3*uint16(v) + uint16(far[x]) + bias) >> 2)
		}
		return dst
	}
	for x, v := range near {
		u.sum[x] = 3*uint16(v) + uint16(far[x])
	}
	smoothH2V2(u.dst, u.sum)
	return dst
}

// samples returns row i of the plane, or the nearest one that exists.
func (u *upsampler) samples(i int) []uint8 {
	i = min(max(i, 0), u.h-1)
	return u.pix[i*u.stride:][:u.w]
}

// smoothH2V1 doubles a row; dst has room for 2·len(s).
func smoothH2V1(dst, s []uint8) {
	last := len(s) - 1
	dst = dst[:2*len(s)]
	prev := s[0]
	for i, v := range s {
		next := s[min(i+1, last)]
		t := 3 * uint16(v)
		dst[2*i] = uint8((t + uint16(prev) + 1) >> 2)
		dst[2*i+1] = uint8((t + uint16(next) + 2) >> 2)
		prev = v
	}
}

// smoothH2V2 doubles a row of column sums 3·near+far; dst has room for 2·len(s).
func smoothH2V2(dst []uint8, s []uint16) {
	last := len(s) - 1
	dst = dst[:2*len(s)]
	prev := s[0]
	for i, v := range s {
		next := s[min(i+1, last)]
		dst[2*i] = uint8((3*v + prev + 8) >> 4)
		dst[2*i+1] = uint8((3*v + next + 7) >> 4)
		prev = v
	}
}
