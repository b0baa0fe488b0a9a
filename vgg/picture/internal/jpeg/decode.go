// Package jpeg decodes baseline and progressive JPEG to the sample values of
// libjpeg and libjpeg-turbo, bit for bit.
//
// The standard leaves the rounding of the inverse transform to the decoder, and
// image/jpeg rounds otherwise than libjpeg, by up to 2 levels after colour
// conversion. Networks are trained and scored on libjpeg's pictures, so package
// picture decodes with this package and leaves to image/jpeg what is not done
// here: CMYK, arithmetic coding, 12 bits, lossless, and unusual sampling factors.
//
// Names and section numbers are those of ITU-T T.81.
package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// ErrUnsupported is the error of a valid file that only other decoders read.
var ErrUnsupported = errors.New("jpeg: unsupported")

// errTruncated wraps io.ErrUnexpectedEOF, as the decoders of package image do.
var errTruncated = fmt.Errorf("jpeg: data end too early: %w", io.ErrUnexpectedEOF)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("jpeg: "+format, args...)
}

// Markers.
const (
	mSOF0, mSOF1, mSOF2, mSOF15 = 0xc0, 0xc1, 0xc2, 0xcf
	mDHT, mJPG, mDAC            = 0xc4, 0xc8, 0xcc
	mRST0, mRST7                = 0xd0, 0xd7
	mSOI, mEOI, mSOS            = 0xd8, 0xd9, 0xda
	mDQT, mDRI                  = 0xdb, 0xdd
	mAPP0, mAPP14               = 0xe0, 0xee
)

// component is one colour channel.
type component struct {
	id, h, v int // sampling factors
	tq       int // quantisation table
	bw, bh   int // blocks stored: whole MCUs
	sw, sh   int // blocks of a scan of this component alone
	pix      []uint8
	coefs    []int16 // progressive: 64 a block, in natural order
	quant    [64]int32
	seen     bool // in a scan; quant is the table of that time
}

func (c *component) stride() int { return 8 * c.bw }

type decoder struct {
	data        []byte
	pos         int
	w, h        int
	comps       []component
	hmax, vmax  int
	mcuX, mcuY  int
	progressive bool
	quant       [4][64]int32 // in natural order
	quantSet    [4]bool
	huff        [2][4]huffman // DC, AC
	restart     int           // MCUs between restart markers, 0 for none
	jfif, adobe bool
	transform   byte // Adobe's colour transform
	bits        bits
	eobRun      int
}

// Decode returns the picture in data as an *image.Gray, as an *image.YCbCr whose
// planes are the decoded samples, without chroma interpolation, or as an
// *image.RGBA if the file says that its components are red, green and blue. The memory it
// uses is proportional to the size in the frame header, which the caller has to
// check first: 1 to 3 bytes a pixel, and 2 to 6 more if the file is progressive.
func Decode(data []byte) (image.Image, error) {
	d := &decoder{data: data}
	if len(data) < 2 || data[0] != 0xff || data[1] != mSOI {
		return nil, corrupt("no start of image")
	}
	d.pos = 2
	for {
		marker, err := d.nextMarker()
		if err != nil {
			return nil, err
		}
		if marker == mEOI {
			break
		}
		if err := d.segment(marker); err != nil {
			return nil, err
		}
		if d.complete() { // what follows the last scan does not matter
			break
		}
	}
	return d.picture()
}

// nextMarker returns the marker at or after pos. Bytes in between are skipped.
func (d *decoder) nextMarker() (byte, error) {
	for ; d.pos+1 < len(d.data); d.pos++ {
		if m := d.data[d.pos+1]; d.data[d.pos] == 0xff && m != 0 && m != 0xff {
			d.pos += 2
			return m, nil
		}
	}
	return 0, errTruncated
}

// segment reads the segment of marker, and after SOS the scan.
func (d *decoder) segment(marker byte) error {
	if mRST0 <= marker && marker <= mSOI || marker == 0x01 {
		return nil // no parameters
	}
	if d.pos+2 > len(d.data) {
		return errTruncated
	}
	n := int(binary.BigEndian.Uint16(d.data[d.pos:]))
	if n < 2 {
		return corrupt("segment %#x of length %d", marker, n)
	}
	if d.pos+n > len(d.data) {
		return errTruncated
	}
	b := d.data[d.pos+2 : d.pos+n]
	d.pos += n
	switch {
	case marker == mDQT:
		return d.quantTables(b)
	case marker == mDHT:
		return d.huffmanTables(b)
	case marker == mDRI:
		if len(b) != 2 {
			return corrupt("restart interval of %d bytes", len(b))
		}
		d.restart = int(binary.BigEndian.Uint16(b))
	case marker == mAPP0 && len(b) >= 5 && string(b[:5]) == "JFIF\x00":
		d.jfif = true
	case marker == mAPP14 && len(b) >= 12 && string(b[:5]) == "Adobe":
		d.adobe, d.transform = true, b[11]
	case marker == mSOF0 || marker == mSOF1 || marker == mSOF2:
		d.progressive = marker == mSOF2
		return d.frame(b)
	case marker == mDAC, mSOF0 <= marker && marker <= mSOF15 && marker != mJPG:
		return fmt.Errorf("%w: coding process %#x", ErrUnsupported, marker)
	case marker == mSOS:
		return d.scan(b)
	}
	return nil
}

// zigzag[i] is the natural index of coefficient i of a scan, with room for runs
// that end beyond the block.
var zigzag = func() (z [64 + 16]uint8) {
	x, y := 0, 0
	for i := range 64 {
		z[i] = uint8(8*y + x)
		switch up := (x+y)%2 == 0; {
		case up && x == 7, !up && y < 7 && x == 0:
			y++
		case up && y == 0, !up && y == 7:
			x++
		case up:
			x, y = x+1, y-1
		default:
			x, y = x-1, y+1
		}
	}
	for i := 64; i < len(z); i++ {
		z[i] = 63
	}
	return z
}()

func (d *decoder) quantTables(b []byte) error {
	for len(b) > 0 {
		wide, t := int(b[0]>>4), b[0]&15
		if wide > 1 || t > 3 {
			return corrupt("quantisation table %#x", b[0])
		}
		b = b[1:]
		if len(b) < 64<<wide {
			return corrupt("short quantisation table")
		}
		for i := range 64 {
			v := int32(b[i<<wide])
			if wide == 1 {
				v = v<<8 | int32(b[2*i+1])
			}
			d.quant[t][zigzag[i]] = v
		}
		d.quantSet[t] = true
		b = b[64<<wide:]
	}
	return nil
}

// frame reads the frame header (B.2.2) and allocates the planes.
func (d *decoder) frame(b []byte) error {
	if d.comps != nil {
		return corrupt("two frame headers")
	}
	if len(b) < 6 || len(b) != 6+3*int(b[5]) {
		return corrupt("frame header of %d bytes", len(b))
	}
	if b[0] != 8 {
		return fmt.Errorf("%w: %d bits a sample", ErrUnsupported, b[0])
	}
	d.h, d.w = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	n := int(b[5])
	if n != 1 && n != 3 {
		return fmt.Errorf("%w: %d components", ErrUnsupported, n)
	}
	if d.w == 0 || d.h == 0 {
		return fmt.Errorf("%w: picture of %d×%d pixels", ErrUnsupported, d.w, d.h)
	}
	comps := make([]component, n)
	for i := range comps {
		c, p := &comps[i], b[6+3*i:]
		*c = component{id: int(p[0]), h: int(p[1] >> 4), v: int(p[1] & 15), tq: int(p[2])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return corrupt("component %d with sampling %d×%d and table %d", c.id, c.h, c.v, c.tq)
		}
		for j := range i {
			if comps[j].id == c.id {
				return corrupt("two components %d", c.id)
			}
		}
	}
	if n == 1 { // without interleaving the factors mean nothing
		comps[0].h, comps[0].v = 1, 1
	} else if _, ok := ratio(comps); !ok {
		return fmt.Errorf("%w: sampling factors", ErrUnsupported)
	}
	d.comps = comps
	d.hmax, d.vmax = comps[0].h, comps[0].v
	d.mcuX, d.mcuY = ceilDiv(d.w, 8*d.hmax), ceilDiv(d.h, 8*d.vmax)
	for i := range comps {
		c := &comps[i]
		c.bw, c.bh = d.mcuX*c.h, d.mcuY*c.v
		c.sw, c.sh = ceilDiv(ceilDiv(d.w*c.h, d.hmax), 8), ceilDiv(ceilDiv(d.h*c.v, d.vmax), 8)
		c.pix = make([]uint8, 64*c.bw*c.bh)
		if d.progressive {
			c.coefs = make([]int16, 64*c.bw*c.bh)
		}
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// ratio returns the subsampling of three components, if image.YCbCr has it: the
// first must be the finest and the others alike.
func ratio(c []component) (image.YCbCrSubsampleRatio, bool) {
	if c[1].h != c[2].h || c[1].v != c[2].v || c[0].h%c[1].h != 0 || c[0].v%c[1].v != 0 {
		return 0, false
	}
	switch [2]int{c[0].h / c[1].h, c[0].v / c[1].v} {
	case [2]int{1, 1}:
		return image.YCbCrSubsampleRatio444, true
	case [2]int{2, 1}:
		return image.YCbCrSubsampleRatio422, true
	case [2]int{2, 2}:
		return image.YCbCrSubsampleRatio420, true
	case [2]int{1, 2}:
		return image.YCbCrSubsampleRatio440, true
	case [2]int{4, 1}:
		return image.YCbCrSubsampleRatio411, true
	case [2]int{4, 2}:
		return image.YCbCrSubsampleRatio410, true
	}
	return 0, false
}

// complete reports whether all of a sequential picture has been decoded. Of a
// progressive one only the end of the image tells.
func (d *decoder) complete() bool {
	if d.comps == nil || d.progressive {
		return false
	}
	for i := range d.comps {
		if !d.comps[i].seen {
			return false
		}
	}
	return true
}

// picture makes the result from the planes.
func (d *decoder) picture() (image.Image, error) {
	if d.comps == nil {
		return nil, corrupt("no frame header")
	}
	for i := range d.comps {
		c := &d.comps[i]
		if !c.seen {
			return nil, corrupt("no scan of component %d", c.id)
		}
		if d.progressive {
			c.reconstruct()
		}
	}
	r, y := image.Rect(0, 0, d.w, d.h), &d.comps[0]
	if len(d.comps) == 1 {
		return &image.Gray{Pix: y.pix, Stride: y.stride(), Rect: r}, nil
	}
	ratio, _ := ratio(d.comps)
	if d.rgb() {
		return d.interleave(ratio)
	}
	cb, cr := &d.comps[1], &d.comps[2]
	return &image.YCbCr{Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride(), CStride: cb.stride(), SubsampleRatio: ratio, Rect: r}, nil
}

// rgb reports whether three components are red, green and blue, by libjpeg's rules.
func (d *decoder) rgb() bool {
	switch {
	case len(d.comps) != 3 || d.jfif:
		return false
	case d.adobe:
		return d.transform == 0
	}
	return d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B'
}

// interleave returns components that are red, green and blue.
func (d *decoder) interleave(ratio image.YCbCrSubsampleRatio) (image.Image, error) {
	if ratio != image.YCbCrSubsampleRatio444 {
		return nil, fmt.Errorf("%w: subsampled RGB", ErrUnsupported)
	}
	m := image.NewRGBA(image.Rect(0, 0, d.w, d.h))
	for y := range d.h {
		row := m.Pix[y*m.Stride:]
		for i := range d.comps {
			for x, v := range d.comps[i].pix[y*d.comps[i].stride():][:d.w] {
				row[4*x+i] = v
			}
		}
		for x := range d.w {
			row[4*x+3] = 255
		}
	}
	return m, nil
}
