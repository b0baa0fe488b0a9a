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
	u := newUpsampler(m)
	b := m.Bounds()
	for y := range p.H {
		luma := m.Y[m.YOffset(b.Min.X, b.Min.Y+y):][:p.W]
		cb, cr := u.row(y)
		ycc(p.Row(y), luma, cb, cr)
	}
}

// upsampler brings the chroma rows of a picture to full resolution.
//
// For factors of two it weighs the nearest sample 3/4 and the next 1/4 in each
// subsampled direction ("fancy upsampling" in libjpeg, triangle filter), with
// libjpeg's alternating rounding: chroma samples lie halfway between luma samples.
type upsampler struct {
	m        *image.YCbCr
	x0, y0   int // of the picture, in luma samples
	cx0, cy0 int // first chroma column and row
	w, cw    int // width in luma and in chroma samples
	ch       int // height in chroma samples
	sx, sy   int // subsampling
	smooth   bool
	cb, cr   []uint8  // one row at full resolution
	sum      []uint16 // 3·near + far of one row
}

func newUpsampler(m *image.YCbCr) *upsampler {
	u := &upsampler{m: m, x0: m.Rect.Min.X, y0: m.Rect.Min.Y, w: m.Rect.Dx()}
	u.sx, u.sy = subsampling(m.SubsampleRatio)
	u.cx0, u.cy0 = floorDiv(u.x0, u.sx), floorDiv(u.y0, u.sy)
	u.cw = floorDiv(m.Rect.Max.X-1, u.sx) - u.cx0 + 1
	u.ch = floorDiv(m.Rect.Max.Y-1, u.sy) - u.cy0 + 1
	if u.sx == 1 && u.sy == 1 {
		return u
	}
	// A crop that starts inside a chroma sample is possible only by SubImage.
	aligned := u.cx0*u.sx == u.x0 && u.cy0*u.sy == u.y0
	u.smooth = aligned && u.sx <= 2 && u.sy <= 2 && (u.sx == 1 || u.cw > 2)
	u.cb, u.cr = make([]uint8, 2*u.cw+u.w), make([]uint8, 2*u.cw+u.w)
	u.sum = make([]uint16, u.cw)
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

// row returns the chroma of row y, counted from the top of the picture. The
// slices are valid until the next call.
func (u *upsampler) row(y int) (cb, cr []uint8) {
	if u.sx == 1 && u.sy == 1 {
		o := u.m.COffset(u.x0, u.y0+y)
		return u.m.Cb[o:][:u.w], u.m.Cr[o:][:u.w]
	}
	u.plane(u.cb, u.m.Cb, y)
	u.plane(u.cr, u.m.Cr, y)
	return u.cb[:u.w], u.cr[:u.w]
}

func (u *upsampler) plane(dst, src []uint8, y int) {
	near := u.chromaRow(src, floorDiv(u.y0+y, u.sy)-u.cy0)
	if !u.smooth {
		shift := u.x0 - u.cx0*u.sx
		for x := range u.w {
			dst[x] = near[(x+shift)/u.sx]
		}
		return
	}
	if u.sy == 1 {
		smoothH2V1(dst, near)
		return
	}
	far := u.chromaRow(src, y/2-1+y%2*2)
	if u.sx == 1 {
		bias := uint16(1 + y%2) // 1 for the upper of two rows, 2 for the lower
		for x, v := range near {
			dst[x] = uint8((3*uint16(v) + uint16(far[x]) + bias) >> 2)
		}
		return
	}
	for x, v := range near {
		u.sum[x] = 3*uint16(v) + uint16(far[x])
	}
	smoothH2V2(dst, u.sum)
}

// chromaRow returns chroma row i, or the nearest one that exists.
func (u *upsampler) chromaRow(src []uint8, i int) []uint8 {
	i = min(max(i, 0), u.ch-1)
	o := u.m.COffset(u.x0, (u.cy0+i)*u.sy)
	if u.cy0+i == floorDiv(u.y0, u.sy) {
		o = u.m.COffset(u.x0, u.y0)
	}
	return src[o:][:u.cw]
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
