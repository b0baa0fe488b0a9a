package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

func encode(t testing.TB, f func(b *bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f(&b))
	return b.Bytes()
}

func pngFile(t testing.TB, m image.Image) []byte {
	return encode(t, func(b *bytes.Buffer) error { return png.Encode(b, m) })
}

func jpegFile(t testing.TB, m image.Image) []byte {
	return encode(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, m, &jpeg.Options{Quality: 95}) })
}

func tiffFile(t testing.TB, m image.Image) []byte {
	return encode(t, func(b *bytes.Buffer) error { return tiff.Encode(b, m, nil) })
}

// webpFile holds one white pixel, lossless.
var webpFile = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")

// TestDecodeFormats: whatever is registered is decoded.
func TestDecodeFormats(t *testing.T) {
	p := numbered(13, 7)
	for name, file := range map[string][]byte{
		"a.png": pngFile(t, p), "a.bmp": encode(t, func(b *bytes.Buffer) error { return bmp.Encode(b, p) }), "a.tiff": tiffFile(t, p),
	} {
		m, err := Decode(name, bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, p, FromImage(m), name)
	}
	for name, file := range map[string][]byte{
		"a.jpg": jpegFile(t, p), "a.gif": encode(t, func(b *bytes.Buffer) error { return gif.Encode(b, p, nil) }),
	} {
		m, err := Decode(name, bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, p.Bounds(), m.Bounds(), name)
	}
	m, err := Decode("a.webp", bytes.NewReader(webpFile))
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 1, 1), m.Bounds())
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "one.png")
	require.NoError(t, os.WriteFile(path, pngFile(t, numbered(1, 1)), 0o600))
	m, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, []uint8{0, 0, 100}, FromImage(m).Pix)
	_, err = Open(filepath.Join(dir, "absent.png"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "absent.png")
	_, err = Open(dir)
	require.ErrorContains(t, err, dir)
}

// TestDecodeErrors: each message names the file and says what is wrong.
func TestDecodeErrors(t *testing.T) {
	picture := numbered(40, 30)
	goodJPEG, goodPNG := jpegFile(t, picture), pngFile(t, picture)
	for _, c := range []struct {
		name, file string
		is         error
		says       []string
	}{
		{"notes.jpg", "this is a text about photographs\n", ErrFormat, []string{"this is a text"}},
		{"empty.jpg", "", ErrFormat, []string{"empty file"}},
		{"bomb.png", pngHeader(30000, 30000), ErrSize, []string{"30000×30000", "100000000"}},
		{"bomb.jpg", jpegHeader(30000, 30000), ErrSize, []string{"30000×30000", "100000000"}},
		{"bomb.gif", "GIF89a\x30\x75\x30\x75\x00\x00\x00", ErrSize, []string{"30000×30000"}},
		{"none.gif", "GIF89a\x00\x00\x05\x00\x00\x00\x00", ErrSize, []string{"0×5"}},
		{"zero.jpg", jpegHeader(0, 0), nil, nil},
		{"zero.png", pngHeader(0, 10), nil, nil},
		{"half.jpg", string(goodJPEG[:len(goodJPEG)*9/10]), nil, []string{"40×30"}},
		{"half.png", string(goodPNG[:len(goodPNG)/2]), nil, []string{"not enough pixel data", "40×30"}},
		{"head.jpg", string(goodJPEG[:20]), nil, []string{"truncated after 20 bytes"}},
		{"magic.jpg", "\xff\xd8\xff", nil, []string{"truncated"}},
		{"torn.tiff", string(tiffFile(t, picture)[:100]), nil, nil},
		{"torn.webp", string(webpFile[:30]), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Decode("dir/"+c.name, strings.NewReader(c.file))
			require.Error(t, err)
			require.Nil(t, m)
			require.ErrorContains(t, err, "picture: dir/"+c.name+": ")
			for _, s := range c.says {
				require.ErrorContains(t, err, s)
			}
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}
}

// pngHeader is a PNG file up to the end of its header chunk.
func pngHeader(w, h uint32) string {
	b := []byte("IHDR")
	b = binary.BigEndian.AppendUint32(b, w)
	b = binary.BigEndian.AppendUint32(b, h)
	b = append(b, 8, 2, 0, 0, 0)
	return "\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

// jpegHeader is a JPEG file up to the start of its scan.
func jpegHeader(w, h uint16) string {
	b := []byte("\xff\xd8\xff\xc0\x00\x11\x08")
	b = binary.BigEndian.AppendUint16(b, h)
	b = binary.BigEndian.AppendUint16(b, w)
	return string(b) + "\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"
}

func TestMaxPixels(t *testing.T) {
	file := pngFile(t, numbered(10, 10))
	_, err := Decode("a.png", bytes.NewReader(file), MaxPixels(99))
	require.ErrorIs(t, err, ErrSize)
	_, err = Decode("a.png", bytes.NewReader(file), MaxPixels(100))
	require.NoError(t, err)
	// An endless stream ends: at once if it is no picture, or else at the limit.
	_, err = Decode("a.png", &zeros{})
	require.ErrorIs(t, err, ErrFormat)
	_, err = Decode("a.png", io.MultiReader(bytes.NewReader(file), &zeros{}), MaxPixels(1000))
	require.ErrorIs(t, err, ErrSize)
	require.ErrorContains(t, err, "more than 67116864 bytes")
	_, err = Decode("a.png", io.MultiReader(bytes.NewReader(file), brokenReader{}))
	require.ErrorIs(t, err, os.ErrClosed)
}

// zeros never ends.
type zeros struct{}

func (*zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

// exifTIFF is a minimal TIFF structure with an orientation.
func exifTIFF(order binary.AppendByteOrder, magic string, orientation uint16) []byte {
	b := order.AppendUint32([]byte(magic), 8)
	b = order.AppendUint16(b, 2)                   // two entries
	for _, tag := range []uint16{0x010f, 0x0112} { // maker, orientation
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, 3) // SHORT
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, orientation)
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0) // no next directory
}

func withJPEGExif(file, exif []byte) []byte {
	body := append([]byte("Exif\x00\x00"), exif...)
	seg := binary.BigEndian.AppendUint16([]byte("\xff\xe1"), uint16(2+len(body)))
	return append(append([]byte("\xff\xd8\xff\xe0\x00\x04ab"), append(seg, body...)...), file[2:]...)
}

func withPNGExif(file, exif []byte) []byte {
	const header = 8 + 25 // signature and IHDR
	chunk := append([]byte("eXIf"), exif...)
	out := append([]byte(nil), file[:header]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(exif)))
	out = append(out, chunk...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
	return append(out, file[header:]...)
}

// The letter F, upright, as the EXIF specification draws the eight cases.
var letterF = []string{
	"####",
	"#...",
	"###.",
	"#...",
	"#...",
}

// storedF is how the upright F is stored for each orientation.
var storedF = [9][]string{
	1: {"####", "#...", "###.", "#...", "#..."},
	2: {"####", "...#", ".###", "...#", "...#"},
	3: {"...#", "...#", ".###", "...#", "####"},
	4: {"#...", "#...", "###.", "#...", "####"},
	5: {"#####", "#.#..", "#.#..", "#...."},
	6: {"#....", "#.#..", "#.#..", "#####"},
	7: {"....#", "..#.#", "..#.#", "#####"},
	8: {"#####", "..#.#", "..#.#", "....#"},
}

func draw(rows []string) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x := range row {
			if row[x] == '#' {
				m.SetGray(x, y, color.Gray{255})
			}
		}
	}
	return m
}

func lines(p *RGB) []string {
	out := make([]string, p.H)
	for y := range out {
		for x := range p.W {
			if c := at(p, x, y); c[1] > 127 {
				out[y] += "#"
			} else {
				out[y] += "."
			}
		}
	}
	return out
}

func TestOrientation(t *testing.T) {
	for n := 1; n <= 8; n++ {
		stored := draw(storedF[n])
		little := exifTIFF(binary.LittleEndian, "II*\x00", uint16(n))
		big := exifTIFF(binary.BigEndian, "MM\x00*", uint16(n))
		for name, file := range map[string][]byte{
			"little.jpg": withJPEGExif(jpegFile(t, stored), little), "big.jpg": withJPEGExif(jpegFile(t, stored), big),
			"little.png": withPNGExif(pngFile(t, stored), little), "big.png": withPNGExif(pngFile(t, stored), big),
			"a.tiff": withTIFFOrientation(tiffFile(t, stored), uint16(n)),
		} {
			require.Equal(t, n, Orientation(file), name)
			m, err := Decode(name, bytes.NewReader(file))
			require.NoError(t, err)
			require.Equal(t, letterF, lines(FromImage(m)), "%s orientation %d", name, n)
			require.Equal(t, letterF, lines(FromImage(opaque{m})), "%s orientation %d through At", name, n)
			m, err = Decode(name, bytes.NewReader(file), IgnoreOrientation())
			require.NoError(t, err)
			require.Equal(t, storedF[n], lines(FromImage(m)), name)
		}
		for _, prefix := range []string{"", "Exif\x00\x00"} {
			require.Equal(t, n, Orientation(webpWithExif(append([]byte(prefix), little...))))
		}
	}
}

// withTIFFOrientation appends a copy of the directory with one entry more.
func withTIFFOrientation(file []byte, n uint16) []byte {
	order := binary.LittleEndian
	ifd := file[order.Uint32(file[4:]):]
	count := int(order.Uint16(ifd))
	out := append([]byte(nil), file...)
	order.PutUint32(out[4:], uint32(len(out)))
	out = order.AppendUint16(out, uint16(count+1))
	const tag, typeShort = 0x0112, 3
	written := false
	for i := range count { // entries are sorted by tag
		e := ifd[2+12*i:][:12]
		if !written && order.Uint16(e) > tag {
			out = order.AppendUint16(out, tag)
			out = order.AppendUint16(out, typeShort)
			out = order.AppendUint32(out, 1)
			out = order.AppendUint32(out, uint32(n))
			written = true
		}
		out = append(out, e...)
	}
	return order.AppendUint32(out, 0)
}

func webpWithExif(exif []byte) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00ODD \x03\x00\x00\x00abc\x00EXIF")
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(exif))), exif...)
}

func TestOrientationNonsense(t *testing.T) {
	good := exifTIFF(binary.LittleEndian, "II*\x00", 6)
	jpg := withJPEGExif(jpegFile(t, draw(letterF)), good)
	require.Equal(t, 6, Orientation(jpg))
	for i := range len(jpg) { // every truncation gives 6 or 1
		require.Contains(t, []int{1, 6}, Orientation(jpg[:i]))
	}
	for _, n := range []uint16{0, 9, 65535} {
		require.Equal(t, Upright, Orientation(exifTIFF(binary.BigEndian, "MM\x00*", n)))
	}
	require.Equal(t, Upright, Orientation([]byte("II*\x00\xff\xff\xff\xff")), "directory outside the file")
	require.Equal(t, Upright, Orientation([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf........")))
	require.Zero(t, testutil.AllocsPerRun(10, func() { Orientation(jpg) }))
}

func FuzzOrientation(f *testing.F) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		magic := "II*\x00"
		if order == binary.AppendByteOrder(binary.BigEndian) {
			magic = "MM\x00*"
		}
		exif := exifTIFF(order, magic, 5)
		f.Add(exif)
		f.Add(withJPEGExif([]byte("\xff\xd8\xff\xd9"), exif))
		f.Add(withPNGExif([]byte(pngHeader(2, 2)), exif))
		f.Add(webpWithExif(exif))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if n := Orientation(file); n < 1 || n > 8 {
			t.Fatalf("orientation %d", n)
		}
	})
}

func FuzzDecode(f *testing.F) {
	p := numbered(9, 6)
	exif := exifTIFF(binary.LittleEndian, "II*\x00", 7)
	f.Add(withJPEGExif(jpegFile(f, p), exif))
	f.Add(withPNGExif(pngFile(f, p), exif))
	f.Add(tiffFile(f, p))
	f.Add(webpFile)
	files, err := filepath.Glob(filepath.Join("testdata", "*.*"))
	require.NoError(f, err)
	for _, path := range files {
		file, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(file)
	}
	f.Add([]byte(pngHeader(30000, 30000)))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, file []byte) {
		fuzzDecode(t, file)
	})
}

// fuzzDecode decodes a file that may be anything, within bounds, and works with the picture.
func fuzzDecode(t *testing.T, file []byte) (m image.Image) {
	const pixels = 1 << 16
	err := testutil.Bounded(t, len(file), func() (_ int64, err error) {
		m, err = Decode("fuzz", bytes.NewReader(file), MaxPixels(pixels))
		return 2 * pixels, err // 16 bytes each
	})
	if err != nil {
		require.ErrorContains(t, err, "picture: fuzz: ")
		return nil
	}
	p := FromImage(m)
	require.Equal(t, m.Bounds().Size(), image.Pt(p.W, p.H))
	var z Resizer
	dst := new(RGB)
	z.ResizeShortCrop(dst, p, 16, 12)
	require.Len(t, dst.Pix, 3*12*12)
	return m
}
