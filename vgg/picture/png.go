package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"hash/adler32"
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
func decodePNG(ctx context.Context, file []byte) (image.Image, error) {
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
	if err := checkWork(head.work(), len(file)); err != nil {
		return nil, err
	}
	m, err := png.Decode(stopping{ctx, bytes.NewReader(file)})
	if err != nil && ctx.Err() == nil && checkWork(repairWork*head.work(), len(file)) == nil {
		if again, ok := repairPNG(ctx, file); ok {
			m, err = again, nil
		}
	}
	if err != nil {
		return nil, err
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

// repairPNG decodes a file that image/png refuses, if all its pixels are there. Like Pillow,
// it wants right checksums up to the pixels, and reads these up to the first chunk of another
// kind.
func repairPNG(ctx context.Context, file []byte) (m image.Image, ok bool) {
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
			return nil, false
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
		return nil, false
	}
	z, err := zlib.NewReader(io.MultiReader(parts...))
	if err != nil {
		return nil, false
	}
	pixels := &storedPixels{from: z, left: n, sum: adler32.New()}
	m, err = png.Decode(stopping{ctx, io.MultiReader(bytes.NewReader(out), pixels, bytes.NewReader(appendChunk(nil, "IEND", nil)))})
	return m, err == nil
}

// storedPixels reads as IDAT chunks that store, uncompressed, the first left bytes of from.
type storedPixels struct {
	from  io.Reader
	left  int64
	sum   hash.Hash32
	begun bool
	ready []byte // of the chunk in hand
	err   error
}

func (p *storedPixels) Read(b []byte) (int, error) {
	if len(p.ready) == 0 && p.err == nil {
		p.ready, p.err = p.chunk()
	}
	if len(p.ready) == 0 {
		return 0, p.err
	}
	n := copy(b, p.ready)
	p.ready = p.ready[n:]
	return n, nil
}

// chunk makes the next chunk: a block of deflate's kind 0, the first one behind the head of
// zlib's format and the last one in front of its checksum. The error with a chunk is that of
// the next call.
func (p *storedPixels) chunk() ([]byte, error) {
	const most = 1 << 15
	block := make([]byte, min(most, p.left))
	if _, err := io.ReadFull(p.from, block); err != nil {
		return nil, err
	}
	p.left -= int64(len(block))
	p.sum.Write(block)
	var body []byte
	if !p.begun {
		p.begun, body = true, []byte{0x78, 0x01}
	}
	last := byte(0)
	if p.left == 0 {
		last = 1
	}
	body = binary.LittleEndian.AppendUint16(append(body, last), uint16(len(block)))
	body = append(binary.LittleEndian.AppendUint16(body, ^uint16(len(block))), block...)
	if p.left > 0 {
		return appendChunk(nil, "IDAT", body), nil
	}
	if errors.Is(readToEnd(p.from), zlib.ErrChecksum) {
		return nil, zlib.ErrChecksum
	}
	return appendChunk(nil, "IDAT", p.sum.Sum(body)), io.EOF
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

// work is size, and half as much again where image/png writes every pixel twice.
func (h pngHead) work() int64 {
	if h.interlaced {
		return h.size() * 3 / 2
	}
	return h.size()
}

// repairWork is how many times the work of a good file a damaged one takes.
const repairWork = 3

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
