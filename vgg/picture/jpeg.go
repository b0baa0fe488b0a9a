package picture

import (
	"context"
	"image"

	"github.com/nonet-go/nonet/vgg/picture/internal/jpeg"
)

func isJPEG(data []byte) bool { return len(data) >= 2 && data[0] == 0xff && data[1] == 0xd8 }

// decodeJPEG returns a picture that package image has a type for as that type, and
// others as *RGB.
func decodeJPEG(ctx context.Context, data []byte) (image.Image, error) {
	m, err := jpeg.Decode(ctx, data)
	if err != nil {
		return nil, err
	}
	r, p := image.Rect(0, 0, m.W, m.H), m.Planes
	if m.Space == jpeg.Gray {
		return &image.Gray{Pix: p[0].Pix, Stride: p[0].Stride, Rect: r}, nil
	}
	if ratio, ok := ratio(p); ok && m.Space == jpeg.YCbCr {
		return &image.YCbCr{Y: p[0].Pix, Cb: p[1].Pix, Cr: p[2].Pix,
			YStride: p[0].Stride, CStride: p[1].Stride, SubsampleRatio: ratio, Rect: r}, nil
	}
	return rgbOf(ctx, m)
}

// ratio returns the subsampling of three planes, if image.YCbCr has it.
func ratio(p []jpeg.Plane) (image.YCbCrSubsampleRatio, bool) {
	if len(p) != 3 || p[0].SX != 1 || p[0].SY != 1 || p[1].SX != p[2].SX || p[1].SY != p[2].SY {
		return 0, false
	}
	for r := range image.YCbCrSubsampleRatio410 + 1 {
		if x, y := subsampling(r); x == p[1].SX && y == p[1].SY {
			return r, true
		}
	}
	return 0, false
}

// rgbOf converts a picture of any space and sampling, row by row.
func rgbOf(ctx context.Context, m *jpeg.Picture) (*RGB, error) {
	ups := make([]*upsampler, len(m.Planes))
	for i, p := range m.Planes {
		ups[i] = newUpsampler(plane{pix: p.Pix, stride: p.Stride, w: p.W, h: p.H, sx: p.SX, sy: p.SY}, m.W)
	}
	dst := NewRGB(m.W, m.H)
	rows := make([][]uint8, len(ups))
	for y := range m.H {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i, u := range ups {
			rows[i] = u.row(y)
		}
		rgbRow(dst.Row(y), rows, m.Space)
	}
	return dst, nil
}

// rgbRow converts one row of samples. CMYK is inverted, as Pillow takes that of every JPEG
// file: the file's samples are 255−C, 255−M, 255−Y and 255−K. YCCK is YCbCr of these
// inverted, beside K.
func rgbRow(dst []uint8, rows [][]uint8, space jpeg.Space) {
	if space == jpeg.YCbCr || space == jpeg.YCCK {
		ycc(dst, rows[0], rows[1], rows[2])
	} else {
		for i, row := range rows[:3] {
			for x, v := range row {
				dst[3*x+i] = v
			}
		}
	}
	if len(rows) < 4 {
		return
	}
	for x, k := range rows[3] {
		d, white := dst[3*x:3*x+3], uint32(k)
		r, g, b := d[0], d[1], d[2]
		if space == jpeg.YCCK {
			r, g, b = 255-r, 255-g, 255-b
		}
		d[0] = uint8(white - divide255(uint32(255-r)*white))
		d[1] = uint8(white - divide255(uint32(255-g)*white))
		d[2] = uint8(white - divide255(uint32(255-b)*white))
	}
}
