package picture

import "image"

// setVP8 fills p with m, the planes of a lossy WebP file. VP8 stores video levels,
// 16 to 235 and 16 to 240 (ITU-R BT.601), where image.YCbCr means the full range:
// golang.org/x/image/webp returns pictures whose black is grey (golang/go#40173).
//
// Chroma is interpolated and converted with the rounding of libwebp, whose
// pictures the result equals.
func (p *RGB) setVP8(m *image.YCbCr) {
	b := m.Bounds()
	p.Reset(b.Dx(), b.Dy())
	cw, ch := (p.W+1)/2, (p.H+1)/2
	cb, cr := make([]uint8, p.W), make([]uint8, p.W)
	for y := range p.H {
		near := y / 2
		far := min(max(near-1+y%2*2, 0), ch-1)
		n, f := near*m.CStride, far*m.CStride
		smoothVP8(cb, m.Cb[n:][:cw], m.Cb[f:][:cw])
		smoothVP8(cr, m.Cr[n:][:cw], m.Cr[f:][:cw])
		vp8Colours(p.Row(y), m.Y[y*m.YStride:][:p.W], cb, cr)
	}
}

// smoothVP8 doubles a row of chroma with weights 9, 3, 3, 1 of the four samples
// around, in two roundings.
func smoothVP8(dst, near, far []uint8) {
	edge := func(i int) uint8 { return uint8((3*int(near[i]) + int(far[i]) + 2) >> 2) }
	dst[0] = edge(0)
	for x := 1; 2*x-1 < len(dst); x++ {
		if x == len(near) { // even width: one more column
			dst[2*x-1] = edge(x - 1)
			break
		}
		n0, n1, f0, f1 := int(near[x-1]), int(near[x]), int(far[x-1]), int(far[x])
		sum := n0 + n1 + f0 + f1 + 8
		dst[2*x-1] = uint8(((sum+2*(n1+f0))>>3 + n0) >> 1)
		if 2*x < len(dst) {
			dst[2*x] = uint8(((sum+2*(n0+f1))>>3 + n1) >> 1)
		}
	}
}

// vp8Colours converts a row with the matrix of BT.601 in 14 bits; products are cut to
// 6 fractional bits before they are added up.
func vp8Colours(dst, y, cb, cr []uint8) {
	for i, v := range y {
		l, b, r := int32(v)*19077>>8, int32(cb[i]), int32(cr[i])
		d := dst[3*i : 3*i+3]
		d[0] = clip((l + r*26149>>8 - 14234) >> 6)
		d[1] = clip((l - b*6419>>8 - r*13320>>8 + 8708) >> 6)
		d[2] = clip((l + b*33050>>8 - 17685) >> 6)
	}
}
