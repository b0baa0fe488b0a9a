package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"math"
	"regexp"
	"strings"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// pngChunk is a part of a PNG file.
type pngChunk struct {
	kind string
	body []byte
	sum  bool // whether its checksum is right
	all  bool // whether it is complete
}

// pngChunks yields the parts of a file, the last one perhaps cut short.
func pngChunks(file []byte) iter.Seq[pngChunk] {
	return func(yield func(pngChunk) bool) {
		for b := file[len(pngMagic):]; len(b) >= 8; {
			n := uint64(binary.BigEndian.Uint32(b))
			c := pngChunk{kind: string(b[4:8]), all: n+12 <= uint64(len(b))}
			end := min(8+n, uint64(len(b)))
			c.body = b[8:end]
			if c.all {
				c.sum = crc32.ChecksumIEEE(b[4:end]) == binary.BigEndian.Uint32(b[end:])
			}
			if !yield(c) {
				return
			}
			b = b[min(end+4, uint64(len(b))):]
		}
	}
}

// pngHead is what decides about the pixels.
type pngHead struct {
	w, h        int
	depth, kind byte // bits a sample; colour type
	interlaced  bool
}

func parseIHDR(b []byte) pngHead {
	if len(b) < 13 {
		return pngHead{}
	}
	return pngHead{int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:])), b[8], b[9], b[12] != 0}
}

// pngSize returns what the header says where its pixels are more than image/png can
// count, which refuses such a file without a size.
func pngSize(data []byte) (w, h int, err error) {
	w, h, err = sizeOf(png.DecodeConfig)(data)
	if err != nil {
		for c := range pngChunks(data) {
			if head := parseIHDR(c.body); c.kind == "IHDR" && head.h > 0 && head.w > math.MaxInt32/8/head.h {
				return head.w, head.h, nil
			}
			break
		}
	}
	return w, h, err
}

// Colour types.
const (
	pngGrey    = 0
	pngIndexed = 3
)

// decodePNG returns what image/png reads, and otherwise the picture of a file that is
// damaged where Pillow does not look: a wrong checksum of the pixels, more pixels than
// rows, no end. Grey of 16 bits is cut to 255, as Pillow 9.4 does, not scaled.
func decodePNG(file []byte) (image.Image, error) {
	m, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		repaired := repairPNG(file)
		if repaired == nil {
			return nil, err
		}
		again, err2 := png.Decode(bytes.NewReader(repaired))
		if err2 != nil {
			return nil, err
		}
		m = again
	}
	var head pngHead
	colours := 0
	for c := range pngChunks(file) {
		switch c.kind {
		case "IHDR":
			head = parseIHDR(c.body)
		case "PLTE":
			colours = len(c.body) / 3
		}
		if c.kind == "IDAT" {
			break
		}
	}
	if p, ok := m.(*image.Paletted); ok { // indices beyond the palette
		for i := colours; i < len(p.Palette); i++ {
			p.Palette[i] = color.Gray{uint8(i)}
		}
	}
	if head.kind == pngGrey && head.depth == 16 {
		return cutGrey(m), nil
	}
	return m, nil
}

// cutGrey returns 16-bit grey cut to 255.
func cutGrey(m image.Image) *image.Gray {
	pix, step := []uint8(nil), 2
	switch m := m.(type) {
	case *image.Gray16:
		pix = m.Pix
	case *image.NRGBA64: // with a transparent value
		pix, step = m.Pix, 8
	}
	g := image.NewGray(m.Bounds())
	for i := range g.Pix {
		if g.Pix[i] = pix[step*i+1]; pix[step*i] > 0 {
			g.Pix[i] = 255
		}
	}
	return g
}

// repairPNG returns a file of the same pixels that image/png takes, or nil if they are
// not there. Like Pillow, it wants right checksums up to the pixels, and reads these up
// to the first chunk of another kind.
func repairPNG(file []byte) []byte {
	out := []byte(pngMagic)
	var head pngHead
	var parts []io.Reader
	for c := range pngChunks(file) {
		if c.kind == "IDAT" {
			parts = append(parts, bytes.NewReader(c.body))
			continue
		}
		if len(parts) > 0 {
			break
		}
		if !c.all || !c.sum {
			return nil
		}
		switch c.kind {
		case "IHDR":
			head = parseIHDR(c.body)
			out = appendChunk(out, c.kind, c.body)
		case "PLTE", "tRNS":
			out = appendChunk(out, c.kind, c.body)
		}
	}
	n := head.size()
	if n == 0 || len(parts) == 0 {
		return nil
	}
	z, err := zlib.NewReader(io.MultiReader(parts...))
	if err != nil {
		return nil
	}
	var body bytes.Buffer
	w, _ := zlib.NewWriterLevel(&body, zlib.NoCompression) // the level exists
	if _, err := io.CopyN(w, z, n); err != nil {
		return nil
	}
	if errors.Is(readToEnd(z), zlib.ErrChecksum) {
		return nil
	}
	if err := w.Close(); err != nil {
		return nil
	}
	return appendChunk(appendChunk(out, "IDAT", body.Bytes()), "IEND", nil)
}

// readToEnd reads one byte, which at the end of the data makes zlib compare its checksum.
func readToEnd(z io.Reader) error {
	_, err := z.Read(make([]byte, 1))
	return err
}

// size returns the number of bytes of the filtered rows, 0 for a head that makes no sense.
func (h pngHead) size() (n int64) {
	samples := map[byte]int64{pngGrey: 1, 2: 3, pngIndexed: 1, 4: 2, 6: 4}[h.kind]
	rows := func(w, h, bits int64) int64 {
		if w == 0 {
			return 0
		}
		return h * (1 + (w*bits+7)/8)
	}
	w, ht, bits := int64(h.w), int64(h.h), samples*int64(h.depth)
	if !h.interlaced {
		return rows(w, ht, bits)
	}
	for _, p := range [][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} { // Adam7: x, y and steps
		n += rows((w-p[0]+p[2]-1)/p[2], (ht-p[1]+p[3]-1)/p[3], bits)
	}
	return n
}

func appendChunk(out []byte, kind string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	at := len(out)
	out = append(append(out, kind...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
}

// Keys of texts that may hold an orientation.
const (
	rawProfileKey = "Raw profile type exif"
	xmpKey        = "XML:com.adobe.xmp"
)

// xmpOrientation is how XMP says it, as an attribute or an element.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)

// pngOrientation looks in the eXIf chunk, else in the text that holds EXIF data as
// hexadecimal digits, and if these have none in XMP.
func pngOrientation(file []byte) int {
	var exif, profile, xmp []byte
	for c := range pngChunks(file) {
		if !c.all {
			break
		}
		if c.kind == "eXIf" {
			exif = c.body
		}
		switch key, text := pngText(c); key {
		case rawProfileKey:
			profile = text
		case xmpKey:
			xmp = text
		}
	}
	if exif == nil {
		exif = rawProfile(profile)
	}
	n := tiffOrientation(bytes.TrimPrefix(exif, exifHeader))
	if m := xmpOrientation.FindSubmatch(xmp); n == 0 && m != nil {
		n = int(m[1][0] - '0')
	}
	return n
}

// rawProfile returns the bytes of a profile: after a name and a length, each in a line,
// there are hexadecimal digits.
func rawProfile(text []byte) []byte {
	lines := strings.SplitN(string(text), "\n", 4)
	if len(lines) < 4 {
		return nil
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(lines[3]), ""))
	if err != nil {
		return nil
	}
	return b
}

// pngText returns the key and the text of a chunk that may hold an orientation.
func pngText(c pngChunk) (key string, text []byte) {
	k, text, ok := bytes.Cut(c.body[:min(len(c.body), 1<<20)], []byte{0})
	if key = string(k); !ok || key != rawProfileKey && key != xmpKey {
		return "", nil
	}
	packed := false
	switch c.kind {
	case "tEXt":
	case "zTXt":
		if len(text) == 0 {
			return "", nil
		}
		packed, text = true, text[1:]
	case "iTXt": // compression flag and method, language, translated key
		if len(text) < 2 {
			return "", nil
		}
		packed = text[0] != 0
		_, text, _ = bytes.Cut(text[2:], []byte{0})
		_, text, _ = bytes.Cut(text, []byte{0})
	default:
		return "", nil
	}
	if packed {
		text = inflateText(text)
	}
	return key, text
}

// inflateText inflates up to 1 MiB, or returns nil.
func inflateText(b []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(z, 1<<20))
	if err != nil {
		return nil
	}
	return text
}
