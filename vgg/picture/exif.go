package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
)

// Upright is the EXIF orientation of a picture that is stored upright.
const Upright = 1

// Orientation returns the EXIF orientation, 1 to 8, in the data of a JPEG, PNG, WebP or TIFF
// file. It returns Upright if there is none or if it makes no sense. In PNG files it also
// reads the profile that older ImageMagick writes as text and, if there is no other, XMP. It
// reads the segments around the pixels and never fails.
//
// Value n says where row 0 and column 0 of the stored picture appear:
//
//	1 top left    2 top right    3 bottom right    4 bottom left
//	5 left top    6 right top    7 right bottom    8 left bottom
func Orientation(file []byte) int {
	n := 0
	switch {
	case bytes.HasPrefix(file, []byte("\xff\xd8")):
		n = tiffOrientation(jpegExif(file))
	case bytes.HasPrefix(file, []byte(pngMagic)):
		n = pngOrientation(file)
	case len(file) >= 12 && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP":
		n = tiffOrientation(webpExif(file))
	default:
		n = tiffOrientation(file)
	}
	if n < 1 || n > 8 {
		return Upright
	}
	return n
}

var exifHeader = []byte("Exif\x00\x00")

// jpegExif returns the TIFF structure of the first APP1 segment with EXIF data.
func jpegExif(b []byte) []byte {
	const app1, sos, eoi = 0xe1, 0xda, 0xd9
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		marker := b[1]
		switch {
		case marker == 0xff: // fill byte
			b = b[1:]
			continue
		case marker == sos || marker == eoi:
			return nil
		}
		n := int(binary.BigEndian.Uint16(b[2:])) // counts itself, not the marker
		if n < 2 || 2+n > len(b) {
			return nil
		}
		if body := b[4 : 2+n]; marker == app1 && bytes.HasPrefix(body, exifHeader) {
			return body[len(exifHeader):]
		}
		b = b[2+n:]
	}
	return nil
}

// webpExif returns the body of the EXIF chunk, which some writers begin as in JPEG.
func webpExif(b []byte) []byte {
	for b = b[12:]; len(b) >= 8; {
		n := uint64(binary.LittleEndian.Uint32(b[4:]))
		if n > uint64(len(b)-8) {
			return nil
		}
		if string(b[:4]) == "EXIF" {
			return bytes.TrimPrefix(b[8:8+n], exifHeader)
		}
		b = b[min(8+n+n%2, uint64(len(b))):] // bodies are padded to even length
	}
	return nil
}

// tiffOrientation looks up tag 0x0112 in the first directory of a TIFF structure.
// It returns 0 if the tag is absent, and −1 if its value is no integer.
func tiffOrientation(b []byte) int {
	if !isTIFF(b) {
		return 0
	}
	order, big, at, err := tiffHeader(b)
	head, size, value := uint64(2), uint64(12), 8
	if big {
		head, size, value = 8, 20, 12
	}
	if err != nil || at > uint64(len(b)) || head > uint64(len(b))-at {
		return 0
	}
	n := uint64(order.Uint16(b[at:]))
	if big {
		n = order.Uint64(b[at:])
	}
	for b = b[at+head:]; n > 0 && uint64(len(b)) >= size; n, b = n-1, b[size:] {
		if order.Uint16(b) != tagOrientation {
			continue
		}
		count := uint64(order.Uint32(b[4:]))
		if big {
			count = order.Uint64(b[4:])
		}
		room := size - uint64(value) // where values stand in the entry itself
		const short, long, signedByte, signedShort, signedLong = 3, 4, 6, 8, 9
		switch kind := order.Uint16(b[2:]); {
		case count == 0 || count > room:
		case kind == signedByte:
			return int(int8(b[value]))
		case (kind == short || kind == signedShort) && count <= room/2:
			return int(int16(order.Uint16(b[value:])))
		case (kind == long || kind == signedLong) && count <= room/4:
			return int(int32(order.Uint32(b[value:])))
		}
		return -1
	}
	return 0
}

// oriented shows Image as its EXIF orientation (2 to 8) asks for.
type oriented struct {
	image.Image
	orientation int
}

func (o *oriented) Bounds() image.Rectangle {
	b := o.Image.Bounds()
	if o.orientation >= 5 {
		return image.Rect(0, 0, b.Dy(), b.Dx())
	}
	return image.Rect(0, 0, b.Dx(), b.Dy())
}

func (o *oriented) At(x, y int) color.Color {
	b := o.Image.Bounds()
	x, y = stored(o.orientation, x, y, b.Dx(), b.Dy())
	return o.Image.At(b.Min.X+x, b.Min.Y+y)
}

// Opaque keeps encoders from writing an alpha channel that is not there.
func (o *oriented) Opaque() bool {
	m, ok := o.Image.(interface{ Opaque() bool })
	return ok && m.Opaque()
}

// stored returns where pixel (x, y) of the upright picture is in the stored one,
// which has w×h pixels.
func stored(orientation, x, y, w, h int) (sx, sy int) {
	switch orientation {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, h - 1 - x
	case 7:
		return w - 1 - y, h - 1 - x
	case 8:
		return w - 1 - y, x
	}
	return x, y
}

// orient sets dst to the upright form of src.
func orient(dst, src *RGB, orientation int) {
	w, h := src.W, src.H
	if orientation >= 5 {
		w, h = h, w
	}
	dst.Reset(w, h)
	// Steps in the stored picture for one step right in the upright one.
	x0, y0 := stored(orientation, 0, 0, src.W, src.H)
	x1, y1 := stored(orientation, 1, 0, src.W, src.H)
	step := 3 * ((y1-y0)*src.W + x1 - x0)
	for y := range h {
		sx, sy := stored(orientation, 0, y, src.W, src.H)
		i := 3 * (sy*src.W + sx)
		row := dst.Row(y)
		for x := 0; x < len(row); x += 3 {
			*(*[3]uint8)(row[x:]) = *(*[3]uint8)(src.Pix[i:])
			i += step
		}
	}
}
