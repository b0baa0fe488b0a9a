// Package bmp decodes Windows and OS/2 bitmaps: 1, 2, 4, 8, 16, 24 and 32 bits a
// pixel, masks of any place with up to 8 bits a channel, and both run-length codes.
//
// Package golang.org/x/image/bmp has neither the codes, nor 16 bits, nor masks,
// nor headers of OS/2. The names are those of the Windows documentation.
package bmp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/bits"
)

var errTruncated = fmt.Errorf("bmp: data end too early: %w", io.ErrUnexpectedEOF)

// Values of the field compression.
const (
	biRGB = iota
	biRLE8
	biRLE4
	biBitfields
)

const fileHeader = 14

// header is what stands in front of the pixels.
type header struct {
	w, h        int
	topDown     bool
	depth       int // bits a pixel
	compression uint32
	masks       [3]uint32 // of red, green and blue, for 16 bits and more
	palette     color.Palette
	pixels      []byte // and what follows them
}

// Size returns the size of the picture. It needs the first 26 bytes.
func Size(data []byte) (w, h int, err error) {
	var d header
	_, err = d.size(data)
	return d.w, d.h, err
}

// size reads the sizes and returns the length of the header that has them.
func (d *header) size(data []byte) (length int, err error) {
	if len(data) < fileHeader+12 {
		return 0, errTruncated
	}
	n := binary.LittleEndian.Uint32(data[fileHeader:])
	switch b := data[fileHeader+4:]; n {
	case 12:
		d.w, d.h = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
	case 40, 52, 56, 64, 108, 124:
		w, h := int64(int32(binary.LittleEndian.Uint32(b))), int64(int32(binary.LittleEndian.Uint32(b[4:])))
		d.topDown = h < 0
		h = max(h, -h)
		if w > 1<<25 || h > 1<<25 {
			return 0, fmt.Errorf("bmp: size %d×%d", w, h)
		}
		d.w, d.h = int(w), int(h)
	default:
		return 0, fmt.Errorf("bmp: header of %d bytes, known are 12, 40, 52, 56, 64, 108 and 124", n)
	}
	return int(n), nil
}

// parse reads all in front of the pixels.
func parse(data []byte) (d header, err error) {
	length, err := d.size(data)
	if err != nil {
		return d, err
	}
	if d.w <= 0 || d.h <= 0 {
		return d, fmt.Errorf("bmp: size %d×%d", d.w, d.h)
	}
	at := fileHeader + length // of what follows the header
	if len(data) < at {
		return d, errTruncated
	}
	b := data[fileHeader:at]
	colours, entry := 0, 4
	if length == 12 {
		d.depth, entry = int(binary.LittleEndian.Uint16(b[10:])), 3
	} else {
		d.depth = int(binary.LittleEndian.Uint16(b[14:]))
		d.compression = binary.LittleEndian.Uint32(b[16:])
		colours = int(min(binary.LittleEndian.Uint32(b[32:]), 1<<16))
	}
	if err := d.check(length); err != nil {
		return d, err
	}
	if d.depth > 8 {
		if at, err = d.readMasks(data, length, at); err != nil {
			return d, err
		}
	} else {
		if colours == 0 {
			colours = 1 << d.depth
		}
		if len(data) < at+entry*colours {
			return d, errTruncated
		}
		d.palette = palette(data[at:at+entry*colours], entry)
		at += entry * colours
	}
	return d, d.findPixels(data, length, at)
}

// check refuses depths and codes that do not exist.
func (d *header) check(length int) error {
	switch d.depth {
	case 1, 2, 4, 8, 16, 24, 32:
	default:
		return fmt.Errorf("bmp: %d bits a pixel", d.depth)
	}
	switch {
	case d.compression == biRGB,
		d.compression == biRLE8 && d.depth == 8,
		d.compression == biRLE4 && d.depth == 4,
		d.compression == biBitfields && d.depth >= 16 && length != 64: // OS/2 has Huffman 1D for this number
		return nil
	}
	return fmt.Errorf("bmp: compression %d with %d bits a pixel is not read", d.compression, d.depth)
}

// readMasks sets the masks of a picture without palette. In files with the header
// of 40 bytes they follow it.
func (d *header) readMasks(data []byte, length, at int) (int, error) {
	switch {
	case d.compression != biBitfields && d.depth == 16:
		d.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case d.compression != biBitfields:
		d.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	default:
		b := data[min(fileHeader+40, len(data)):]
		if len(b) < 12 {
			return 0, errTruncated
		}
		for i := range d.masks {
			d.masks[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		if length == 40 {
			at += 12
		}
	}
	if d.masks == ([3]uint32{}) && d.depth == 32 {
		d.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	}
	for _, m := range d.masks {
		n := bits.OnesCount32(m)
		if n == 0 || n > 8 || m>>bits.TrailingZeros32(m) != 1<<n-1 || d.depth < 32 && m>>d.depth != 0 {
			return 0, fmt.Errorf("bmp: masks %#x, want 1 to 8 bits together for each colour", d.masks)
		}
	}
	return at, nil
}

// findPixels sets the pixels: where the file's header says, or at the end of what
// was read. Some writers leave the palette out of that count.
func (d *header) findPixels(data []byte, length, at int) error {
	offset := uint64(binary.LittleEndian.Uint32(data[10:]))
	if offset == 0 || offset == uint64(fileHeader+length) && d.depth <= 8 {
		offset = uint64(at)
	}
	if offset > uint64(len(data)) {
		return errTruncated
	}
	d.pixels = data[offset:]
	return nil
}

// palette returns the colours of entries in the order blue, green, red. Indices
// beyond them are shades of grey.
func palette(b []byte, entry int) color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		c := color.RGBA{uint8(i), uint8(i), uint8(i), 255}
		if entry*i < len(b) {
			e := b[entry*i:]
			c.R, c.G, c.B = e[2], e[1], e[0]
		}
		p[i] = c
	}
	return p
}

// Decode returns the picture as an *image.Paletted or an *image.NRGBA without
// transparency. It takes 1 or 4 bytes for each pixel; the caller has to check the
// size first. It ends with ctx's error when ctx is done.
func Decode(ctx context.Context, data []byte) (image.Image, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	stride := (d.w*d.depth + 31) / 32 * 4
	switch d.compression {
	case biRLE4, biRLE8:
		return d.runs(ctx)
	}
	if need := uint64(stride)*uint64(d.h-1) + uint64(d.w*d.depth+7)/8; uint64(len(d.pixels)) < need {
		return nil, errTruncated
	}
	if d.depth <= 8 {
		m := image.NewPaletted(image.Rect(0, 0, d.w, d.h), d.palette)
		for i := range d.h {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d.indices(m.Pix[d.row(i)*m.Stride:][:d.w], d.pixels[i*stride:])
		}
		return m, nil
	}
	m := image.NewNRGBA(image.Rect(0, 0, d.w, d.h))
	for i := range d.h {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d.colours(m.Pix[d.row(i)*m.Stride:][:4*d.w], d.pixels[i*stride:])
	}
	return m, nil
}

// row is the place of row i of the file in the picture.
func (d *header) row(i int) int {
	if d.topDown {
		return i
	}
	return d.h - 1 - i
}

// indices unpacks a row of a paletted picture.
func (d *header) indices(dst, src []byte) {
	perByte := 8 / d.depth
	for x := range dst {
		shift := 8 - d.depth*(x%perByte+1)
		dst[x] = src[x/perByte] >> shift & (1<<d.depth - 1)
	}
}

// colours unpacks a row of a picture without palette: a channel of n bits is
// scaled by 255/(2ⁿ−1), and cut.
func (d *header) colours(dst, src []byte) {
	var shift, top [3]uint32
	for c, m := range d.masks {
		shift[c] = uint32(bits.TrailingZeros32(m))
		top[c] = m >> shift[c]
	}
	size := d.depth / 8
	for x := range len(dst) / 4 {
		var v uint32
		for i, b := range src[size*x:][:size] {
			v |= uint32(b) << (8 * i)
		}
		for c, m := range d.masks {
			dst[4*x+c] = uint8((v & m >> shift[c]) * 255 / top[c])
		}
		dst[4*x+3] = 255
	}
}

var errRuns = errors.New("bmp: run-length code leaves its row")

// runs decodes a picture of BI_RLE8 or BI_RLE4. Pixels that the code leaves out
// have index 0.
func (d *header) runs(ctx context.Context) (image.Image, error) {
	m := image.NewPaletted(image.Rect(0, 0, d.w, d.h), d.palette)
	for src, x, y := d.pixels, 0, 0; y < d.h && (x < d.w || y < d.h-1); {
		if len(src) < 2 {
			return nil, errTruncated
		}
		n, code := int(src[0]), src[1]
		src = src[2:]
		switch {
		case n > 0: // n pixels of one index, or of two in turn
			n = min(n, d.w-x)
			d.put(m, x, y, n, func(int) byte { return code })
			x += n
		case code == 0: // end of row
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			x, y = 0, y+1
		case code == 1: // end of picture
			return nil, errTruncated
		case code == 2: // go right and up
			if len(src) < 2 {
				return nil, errTruncated
			}
			x, y, src = x+int(src[0]), y+int(src[1]), src[2:]
			if x > d.w || y > d.h {
				return nil, errRuns
			}
		default: // pixels as they are, padded to 16 bits
			n := int(code)
			size := (n*d.depth + 15) / 16 * 2
			if len(src) < (n*d.depth+7)/8 {
				return nil, errTruncated
			}
			if n > d.w-x {
				return nil, errRuns
			}
			d.put(m, x, y, n, func(i int) byte { return src[i*d.depth/8] })
			x, src = x+n, src[min(size, len(src)):]
		}
	}
	return m, nil
}

// put writes n pixels. The byte of pixel i is b(i); with 4 bits, even pixels have
// its upper half.
func (d *header) put(m *image.Paletted, x, y, n int, b func(i int) byte) {
	dst := m.Pix[d.row(y)*m.Stride+x:][:n]
	for i := range dst {
		v := b(i)
		if d.depth == 4 {
			v = v >> (4 * (1 - i%2)) & 15
		}
		dst[i] = v
	}
}
