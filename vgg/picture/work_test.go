package picture

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/adler32"
	"image"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// A blank is a file whose pixels are nearly all the same, so that it has few bytes.
type blank struct {
	name string
	file func(w, h int) []byte
	says string // of the error for many pixels, or "" for a picture
}

// blanks are the most expensive files of few bytes in each format.
var blanks = []blank{
	{"16 bits.png", func(w, h int) []byte { return blankPNG(w, h, 16, 6, false, false) }, "bytes of samples"},
	{"interlaced 16 bits.png", func(w, h int) []byte { return blankPNG(w, h, 16, 6, true, false) }, "bytes of samples"},
	{"grey of 16 bits.png", func(w, h int) []byte { return blankPNG(w, h, 16, 0, false, false) }, ""},
	{"damaged grey of 16 bits.png", func(w, h int) []byte { return blankPNG(w, h, 16, 0, false, true) }, "checksum"},
	{"damaged.png", func(w, h int) []byte { return blankPNG(w, h, 8, 2, false, true) }, "checksum"},
	{"8 bits.png", func(w, h int) []byte { return blankPNG(w, h, 8, 2, false, false) }, ""},
	{"interlaced 8 bits.png", func(w, h int) []byte { return blankPNG(w, h, 8, 2, true, false) }, "bytes of samples"},
	{"damaged grey.png", func(w, h int) []byte { return blankPNG(w, h, 8, 0, false, true) }, ""},
	{"interlaced 1 bit.png", func(w, h int) []byte { return blankPNG(w, h, 1, 0, true, false) }, ""},
	{"one strip.tiff", func(w, h int) []byte { return blankTIFF(w, h, 3, 8, compressionDeflate, h, zeroed(3*w*h)) }, ""},
	{"shared strips.tiff", func(w, h int) []byte { return blankTIFF(w, h, 6, 16, compressionDeflate, 11, zeroed(11*12*w)) }, "bytes of samples"},
	{"one strip of little.tiff", func(w, h int) []byte {
		return blankTIFF(w, h, 6, 16, compressionDeflate, h, zeroed(min(12*w*h, 3000*w)))
	}, "bytes of samples"},
	{"fax.tiff", func(w, h int) []byte {
		return blankTIFF(w, h, 1, 1, compressionG4, h, bytes.Repeat([]byte{0xff}, h/8+9))
	}, ""},
	{"progressive JPEG.tiff", func(w, h int) []byte { return blankTIFF(w, h, 1, 8, compressionJPEG, 100, manyScans(w, 100, 400)) }, "bytes of samples"},
	{"a.gif", blankGIF, ""},
	{"lossless.webp", blankWebP, "lossless pixels"},
	{"empty.jpg", func(w, h int) []byte { return blankJPEG(0xc0, w, h, 3, 0x11, 0) }, ""},
	{"CMYK.jpg", func(w, h int) []byte { return blankJPEG(0xc0, w, h, 4, 0x21, 0) }, ""},
	{"progressive CMYK.jpg", func(w, h int) []byte { return blankJPEG(0xc2, w, h, 4, 0x11, 0) }, ""},
	{"progressive 15 scans.jpg", func(w, h int) []byte { return blankJPEG(0xc2, w, h, 3, 0x11, 15) }, ""},
	{"progressive 450 scans.jpg", func(w, h int) []byte { return blankJPEG(0xc2, w, h, 3, 0x11, 450) }, ""},
	{"arithmetic.jpg", func(w, h int) []byte { return blankJPEG(0xc9, w, h, 3, 0x11, 0) }, "bytes of arithmetic coding"},
}

// mostWork is the 2 s of a processor that a picture of less than 1 MB may take, on a machine
// that is slow or whose caches and memory others use as well.
const mostWork = testutil.Slower * 15 * time.Second

// TestWork: within the default limit, no picture of less than 1 MB takes more work than that
// or more than 1.6 GB.
func TestWork(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes pictures of 100 million pixels: needs a run without -short")
	}
	for _, b := range blanks {
		file := b.file(10000, 9999)
		require.Less(t, len(file), 1_000_000, b.name)
		var err error
		memory, spent := testutil.Spent(func() { _, err = Decode(b.name, bytes.NewReader(file)) })
		t.Logf("%-30s %7d bytes: %4.0f MB, %v: %v", b.name, len(file), float64(memory)/1e6, spent, err)
		require.Less(t, spent, mostWork, b.name)
		require.Less(t, memory, int64(1_600_000_000), b.name)
		if b.says == "" {
			require.NoError(t, err, b.name)
		} else {
			require.ErrorContains(t, err, b.says, b.name)
		}
	}
}

// TestHostilePictures: two files that took 2.5 s and 2 GB, and the first of them with a
// thousand scans, which took 97 s. The limit of scans or of work stops both.
func TestHostilePictures(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes pictures of 100 million pixels: needs a run without -short")
	}
	refine, err := os.ReadFile(filepath.Join("testdata", "hostile", "prog_refine_20.jpg"))
	require.NoError(t, err)
	cmyk, err := os.ReadFile(filepath.Join("testdata", "hostile", "prog_cmyk.jpg"))
	require.NoError(t, err)
	scan := refine[bytes.LastIndex(refine, []byte{0xff, 0xda}) : len(refine)-2]
	many := append(bytes.Clone(refine[:len(refine)-2]), bytes.Repeat(scan, 980)...)
	for name, file := range map[string][]byte{"20 scans": refine, "1000 scans": append(many, 0xff, 0xd9), "CMYK": cmyk} {
		var err error
		memory, spent := testutil.Spent(func() { _, err = Decode(name, bytes.NewReader(file)) })
		t.Logf("%s, %d bytes: %.0f MB, %v: %v", name, len(file), float64(memory)/1e6, spent, err)
		require.Less(t, spent, mostWork, name)
		require.Less(t, memory, int64(1_600_000_000), name)
		testutil.Message(t, err)
	}
}

// TestBlank: the same files with fewer pixels are read, so that it is their size that is
// refused, and nothing else about them.
func TestBlank(t *testing.T) {
	for _, b := range blanks {
		m, err := Decode(b.name, bytes.NewReader(b.file(320, 200)))
		require.NoError(t, err, b.name)
		require.Equal(t, image.Pt(320, 200), m.Bounds().Size(), b.name)
	}
}

// endsAt is a context that ends when it is looked at often enough.
type endsAt struct {
	context.Context
	looks int // that are left
}

func (c *endsAt) Err() error {
	if c.looks--; c.looks > 0 {
		return nil
	}
	return context.Canceled
}

// TestContext: every format ends with the error of a context that is done.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, b := range blanks {
		_, err := Decode(b.name, bytes.NewReader(b.file(320, 200)), Context(ctx))
		require.ErrorIs(t, err, context.Canceled, b.name)
	}
	for _, file := range [][]byte{bmpRuns(320, 200), tiffFile(t, numbered(9, 9))} {
		_, err := Decode("x", bytes.NewReader(file), Context(ctx))
		require.ErrorIs(t, err, context.Canceled)
	}
	// In the middle of the pixels.
	ends := &endsAt{Context: t.Context(), looks: 20}
	_, err := Decode("x", bytes.NewReader(blankPNG(10000, 5000, 8, 2, true, false)), Context(ends))
	require.ErrorIs(t, err, context.Canceled)
	require.LessOrEqual(t, ends.looks, 0)
	require.Greater(t, ends.looks, -10, "it looks no more")
}

// TestManyStrips: strips that all begin with long tables take time in proportion to the file.
func TestManyStrips(t *testing.T) {
	const strips = 20_000
	tables := append(manyScans(8, 1, 1), make([]byte, 100_000)...)
	reversed := append(zeroed(8), make([]byte, 100_000)...)
	for i, b := range reversed {
		reversed[i] = bits.Reverse8(b)
	}
	for name, file := range map[string][]byte{
		"tables":   withEntry(blankTIFF(8, strips, 1, 8, compressionJPEG, 1, tables), tagJPEGTables, 7, 50_000, 8),
		"a copy":   withEntry(blankTIFF(8, strips, 1, 8, compressionDeflate, 1, reversed), tagFillOrder, 3, 1, 2),
		"inflater": blankTIFF(1, 250_000, 1, 8, compressionDeflate, 1, zeroed(1)),
	} {
		_, spent := testutil.Spent(func() {
			_, err := Decode("x.tiff", bytes.NewReader(file))
			require.ErrorContains(t, err, "bytes of samples", name)
		})
		t.Log(name, spent)
		require.Less(t, spent, mostWork, name)
	}
}

// withEntry appends the directory of a little-endian TIFF file again, with one entry more.
func withEntry(file []byte, tag, typ uint16, n, value uint32) []byte {
	le := binary.LittleEndian
	at := le.Uint32(file[4:])
	entries := int(le.Uint16(file[at:]))
	out := bytes.Clone(file)
	le.PutUint32(out[4:], uint32(len(out)))
	out = le.AppendUint16(out, uint16(entries+1))
	added := false
	for i := range entries + 1 {
		e := file[int(at)+2+12*i:][:min(12, len(file)-int(at)-2-12*i)]
		if !added && (i == entries || le.Uint16(e) > tag) {
			out = le.AppendUint32(le.AppendUint32(le.AppendUint16(le.AppendUint16(out, tag), typ), n), value)
			added = true
		}
		if i < entries {
			out = append(out, e...)
		}
	}
	return le.AppendUint32(out, 0)
}

// blankPNG has black pixels. It is damaged by a wrong checksum of the pixels.
func blankPNG(w, h int, depth, kind byte, interlaced, damaged bool) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	head = append(head, depth, kind, 0, 0, 0)
	const paeth = 4
	filter := byte(paeth)
	if interlaced {
		head[12], filter = 1, 0
	}
	out := appendChunk([]byte(pngMagic), "IHDR", head)
	n := parseIHDR(head).size()
	row := make([]byte, n/int64(h))
	row[0] = filter
	out = appendChunk(out, "IDAT", deflated(row, int(n)))
	if damaged {
		out[len(out)-1] ^= 1
	}
	return appendChunk(out, "IEND", nil)
}

// deflated is n bytes in zlib's format: row, again and again. Few are compressed, and the
// result is repeated.
func deflated(row []byte, n int) []byte {
	all := bytes.Repeat(row, (1<<20)/len(row)+1)
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	sum := adler32.New()
	write := func(p []byte) []byte { // returns what it adds to b, up to a whole byte
		at := b.Len()
		_, _ = z.Write(p) // a buffer takes all
		_ = z.Flush()
		return bytes.Clone(b.Bytes()[at:])
	}
	for n > 0 && b.Len() < 2 || n > len(all) {
		p := all[:min(n, len(all))]
		write(p)
		sum.Write(p)
		if n -= len(p); n < 2*len(all) {
			continue
		}
		again := write(p) // with what is before it in the window
		sum.Write(p)
		for n -= len(p); n > len(all); n -= len(p) {
			b.Write(again)
			sum.Write(p)
		}
	}
	write(all[:n])
	sum.Write(all[:n])
	z.Close()
	return sum.Sum(b.Bytes()[:b.Len()-4])
}

// zeroed is n zeros in zlib's format.
func zeroed(n int) []byte { return deflated(make([]byte, 1), n) }

// blankTIFF has strips of so many rows, all of which are the same bytes.
func blankTIFF(w, h, samples, depth, compression, rows int, strip []byte) []byte {
	le := binary.LittleEndian
	n := (h + rows - 1) / rows
	at := 8
	b := append([]byte("II*\x00\x00\x00\x00\x00"), strip...)
	offsets := len(b)
	for range n {
		b = le.AppendUint32(b, uint32(at))
	}
	counts := len(b)
	for range n {
		b = le.AppendUint32(b, uint32(len(strip)))
	}
	depths := len(b)
	for range samples {
		b = le.AppendUint16(b, uint16(depth))
	}
	le.PutUint32(b[4:], uint32(len(b)))
	colours := blackIsZero
	if samples >= 3 {
		colours = trueColour
	} else {
		depths = depth
	}
	if n == 1 {
		offsets, counts = at, len(strip)
	}
	entries := [][4]int{
		{tagWidth, 4, 1, w}, {tagHeight, 4, 1, h}, {tagBits, 3, samples, depths}, {tagCompression, 3, 1, compression}, {tagPhotometric, 3, 1, colours},
		{tagStripOffsets, 4, n, offsets}, {tagSamples, 3, 1, samples}, {tagRowsPerStrip, 4, 1, rows}, {tagStripCounts, 4, n, counts},
	}
	b = le.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = le.AppendUint16(le.AppendUint16(b, uint16(e[0])), uint16(e[1]))
		b = le.AppendUint32(le.AppendUint32(b, uint32(e[2])), uint32(e[3]))
	}
	return le.AppendUint32(b, 0)
}

func blankGIF(w, h int) []byte {
	var b bytes.Buffer
	z := lzw.NewWriter(&b, lzw.LSB, 8)
	_, _ = io.CopyN(z, &zeros{}, int64(w*h))
	z.Close()
	size := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(w)), uint16(h))
	out := append(append([]byte("GIF89a"), size...), 0, 0, 0)
	out = append(append(append(out, ',', 0, 0, 0, 0), size...), 0, 8)
	for x := b.Bytes(); len(x) > 0; {
		n := min(255, len(x))
		out, x = append(append(out, byte(n)), x[:n]...), x[n:]
	}
	return append(out, 0, ';')
}

// lsb writes numbers from the lowest bit on.
type lsb struct {
	b []byte
	n int
}

func (w *lsb) put(v, bits int) {
	for i := range bits {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// tree is a Huffman code of one symbol, which takes no bits.
func (w *lsb) tree(symbol int) {
	w.put(1, 1) // simple
	w.put(0, 1) // of one symbol
	w.put(1, 1) // of 8 bits
	w.put(symbol, 8)
}

// blankWebP is lossless, with three transforms. Its pixels take no bits at all.
func blankWebP(w, h int) []byte {
	const predictor, colour, subtractGreen = 0, 1, 2
	var z lsb
	z.put(0x2f, 8)
	z.put(w-1, 14)
	z.put(h-1, 14)
	z.put(0, 4) // no alpha, version 0
	pixels := func(green int) {
		z.put(0, 1) // no cache of colours
		for i := range 5 {
			z.tree(max(green-1000*i, 0))
		}
	}
	for _, transform := range []int{predictor, colour} {
		z.put(1, 1)
		z.put(transform, 2)
		z.put(7, 3) // blocks of 512 pixels
		pixels(13 * (1 - transform))
	}
	z.put(1, 1)
	z.put(subtractGreen, 2)
	z.put(0, 1) // no other transform
	z.put(0, 1) // no cache
	z.put(0, 1) // one group of codes
	for range 5 {
		z.tree(0)
	}
	return (&webpFrame{id: "VP8L", data: append(z.b, 0, 0)}).file()
}

// blankJPEG has n components, the first and the fourth sampled by hv, without data: their blocks
// are grey. Of a progressive picture scans of AC coefficients follow.
func blankJPEG(sof byte, w, h, n int, hv byte, scans int) []byte {
	b := []byte("\xff\xd8\xff\xdb\x00\x43\x00" + strings.Repeat("\x01", 64))
	b = append(b, 0xff, sof, 0, byte(8+3*n), 8, byte(h>>8), byte(h), byte(w>>8), byte(w), byte(n))
	for i := range n {
		factors := byte(0x11)
		if i%3 == 0 {
			factors = hv
		}
		b = append(b, byte(i+1), factors, 0)
	}
	b = append(b, "\xff\xc4\x00\x14\x00\x01"+strings.Repeat("\x00", 15)+"\x00"...)
	b = append(b, "\xff\xc4\x00\x15\x10\x01\x01"+strings.Repeat("\x00", 14)+"\x00\x01"...)
	b = append(b, 0xff, 0xda, 0, byte(6+2*n), byte(n))
	for i := range n {
		b = append(b, byte(i+1), 0)
	}
	last := byte(63)
	if sof == 0xc2 {
		last = 0
	}
	b = append(b, 0, last, 0)
	for i := range scans {
		b = append(b, 0xff, 0xda, 0, 8, 1, byte(1+i%n), 0, 1, 63, 0)
		b = append(b, 0x00, 0x00)
	}
	return append(b, 0xff, 0xd9)
}

// manyScans is a progressive grey JPEG file of so many scans.
func manyScans(w, h, scans int) []byte { return blankJPEG(0xc2, w, h, 1, 0x11, scans) }

// bmpRuns is a BMP file of runs of 255 pixels.
func bmpRuns(w, h int) []byte {
	le := binary.LittleEndian
	b := append([]byte("BM"), make([]byte, 12)...)
	b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, 40), uint32(w)), uint32(h))
	b = append(b, 1, 0, 8, 0, 1, 0, 0, 0)
	b = append(b, make([]byte, 20+4*256)...)
	for range h {
		for x := 0; x < w; x += 255 {
			b = append(b, byte(min(255, w-x)), 1)
		}
		b = append(b, 0, 0)
	}
	return b
}
